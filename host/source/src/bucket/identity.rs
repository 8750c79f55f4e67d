use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AwsCredentialProvider};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use plumb_api::{BucketSpec, BucketSts, BucketStsProvider, CloudProvider, Sensitive};
use url::Url;

use crate::bucket::BucketError;
use crate::bucket::access::{Access, Asking, Aws, Azure, Google, Ldap};
use crate::identity::{LdapLogin, Workload, is_region};
use crate::transport::{InvalidSecret, text};

/// Where AWS asks for a region and none is known, as in its older libraries.
const DEFAULT_REGION: &str = "us-east-1";

/// Who one is at a store that speaks the S3 API.
#[derive(Clone)]
pub(crate) enum S3Identity {
    /// Nobody.
    Anonymous,
    /// Who has these keys.
    Keys {
        /// `accesskey` of the Secret.
        access_key: String,
        /// `secretkey` of the Secret.
        secret_key: Sensitive<String>,
    },
    /// Somebody to whom others give keys: AWS to a workload, or a token service to whom a directory knows.
    Asking(AwsCredentialProvider),
}

/// Who one is at Google Cloud.
#[derive(Clone)]
pub(crate) enum GcpIdentity {
    /// The service account of Google whose key this is, as JSON.
    Key(Sensitive<String>),
    /// A workload.
    Asking(Arc<Asking<Google>>),
}

/// Who one is at Azure.
#[derive(Clone)]
pub(crate) enum AzureIdentity {
    /// A workload, or a managed identity of the machine that this controller runs on.
    Asking(Arc<Asking<Azure>>),
    /// An application.
    ClientSecret {
        /// `tenantId` of the Secret.
        tenant_id: String,
        /// `clientId` of the Secret.
        client_id: String,
        /// `clientSecret` of the Secret.
        client_secret: Sensitive<String>,
        /// `authorityHost` of the Secret.
        authority_host: Option<String>,
    },
    /// Who has the key of the account.
    AccountKey(Sensitive<String>),
    /// Who has a shared access signature.
    Sas(Sensitive<String>),
}

impl S3Identity {
    /// A Secret goes before all else, as in Flux.
    pub(crate) fn of_spec(spec: &BucketSpec, access: Access) -> Result<Self, BucketError> {
        let sts = spec.sts.as_ref().map(|sts| TokenService::of_spec(sts, spec.provider)).transpose()?;
        if let Some(data) = &access.secret {
            let why = "to sign in to the object store";
            return Ok(Self::Keys {
                access_key: required(data, "accesskey", why)?,
                secret_key: Sensitive::new(required(data, "secretkey", why)?),
            });
        }
        match (spec.provider, sts) {
            (CloudProvider::Aws, sts) => {
                let region = region(spec, &access)?;
                let sts = match sts {
                    Some(TokenService::Aws(sts)) => Some(sts),
                    _ => None,
                };
                Ok(Self::Asking(Arc::new(Asking { access, whom: Aws { region, sts } })))
            }
            (_, Some(TokenService::Ldap(endpoint))) => {
                let data = access.sts_secret.as_ref();
                let data = data.ok_or(BucketError::Sts("the provider ldap needs sts.secretRef"))?;
                let why = "to sign in to the token service of spec.sts";
                let whom = Ldap(LdapLogin {
                    endpoint,
                    username: required(data, "username", why)?,
                    password: Sensitive::new(required(data, "password", why)?),
                });
                Ok(Self::Asking(Arc::new(Asking { access, whom })))
            }
            _ => Ok(Self::Anonymous),
        }
    }

    pub(crate) fn put_into(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self {
            Self::Anonymous => builder.with_skip_signature(true),
            Self::Keys { access_key, secret_key } => {
                builder.with_access_key_id(access_key).with_secret_access_key(secret_key.expose())
            }
            Self::Asking(asking) => builder.with_credentials(Arc::clone(asking)),
        }
    }
}

/// The region in which the identity is asked for keys.
fn region(spec: &BucketSpec, access: &Access) -> Result<String, BucketError> {
    let unusable =
        |reason: &str| BucketError::Provider { bucket: spec.bucket_name.clone(), reason: reason.to_owned() };
    let region = match (&spec.region, &access.workload) {
        (Some(region), _) => region.as_str(),
        (None, Workload::Controller(environment)) => {
            let told = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| environment.get(name));
            told.unwrap_or(DEFAULT_REGION)
        }
        // As in Flux: the role of a service account is asked for in a region.
        (None, Workload::ServiceAccount(_)) => {
            return Err(unusable(
                "spec.serviceAccountName needs spec.region, in which AWS is asked for keys",
            ));
        }
    };
    if !is_region(region) {
        return Err(unusable("spec.region is not the name of a region"));
    }
    Ok(region.to_owned())
}

impl GcpIdentity {
    pub(crate) fn of_access(access: Access) -> Result<Self, InvalidSecret> {
        match &access.secret {
            Some(data) => {
                let key = required(data, "serviceaccount", "for the provider gcp")?;
                Ok(Self::Key(Sensitive::new(key)))
            }
            None => Ok(Self::Asking(Arc::new(Asking { access, whom: Google }))),
        }
    }

    pub(crate) fn put_into(&self, builder: GoogleCloudStorageBuilder) -> GoogleCloudStorageBuilder {
        match self {
            Self::Key(key) => builder.with_service_account_key(key.expose()),
            Self::Asking(asking) => builder.with_credentials(Arc::clone(asking) as _),
        }
    }

    pub(crate) fn is_controllers(&self) -> bool {
        matches!(self, Self::Asking(asking) if asking.access.is_of_controller())
    }
}

impl AzureIdentity {
    /// In the order in which Flux looks at the keys.
    pub(crate) fn of_access(access: Access) -> Result<Self, InvalidSecret> {
        let Some(data) = &access.secret else {
            return Ok(Self::Asking(Arc::new(Asking { access, whom: Azure { of_machine: None } })));
        };
        let (tenant, client) = (text(data, "tenantId")?, text(data, "clientId")?);
        if let (Some(tenant_id), Some(client_id)) = (tenant, client.clone()) {
            if data.contains_key("clientCertificate") && !data.contains_key("clientSecret") {
                let reason =
                    "signing in to Azure by a certificate is not supported; use clientSecret".to_owned();
                return Err(InvalidSecret::Unusable { key: "clientCertificate", reason });
            }
            return Ok(Self::ClientSecret {
                tenant_id,
                client_id,
                client_secret: Sensitive::new(required(data, "clientSecret", "with tenantId and clientId")?),
                authority_host: text(data, "authorityHost")?,
            });
        }
        if client.is_some() {
            return Ok(Self::Asking(Arc::new(Asking { access, whom: Azure { of_machine: client } })));
        }
        if let Some(key) = text(data, "accountKey")? {
            return Ok(Self::AccountKey(Sensitive::new(key)));
        }
        let missing = "or sasKey, or tenantId, clientId and clientSecret, or clientId";
        let sas = text(data, "sasKey")?
            .ok_or(InvalidSecret::Missing { missing: "accountKey", because: missing })?;
        Ok(Self::Sas(Sensitive::new(sas)))
    }

    pub(crate) fn put_into(&self, builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
        match self {
            Self::Asking(asking) => builder.with_credentials(Arc::clone(asking) as _),
            Self::ClientSecret { tenant_id, client_id, client_secret, authority_host } => {
                let builder =
                    builder.with_client_secret_authorization(client_id, client_secret.expose(), tenant_id);
                match authority_host {
                    Some(host) => builder.with_authority_host(host),
                    None => builder,
                }
            }
            Self::AccountKey(key) => builder.with_access_key(key.expose()),
            Self::Sas(sas) => {
                let sas = sas.expose().trim_start_matches('?');
                let pairs = url::form_urlencoded::parse(sas.as_bytes()).into_owned();
                builder.with_sas_authorization(pairs.collect::<Vec<_>>())
            }
        }
    }

    /// Whether what is shown is a token that who gets it could use elsewhere.
    pub(crate) fn shows_token(&self) -> bool {
        matches!(self, Self::Asking(_))
    }

    pub(crate) fn is_controllers(&self) -> bool {
        let is_controllers =
            |asking: &Asking<Azure>| asking.whom.of_machine.is_some() || asking.access.is_of_controller();
        matches!(self, Self::Asking(asking) if is_controllers(asking))
    }
}

/// Who hands out keys for a short time, as `spec.sts` names it.
enum TokenService {
    Aws(Url),
    Ldap(Url),
}

impl TokenService {
    fn of_spec(sts: &BucketSts, provider: CloudProvider) -> Result<Self, BucketError> {
        match (sts.provider, provider) {
            (BucketStsProvider::Aws, CloudProvider::Aws) => {
                if sts.secret_ref.is_some() || sts.cert_secret_ref.is_some() {
                    return Err(BucketError::Sts(
                        "secretRef and certSecretRef are for the provider ldap only",
                    ));
                }
                of_aws(&sts.endpoint).map(Self::Aws)
            }
            (BucketStsProvider::Aws, _) => {
                Err(BucketError::Sts("the provider aws needs the bucket provider aws"))
            }
            (BucketStsProvider::Ldap, CloudProvider::Generic) => of_store(&sts.endpoint).map(Self::Ldap),
            (BucketStsProvider::Ldap, _) => {
                Err(BucketError::Sts("the provider ldap needs the bucket provider generic"))
            }
        }
    }
}

/// As in Flux, the token of a workload is sent to a service of AWS only.
fn of_aws(endpoint: &str) -> Result<Url, BucketError> {
    let wrong = BucketError::Sts("its endpoint has to be https://sts….amazonaws.com");
    let endpoint = Url::parse(endpoint).map_err(|_| wrong.clone())?;
    let is_bare = endpoint.path() == "/" && endpoint.query().is_none() && endpoint.username().is_empty();
    let is_sts = is_sts(endpoint.host_str().unwrap_or_default());
    if endpoint.scheme() == "https" && is_bare && is_sts { Ok(endpoint) } else { Err(wrong) }
}

/// `sts.REGION.amazonaws.com`, or that of an endpoint in a VPC, `NAME.sts.REGION.vpce.amazonaws.com`. Other hosts of AWS belong to its customers: they give names to buckets and
/// load balancers.
fn is_sts(host: &str) -> bool {
    let name = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"));
    let parts: Vec<&str> = name.unwrap_or_default().split('.').collect();
    match parts.as_slice() {
        [service] | [service, _] | [.., service, _, "vpce"] => matches!(*service, "sts" | "sts-fips"),
        _ => false,
    }
}

/// That of a store is wherever its owner says. What is sent there is of his Secret.
fn of_store(endpoint: &str) -> Result<Url, BucketError> {
    let wrong = BucketError::Sts("its endpoint has to be a URL like https://minio.example.com");
    let endpoint = Url::parse(endpoint).map_err(|_| wrong.clone())?;
    let is_anonymous = endpoint.username().is_empty() && endpoint.password().is_none();
    let is_web = matches!(endpoint.scheme(), "http" | "https") && endpoint.has_host();
    if is_web && is_anonymous { Ok(endpoint) } else { Err(wrong) }
}

fn required(
    data: &BTreeMap<String, Vec<u8>>,
    missing: &'static str,
    because: &'static str,
) -> Result<String, InvalidSecret> {
    let value = text(data, missing)?.filter(|value| !value.is_empty());
    value.ok_or(InvalidSecret::Missing { missing, because })
}
