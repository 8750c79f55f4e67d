//! Who an applier acts as, and on which cluster.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ServiceAccount as ServiceAccountObject;
use kube::api::Api;
use plumb_api::{ApplierKind, Reason, is_object_name};
use plumb_pipeline::Spec;

use super::ApplierId;
use super::failure::{Failure, Retry};
use super::run::Run;
use super::state::ApplierStatus;
use crate::clusters::{Actor, Cluster, ClusterId, ServiceAccount};
use crate::inputs::Input;
use crate::kubeconfig::{self, Reference};
use crate::status::{bounded, said};
use crate::{Key, Tenancy};

/// Why nobody can act.
#[derive(Debug)]
pub(super) enum NoActor {
    /// What says how to reach the cluster, or the service account, does not exist: nothing can be done for as long as that is so.
    Gone(String),
    /// It did not work this time.
    Failed(String),
}

impl From<NoActor> for Failure {
    fn from(no_actor: NoActor) -> Self {
        let (NoActor::Gone(message) | NoActor::Failed(message)) = no_actor;
        Self::new(Reason::ReconciliationFailed, Retry::Backoff, message)
    }
}

/// Who acts, on which cluster.
pub(super) async fn actor(run: &mut Run<'_, impl ApplierStatus>) -> Result<Arc<Actor>, NoActor> {
    let cluster = match ClusterId::of(&run.object) {
        ClusterId::Host => run.context.clusters.host().clone(),
        ClusterId::Remote(reference) => remote(run, &reference).await?,
    };
    let account = account(&run.spec, &run.id.key, &run.context.config.tenancy);
    if let Some(account) = account.as_ref().filter(|account| !is_object_name(&account.name)) {
        return Err(NoActor::Failed(format!(
            "the service account {account} cannot exist: that is not a name"
        )));
    }
    let actor = cluster.actor(account);
    run.memory.act_as(&actor, &run.id);
    actor.cluster.answers().await.map_err(NoActor::Failed)?;
    Ok(actor)
}

async fn remote(run: &Run<'_, impl ApplierStatus>, reference: &Reference) -> Result<Arc<Cluster>, NoActor> {
    let context = run.context;
    let data = match context.inputs.get(&reference.input).await {
        Input::Present { data, .. } => data,
        Input::Absent => {
            let message = format!("the cluster cannot be reached: {} does not exist", reference.input);
            return Err(NoActor::Gone(message));
        }
        Input::Unreadable(reason) => {
            let message =
                format!("the cluster cannot be reached: {} cannot be read: {reason}", reference.input);
            return Err(NoActor::Failed(message));
        }
    };
    let made_from = kubeconfig::fingerprint(&data);
    if let Some(cluster) = context.clusters.remote(reference, made_from) {
        return Ok(cluster);
    }
    let connection = kubeconfig::connect(reference, &data, &context.config.tenancy, &context.client)
        .await
        .map_err(|error| NoActor::Failed(error.to_string()))?;
    Ok(context.clusters.add(reference, made_from, connection))
}

/// The service account that acts for an applier, on whichever cluster; `None` for the controller, or the kubeconfig's user.
fn account(spec: &Spec, key: &Key, tenancy: &Tenancy) -> Option<ServiceAccount> {
    let name = spec.apply.service_account_name.as_ref().or(tenancy.default_service_account.as_ref())?;
    Some(ServiceAccount { namespace: key.namespace.clone(), name: name.clone() })
}

/// As [`actor`], for the last act: an account that is gone may do nothing, and its objects cannot be deleted as it.
pub(super) async fn last_actor(run: &mut Run<'_, impl ApplierStatus>) -> Result<Arc<Actor>, NoActor> {
    let account = account(&run.spec, &run.id.key, &run.context.config.tenancy);
    let account = account.filter(|account| is_object_name(&account.name));
    if let (Some(account), None) = (account, &run.spec.apply.kube_config) {
        let api: Api<ServiceAccountObject> = Api::namespaced(run.context.client.clone(), &account.namespace);
        match bounded(api.get_metadata_opt(&account.name)).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(NoActor::Gone(format!("the service account {account} does not exist"))),
            Err(error) => {
                let message = format!("the service account {account} cannot be read: {}", said(&error));
                return Err(NoActor::Failed(message));
            }
        }
    }
    actor(run).await
}

/// The reference to another namespace that is not allowed, if there is one.
pub(super) fn refuse_cross_namespace(spec: &Spec, own: &ApplierId, tenancy: &Tenancy) -> Result<(), Failure> {
    if !tenancy.no_cross_namespace_refs {
        return Ok(());
    }
    let source = &spec.source_ref;
    let is_other = |namespace: &str| namespace != own.key.namespace;
    let denied = if is_other(source.namespace_or(&own.key.namespace)) {
        let field = if own.kind == ApplierKind::HelmRelease { "chart" } else { "spec.sourceRef" };
        Some(format!("{field} {source}"))
    } else {
        // That another Kustomization is ready may be known; what it says otherwise may not.
        let reads = |dependency: &&plumb_api::DependencyReference| {
            dependency.ready_expr.is_some() && is_other(dependency.namespace_or(&own.key.namespace))
        };
        spec.depends_on.iter().find(reads).map(|dependency| {
            let namespace = dependency.namespace_or(&own.key.namespace);
            format!("spec.dependsOn {namespace}/{} with readyExpr", dependency.name)
        })
    };
    denied.map_or(Ok(()), |what| {
        let message = format!("can't access {what}: cross-namespace references have been blocked");
        Err(Failure::new(Reason::AccessDenied, Retry::Never, message))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::KustomizationSpec;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn spec(json: Value) -> Spec {
        let mut all =
            json!({"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}});
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        Spec::from(&serde_json::from_value::<KustomizationSpec>(all).unwrap())
    }

    fn id() -> ApplierId {
        ApplierId { kind: ApplierKind::Kustomization, key: key() }
    }

    fn key() -> Key {
        Key { namespace: "team-a".to_owned(), name: "apps".to_owned() }
    }

    #[rstest]
    #[case::nobody(json!({}), Tenancy::default(), None)]
    #[case::named(json!({"serviceAccountName": "robot"}), Tenancy::default(), Some("team-a/robot"))]
    #[case::default(json!({}), locked(), Some("team-a/local"))]
    #[case::named_before_default(json!({"serviceAccountName": "robot"}), locked(), Some("team-a/robot"))]
    #[case::remote(json!({"kubeConfig": {"secretRef": {"name": "k"}}}), locked(), Some("team-a/local"))]
    fn the_account_is_of_the_same_namespace(
        #[case] fields: Value,
        #[case] tenancy: Tenancy,
        #[case] expected: Option<&str>,
    ) {
        let account = account(&spec(fields), &key(), &tenancy).map(|account| account.to_string());
        assert_eq!(account.as_deref(), expected);
    }

    fn locked() -> Tenancy {
        Tenancy {
            no_cross_namespace_refs: true,
            default_service_account: Some("local".to_owned()),
            default_kubeconfig_service_account: Some("far".to_owned()),
            ..Tenancy::default()
        }
    }

    // Attack 21 (multi-tenancy): references to objects of other namespaces.
    #[rstest]
    #[case::own(json!({"sourceRef": {"kind": "GitRepository", "name": "a", "namespace": "team-a"}}), None)]
    #[case::source(
        json!({"sourceRef": {"kind": "Bucket", "name": "a", "namespace": "team-b"}}),
        Some("can't access spec.sourceRef Bucket/team-b/a: cross-namespace references have been blocked")
    )]
    #[case::dependency(json!({"dependsOn": [{"name": "a", "namespace": "team-b"}]}), None)]
    #[case::expression(
        json!({"dependsOn": [{"name": "a", "namespace": "team-b", "readyExpr": "dep.spec.prune"}]}),
        Some("can't access spec.dependsOn team-b/a with readyExpr: cross-namespace references have been blocked")
    )]
    fn other_namespaces_are_out_of_reach(#[case] fields: Value, #[case] expected: Option<&str>) {
        let spec = spec(fields);
        let refused = refuse_cross_namespace(&spec, &id(), &locked()).err();
        assert_eq!(refused.map(|failure| failure.message).as_deref(), expected);
        assert!(refuse_cross_namespace(&spec, &id(), &Tenancy::default()).is_ok());
    }
}
