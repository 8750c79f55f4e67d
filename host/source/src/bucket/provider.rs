use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpClient;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::list::PaginatedListStore;
use object_store::{ObjectStore, RetryConfig};
use plumb_api::{BucketSpec, CloudProvider};
use url::Url;

use crate::bucket::BucketError;
use crate::bucket::access::Access;
use crate::bucket::http::Guarded;
use crate::bucket::identity::{AzureIdentity, GcpIdentity, S3Identity};
use crate::foreign::{printable, with_causes};
use crate::transport::{Transport, TransportError};

/// The hosts of Azure Blob Storage, to which the identity of a workload may be shown.
const AZURE_HOSTS: [&str; 3] =
    [".blob.core.windows.net", ".blob.core.chinacloudapi.cn", ".blob.core.usgovcloudapi.net"];

/// An object store, and who one is there.
#[derive(Clone)]
pub struct Provider(Kind);

#[derive(Clone)]
enum Kind {
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
        /// Who one is.
        identity: GcpIdentity,
    },
    /// Azure Blob Storage.
    Azure {
        /// Where the account is.
        endpoint: Url,
        /// Who one is.
        identity: AzureIdentity,
    },
}

/// What the library makes of a provider.
pub(crate) trait Store: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Store for T {}

impl Provider {
    /// Reads the spec of a Bucket; `access` is what it refers to.
    pub fn of_spec(spec: &BucketSpec, access: Access) -> Result<Self, BucketError> {
        match spec.provider {
            CloudProvider::Generic | CloudProvider::Aws => Self::s3(spec, access),
            CloudProvider::Gcp => {
                check_no_sts(spec)?;
                Ok(Self(Kind::Gcp { identity: GcpIdentity::of_access(access)? }))
            }
            CloudProvider::Azure => {
                check_no_sts(spec)?;
                let endpoint = parsed(&spec.endpoint, &spec.endpoint)?;
                if endpoint.scheme() != "https" && !spec.insecure {
                    return Err(invalid_endpoint(&spec.endpoint, "it needs https, or spec.insecure"));
                }
                let identity = AzureIdentity::of_access(access)?;
                if identity.shows_token() && !is_azure(&endpoint) {
                    return Err(invalid_endpoint(
                        &spec.endpoint,
                        "without a secret it has to be a host of Azure, as the identity of a workload is shown to no other",
                    ));
                }
                Ok(Self(Kind::Azure { endpoint, identity }))
            }
        }
    }

    fn s3(spec: &BucketSpec, access: Access) -> Result<Self, BucketError> {
        if spec.endpoint.contains("://") {
            return Err(invalid_endpoint(
                &spec.endpoint,
                "it is a host and perhaps a port, without a scheme",
            ));
        }
        let scheme = if spec.insecure { "http" } else { "https" };
        let endpoint = parsed(&spec.endpoint, &format!("{scheme}://{}", spec.endpoint))?;
        let identity = S3Identity::of_spec(spec, access)?;
        Ok(Self(Kind::S3 { endpoint, region: spec.region.clone(), identity }))
    }

    /// What identifies the place, for what is remembered of it.
    pub(crate) fn place(&self) -> &str {
        match &self.0 {
            Kind::S3 { endpoint, .. } | Kind::Azure { endpoint, .. } => endpoint.as_str(),
            Kind::Gcp { .. } => "gcp",
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
        if let Kind::S3 { endpoint, .. } | Kind::Azure { endpoint, .. } = &self.0 {
            transport.check(endpoint).map_err(TransportError::from)?;
        }
        if self.shows_token_of_controller() && transport.ca.is_some() {
            // Who brings the authority and the proxy could read the token on its way.
            let reason = "the controller's own identity is shown to no server that only ca.crt vouches for; set spec.serviceAccountName, or remove ca.crt from the Secret of spec.certSecretRef";
            return Err(BucketError::Provider { bucket: bucket.to_owned(), reason: reason.to_owned() });
        }
        let http = Guarded { transport: transport.clone(), client: HttpClient::new(transport.client()?) };
        self.build(bucket, http, retry).map_err(|error| BucketError::Provider {
            bucket: bucket.to_owned(),
            reason: printable(&with_causes(&error)),
        })
    }

    /// Whether the store gets a token of this controller to see. Of keys of AWS it sees signatures only.
    fn shows_token_of_controller(&self) -> bool {
        match &self.0 {
            Kind::S3 { .. } => false,
            Kind::Gcp { identity } => identity.is_controllers(),
            Kind::Azure { identity, .. } => identity.is_controllers(),
        }
    }

    fn build(&self, bucket: &str, http: Guarded, retry: RetryConfig) -> object_store::Result<Arc<dyn Store>> {
        match &self.0 {
            Kind::S3 { endpoint, region, identity } => {
                let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_retry(retry);
                if let Some(region) = region {
                    builder = builder.with_region(region);
                }
                let builder = at_endpoint(identity.put_into(builder), endpoint, bucket, region.is_some());
                Ok(Arc::new(builder.with_http_connector(http).build()?))
            }
            Kind::Gcp { identity } => {
                let builder = GoogleCloudStorageBuilder::new().with_bucket_name(bucket).with_retry(retry);
                Ok(Arc::new(identity.put_into(builder).with_http_connector(http).build()?))
            }
            Kind::Azure { endpoint, identity } => {
                let account = endpoint.host_str().and_then(|host| host.split('.').next()).unwrap_or_default();
                let builder = MicrosoftAzureBuilder::new()
                    .with_container_name(bucket)
                    .with_account(account)
                    .with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned())
                    .with_allow_http(endpoint.scheme() == "http")
                    .with_retry(retry);
                Ok(Arc::new(identity.put_into(builder).with_http_connector(http).build()?))
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
