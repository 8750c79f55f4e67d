use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use plumb_api::Object;
use tokio::time::Instant;

use super::{Executor, place_of};
use crate::health::{Health, HealthStatus, health};
use crate::plan::{Live, LiveState};
use crate::refusal::{Failure, FailureKind};

/// As long as Flux waits for definitions and classes.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// An object that is not watched is asked for this often.
const POLL: Duration = Duration::from_millis(500);

impl Executor {
    /// Waits until objects that were just applied are ready; returns those that are not.
    pub(super) async fn wait_until_ready(&self, objects: Vec<Object>, deadline: Instant) -> Vec<Failure> {
        let deadline = deadline.min(Instant::now() + LONGEST_WAIT);
        let waits = objects.into_iter().map(|object| Box::pin(self.wait_for_one(object, deadline)));
        join_all(waits).await.into_iter().filter_map(Result::err).collect()
    }

    async fn wait_for_one(&self, applied: Object, deadline: Instant) -> Result<(), Failure> {
        let (id, gvk) = (applied.id(), applied.gvk());
        let mut now = health(&applied, Timestamp::now());
        while now.status != HealthStatus::Current {
            if now.status == HealthStatus::Failed || Instant::now() >= deadline {
                let message = format!("is not ready, and what comes after it needs it: {}", now.message);
                return Err(Failure { id, message, kind: FailureKind::NotReady });
            }
            let kind = self.kind_of(&id, &gvk, deadline).await?;
            let view = self.live.view(std::slice::from_ref(&kind));
            let pause = deadline.min(Instant::now() + POLL);
            now = match view.live(&id) {
                Live::Present(_) => {
                    let is_current =
                        || current(&view, &id).is_some_and(|health| health.status == HealthStatus::Current);
                    self.live.wait_until(pause, is_current).await;
                    current(&view, &id).unwrap_or(now)
                }
                Live::Absent | Live::Unknown => {
                    tokio::time::sleep_until(pause).await;
                    let answer = self.api.get(place_of(&id, &kind), deadline).await;
                    health(&answer.map_err(|refusal| refusal.explain(&id))?.object, Timestamp::now())
                }
            };
        }
        Ok(())
    }
}

fn current(view: &impl LiveState, id: &plumb_api::ObjectId) -> Option<Health> {
    match view.live(id) {
        Live::Present(object) => Some(health(&object, Timestamp::now())),
        Live::Absent | Live::Unknown => None,
    }
}
