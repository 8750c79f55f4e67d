use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpClient;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::list::PaginatedListStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use plumb_api::{BucketSpec, BucketSts, BucketStsProvider, CloudProvider, Sensitive};
use url::Url;

use crate::bucket::BucketError;
use crate::bucket::http::Guarded;
use crate::foreign::{printable, with_causes};
use crate::transport::{InvalidSecret, Transport, TransportError, text};

/// The hosts of Azure Blob Storage, to which the identity of this controller may be shown.
const AZURE_HOSTS: [&str; 3] =
    [".blob.core.windows.net", ".blob.core.chinacloudapi.cn", ".blob.core.usgovcloudapi.net"];

/// An object store, and who one is there.
#[derive(Clone)]
pub enum Provider {
    /// Anything that speaks the S3 API.
    S3 {
        /// Where it is.
        endpoint: Url,
        /// The region, if one is given.
        region: Option<String>,
        /// Who one is.
        identity: S3Identity,
    },
    /// Google Cloud Storage.
    Gcp {
        /// The key of a service account as JSON. Without it, the identity of this controller.
        service_account: Option<Sensitive<String>>,
    },
    /// Azure Blob Storage.
    Azure {
        /// Where the account is.
        endpoint: Url,
        /// Who one is.
        identity: AzureIdentity,
    },
}

/// Who one is at a store that speaks the S3 API.
#[derive(Clone)]
pub enum S3Identity {
    /// Nobody.
    Anonymous,
    /// Who has these keys.
    Keys {
        /// `accesskey` of the Secret.
        access_key: String,
        /// `secretkey` of the Secret.
        secret_key: Sensitive<String>,
    },
    /// This controller, by the web identity, the container or the machine that it runs on.
    Controller {
        /// The token service, where `spec.sts` names another one.
        sts: Option<Url>,
    },
}

/// Who one is at Azure.
#[derive(Clone)]
pub enum AzureIdentity {
    /// This controller, by its workload identity or the machine that it runs on; `client_id` names one of several identities.
    Controller {
        /// `clientId` of the Secret.
        client_id: Option<String>,
    },
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

/// What the library makes of a provider.
pub(crate) trait Store: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Store for T {}

impl Provider {
    /// Reads the spec of a Bucket, and the data of the Secret that it names.
    pub fn of_spec(
        spec: &BucketSpec,
        secret: Option<&BTreeMap<String, Vec<u8>>>,
    ) -> Result<Self, BucketError> {
        match spec.provider {
            CloudProvider::Generic | CloudProvider::Aws => Self::s3(spec, secret),
            CloudProvider::Gcp => {
                check_no_sts(spec)?;
                let service_account = secret
                    .map(|data| required(data, "serviceaccount", "for the provider gcp").map(Sensitive::new))
                    .transpose()?;
                Ok(Self::Gcp { service_account })
            }
            CloudProvider::Azure => {
                check_no_sts(spec)?;
                let endpoint = parsed(&spec.endpoint, &spec.endpoint)?;
                if endpoint.scheme() != "https" && !spec.insecure {
                    return Err(invalid_endpoint(&spec.endpoint, "it needs https, or spec.insecure"));
                }
                let identity = AzureIdentity::of_secret(secret)?;
                if matches!(identity, AzureIdentity::Controller { .. }) && !is_azure(&endpoint) {
                    return Err(invalid_endpoint(
                        &spec.endpoint,
                        "without a secret it has to be a host of Azure, as the identity of this controller is shown to no other",
                    ));
                }
                Ok(Self::Azure { endpoint, identity })
            }
        }
    }

    fn s3(spec: &BucketSpec, secret: Option<&BTreeMap<String, Vec<u8>>>) -> Result<Self, BucketError> {
        if spec.endpoint.contains("://") {
            return Err(invalid_endpoint(
                &spec.endpoint,
                "it is a host and perhaps a port, without a scheme",
            ));
        }
        let scheme = if spec.insecure { "http" } else { "https" };
        let endpoint = parsed(&spec.endpoint, &format!("{scheme}://{}", spec.endpoint))?;
        let is_aws = spec.provider == CloudProvider::Aws;
        let sts = spec.sts.as_ref().map(|sts| sts_of_aws(sts, is_aws)).transpose()?;
        let identity = match secret {
            Some(data) => S3Identity::Keys {
                access_key: required(data, "accesskey", "with secretkey, to sign in to the object store")?,
                secret_key: Sensitive::new(required(
                    data,
                    "secretkey",
                    "with accesskey, to sign in to the object store",
                )?),
            },
            None if is_aws => S3Identity::Controller { sts },
            None => S3Identity::Anonymous,
        };
        Ok(Self::S3 { endpoint, region: spec.region.clone(), identity })
    }

    /// What identifies the place, for what is remembered of it.
    pub(crate) fn place(&self) -> &str {
        match self {
            Self::S3 { endpoint, .. } | Self::Azure { endpoint, .. } => endpoint.as_str(),
            Self::Gcp { .. } => "gcp",
        }
    }

    /// The store of a bucket.
    pub(crate) fn store(
        &self,
        bucket: &str,
        transport: &Transport,
        retry: RetryConfig,
    ) -> Result<Arc<dyn Store>, BucketError> {
        let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | '$');
        if bucket.is_empty() || !bucket.chars().all(is_name) || bucket.chars().all(|char| char == '.') {
            return Err(BucketError::InvalidName(bucket.to_owned()));
        }
        if let Self::S3 { endpoint, .. } | Self::Azure { endpoint, .. } = self {
            transport.check(endpoint).map_err(TransportError::from)?;
        }
        let http = Guarded { transport: transport.clone(), client: HttpClient::new(transport.client()?) };
        self.build(bucket, http, retry).map_err(|error| BucketError::Provider {
            bucket: bucket.to_owned(),
            reason: printable(&with_causes(&error)),
        })
    }

    fn build(&self, bucket: &str, http: Guarded, retry: RetryConfig) -> object_store::Result<Arc<dyn Store>> {
        match self {
            Self::S3 { endpoint, region, identity } => {
                let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_retry(retry);
                if let Some(region) = region {
                    builder = builder.with_region(region);
                }
                builder = identity.put_into(builder, bucket, region.as_deref())?;
                Ok(Arc::new(
                    at_endpoint(builder, endpoint, bucket, region.is_some())
                        .with_http_connector(http)
                        .build()?,
                ))
            }
            Self::Gcp { service_account } => {
                let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(bucket).with_retry(retry);
                builder = match service_account {
                    Some(key) => builder.with_service_account_key(key.expose()),
                    None => {
                        let ours = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).build()?;
                        builder.with_credentials(Arc::clone(ours.credentials()))
                    }
                };
                Ok(Arc::new(builder.with_http_connector(http).build()?))
            }
            Self::Azure { endpoint, identity } => {
                let account = endpoint.host_str().and_then(|host| host.split('.').next()).unwrap_or_default();
                let builder = MicrosoftAzureBuilder::new()
                    .with_container_name(bucket)
                    .with_account(account)
                    .with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned())
                    .with_allow_http(endpoint.scheme() == "http")
                    .with_retry(retry);
                let builder = identity.put_into(builder, bucket, account)?;
                Ok(Arc::new(builder.with_http_connector(http).build()?))
            }
        }
    }
}

/// Amazon and Alibaba have a host a bucket, as MinIO's client knows; everywhere else the bucket is part of the path.
fn at_endpoint(builder: AmazonS3Builder, endpoint: &Url, bucket: &str, has_region: bool) -> AmazonS3Builder {
    let builder = builder.with_allow_http(endpoint.scheme() == "http");
    let host = endpoint.host_str().unwrap_or_default();
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    if host == "s3.amazonaws.com" && has_region {
        // The library knows the host of each region.
        return builder;
    }
    if host.ends_with(".aliyuncs.com") {
        let own = format!("{}://{bucket}.{host}{port}", endpoint.scheme());
        return builder.with_virtual_hosted_style_request(true).with_endpoint(own);
    }
    builder.with_endpoint(format!("{}://{host}{port}", endpoint.scheme()))
}

impl S3Identity {
    fn put_into(
        &self,
        builder: AmazonS3Builder,
        bucket: &str,
        region: Option<&str>,
    ) -> object_store::Result<AmazonS3Builder> {
        Ok(match self {
            Self::Anonymous => builder.with_skip_signature(true),
            Self::Keys { access_key, secret_key } => {
                builder.with_access_key_id(access_key).with_secret_access_key(secret_key.expose())
            }
            Self::Controller { sts } => {
                // The machine's own address for credentials is one that nobody else may reach through us.
                let mut ours = AmazonS3Builder::from_env().with_bucket_name(bucket);
                if let Some(region) = region {
                    ours = ours.with_region(region);
                }
                if let Some(sts) = sts {
                    ours =
                        ours.with_config(AmazonS3ConfigKey::StsEndpoint, sts.as_str().trim_end_matches('/'));
                }
                builder.with_credentials(Arc::clone(ours.build()?.credentials()))
            }
        })
    }
}

impl AzureIdentity {
    /// In the order in which Flux looks at the keys.
    fn of_secret(secret: Option<&BTreeMap<String, Vec<u8>>>) -> Result<Self, InvalidSecret> {
        let Some(data) = secret else { return Ok(Self::Controller { client_id: None }) };
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
            return Ok(Self::Controller { client_id: client });
        }
        if let Some(key) = text(data, "accountKey")? {
            return Ok(Self::AccountKey(Sensitive::new(key)));
        }
        let missing = "or sasKey, or tenantId, clientId and clientSecret, or clientId";
        let sas = text(data, "sasKey")?
            .ok_or(InvalidSecret::Missing { missing: "accountKey", because: missing })?;
        Ok(Self::Sas(Sensitive::new(sas)))
    }

    fn put_into(
        &self,
        builder: MicrosoftAzureBuilder,
        container: &str,
        account: &str,
    ) -> object_store::Result<MicrosoftAzureBuilder> {
        Ok(match self {
            Self::Controller { client_id } => {
                let mut ours =
                    MicrosoftAzureBuilder::from_env().with_container_name(container).with_account(account);
                if let Some(client_id) = client_id {
                    ours = ours.with_config(AzureConfigKey::ClientId, client_id);
                }
                builder.with_credentials(Arc::clone(
                    ours.with_client_options(ClientOptions::new()).build()?.credentials(),
                ))
            }
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
        })
    }
}

fn is_azure(endpoint: &Url) -> bool {
    let host = endpoint.host_str().unwrap_or_default().trim_end_matches('.');
    endpoint.scheme() == "https" && AZURE_HOSTS.iter().any(|suffix| host.ends_with(suffix))
}

fn check_no_sts(spec: &BucketSpec) -> Result<(), BucketError> {
    match spec.sts {
        None => Ok(()),
        Some(_) => Err(BucketError::Sts("it is supported for the provider aws only")),
    }
}

/// As in Flux, the token of this controller is sent to a service of AWS only.
fn sts_of_aws(sts: &BucketSts, is_aws: bool) -> Result<Url, BucketError> {
    match (sts.provider, is_aws) {
        (BucketStsProvider::Aws, true) => {}
        (BucketStsProvider::Ldap, _) => {
            return Err(BucketError::Sts(
                "the provider ldap is not supported yet; use a secret with accesskey and secretkey",
            ));
        }
        (BucketStsProvider::Aws, false) => {
            return Err(BucketError::Sts("the provider aws needs the bucket provider aws"));
        }
    }
    let wrong = BucketError::Sts("its endpoint has to be https://sts….amazonaws.com");
    let endpoint = Url::parse(&sts.endpoint).map_err(|_| wrong.clone())?;
    let host = endpoint.host_str().unwrap_or_default();
    let is_aws = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    let is_bare = endpoint.path() == "/" && endpoint.query().is_none() && endpoint.username().is_empty();
    if endpoint.scheme() == "https"
        && is_aws
        && is_bare
        && host.split('.').any(|part| part.starts_with("sts"))
    {
        Ok(endpoint)
    } else {
        Err(wrong)
    }
}

fn parsed(given: &str, url: &str) -> Result<Url, BucketError> {
    let url = Url::parse(url).map_err(|_| invalid_endpoint(given, "it is not an address"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_bare || !is_anonymous {
        return Err(invalid_endpoint(given, "it has to be a host, without user, path or query"));
    }
    Ok(url)
}

fn invalid_endpoint(endpoint: &str, reason: &'static str) -> BucketError {
    // It may have been given a password.
    let shown = endpoint.rsplit('@').next().unwrap_or_default();
    BucketError::InvalidEndpoint { endpoint: printable(shown), reason }
}

fn required(
    data: &BTreeMap<String, Vec<u8>>,
    missing: &'static str,
    because: &'static str,
) -> Result<String, InvalidSecret> {
    let value = text(data, missing)?.filter(|value| !value.is_empty());
    value.ok_or(InvalidSecret::Missing { missing, because })
}
