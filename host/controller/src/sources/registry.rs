//! How a registry is reached, as an OCIRepository and a Plugin say it alike.

use std::time::Duration;

use plumb_api::{CloudProvider, LocalObjectReference, OciLayerSelector, OciReference, Reason};
use plumb_source::oci::{OciFetch, OciLimits, OciLogin, OciLogins, OciUrl};
use plumb_source::transport::Transport;

use super::failure::{Failure, Stage};
use super::secrets;
use super::workload::workload;
use crate::context::Context;

/// The fields of a spec that are about reaching a registry.
pub(crate) struct Access<'a> {
    /// The namespace of the object, in which all that it names is.
    pub(crate) namespace: &'a str,
    pub(crate) provider: CloudProvider,
    pub(crate) secret_ref: Option<&'a LocalObjectReference>,
    pub(crate) service_account_name: Option<&'a str>,
    pub(crate) cert_secret_ref: Option<&'a LocalObjectReference>,
    pub(crate) proxy_secret_ref: Option<&'a LocalObjectReference>,
    pub(crate) insecure: bool,
    /// What the spec allows; the controller may allow less.
    pub(crate) timeout: Duration,
}

impl Access<'_> {
    /// A fetch of the tag `latest`, without a signature, with all that the Secrets hold. The caller says what it is of.
    pub(crate) async fn fetch(&self, url: OciUrl, context: &Context) -> Result<OciFetch, Failure> {
        let login = login(self, &url, context).await?;
        let certificates =
            secrets::find(context, self.namespace, self.cert_secret_ref, &secrets::CERTIFICATES).await?;
        let transport = Transport::from_secret(&certificates.unwrap_or_default());
        let transport = Transport {
            proxy: secrets::proxy(context, self.namespace, self.proxy_secret_ref).await?,
            addresses: context.config.addresses.clone(),
            ..transport.map_err(|error| secrets::unusable(&error))?
        };
        // As in Flux, a stored login goes before the identity of a workload.
        let provider = if login.is_some() { CloudProvider::Generic } else { self.provider };
        let fetch = OciFetch {
            url,
            reference: OciReference::default(),
            layer: OciLayerSelector::default(),
            login: login.unwrap_or_default(),
            transport,
            insecure: self.insecure,
            verifications: Vec::new(),
            known: None,
            timeout: self.timeout.min(context.config.longest_fetch),
            limits: OciLimits::default(),
        };
        if provider == CloudProvider::Generic {
            return Ok(fetch);
        }
        let workload = workload(context, self.namespace.to_owned(), self.service_account_name).await?;
        Ok(fetch.sign_in(provider, &workload, &context.sources.tokens).await?)
    }
}

/// The login of the Secret that the spec names, or else of the image pull secrets of the service account that it names; `None` when there are no such Secrets.
async fn login(access: &Access<'_>, url: &OciUrl, context: &Context) -> Result<Option<OciLogin>, Failure> {
    let namespace = access.namespace;
    let secrets: Vec<LocalObjectReference> = match (access.secret_ref, access.service_account_name) {
        (Some(secret), _) => vec![secret.clone()],
        (None, Some(account)) => pull_secrets(context, namespace, account).await?,
        (None, None) => Vec::new(),
    };
    if secrets.is_empty() {
        return Ok(None);
    }
    let mut logins = OciLogins::default();
    for secret in secrets {
        let data = secrets::read(context, namespace, &secret.name, &secrets::CREDENTIALS).await?;
        logins
            .add_secret(&data)
            .map_err(|error| Failure::new(Stage::Fetch, Reason::AuthenticationFailed, error.to_string()))?;
    }
    Ok(Some(logins.login(url)))
}

/// The image pull secrets of a service account, which are of its own namespace.
async fn pull_secrets(
    context: &Context,
    namespace: &str,
    account: &str,
) -> Result<Vec<LocalObjectReference>, Failure> {
    let found = secrets::service_account(context, namespace, account).await?;
    let names = found.image_pull_secrets.into_iter().flatten().map(|secret| secret.name);
    Ok(names.filter(|name| !name.is_empty()).map(|name| LocalObjectReference { name }).collect())
}
