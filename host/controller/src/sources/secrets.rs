//! The Secrets that sources name: always of their own namespace, since a reference has no field for another.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use plumb_api::{LocalObjectReference, Reason, is_object_name};
use plumb_source::transport::{InvalidSecret, Proxy};

use super::failure::{Failure, Stage};
use crate::context::Context;
use crate::status::{bounded, said};

/// The data of the Secret that `field` of a source in `namespace` names; empty when it names none. `purpose` completes "the Secret with …".
pub(super) async fn read(
    context: &Context,
    namespace: &str,
    reference: Option<&LocalObjectReference>,
    field: &'static str,
    purpose: &'static str,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let Some(LocalObjectReference { name }) = reference else { return Ok(BTreeMap::new()) };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    // A Secret can be mended without touching the source: it is looked at again.
    let failed = |why: String| {
        let message = format!("the Secret {namespace}/{name} with {purpose} {why}");
        Failure::new(Stage::Fetch, Reason::AuthenticationFailed, message)
    };
    if !is_object_name(name) {
        return Err(failed(format!("cannot exist: {field}.name is not the name of an object")));
    }
    match bounded(api.get_opt(name)).await {
        Ok(Some(secret)) => {
            Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
        }
        Ok(None) => Err(failed(format!("does not exist; create it, or remove {field}"))),
        Err(error) => Err(failed(format!("cannot be read: {}", said(&error)))),
    }
}

/// The proxy of the Secret that `spec.proxySecretRef` names, if it names one.
pub(super) async fn proxy(
    context: &Context,
    namespace: &str,
    reference: Option<&LocalObjectReference>,
) -> Result<Option<Proxy>, Failure> {
    if reference.is_none() {
        return Ok(None);
    }
    let data = read(context, namespace, reference, "spec.proxySecretRef", "the proxy").await?;
    Proxy::from_secret(&data).map(Some).map_err(|error| unusable(&error))
}

/// A Secret that lacks something can be mended without touching the source: it is looked at again.
pub(super) fn unusable(error: &InvalidSecret) -> Failure {
    Failure::new(Stage::Fetch, Reason::AuthenticationFailed, error.to_string())
}
