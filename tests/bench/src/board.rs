//! The objects of a namespace as one watch a kind shows them. Nothing here asks the API server twice.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::load::Kind;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// News of an object, or the end of the list that a watch begins with.
enum News {
    Listed,
    Changed(Kind, Box<DynamicObject>, Instant),
    Broken(anyhow::Error),
}

/// An object, and when the watch has shown it so.
struct Seen {
    object: Value,
    at: Instant,
}

/// What is known of the objects.
pub(crate) struct Board {
    objects: HashMap<(Kind, String), Seen>,
    news: mpsc::UnboundedReceiver<News>,
    _watches: Vec<AbortOnDropHandle<()>>,
}

impl Board {
    /// Starts to watch, and waits until what is there is known.
    pub(crate) async fn watch(client: &Client, namespace: &str, kinds: &[Kind]) -> anyhow::Result<Self> {
        let (sender, news) = mpsc::unbounded_channel();
        let watches = kinds.iter().map(|&kind| {
            let api = kind.api(client, namespace);
            AbortOnDropHandle::new(tokio::spawn(follow(kind, api, sender.clone())))
        });
        let watches = watches.collect();
        let mut board = Self { objects: HashMap::new(), news, _watches: watches };
        let mut listed = 0;
        while listed < kinds.len() {
            match board.news.recv().await.context("the watches ended")? {
                News::Listed => listed += 1,
                news => drop(board.take(news)?),
            }
        }
        Ok(board)
    }

    /// Waits until each of these objects is as `is` says. `what` completes the sentence "waited in vain until …".
    pub(crate) async fn until(
        &mut self,
        kind: Kind,
        names: &[String],
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let is_so = |seen: Option<&Seen>| seen.is_some_and(|seen| is(&seen.object));
        let mut missing: HashSet<String> = HashSet::new();
        for name in names {
            if !is_so(self.objects.get(&(kind, name.clone()))) {
                missing.insert(name.clone());
            }
        }
        while !missing.is_empty() {
            let Ok(news) = timeout_at(deadline, self.news.recv()).await else {
                let example = missing.iter().next().cloned().unwrap_or_default();
                let object = self.objects.get(&(kind, example.clone())).map(|seen| &seen.object);
                bail!(
                    "waited in vain until {what}: {} are not, such as {example}: {object:?}",
                    missing.len()
                );
            };
            let Some((changed, name)) = self.take(news.context("the watches ended")?)? else { continue };
            if changed == kind && is_so(self.objects.get(&(kind, name.clone()))) {
                missing.remove(&name);
            }
        }
        Ok(())
    }

    fn take(&mut self, news: News) -> anyhow::Result<Option<(Kind, String)>> {
        match news {
            News::Listed => Ok(None),
            News::Broken(error) => Err(error),
            News::Changed(kind, object, at) => {
                let name = object.name_any();
                let object = serde_json::to_value(object)?;
                self.objects.insert((kind, name.clone()), Seen { object, at });
                Ok(Some((kind, name)))
            }
        }
    }

    /// When the watch has brought what [`until`](Self::until) has just waited for: not later, when somebody looked.
    pub(crate) fn seen_at(&self, kind: Kind, name: &str) -> Option<Instant> {
        self.objects.get(&(kind, name.to_owned())).map(|seen| seen.at)
    }
}

async fn follow(kind: Kind, api: kube::Api<DynamicObject>, news: mpsc::UnboundedSender<News>) {
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let said = match event {
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                News::Changed(kind, Box::new(object), Instant::now())
            }
            Ok(watcher::Event::InitDone) => News::Listed,
            // Nothing is deleted while the benchmark looks.
            Ok(watcher::Event::Init | watcher::Event::Delete(_)) => continue,
            Err(error) => News::Broken(error.into()),
        };
        if news.send(said).is_err() {
            return;
        }
    }
}
