//! News for Flux's notification-controller, which tells chats, pagers and Git hosts: `--events-addr`.
//!
//! Source: Flux, "Events" (`event.toolkit.fluxcd.io/v1beta1`). News wait in a bounded queue, so that nobody waits for a server that is slow
//! or down; what does not fit is dropped and counted in the log.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::events::Severity;

/// How many pieces of news wait at the most.
const QUEUE: usize = 1024;
/// A server that does not answer within this time is tried again.
const ANSWER: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest message in bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Annotations with this prefix go along with all news about an object.
const ANNOTATIONS: &str = "event.toolkit.fluxcd.io/";

/// Posts news to a URL. They end with this value.
pub(crate) struct Notifications {
    queue: mpsc::Sender<Value>,
    instance: String,
    _posting: AbortOnDropHandle<()>,
}

impl Notifications {
    pub(crate) fn start(address: reqwest::Url, instance: String) -> anyhow::Result<Self> {
        let client =
            reqwest::Client::builder().timeout(ANSWER).redirect(reqwest::redirect::Policy::none()).build()?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let posting = AbortOnDropHandle::new(tokio::spawn(post_all(client, address, waiting)));
        Ok(Self { queue, instance, _posting: posting })
    }

    /// Has news posted.
    pub(crate) fn tell(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        message: &str,
        metadata: &BTreeMap<String, String>,
    ) {
        let message = &message[..message.floor_char_boundary(MAX_MESSAGE)];
        let event = json!({
            "involvedObject": about,
            "severity": match severity {
                Severity::Normal => "info",
                Severity::Warning => "error",
            },
            "timestamp": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "message": message,
            "reason": reason,
            "metadata": metadata,
            // Who reads the news knows these names.
            "reportingController": match about.kind.as_deref() {
                Some("Kustomization" | "Pipeline") => "kustomize-controller",
                Some("HelmRelease") => "helm-controller",
                _ => "source-controller",
            },
            "reportingInstance": self.instance,
        });
        if self.queue.try_send(event).is_err() {
            tracing::warn!(
                reason,
                name = about.name,
                "news were dropped, because those before them wait for the notification-controller"
            );
        }
    }
}

/// What goes along with news about an object: the revision they are about, and what its annotations add.
pub(crate) fn metadata(object: &ObjectMeta, group: &str, revision: Option<&str>) -> BTreeMap<String, String> {
    let annotations = object.annotations.iter().flatten().filter(|(key, _)| key.starts_with(ANNOTATIONS));
    let annotations = annotations.map(|(key, value)| (key.clone(), value.clone()));
    annotations.chain(revision.map(|revision| (format!("{group}/revision"), revision.to_owned()))).collect()
}

async fn post_all(client: reqwest::Client, address: reqwest::Url, mut waiting: mpsc::Receiver<Value>) {
    while let Some(event) = waiting.recv().await {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let posted = client.post(address.clone()).json(&event).send().await;
            match posted.and_then(reqwest::Response::error_for_status) {
                Ok(_) => break,
                // Too many of the same kind: that is how it limits them.
                Err(error) if error.status() == Some(reqwest::StatusCode::TOO_MANY_REQUESTS) => break,
                Err(error) if attempt == ATTEMPTS => {
                    tracing::warn!(error = %error.without_url(), "the notification-controller did not take news");
                }
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }
}
