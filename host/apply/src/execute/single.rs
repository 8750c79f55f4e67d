use plumb_api::{GroupVersionKind, Object, ObjectId};
use serde_json::Value;
use tokio::time::Instant;

use super::{Executor, place_of};
use crate::api_server::{Effect, Propagation};
use crate::managed_fields::desired_digest;
use crate::plan::{Action, Applied, Live, Policy};
use crate::refusal::Failure;

impl Executor {
    /// The object as it is now, whoever owns it; `None` when there is none, or its kind is not served.
    ///
    /// # Errors
    ///
    /// When the API server does not say.
    pub async fn get(
        &self,
        id: &ObjectId,
        gvk: &GroupVersionKind,
        deadline: Instant,
    ) -> Result<Option<Object>, Failure> {
        let kind = self.kind_of(id, gvk, deadline).await?;
        match self.api.get(place_of(id, &kind), deadline).await {
            Ok(answer) => Ok(Some(answer.object)),
            Err(refusal) if refusal.is_not_found() => Ok(None),
            Err(refusal) => Err(refusal.explain(id)),
        }
    }

    /// Applies one object that nobody keeps afterwards, such as a hook of a Helm release. Returns it as it then is.
    ///
    /// # Errors
    ///
    /// When the API server refuses it.
    pub async fn apply_once(
        &self,
        object: &Object,
        manager: &str,
        deadline: Instant,
    ) -> Result<Object, Failure> {
        let id = object.id();
        let kind = self.kind_of(&id, &object.gvk(), deadline).await?;
        let applied = self.api.apply(Effect::Real, place_of(&id, &kind), object, manager, deadline).await;
        let answer = applied.map_err(|refusal| refusal.explain(&id))?;
        self.kinds.learn(&answer.object);
        Ok(answer.object)
    }

    /// Whether applying an object, as a plan has it, would change nothing: the API server writes some values in another form than they were sent.
    /// Then this is to be remembered for the next plan.
    ///
    /// # Errors
    ///
    /// When the API server refuses the object.
    pub async fn is_as_applied(
        &self,
        action: &Action,
        policy: &Policy,
        deadline: Instant,
    ) -> Result<Option<Applied>, Failure> {
        let Live::Present(live) = &action.live else { return Ok(None) };
        let kind = self.kind_of(&action.id, &action.desired.gvk(), deadline).await?;
        let place = place_of(&action.id, &kind);
        let tried = self.api.apply(Effect::DryRun, place, &action.sent, &policy.manager, deadline).await;
        let answer = tried.map_err(|refusal| refusal.explain(&action.id))?;
        if without_bookkeeping(&answer.object) != without_bookkeeping(live) {
            return Ok(None);
        }
        let projection = policy.projection(live);
        Ok(projection.map(|projection| Applied { desired: desired_digest(&action.desired), projection }))
    }

    /// Deletes one object, whoever owns it, in the background. That there is none is no error; that it has another UID than was seen leaves it alone.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn delete_once(
        &self,
        id: &ObjectId,
        gvk: &GroupVersionKind,
        uid: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let kind = self.kind_of(id, gvk, deadline).await?;
        match self.api.delete(place_of(id, &kind), uid, Propagation::Background, deadline).await {
            Err(refusal) if !refusal.is_not_found() && refusal.code() != 409 => Err(refusal.explain(id)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// An object without what the API server notes about changes, and what the watch leaves out.
fn without_bookkeeping(object: &Object) -> Value {
    let mut value = Value::Object(object.fields().clone());
    if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(field);
        }
    }
    if let Some(annotations) = value.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    value
}
