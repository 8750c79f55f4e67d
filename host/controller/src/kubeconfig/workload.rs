//! The connection of a `configMapRef`: as a service account, with tokens that last for minutes, of this cluster or of a cloud that trusts it.
//!
//! Source: Flux, "Kustomization", `kubeConfig.configMapRef`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::client::Body;
use parking_lot::RwLock;
use plumb_api::{Sensitive, is_object_name};
use plumb_source::identity::{CloudCluster, Environment, IdentityError, Tokens, Workload};
use plumb_source::transport::Transport;
use tokio_util::task::AbortOnDropHandle;
use tower::service_fn;

use super::{ConnectError, Connection, check_address};
use crate::Tenancy;
use crate::clusters;
use crate::inputs::{Data, InputId};
use crate::sources::workload::of_account;
use crate::status::{bounded, said};

/// Tokens of this cluster are asked for this long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const TOKEN_RETRY: Duration = Duration::from_secs(30);

/// Connects as the ConfigMap `input` says, which holds `data`. `host` is where service accounts get their tokens.
pub(super) async fn connect(
    input: &InputId,
    data: &Data,
    tenancy: &Tenancy,
    host: &Client,
) -> Result<Connection, ConnectError> {
    let incomplete = |reason: String| ConnectError::Incomplete(input.clone(), reason);
    let text = Text::of(data);
    let account = text.account(&input.namespace, tenancy).map_err(incomplete)?;
    let sign_in = text.sign_in(account, host).await.map_err(incomplete)?;
    let Server { address, authority } = text.server(&sign_in, input).await?;
    check_address(input, &address, &tenancy.kubeconfig_addresses).await?;
    let first = sign_in.token(host).await.map_err(|reason| ConnectError::NoToken(input.clone(), reason))?;
    let mut config = kube::Config::new(address);
    config.root_cert = authority;
    let unusable = |_| incomplete("its address or ca.crt cannot be used".to_owned());
    let inner = Client::try_from(config).map_err(unusable)?;
    let token = Arc::new(RwLock::new(first.header.clone()));
    let refreshing = tokio::spawn(refresh(sign_in, input.clone(), host.clone(), first, token.clone()));
    let service = service_fn(move |mut request: http::Request<Body>| {
        let (client, bearer) = (inner.clone(), token.read().clone());
        async move {
            request.headers_mut().insert(http::header::AUTHORIZATION, bearer);
            client.send(request).await
        }
    });
    Ok(Connection {
        client: Client::new(service, "default"),
        refreshing: Some(AbortOnDropHandle::new(refreshing)),
    })
}

/// The keys of a ConfigMap that hold text, without the white space around it.
struct Text<'a>(BTreeMap<&'a str, &'a str>);

/// Where an API server is, and the certificates (in DER) of who signs its own.
struct Server {
    address: http::Uri,
    authority: Option<Vec<Vec<u8>>>,
}

/// How one signs in to a cluster.
enum SignIn {
    /// As a service account that the other cluster knows, with tokens for these audiences.
    Account { account: clusters::ServiceAccount, audiences: Vec<String> },
    /// As somebody whom the cloud that runs the other cluster knows.
    Cloud(Box<Cloud>),
}

struct Cloud {
    cluster: CloudCluster,
    workload: Workload,
    tokens: Tokens,
}

/// The value of the `Authorization` header, and when it is over.
struct Bearer {
    header: HeaderValue,
    expires: Timestamp,
}

impl<'a> Text<'a> {
    fn of(data: &'a Data) -> Self {
        let texts = data.iter().filter_map(|(key, value)| {
            let text = std::str::from_utf8(value.expose()).ok()?.trim();
            (!text.is_empty()).then_some((key.as_str(), text))
        });
        Self(texts.collect())
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }

    fn need(&self, key: &str) -> Result<&'a str, String> {
        self.get(key).ok_or_else(|| format!("it has no key {key}"))
    }

    /// Who signs in; `None` for the controller. Whoever writes the ConfigMap chooses where the token is sent, and for whom it is good: in a cluster of tenants
    /// it must not be the controller's own.
    fn account(
        &self,
        namespace: &str,
        tenancy: &Tenancy,
    ) -> Result<Option<clusters::ServiceAccount>, String> {
        match self.get("serviceAccountName").or(tenancy.kubeconfig_account()) {
            Some(name) if !is_object_name(name) => Err(format!("serviceAccountName {name:?} is not a name")),
            Some(name) => {
                Ok(Some(clusters::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() }))
            }
            None => Ok(None),
        }
    }

    async fn sign_in(
        &self,
        account: Option<clusters::ServiceAccount>,
        host: &Client,
    ) -> Result<SignIn, String> {
        let cluster = match self.need("provider")? {
            "generic" => {
                let audiences = match self.get("audiences") {
                    Some(lines) => {
                        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
                        lines.map(str::to_owned).collect()
                    }
                    None => vec![self.need("address")?.to_owned()],
                };
                let account = match account {
                    Some(account) => account,
                    None => own_account(host).await.ok_or_else(|| {
                        "it has no key serviceAccountName, and the controller does not run as a service account itself"
                            .to_owned()
                    })?,
                };
                return Ok(SignIn::Account { account, audiences });
            }
            "aws" => CloudCluster::eks(self.need("cluster")?),
            "azure" => CloudCluster::aks(self.need("cluster")?),
            "gcp" => CloudCluster::gke(self.need("cluster")?),
            provider => return Err(format!("provider {provider:?} is not known")),
        };
        let cluster = cluster.map_err(|error| error.to_string())?;
        let workload = match account {
            None => Workload::Controller(Environment::of_process()),
            Some(account) => {
                let api: Api<ServiceAccount> = Api::namespaced(host.clone(), &account.namespace);
                let found = bounded(api.get(&account.name)).await;
                let found = found.map_err(|error| {
                    format!("the service account {account} cannot be used: {}", said(&error))
                })?;
                of_account(host, account.namespace, found)
            }
        };
        Ok(SignIn::Cloud(Box::new(Cloud { cluster, workload, tokens: Tokens::new() })))
    }

    /// Where the API server is: as the keys say, or else as its cloud does.
    async fn server(&self, sign_in: &SignIn, input: &InputId) -> Result<Server, ConnectError> {
        let incomplete = |reason: String| ConnectError::Incomplete(input.clone(), reason);
        let (address, authority) = (self.get("address"), self.get("ca.crt"));
        let told = match sign_in {
            SignIn::Cloud(cloud) if address.is_none() || authority.is_none() => {
                let Cloud { cluster, workload, tokens } = &**cloud;
                let transport = Transport::default();
                let told = tokens.cluster_endpoint(workload, cluster, address, &transport).await;
                Some(told.map_err(|error| refused(input, &error))?)
            }
            _ => None,
        };
        let (told_address, told_authority) = told.map(|told| (told.address, told.authority)).unzip();
        let address = match address {
            Some(address) => address.to_owned(),
            None => told_address.ok_or_else(|| incomplete("it has no key address".to_owned()))?,
        };
        let authority = authority.map(str::to_owned).or(told_authority.flatten());
        let authority = authority.as_deref().map(certificates).transpose();
        let authority = authority.map_err(|reason| incomplete(format!("ca.crt {reason}")))?;
        let uri = address.parse().ok().filter(|uri: &http::Uri| uri.scheme_str() == Some("https"));
        let uri = uri.ok_or_else(|| incomplete(format!("address {address:?} is not an https URL")))?;
        Ok(Server { address: uri, authority })
    }
}

/// What has to be changed is told apart from what may pass.
fn refused(input: &InputId, error: &IdentityError) -> ConnectError {
    if error.needs_a_change() {
        ConnectError::Incomplete(input.clone(), error.to_string())
    } else {
        ConnectError::NoToken(input.clone(), error.to_string())
    }
}

impl SignIn {
    async fn token(&self, host: &Client) -> Result<Bearer, String> {
        let (token, expires) = match self {
            Self::Account { account, audiences } => {
                let token = request_token(account, audiences, host).await?;
                (token, Timestamp::now() + TOKEN_LIFETIME)
            }
            Self::Cloud(cloud) => {
                let Cloud { cluster, workload, tokens } = &**cloud;
                let token = tokens.cluster_token(workload, cluster, &Transport::default()).await;
                let token = token.map_err(|error| error.to_string())?;
                (token.secret, token.expires)
            }
        };
        let bearer = Sensitive::new(format!("Bearer {}", token.expose()));
        let header = HeaderValue::from_str(bearer.expose());
        let mut header = header.map_err(|_| "the token that was given cannot be sent".to_owned())?;
        header.set_sensitive(true);
        Ok(Bearer { header, expires })
    }
}

impl Bearer {
    /// How long to wait before the next one is asked for: half of what is left.
    fn half_life(&self) -> Duration {
        let left = Duration::try_from(self.expires.duration_since(Timestamp::now())).unwrap_or_default();
        (left / 2).max(TOKEN_RETRY)
    }
}

async fn refresh(
    sign_in: SignIn,
    input: InputId,
    host: Client,
    first: Bearer,
    token: Arc<RwLock<HeaderValue>>,
) {
    let mut wait = first.half_life();
    loop {
        tokio::time::sleep(wait).await;
        wait = match sign_in.token(&host).await {
            Ok(fresh) => {
                let wait = fresh.half_life();
                *token.write() = fresh.header;
                wait
            }
            Err(reason) => {
                tracing::warn!(reason, cluster = %input, "no new token for another cluster; trying again");
                TOKEN_RETRY
            }
        };
    }
}

async fn request_token(
    account: &clusters::ServiceAccount,
    audiences: &[String],
    host: &Client,
) -> Result<Sensitive<String>, String> {
    let api: Api<ServiceAccount> = Api::namespaced(host.clone(), &account.namespace);
    let spec = TokenRequestSpec {
        audiences: Some(audiences.to_vec()),
        expiration_seconds: Some(TOKEN_LIFETIME.as_secs().cast_signed()),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let params = PostParams::default();
    let answer = bounded(api.create_token_request(&account.name, &params, &request))
        .await
        .map_err(|error| format!("service account {account}: {}", said(&error)))?;
    let token = answer.status.and_then(|status| Some(Sensitive::new(status.token?)));
    token.ok_or_else(|| format!("service account {account}: the API server gave none"))
}
/// The certificates of a PEM bundle, in DER.
fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err("holds no certificate in PEM".to_owned()),
        Ok(certificates) => Ok(certificates.into_iter().map(|certificate| certificate.to_vec()).collect()),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// The service account that the controller itself runs as, if it runs as one.
pub(crate) async fn own_account(host: &Client) -> Option<clusters::ServiceAccount> {
    let api: Api<SelfSubjectReview> = Api::all(host.clone());
    let review = bounded(api.create(&PostParams::default(), &SelfSubjectReview::default())).await;
    let user = review.ok().and_then(|review| review.status?.user_info?.username).unwrap_or_default();
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some(clusters::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
}
