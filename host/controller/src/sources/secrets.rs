//! The Secrets that sources name: always of their own namespace, since a reference has no field for another.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::Api;
use plumb_api::{LocalObjectReference, Reason, is_object_name};
use plumb_source::transport::{InvalidSecret, Proxy};

use super::failure::{Failure, Stage};
use crate::context::Context;
use crate::status::{bounded, said};

/// What the data of a Secret are, by their keys.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// What a Secret is for.
pub(super) struct Purpose {
    /// The field of the spec that names it.
    field: &'static str,
    /// What is in it.
    content: &'static str,
}

pub(super) const CREDENTIALS: Purpose = Purpose { field: "spec.secretRef", content: "the credentials" };
pub(super) const CERTIFICATES: Purpose = Purpose { field: "spec.certSecretRef", content: "the certificates" };
pub(super) const STS_CREDENTIALS: Purpose =
    Purpose { field: "spec.sts.secretRef", content: "the user name and the password for the token service" };
pub(super) const STS_CERTIFICATES: Purpose =
    Purpose { field: "spec.sts.certSecretRef", content: "the certificates of the token service" };
pub(super) const SIGNERS: Purpose =
    Purpose { field: "spec.verify", content: "the keys of those who may sign" };
pub(super) const TRUSTED_ROOT: Purpose =
    Purpose { field: "spec.verify.trustedRootSecretRef", content: "the authorities of signatures" };
const PROXY: Purpose = Purpose { field: "spec.proxySecretRef", content: "the proxy" };

/// The data of the Secret that a source in `namespace` names; `None` when it names none.
pub(super) async fn find(
    context: &Context,
    namespace: &str,
    reference: Option<&LocalObjectReference>,
    purpose: &Purpose,
) -> Result<Option<Data>, Failure> {
    match reference {
        Some(LocalObjectReference { name }) => read(context, namespace, name, purpose).await.map(Some),
        None => Ok(None),
    }
}

/// The data of a Secret.
pub(super) async fn read(
    context: &Context,
    namespace: &str,
    name: &str,
    purpose: &Purpose,
) -> Result<Data, Failure> {
    let Purpose { field, content } = purpose;
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    // A Secret can be mended without touching the source: it is looked at again.
    let failed = |why: String| {
        let message = format!("the Secret {namespace}/{name} with {content} {why}");
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
    let data = find(context, namespace, reference, &PROXY).await?;
    let proxy = data.map(|data| Proxy::from_secret(&data)).transpose();
    proxy.map_err(|error| unusable(&error))
}

/// The service account that `spec.serviceAccountName` of a source in `namespace` names.
pub(super) async fn service_account(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<ServiceAccount, Failure> {
    let failed = |why: String| {
        let message = format!("the service account {namespace}/{name} {why}");
        Failure::new(Stage::Fetch, Reason::AuthenticationFailed, message)
    };
    if !is_object_name(name) {
        return Err(failed("cannot exist: spec.serviceAccountName is not the name of an object".to_owned()));
    }
    let api: Api<ServiceAccount> = Api::namespaced(context.client.clone(), namespace);
    bounded(api.get(name)).await.map_err(|error| failed(format!("cannot be used: {}", said(&error))))
}

/// A Secret that lacks something can be mended without touching the source: it is looked at again.
pub(super) fn unusable(error: &InvalidSecret) -> Failure {
    Failure::new(Stage::Fetch, Reason::AuthenticationFailed, error.to_string())
}
