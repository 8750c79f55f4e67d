use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};

use crate::catalog::Catalog;
use crate::cluster::{self, Pace};
use crate::output::{self, Color};

/// What the groups of Flux's kinds end in.
const FLUX: &str = ".fluxcd.io";
/// The group of our own kinds.
const OWN: &str = "plumbline.dev";
/// How many events are asked for at once.
const PAGE: u32 = 500;

/// Shows the events of Flux's objects and Plumbline's, or those of one object of any kind, the oldest first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb events -A\n  plumb events --for kustomization/apps --watch\n  plumb events --for deployment/web -n default --types warning"
)]
pub(crate) struct Events {
    /// The object, as KIND/NAME, or all objects of a KIND.
    #[arg(long = "for", value_name = "KIND/NAME")]
    about: Option<String>,
    /// The namespace to look in.
    #[arg(long, short, default_value = "flux-system")]
    namespace: String,
    /// Look in all namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Go on showing events as they happen.
    #[arg(long, short)]
    watch: bool,
    /// Only events of these types, with commas between them.
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true)]
    types: Vec<Type>,
}

/// The types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Type {
    /// What goes as it should.
    Normal,
    /// What does not.
    Warning,
}

impl Events {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        cluster::block_on(async {
            let pace = if self.watch { Pace::Watching } else { Pace::Interactive };
            let client = cluster::client(pace).await?;
            let filter = Filter::new(&Catalog::of(&client).await?, self.about.as_deref(), &self.types)?;
            let api: Api<Event> = match self.all_namespaces {
                true => Api::all(client),
                false => Api::namespaced(client, &self.namespace),
            };
            match self.watch {
                true => self.follow(api, &filter).await,
                false => self.show(api, &filter).await,
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn show(&self, api: Api<Event>, filter: &Filter) -> anyhow::Result<()> {
        let mut params = ListParams::default().fields(&filter.selector).limit(PAGE);
        let mut events = Vec::new();
        loop {
            let page = api.list(&params).await.map_err(cluster::plain).context("cannot list events")?;
            events.extend(page.items.into_iter().filter(|event| filter.takes(event)));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        if events.is_empty() {
            match self.all_namespaces {
                true => output::note(format_args!("no events found in any namespace")),
                false => output::note(format_args!(
                    "no events found in namespace {}; look in all with -A",
                    self.namespace
                )),
            }
            return Ok(());
        }
        events.sort_by_key(last_seen);
        let rows: Vec<Vec<String>> = events.iter().map(|event| self.row(event, Timestamp::now())).collect();
        output::write(format_args!("{}", colored(&output::table(&self.header(), &rows), &events)))
    }

    async fn follow(&self, api: Api<Event>, filter: &Filter) -> anyhow::Result<()> {
        let config = watcher::Config::default().fields(&filter.selector);
        let mut events = pin!(watcher(api, config).default_backoff().touched_objects());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) if filter.takes(&event) => {
                    let row = self.row(&event, Timestamp::now()).join("   ");
                    output::line(format_args!("{}", colored(&format!("\n{row}"), &[event]).trim_start()))?;
                }
                Ok(_) => {}
                Err(error) => output::note(format_args!("cannot watch events just now: {error}")),
            }
        }
        Ok(())
    }

    fn header(&self) -> Vec<&'static str> {
        let namespace = self.all_namespaces.then_some("NAMESPACE");
        namespace.into_iter().chain(["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]).collect()
    }

    fn row(&self, event: &Event, now: Timestamp) -> Vec<String> {
        let about = &event.involved_object;
        let object = format!(
            "{}/{}",
            about.kind.as_deref().unwrap_or_default(),
            about.name.as_deref().unwrap_or_default()
        );
        let message = event.message.as_deref().unwrap_or_default().trim().replace('\n', "; ");
        let namespace = self.all_namespaces.then(|| event.metadata.namespace.clone().unwrap_or_default());
        let cells = [
            last_seen(event).map(|at| crate::get::age(at, now)).unwrap_or_default(),
            event.type_.clone().unwrap_or_default(),
            event.reason.clone().unwrap_or_default(),
            object,
            message,
        ];
        namespace.into_iter().chain(cells).collect()
    }
}

/// Which events are shown.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    /// What the API server looks at.
    selector: String,
    /// The kinds of the objects; empty for any.
    kinds: Vec<String>,
    types: Vec<Type>,
}

impl Filter {
    fn new(catalog: &Catalog, about: Option<&str>, types: &[Type]) -> anyhow::Result<Self> {
        let Some(about) = about else {
            let entries = catalog.of_groups(FLUX).chain(catalog.of_groups(OWN));
            let kinds = entries.map(|entry| entry.resource.kind.clone()).collect();
            return Ok(Self { selector: String::new(), kinds, types: types.to_vec() });
        };
        let (kind, name) = about.split_once('/').map_or((about, None), |(kind, name)| (kind, Some(name)));
        let kind = &catalog.find(kind)?.resource.kind;
        let name = name.map(|name| format!(",involvedObject.name={name}")).unwrap_or_default();
        let selector = format!("involvedObject.kind={kind}{name}");
        Ok(Self { selector, kinds: Vec::new(), types: types.to_vec() })
    }

    fn takes(&self, event: &Event) -> bool {
        let is_type = |type_: &Type| event.type_.as_deref() == Some(&*format!("{type_:?}"));
        let kind = event.involved_object.kind.as_ref();
        (self.kinds.is_empty() || kind.is_some_and(|kind| self.kinds.contains(kind)))
            && (self.types.is_empty() || self.types.iter().any(is_type))
    }
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| Some(series.last_observed_time.as_ref()?.0));
    series
        .or_else(|| Some(event.last_timestamp.as_ref()?.0))
        .or_else(|| Some(event.event_time.as_ref()?.0))
        .or_else(|| Some(event.metadata.creation_timestamp.as_ref()?.0))
}

/// A table whose lines of warnings are yellow on a terminal.
fn colored(table: &str, events: &[Event]) -> String {
    if !output::colored() {
        return table.to_owned();
    }
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    for (line, event) in lines.iter_mut().skip(1).zip(events) {
        if event.type_.as_deref() == Some("Warning") {
            *line = output::paint(line, Color::Yellow, true);
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::*;

    fn event(type_: &str, kind: &str, more: Value) -> Event {
        let mut event = json!({
            "metadata": {"name": "a", "namespace": "apps", "creationTimestamp": "2026-01-01T00:00:00Z"}, "type": type_,
            "involvedObject": {"kind": kind, "name": "web"}, "reason": "BuildFailed", "message": "one\ntwo",
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    fn command(all_namespaces: bool) -> Events {
        Events { about: None, namespace: "apps".to_owned(), all_namespaces, watch: false, types: vec![] }
    }

    #[test]
    fn the_table_reads_well() {
        let (now, command) = ("2026-01-01T00:10:00Z".parse().unwrap(), command(true));
        let events = [
            event("Warning", "Kustomization", json!({})),
            event("Normal", "GitRepository", json!({"lastTimestamp": "2026-01-01T00:09:30Z"})),
            event("Normal", "GitRepository", json!({"eventTime": "2026-01-01T00:05:00.000000Z"})),
        ];
        let rows: Vec<_> = events.iter().map(|event| command.row(event, now)).collect();
        insta::assert_snapshot!(output::table(&command.header(), &rows), @"
        NAMESPACE   LAST SEEN   TYPE      REASON        OBJECT              MESSAGE
        apps        10m         Warning   BuildFailed   Kustomization/web   one; two
        apps        30s         Normal    BuildFailed   GitRepository/web   one; two
        apps        5m          Normal    BuildFailed   GitRepository/web   one; two
        ");
    }

    #[test]
    fn events_of_other_kinds_and_types_are_left_out() {
        let filter = Filter {
            selector: String::new(),
            kinds: vec!["Kustomization".to_owned()],
            types: vec![Type::Warning],
        };
        assert!(filter.takes(&event("Warning", "Kustomization", json!({}))));
        assert!(!filter.takes(&event("Normal", "Kustomization", json!({}))));
        assert!(!filter.takes(&event("Warning", "Pod", json!({}))));
    }
}
