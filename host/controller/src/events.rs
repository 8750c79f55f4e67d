//! Kubernetes events about the objects that are reconciled.
//!
//! kube's own recorder folds events that differ only in their message into the first of them; here the message is the news.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use parking_lot::Mutex;
use plumb_lint::Finding;

use crate::notifications::Notifications;
use crate::status::{bounded, said};

/// The same news about the same object is not told again within this time.
const QUIET: Duration = Duration::from_secs(300);
/// How many pieces of news are remembered; more, and the memory starts anew.
const REMEMBERED: usize = 4096;
/// The API server's bound on `note`, in bytes.
const MAX_NOTE: usize = 1024;

/// The reason of events about what is likely to hurt.
pub(crate) const LINT: &str = "Lint";

/// A finding as an event tells it.
pub(crate) fn finding_note(finding: &Finding) -> String {
    let Finding { rule, object, message, hint, .. } = finding;
    format!("{object}: {message}; {hint} ({})", rule.name())
}

/// How important an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

/// Publishes events in the name of this controller.
pub(crate) struct Events {
    client: kube::Client,
    instance: String,
    notifications: Option<Notifications>,
    told: Mutex<HashMap<String, Instant>>,
}

impl Events {
    pub(crate) fn new(client: kube::Client, instance: String, notifications: Option<Notifications>) -> Self {
        Self { client, instance, notifications, told: Mutex::default() }
    }

    /// Publishes an event. One that cannot be published is logged: events are news, not state. `metadata` goes to the notification-controller
    /// only.
    pub(crate) async fn publish(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
        metadata: &BTreeMap<String, String>,
    ) {
        let (uid, whole, note) = (about.uid.as_deref().unwrap_or_default(), note, shortened(note));
        if !self.is_news(format!("{uid} {severity:?} {reason} {note}")) {
            return;
        }
        self.notify(about, severity, reason, whole, metadata);
        let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let name = about.name.as_deref().unwrap_or("unknown");
        let now = Timestamp::now();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(event_name(name, now)),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(note),
            reason: Some(reason.to_owned()),
            regarding: Some(about.clone()),
            reporting_controller: Some("plumbline".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(format!("{severity:?}")),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        if let Err(error) = bounded(api.create(&PostParams::default(), &event)).await {
            tracing::debug!(error = said(&error), reason, "could not publish an event");
        }
    }

    /// Tells the notification-controller only, if there is one: it shows people the state of each commit.
    pub(crate) fn notify(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
        metadata: &BTreeMap<String, String>,
    ) {
        if let Some(notifications) = &self.notifications {
            notifications.tell(about, severity, reason, note, metadata);
        }
    }

    fn is_news(&self, what: String) -> bool {
        let mut told = self.told.lock();
        if told.len() >= REMEMBERED {
            told.retain(|_, at| at.elapsed() < QUIET);
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        match told.get(&what) {
            Some(at) if at.elapsed() < QUIET => false,
            _ => {
                told.insert(what, Instant::now());
                true
            }
        }
    }
}

/// As client-go names events. A name may have 253 bytes, and every part of it ends in a letter or digit.
fn event_name(about: &str, now: Timestamp) -> String {
    let about = about[..about.floor_char_boundary(230)].trim_end_matches(['-', '.']);
    format!("{about}.{:x}", now.as_nanosecond())
}

fn shortened(note: &str) -> String {
    if note.len() <= MAX_NOTE {
        return note.to_owned();
    }
    format!("{}…", &note[..note.floor_char_boundary(MAX_NOTE - '…'.len_utf8())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_is_a_name() {
        let at = Timestamp::UNIX_EPOCH;
        assert_eq!(event_name("apps", at), "apps.0");
        let long = format!("{}-{}", "a".repeat(229), "b".repeat(20));
        assert_eq!(event_name(&long, at), format!("{}.0", "a".repeat(229)));
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        let note = shortened(&"é".repeat(MAX_NOTE));
        assert!(note.len() <= MAX_NOTE);
        assert!(note.ends_with("é…"));
        assert_eq!(shortened("short"), "short");
    }
}
