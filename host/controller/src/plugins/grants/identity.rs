//! Whose identity decrypts, where no credentials were handed over.

use std::fmt;

use k8s_openapi::api::core::v1::ServiceAccount as ServiceAccountObject;
use kube::Client;
use kube::api::Api;
use plumb_api::is_object_name;
use plumb_source::identity::{Environment, ServiceAccount, Workload};

use crate::Key;
use crate::context::Context;
use crate::kubeconfig::own_account;
use crate::sources::workload::service_account;
use crate::status::{bounded, said};

/// A service account, or the controller. Nobody is looked up before he is needed.
#[derive(Clone)]
pub(in crate::plugins) struct Identity {
    /// Where service accounts get their tokens.
    client: Client,
    /// None for the controller.
    account: Option<Key>,
}

impl Identity {
    /// That of a Kustomization in `namespace` whose `spec.decryption` names `account`, or nobody.
    pub(in crate::plugins) fn new(context: &Context, namespace: &str, account: Option<&str>) -> Self {
        let account = account.or(context.config.tenancy.default_decryption_service_account.as_deref());
        let key = |name: &str| Key { namespace: namespace.to_owned(), name: name.to_owned() };
        Self { client: context.client.clone(), account: account.map(key) }
    }

    /// Whether it is that of the controller.
    pub(super) fn is_controller(&self) -> bool {
        self.account.is_none()
    }

    /// As clouds see it. The environment is that of the controller.
    pub(super) async fn workload(&self, environment: &Environment) -> Result<Workload, String> {
        match &self.account {
            None => Ok(Workload::Controller(environment.clone())),
            Some(key) => Ok(Workload::ServiceAccount(self.find(key).await?)),
        }
    }

    /// As the cluster sees it.
    pub(super) async fn service_account(&self) -> Result<ServiceAccount, String> {
        if let Some(key) = &self.account {
            return self.find(key).await;
        }
        let own = own_account(&self.client).await;
        let own =
            own.ok_or("the controller does not run as a service account; name one in spec.decryption")?;
        Ok(service_account(&self.client, own.namespace, own.name, ServiceAccountObject::default()))
    }

    async fn find(&self, key: &Key) -> Result<ServiceAccount, String> {
        if !is_object_name(&key.name) {
            return Err(format!("{self} cannot exist: that is not a name"));
        }
        let api: Api<ServiceAccountObject> = Api::namespaced(self.client.clone(), &key.namespace);
        let found = bounded(api.get(&key.name)).await;
        let found = found.map_err(|error| format!("{self} cannot be used: {}", said(&error)))?;
        Ok(service_account(&self.client, key.namespace.clone(), key.name.clone(), found))
    }

    /// The controller, in a cluster where nobody is.
    #[cfg(test)]
    pub(super) fn of_controller() -> Self {
        let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Ok::<_, kube::Error>(http::Response::new(kube::client::Body::empty()))
        });
        Self { client: Client::new(nobody, "default"), account: None }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            None => f.write_str("the controller"),
            Some(key) => write!(f, "the service account {key}"),
        }
    }
}
