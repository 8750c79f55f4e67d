//! The plugin that a step runs, with what it may be handed.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumb_api::{PluginLimits, Sensitive};
use plumb_pipeline::{PluginName, StepSpec};
use plumb_plugin::{Grants, Plugin};

use super::grants::identity::Identity;
use super::grants::key_services::{Credentials, KeyServices};
use super::policy::{KRM, Signatures, Subject, decide};
use super::{Loaded, grants, inspect};
use crate::Key;
use crate::clusters::Actor;
use crate::context::Context;

/// What a step runs.
pub(crate) struct Resolved {
    pub(crate) runs: Runs,
    /// What the plugin is handed: what the step asks for, if a policy allows all of it.
    pub(crate) grants: Grants,
    /// The lowest of what the step, the Plugin and policies say.
    pub(crate) limits: PluginLimits,
}

/// The code of a step.
pub(crate) enum Runs {
    Plugin(Plugin),
    /// A KRM function that lies in the source.
    Krm,
}

/// Why a step cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unresolved {
    /// A policy does not allow it. A change of policies or labels has the Pipeline looked at.
    #[error("{0}")]
    Denied(String),
    /// The step has to be changed: there is no such plugin.
    #[error("{0}")]
    Wrong(String),
    /// The Plugin is not ready. The Pipeline is looked at when it is.
    #[error("{0}")]
    NotReady(String),
}

/// Who asks for a plugin.
pub(crate) struct Asking<'a> {
    /// The namespace of the Pipeline.
    pub(crate) namespace: &'a str,
    /// In whose name the cluster is read.
    pub(crate) actor: &'a Arc<Actor>,
    /// The values that the step hands over, by the names under which the plugin asks for them.
    pub(crate) secrets: BTreeMap<String, Sensitive<Vec<u8>>>,
}

/// What runs, and who it is.
struct Candidate {
    runs: Runs,
    /// What a Plugin refers to; none for what the step names itself.
    loaded: Option<Arc<Loaded>>,
    limits: PluginLimits,
}

/// Finds the plugin of a step and decides what it may be handed. Everything is decided anew each time: nothing that was granted once is kept.
pub(crate) async fn resolve(
    context: &Arc<Context>,
    asking: Asking<'_>,
    step: &StepSpec,
) -> Result<Resolved, Unresolved> {
    let candidate = candidate(context, asking.namespace, &step.plugin).await?;
    let limits = step.limits.min(&candidate.limits);
    if let PluginName::Builtin(_) = step.plugin {
        // Of a Kustomization, whose author chooses nothing and which hands over nothing but its keys.
        let mut handed = Grants::default();
        if let Some(decryption) = &step.decryption {
            let mut secrets = asking.secrets;
            let credentials = Credentials::take(&mut secrets);
            let account = decryption.service_account.as_deref();
            let identity = Identity::new(context, asking.namespace, account);
            let vaults = grants::vault::client(context, identity.clone()).await;
            let vaults = vaults.map_err(Unresolved::NotReady)?;
            let services = KeyServices::new(context, identity, credentials, vaults);
            handed.secrets = Some(secrets.into_iter().collect());
            handed.http = Some(Arc::new(services));
        }
        return Ok(Resolved { runs: candidate.runs, grants: handed, limits });
    }
    let situation = context.plugins.policies.of(asking.namespace).await.map_err(Unresolved::NotReady)?;
    let (subject, signatures) = match (&candidate.loaded, &candidate.runs) {
        (Some(loaded), _) => (loaded.subject(), loaded.signatures()),
        (None, Runs::Krm) => (Subject::Krm, Signatures::default()),
        (None, Runs::Plugin(_)) => (Subject::Builtin(step.plugin.as_str()), Signatures::default()),
    };
    let grant = decide(&situation.policies, situation.place(), subject, signatures, &step.capabilities)
        .map_err(|denied| Unresolved::Denied(denied.to_string()))?;
    let limits = limits.min(&grant.limits);
    let grants = grants::of(grant.capabilities, asking.secrets, asking.actor.clone(), context)
        .map_err(Unresolved::NotReady)?;
    Ok(Resolved { runs: candidate.runs, grants, limits })
}

/// A Plugin of the namespace goes before a built-in one. `krm` is always what lies in the source.
async fn candidate(
    context: &Arc<Context>,
    namespace: &str,
    plugin: &PluginName,
) -> Result<Candidate, Unresolved> {
    let name = plugin.as_str();
    if let PluginName::Any(name) = plugin {
        if name == KRM {
            return Ok(Candidate { runs: Runs::Krm, loaded: None, limits: PluginLimits::default() });
        }
        let key = Key { namespace: namespace.to_owned(), name: name.clone() };
        if let Some(object) = context.plugins.get(&key) {
            let uid = object.metadata.uid.as_ref();
            let is_of = |loaded: &Arc<Loaded>| Some(&loaded.uid) == uid && loaded.is_of(&object.spec);
            let loaded =
                context.plugins.loaded(&key).filter(is_of).ok_or_else(|| not_ready(&object, &key))?;
            let runs = Runs::Plugin(loaded.plugin.clone());
            return Ok(Candidate { runs, loaded: Some(loaded), limits: object.spec.limits.clone() });
        }
    }
    let (builtins, wanted) = (context.builtins.clone(), name.to_owned());
    let loading = tokio::task::spawn_blocking(move || inspect::builtin(&builtins, &wanted));
    let loaded = loading.await.unwrap_or_else(|error| Err(format!("internal error: {error}")));
    let plugin = loaded.map_err(|reason| {
        Unresolved::Wrong(format!("there is no Plugin '{name}' in the namespace '{namespace}', and {reason}"))
    })?;
    Ok(Candidate { runs: Runs::Plugin(plugin), loaded: None, limits: PluginLimits::default() })
}

fn not_ready(object: &plumb_api::Plugin, key: &Key) -> Unresolved {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let ready = plumb_api::conditions::find(conditions, plumb_api::ConditionType::Ready);
    let why = match ready.filter(|ready| ready.status == "False") {
        Some(ready) => format!("is not ready: {}", ready.message),
        None => "was not loaded yet".to_owned(),
    };
    Unresolved::NotReady(format!("Plugin '{key}' {why}"))
}
