use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use plumb_api::Object;
use serde_json::Value;
use tokio::time::Instant;

use super::{AT_ONCE, Executor, Pruned, place_of};
use crate::api_server::Propagation;
use crate::discovery::{Kind, KindError};
use crate::plan::{Deletion, Keep, Live, LiveState, Owner, may_prune};
use crate::refusal::{Failure, FailureKind, Refusal};
use crate::terminating::Terminating;

/// An object that is to go is looked at again when the watch tells that it is gone, or after this time.
const FIRST_POLL: Duration = Duration::from_millis(100);
const LAST_POLL: Duration = Duration::from_secs(2);

/// A kind that turns out not to be served as was thought is looked up anew once.
const ATTEMPTS_TO_REACH: usize = 2;

/// How to delete.
#[derive(Clone, Copy)]
struct How<'a> {
    owner: &'a Owner,
    propagation: Propagation,
    deadline: Instant,
}

/// What became of one deletion.
enum Deleted {
    Gone,
    Going(Terminating),
    Kept(Keep),
}

impl Deleted {
    /// What an object that was deleted, or is being deleted, says of itself.
    fn as_answered(object: Option<&Object>) -> Self {
        let going = object.and_then(Terminating::of).filter(Terminating::is_held);
        going.map_or(Self::Gone, Self::Going)
    }
}

impl Executor {
    /// Deletes objects, begun in the order given. An object that is gone already counts as deleted; one that was made anew by somebody
    /// else, or is no longer `owner`'s, is kept. One whose API server does not answer has failed: it may still be there.
    pub async fn prune(
        &self,
        deletions: &[Deletion],
        owner: &Owner,
        propagation: Propagation,
        deadline: Instant,
    ) -> Pruned {
        let how = How { owner, propagation, deadline };
        let one = |deletion| async move { (deletion, Box::pin(self.delete_one(deletion, how)).await) };
        // Collected, because a closure that lives on in the stream would have to work for every lifetime.
        let deletions: Vec<_> = deletions.iter().map(one).collect();
        let mut results = stream::iter(deletions).buffered(AT_ONCE);
        let mut pruned = Pruned::default();
        while let Some((Deletion { id, .. }, result)) = results.next().await {
            match result {
                Ok(Deleted::Gone) => pruned.deleted.push(id.clone()),
                Ok(Deleted::Going(object)) => {
                    pruned.deleted.push(id.clone());
                    pruned.terminating.push(object);
                }
                Ok(Deleted::Kept(reason)) => pruned.kept.push((id.clone(), reason)),
                Err(failure) => pruned.failed.push(failure),
            }
        }
        pruned
    }

    /// Waits until objects that were deleted are gone; returns those that are not, with the finalizers that hold them.
    pub async fn wait_gone(&self, deletions: &[Deletion], deadline: Instant) -> Vec<Failure> {
        let waits = deletions.iter().map(|deletion| Box::pin(self.wait_for_one_gone(deletion, deadline)));
        join_all(waits).await.into_iter().filter_map(Result::err).collect()
    }

    async fn delete_one(&self, deletion: &Deletion, how: How<'_>) -> Result<Deleted, Failure> {
        for _ in 0..ATTEMPTS_TO_REACH {
            let Some(kind) = self.kind_to_delete(deletion, how.deadline).await? else {
                return Ok(Deleted::Gone);
            };
            match self.delete_as(&kind, deletion, how).await {
                // It may still be there in another version.
                Err(refusal) if refusal.is_not_served() => self.kinds.forget(&kind.gvk()),
                Err(refusal) if refusal.is_not_found() => return Ok(Deleted::Gone),
                result => return result.map_err(|refusal| refusal.explain(&deletion.id)),
            }
        }
        Err(Failure {
            id: deletion.id.clone(),
            message: "the API server lists its kind but does not serve it; it may be about to go".to_owned(),
            kind: FailureKind::Unavailable,
        })
    }

    async fn delete_as(&self, kind: &Kind, deletion: &Deletion, how: How<'_>) -> Result<Deleted, Refusal> {
        let How { owner, propagation, deadline } = how;
        let place = place_of(&deletion.id, kind);
        if let Some(uid) = &deletion.uid {
            match self.api.delete(place, Some(uid), propagation, deadline).await {
                // The object that was seen is gone, and another has its name: whose is that?
                Err(refusal) if refusal.code() == 409 => {}
                answer => return answer.map(|object| Deleted::as_answered(object.as_ref())),
            }
        }
        let found = self.api.get(place, deadline).await?.object;
        if let Err(reason) = may_prune(&found, owner) {
            return Ok(Deleted::Kept(reason));
        }
        // Some refuse to delete what is going already.
        if Terminating::of(&found).is_some() {
            return Ok(Deleted::as_answered(Some(&found)));
        }
        let left = self.api.delete(place, uid_of(&found).as_deref(), propagation, deadline).await?;
        Ok(Deleted::as_answered(left.as_ref()))
    }

    /// The kind of an object that is to be deleted; `None` when the cluster does not serve it: with the definition of a kind all its
    /// objects go.
    async fn kind_to_delete(&self, deletion: &Deletion, deadline: Instant) -> Result<Option<Kind>, Failure> {
        match self.kinds.resolve_any_version(&deletion.gvk, deadline).await {
            Ok(kind) => Ok(Some(kind)),
            Err(KindError::Unknown(_)) => Ok(None),
            Err(error @ KindError::Discovery(_)) => Err(Failure {
                id: deletion.id.clone(),
                message: error.to_string(),
                kind: FailureKind::Unavailable,
            }),
        }
    }

    async fn wait_for_one_gone(&self, deletion: &Deletion, deadline: Instant) -> Result<(), Failure> {
        let Deletion { id, uid, .. } = deletion;
        let Some(kind) = self.kind_to_delete(deletion, deadline).await? else { return Ok(()) };
        let view = self.live.view(std::slice::from_ref(&kind));
        let is_cached =
            || matches!(view.live(id), Live::Present(object) if uid.is_none() || uid_of(&object) == *uid);
        let mut pause = FIRST_POLL;
        loop {
            self.live.wait_until(deadline.min(Instant::now() + pause), || !is_cached()).await;
            let found = match self.api.get(place_of(id, &kind), deadline).await {
                Ok(answer) => answer.object,
                Err(refusal) if refusal.is_not_found() => return Ok(()),
                Err(refusal) => return Err(refusal.explain(id)),
            };
            if uid.is_some() && uid_of(&found) != *uid {
                return Ok(());
            }
            if Instant::now() + pause >= deadline {
                return Err(Failure {
                    id: id.clone(),
                    message: what_holds(&found),
                    kind: FailureKind::NotReady,
                });
            }
            if !is_cached() {
                tokio::time::sleep(pause).await;
            }
            pause = (pause * 2).min(LAST_POLL);
        }
    }
}

fn uid_of(object: &Object) -> Option<String> {
    object.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned)
}

/// Why an object does not go.
fn what_holds(object: &Object) -> String {
    let Some(going) = Terminating::of(object) else {
        return "was deleted but is still there, as if nobody had: something may make it anew".to_owned();
    };
    let name = going.id.human();
    let text = going.to_string();
    text.strip_prefix(&name).unwrap_or(&text).trim_start().to_owned()
}
