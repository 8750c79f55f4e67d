//! `spec.kubeConfig`: how another cluster is reached, and what a tenant's kubeconfig must not make the controller do.

mod workload;

use std::time::Duration;

use http::HeaderValue;
use kube::Client;
use kube::client::Body;
use kube::config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig};
use plumb_api::{KubeConfigReference, Sensitive};
use plumb_source::transport::AddressPolicy;
use sha2::{Digest as _, Sha256};
use tokio_util::task::AbortOnDropHandle;
use tower::service_fn;

use crate::Tenancy;
use crate::inputs::{Data, InputId};

pub(crate) use workload::own_account;

/// How long the name of an API server may take to be resolved.
const RESOLVING: Duration = Duration::from_secs(5);

/// Identifies the data that a connection was made from.
pub(crate) type Fingerprint = [u8; 32];

/// The ConfigMap or Secret that says how to reach a cluster, and the key in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    pub(crate) input: InputId,
    /// The key of a Secret that holds the kubeconfig, if it is named.
    key: Option<String>,
}

impl Reference {
    /// What `spec.kubeConfig` of an object in `namespace` refers to.
    pub(crate) fn new(reference: &KubeConfigReference, namespace: String) -> Self {
        match (&reference.config_map_ref, &reference.secret_ref) {
            (Some(config_map), _) => {
                Self { input: InputId::config_map(namespace, config_map.name.clone()), key: None }
            }
            // The CRD demands one of the two; an object that was written before it did has a Secret without a name.
            (None, secret) => {
                let (name, key) = secret.clone().map(|secret| (secret.name, secret.key)).unwrap_or_default();
                Self { input: InputId::secret(namespace, name), key }
            }
        }
    }
}

/// What a kubeconfig may do that a tenant could misuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KubeConfigPolicy {
    /// Run programs of the controller's image to sign in, and read files of its file system: `--insecure-kubeconfig-exec`.
    pub exec: bool,
    /// Speak to API servers that cannot prove who they are: `--insecure-kubeconfig-tls`.
    pub insecure_tls: bool,
}

/// Why a cluster cannot be reached in the way that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The key that holds the kubeconfig is not there.
    #[error("{0} has no key {1}, which has to hold the kubeconfig")]
    NoKubeconfig(InputId, String),
    /// The text is not a kubeconfig. What it says is not repeated: it holds credentials.
    #[error("{0} holds no readable kubeconfig: {1}")]
    Unreadable(InputId, String),
    /// The kubeconfig asks for something that is not allowed.
    #[error("the kubeconfig of {0} is refused: {1}")]
    Refused(InputId, String),
    /// The ConfigMap lacks something.
    #[error("{0} cannot be used to reach a cluster: {1}")]
    Incomplete(InputId, String),
    /// The service account's token could not be had.
    #[error("no token for the cluster of {0}: {1}")]
    NoToken(InputId, String),
}

/// A connection to an API server.
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// Keeps the credentials fresh, where they expire.
    pub(crate) refreshing: Option<AbortOnDropHandle<()>>,
}

/// Identifies what a connection is made from: another fingerprint, another connection.
pub(crate) fn fingerprint(data: &Data) -> Fingerprint {
    let mut hash = Sha256::new();
    for (key, value) in data.iter() {
        for part in [key.as_bytes(), value.expose()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

/// Connects as `reference` says, with the data that it refers to. `host` is where service accounts get their tokens.
pub(crate) async fn connect(
    reference: &Reference,
    data: &Data,
    tenancy: &Tenancy,
    host: &Client,
) -> Result<Connection, ConnectError> {
    if reference.input.is_secret() {
        let text = kubeconfig_text(reference, data)?;
        return connect_by_kubeconfig(&reference.input, text.expose(), tenancy).await;
    }
    workload::connect(&reference.input, data, tenancy, host).await
}

fn kubeconfig_text(reference: &Reference, data: &Data) -> Result<Sensitive<String>, ConnectError> {
    let input = &reference.input;
    let (value, tried) = match &reference.key {
        Some(key) => (data.get(key), key.clone()),
        None => (data.get("value").or_else(|| data.get("value.yaml")), "value".to_owned()),
    };
    let value = value.ok_or_else(|| ConnectError::NoKubeconfig(input.clone(), tried))?;
    let text = String::from_utf8(value.expose().clone())
        .map_err(|_| ConnectError::Unreadable(input.clone(), "it is not UTF-8 text".to_owned()))?;
    Ok(Sensitive::new(text))
}

async fn connect_by_kubeconfig(
    input: &InputId,
    text: &str,
    tenancy: &Tenancy,
) -> Result<Connection, ConnectError> {
    let unreadable = |reason: &str| ConnectError::Unreadable(input.clone(), reason.to_owned());
    // The error of the parser quotes the text.
    let kubeconfig =
        Kubeconfig::from_yaml(text).map_err(|_| unreadable("it is not the YAML of a kubeconfig"))?;
    let refusals = vet(&kubeconfig, tenancy.kubeconfig);
    if !refusals.is_empty() {
        return Err(ConnectError::Refused(input.clone(), refusals.join("; ")));
    }
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|_| {
            unreadable("its current context, or the cluster and user that it names, is missing or malformed")
        })?;
    check_address(input, &config.cluster_url, &tenancy.kubeconfig_addresses).await?;
    let client =
        Client::try_from(config).map_err(|_| unreadable("its certificates or credentials cannot be used"))?;
    Ok(Connection { client, refreshing: None })
}

/// Refuses an API server that is, or whose name leads to, an address that must not be reached. The address is not told, nor whether the name leads anywhere.
async fn check_address(
    input: &InputId,
    server: &http::Uri,
    addresses: &AddressPolicy,
) -> Result<(), ConnectError> {
    let host = server.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    // A number is resolved as well: there are many ways to write one.
    let found = tokio::time::timeout(RESOLVING, tokio::net::lookup_host((host, 0))).await;
    let may_be_reached = match found {
        Ok(Ok(mut found)) => found.all(|address| addresses.permits(address.ip())),
        Ok(Err(_)) | Err(_) => false,
    };
    if may_be_reached {
        return Ok(());
    }
    let why = format!(
        "its server {host} has no address that may be reached; use another one, or ask who runs the controller to permit it (--denied-kubeconfig-addresses)"
    );
    Err(ConnectError::Refused(input.clone(), why))
}

/// Everything that a kubeconfig asks for and may not have.
fn vet(kubeconfig: &Kubeconfig, policy: KubeConfigPolicy) -> Vec<&'static str> {
    let users = kubeconfig.auth_infos.iter().filter_map(|user| user.auth_info.as_ref());
    let clusters = kubeconfig.clusters.iter().filter_map(|cluster| cluster.cluster.as_ref());
    let asked = users
        .flat_map(|user| asked_by_user(user, policy))
        .chain(clusters.flat_map(|cluster| asked_by_cluster(cluster, policy)));
    let mut refusals: Vec<&'static str> = asked.collect();
    refusals.sort_unstable();
    refusals.dedup();
    refusals
}

fn asked_by_user(user: &AuthInfo, policy: KubeConfigPolicy) -> impl Iterator<Item = &'static str> {
    let asked = [
        (
            user.exec.is_some(),
            "it runs a program (exec); the controller's flag --insecure-kubeconfig-exec allows that",
        ),
        (
            user.auth_provider.is_some(),
            "it uses an auth-provider, which Kubernetes has removed; use a token or a certificate",
        ),
        (user.token_file.is_some(), "it reads a file of the controller (tokenFile); put the token into it"),
        (
            user.client_certificate.is_some(),
            "it reads a file of the controller (client-certificate); use client-certificate-data",
        ),
        (user.client_key.is_some(), "it reads a file of the controller (client-key); use client-key-data"),
    ];
    asked.into_iter().filter_map(move |(is_asked, why)| {
        let is_allowed = policy.exec && !why.starts_with("it uses an auth-provider");
        (is_asked && !is_allowed).then_some(why)
    })
}

fn asked_by_cluster(cluster: &Cluster, policy: KubeConfigPolicy) -> impl Iterator<Item = &'static str> {
    let is_plain = cluster.server.as_ref().is_some_and(|server| server.starts_with("http:"));
    let asked = [
        (
            cluster.insecure_skip_tls_verify == Some(true) && !policy.insecure_tls,
            "it does not verify the API server (insecure-skip-tls-verify); the controller's flag --insecure-kubeconfig-tls allows that",
        ),
        (
            is_plain && !policy.insecure_tls,
            "it speaks to the API server without TLS; the controller's flag --insecure-kubeconfig-tls allows that",
        ),
        (
            cluster.certificate_authority.is_some() && !policy.exec,
            "it reads a file of the controller (certificate-authority); use certificate-authority-data",
        ),
    ];
    asked.into_iter().filter_map(|(is_asked, why)| is_asked.then_some(why))
}

/// A client that uses the connections of another, and acts as `user`. The other has to be allowed to impersonate.
pub(crate) fn impersonating(client: &Client, user: &str) -> Client {
    let (client, default_namespace) = (client.clone(), client.default_namespace().to_owned());
    // The parts of a service account's name are DNS labels: the API server would not have stored the object otherwise.
    let user = HeaderValue::from_str(user).ok();
    let service = service_fn(move |mut request: http::Request<Body>| {
        let (client, user) = (client.clone(), user.clone());
        async move {
            let Some(user) = user else {
                return Err(kube::Error::Service("the name of the service account is not valid".into()));
            };
            request.headers_mut().insert("Impersonate-User", user);
            client.send(request).await
        }
    });
    Client::new(service, default_namespace)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn kubeconfig(user: &str, cluster: &str) -> Kubeconfig {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
        );
        Kubeconfig::from_yaml(&text).unwrap()
    }

    const SERVER: &str = "server: 'https://far.example.com'";

    // Attack 21 (multi-tenancy): exec, auth-provider, tokenFile and insecure TLS in a tenant's kubeconfig; CVE-2022-24817.
    #[rstest]
    #[case::token("token: t", SERVER, &[])]
    #[case::exec("exec: {command: sh, apiVersion: client.authentication.k8s.io/v1}", SERVER, &["exec"])]
    #[case::provider("auth-provider: {name: gcp, config: {}}", SERVER, &["auth-provider"])]
    #[case::token_file("tokenFile: /etc/passwd", SERVER, &["tokenFile"])]
    #[case::certificate("client-certificate: /a, client-key: /b", SERVER, &["client-certificate", "client-key"])]
    #[case::authority("token: t", "server: 'https://a', certificate-authority: /etc/passwd", &["certificate-authority"])]
    #[case::insecure("token: t", "server: 'https://a', insecure-skip-tls-verify: true", &["insecure-skip-tls-verify"])]
    #[case::plain("token: t", "server: 'http://a'", &["without TLS"])]
    fn what_a_tenant_could_misuse_is_refused(
        #[case] user: &str,
        #[case] cluster: &str,
        #[case] refused: &[&str],
    ) {
        let kubeconfig = kubeconfig(user, cluster);
        let refusals = vet(&kubeconfig, KubeConfigPolicy::default());
        assert_eq!(refusals.len(), refused.len(), "{refusals:?}");
        for word in refused {
            assert!(refusals.iter().any(|refusal| refusal.contains(word)), "{word}: {refusals:?}");
        }
        let all = KubeConfigPolicy { exec: true, insecure_tls: true };
        let is_provider = refused.contains(&"auth-provider");
        assert_eq!(vet(&kubeconfig, all).is_empty(), !is_provider, "flags allow the rest");
    }

    #[test]
    fn a_user_that_is_not_the_current_one_is_looked_at_too() {
        let text = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: [{name: other, user: {tokenFile: /a}}]\n";
        assert_eq!(vet(&Kubeconfig::from_yaml(text).unwrap(), KubeConfigPolicy::default()).len(), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_not_quoted() {
        let input = InputId::secret("team".to_owned(), "far".to_owned());
        let failed = connect_by_kubeconfig(&input, "users: [{token: hunter2", &Tenancy::default()).await;
        assert_eq!(
            failed.err().unwrap().to_string(),
            "Secret 'team/far' holds no readable kubeconfig: it is not the YAML of a kubeconfig"
        );
    }

    // Attack 6 (sources): a kubeconfig whose API server is where clouds hand out the credentials of the machine.
    #[rstest]
    #[case::plain("169.254.169.254", false)]
    #[case::number("2852039166", false)]
    #[case::hexadecimal("0xa9fea9fe", false)]
    #[case::carried("[::ffff:169.254.169.254]", false)]
    #[case::link_local("[fe80::1]", false)]
    #[case::name_that_leads_nowhere("no-such-host.invalid", false)]
    #[case::loopback("127.0.0.1", true)]
    #[case::loopback_by_name("localhost", true)]
    #[tokio::test]
    async fn an_api_server_is_not_where_it_must_not_be(#[case] host: &str, #[case] permitted: bool) {
        let server = format!("server: 'https://{host}:6443'");
        let text = serde_yaml::to_string(&kubeconfig("token: t", &server)).unwrap();
        let input = InputId::secret("team".to_owned(), "far".to_owned());
        let connected = connect_by_kubeconfig(&input, &text, &Tenancy::default()).await;
        let error = connected.err().map(|error| error.to_string());
        assert_eq!(error.is_none(), permitted, "{error:?}");
        assert!(error.is_none_or(|error| error.contains("has no address that may be reached")));
    }
}
