//! How the servers of a HelmRepository are reached, with what its Secrets hold.

use kube::ResourceExt as _;
use plumb_api::{CloudProvider, HelmRepository, LocalObjectReference};
use plumb_source::helm::{ChartFetch, HelmLimits, HelmLogin};
use plumb_source::oci::{OciFetch, OciLogin, OciUrl};
use plumb_source::transport::Transport;

use crate::context::Context;
use crate::sources::failure::Failure;
use crate::sources::registry::Access;
use crate::sources::secrets::{self, Data};

/// A repository with an index.
pub(super) async fn repository(object: &HelmRepository, context: &Context) -> Result<ChartFetch, Failure> {
    let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
    let secret = secrets::find(context, &namespace, spec.secret_ref.as_ref(), &secrets::CREDENTIALS).await?;
    let certificates =
        secrets::find(context, &namespace, spec.cert_secret_ref.as_ref(), &secrets::CERTIFICATES).await?;
    let login = secret.as_ref().map(HelmLogin::from_secret).transpose();
    let login = login.map_err(|error| secrets::unusable(&error))?.flatten();
    // As in Flux, the certificates may be beside the password, where there is no Secret of their own.
    let transport = Transport::from_secret(&certificates.or(secret).unwrap_or_default());
    let transport = transport.map_err(|error| secrets::unusable(&error))?;
    Ok(ChartFetch {
        login,
        pass_credentials: spec.pass_credentials,
        transport: Transport { addresses: context.config.addresses.clone(), ..transport },
        timeout: spec.timeout().min(context.config.longest_fetch),
        ..anonymous(&spec.url, context)
    })
}

/// A repository with an index, which nobody says anything about but where it is.
pub(super) fn anonymous(url: &str, context: &Context) -> ChartFetch {
    ChartFetch {
        url: url.to_owned(),
        login: None,
        pass_credentials: false,
        transport: Transport { addresses: context.config.addresses.clone(), ..Transport::default() },
        timeout: std::time::Duration::from_secs(60).min(context.config.longest_fetch),
        limits: HelmLimits::default(),
        signers: None,
    }
}

/// A chart of a registry.
pub(super) async fn registry(
    object: &HelmRepository,
    url: OciUrl,
    context: &Context,
) -> Result<OciFetch, Failure> {
    let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
    let secret = secrets::find(context, &namespace, spec.secret_ref.as_ref(), &secrets::CREDENTIALS).await?;
    let login = match &secret {
        Some(data) if !has_docker_config(data) => HelmLogin::from_secret(data),
        _ => Ok(None),
    };
    let login = login.map_err(|error| secrets::unusable(&error))?;
    let reaching = |secret_ref, provider| Access {
        namespace: &namespace,
        provider,
        secret_ref,
        service_account_name: None,
        cert_secret_ref: spec.cert_secret_ref.as_ref(),
        proxy_secret_ref: None,
        insecure: spec.insecure,
        timeout: spec.timeout(),
    };
    match login {
        Some(HelmLogin { username, password }) => {
            let none: Option<&LocalObjectReference> = None;
            let fetch = reaching(none, CloudProvider::Generic).fetch(url, context).await?;
            Ok(OciFetch { login: OciLogin::Basic { username, password }, ..fetch })
        }
        None => reaching(spec.secret_ref.as_ref(), spec.provider).fetch(url, context).await,
    }
}

/// A registry of a dependency, which nobody says anything about but where it is.
pub(super) async fn anonymous_registry(
    namespace: &str,
    url: OciUrl,
    context: &Context,
) -> Result<OciFetch, Failure> {
    let access = Access {
        namespace,
        provider: CloudProvider::Generic,
        secret_ref: None,
        service_account_name: None,
        cert_secret_ref: None,
        proxy_secret_ref: None,
        insecure: false,
        timeout: std::time::Duration::from_secs(60),
    };
    access.fetch(url, context).await
}

fn has_docker_config(data: &Data) -> bool {
    data.contains_key(".dockerconfigjson") || data.contains_key(".dockercfg")
}
