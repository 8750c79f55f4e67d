//! The pulling half of the OCI distribution specification over reqwest.
//!
//! The crate `oci-client` speaks it too, but reads answers of any size into memory, shows no client certificate, and lets nobody look at the addresses that it connects
//! to. So it lends its types, and pushes where something is pushed.

use std::future::Future;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use oci_client::manifest::{ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OciDescriptor};
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::foreign::{printable, with_causes};
use crate::oci::OciLimits;
use crate::oci::challenge::{self, Challenge};
use crate::oci::digest::OciDigest;
use crate::oci::error::OciError;
use crate::oci::login::OciLogin;
use crate::oci::manifest::{ACCEPTED, Manifest};
use crate::oci::reference::Tag;
use crate::oci::url::OciUrl;
use crate::transport::{AddressRefused, Transport};

/// How long a registry that need not have TLS may take to show whether it has.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Of an error, and of a token.
const MAX_SMALL_BYTES: u64 = 256 * 1024;
/// Of a list of tags or referrers.
const MAX_PAGE_BYTES: u64 = 8 * 1024 * 1024;
const MAX_PAGES: usize = 1000;
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One repository of a registry.
pub(crate) struct Registry {
    client: reqwest::Client,
    transport: Transport,
    /// Ends in `/v2/REPOSITORY/`.
    base: Url,
    url: OciUrl,
    login: OciLogin,
    /// Goes to the origin of `base` and nowhere else.
    authorization: Mutex<Option<HeaderValue>>,
    limits: OciLimits,
}

/// A manifest as it was sent, of which the digest was checked.
pub(crate) struct Sent {
    pub(crate) digest: OciDigest,
    bytes: Vec<u8>,
    media_type: Option<String>,
}

impl Sent {
    pub(crate) fn parse(&self, url: &OciUrl) -> Result<Manifest, OciError> {
        Manifest::parse(&self.bytes, self.media_type.as_deref()).map_err(|reason| OciError::Manifest {
            url: url.to_string(),
            digest: self.digest.to_string(),
            reason: printable(&reason),
        })
    }
}

impl Registry {
    /// Finds out how the registry is reached. `insecure` permits plain HTTP, and, unless an authority is given, certificates of anybody, as in Flux.
    pub(crate) async fn connect(
        url: &OciUrl,
        insecure: bool,
        transport: Transport,
        login: OciLogin,
        limits: OciLimits,
    ) -> Result<Self, OciError> {
        let unusable = |reason| OciError::Transport { url: url.to_string(), reason };
        let mut builder = transport.client_builder().map_err(unusable)?;
        if insecure && transport.ca.is_none() {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let client = transport.build(builder).map_err(unusable)?;
        let mut base = Url::parse(&format!("https://{}/v2/{}/", url.registry(), url.repository()))
            .map_err(|error| OciError::Host { url: url.to_string(), reason: error.to_string() })?;
        transport.check(&base).map_err(|reason| OciError::AddressRefused { url: url.to_string(), reason })?;
        if insecure && !speaks_tls(&client, &base).await {
            // The schemes are both of the web, between which a URL can change.
            let _ = base.set_scheme("http");
        }
        let authorization = Mutex::new(None);
        Ok(Self { client, transport, base, url: url.clone(), login, authorization, limits })
    }

    pub(crate) fn url(&self) -> &OciUrl {
        &self.url
    }

    pub(crate) fn limits(&self) -> &OciLimits {
        &self.limits
    }

    /// What a tag points to now.
    pub(crate) async fn resolve(&self, tag: &Tag) -> Result<OciDigest, OciError> {
        let head =
            self.send(Method::HEAD, self.at(&format!("manifests/{}", tag.as_str()))?, ACCEPTED).await?;
        let digest = head.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse().ok());
        match digest.filter(|_| head.status().is_success()) {
            Some(digest) => Ok(digest),
            // A HEAD tells no reasons, and need not tell the digest.
            None => Ok(self.tagged(tag).await?.digest),
        }
    }

    /// The manifest that a tag points to now.
    pub(crate) async fn tagged(&self, tag: &Tag) -> Result<Sent, OciError> {
        self.sent(tag.as_str(), &format!("tag {:?}", tag.as_str())).await
    }

    /// The manifest with this digest.
    pub(crate) async fn manifest(&self, digest: &OciDigest) -> Result<Sent, OciError> {
        let sent = self.sent(&digest.to_string(), &format!("manifest {digest}")).await?;
        if sent.digest != *digest {
            return Err(self.mismatch("manifest", digest));
        }
        Ok(sent)
    }

    async fn sent(&self, reference: &str, what: &str) -> Result<Sent, OciError> {
        let response = self.send(Method::GET, self.at(&format!("manifests/{reference}"))?, ACCEPTED).await?;
        let response = self.successful(response, what).await?;
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
        let bytes = self.read(response, self.limits.manifest_bytes, "bytes in a manifest").await?;
        Ok(Sent { digest: OciDigest::of(&bytes), bytes, media_type })
    }

    /// All tags.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, OciError> {
        #[derive(Deserialize)]
        struct Page {
            // Some registries write null for none.
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut next = Some(self.at("tags/list?n=1000")?);
        for _ in 0..MAX_PAGES {
            let Some(at) = next else { return Ok(tags) };
            let response = self.send(Method::GET, at.clone(), &["application/json"]).await?;
            let response = self.successful(response, "tags").await?;
            next = self.next_page(&at, response.headers())?;
            let bytes = self.read(response, MAX_PAGE_BYTES, "bytes in a list of tags").await?;
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|error| self.failed(&format!("its list of tags cannot be read: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > self.limits.tags {
                return Err(self.too_much("tags", self.limits.tags as u64));
            }
        }
        Err(self.too_much("pages of tags", MAX_PAGES as u64))
    }

    /// What refers to a manifest: by the API for it, or by the tag that stands in for it on older registries.
    pub(crate) async fn referrers(&self, digest: &OciDigest) -> Result<Vec<ImageIndexEntry>, OciError> {
        let at = self.at(&format!("referrers/{digest}"))?;
        let response = self.send(Method::GET, at, &[OCI_IMAGE_INDEX_MEDIA_TYPE]).await?;
        let status = response.status();
        if status.is_success() {
            let bytes =
                self.read(response, self.limits.manifest_bytes, "bytes in a list of referrers").await?;
            let media_type = Some(OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned());
            return self.entries(&Sent { digest: OciDigest::of(&bytes), bytes, media_type });
        }
        if !matches!(
            status,
            StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_ACCEPTABLE
        ) {
            return Err(self.refused(response, "referrers").await);
        }
        match self.tagged(&Tag::of_digest(digest, "")).await {
            Ok(sent) => self.entries(&sent),
            Err(OciError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn entries(&self, sent: &Sent) -> Result<Vec<ImageIndexEntry>, OciError> {
        match sent.parse(&self.url)? {
            Manifest::Index(entries) => Ok(entries),
            Manifest::Artifact(_) => Err(self.failed("its list of referrers is no list")),
        }
    }

    /// A blob of up to `limit` bytes, whose digest was checked.
    pub(crate) async fn small_blob(
        &self,
        descriptor: &OciDescriptor,
        limit: u64,
    ) -> Result<Vec<u8>, OciError> {
        let (response, digest) = self.blob(descriptor).await?;
        let bytes = self.read(response, limit, "bytes in a signature").await?;
        if OciDigest::of(&bytes) != digest {
            return Err(self.mismatch("layer", &digest));
        }
        Ok(bytes)
    }

    /// The bytes of a blob as they come, and the digest that they should have. Nobody has looked at them.
    pub(crate) async fn blob_stream(
        &self,
        descriptor: &OciDescriptor,
    ) -> Result<(OciDigest, BoxStream<'static, Result<bytes::Bytes, OciError>>), OciError> {
        let (response, digest) = self.blob(descriptor).await?;
        let url = self.url.to_string();
        let stream = response.bytes_stream().map(move |chunk| {
            chunk.map_err(|error| OciError::Unreachable {
                url: url.clone(),
                reason: with_causes(&error.without_url()),
            })
        });
        Ok((digest, stream.boxed()))
    }

    /// Other addresses that a descriptor names are not followed.
    async fn blob(&self, descriptor: &OciDescriptor) -> Result<(Response, OciDigest), OciError> {
        let digest: OciDigest =
            descriptor.digest.parse().map_err(|error| self.failed(&format!("{error}")))?;
        let response = self.send(Method::GET, self.at(&format!("blobs/{digest}"))?, &["*/*"]).await?;
        Ok((self.successful(response, &format!("layer {digest}")).await?, digest))
    }

    fn at(&self, path: &str) -> Result<Url, OciError> {
        self.base.join(&format!("./{path}")).map_err(|error| self.failed(&error.to_string()))
    }

    /// Where the list goes on: `Link: <…>; rel="next"`, on the same server only, since the credentials go along.
    fn next_page(&self, at: &Url, headers: &HeaderMap) -> Result<Option<Url>, OciError> {
        let Some(link) = headers.get(LINK).and_then(|value| value.to_str().ok()) else { return Ok(None) };
        let target = link.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let Some((target, _)) = target.filter(|(_, parameters)| parameters.contains("next")) else {
            return Ok(None);
        };
        match at.join(target) {
            Ok(next) if next.origin() == self.base.origin() => Ok(Some(next)),
            _ => Err(self.failed("its list of tags goes on at another server")),
        }
    }

    /// Sends a request, and once more with credentials when it is asked for them.
    async fn send(&self, method: Method, at: Url, accept: &[&str]) -> Result<Response, OciError> {
        let response = self.request(method.clone(), at.clone(), accept).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(challenge) = challenge::among(response.headers()) else {
            return Err(self.unauthorized("it names no way to sign in that is known here"));
        };
        let authorization = self.sign_in(challenge).await?;
        *self.authorization.lock() = Some(authorization);
        self.request(method, at, accept).await
    }

    async fn request(&self, method: Method, at: Url, accept: &[&str]) -> Result<Response, OciError> {
        let mut request = self.client.request(method, at).header(ACCEPT, accept.join(", "));
        if let Some(authorization) = self.authorization.lock().clone() {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.sent_off(request.send()).await
    }

    async fn sign_in(&self, challenge: Challenge) -> Result<HeaderValue, OciError> {
        let token = match (&self.login, challenge) {
            (OciLogin::Bearer(token), _) => format!("Bearer {}", token.expose()),
            (OciLogin::Basic { username, password }, Challenge::Basic) => {
                challenge::basic(username, password.expose())
            }
            (_, Challenge::Basic) => {
                return Err(self.unauthorized("it asks for a user name and a password, and none are given"));
            }
            (login, Challenge::Bearer { realm, service }) => {
                format!("Bearer {}", self.token(login, realm, service.as_deref()).await?)
            }
        };
        self.header(&token)
    }

    fn header(&self, text: &str) -> Result<HeaderValue, OciError> {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| self.unauthorized("the token holds a character that a header cannot hold"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Asks the token server of the registry. Source: the distribution specification's "Token Authentication".
    async fn token(&self, login: &OciLogin, realm: Url, service: Option<&str>) -> Result<String, OciError> {
        if self.base.scheme() == "https" && realm.scheme() != "https" {
            return Err(self.unauthorized("its token server is not reached by https"));
        }
        self.transport
            .check(&realm)
            .map_err(|reason| OciError::AddressRefused { url: self.url.to_string(), reason })?;
        let scope = format!("repository:{}:pull", self.url.repository());
        let mut fields = vec![("scope", scope.as_str())];
        fields.extend(service.map(|service| ("service", service)));
        let request = match login {
            OciLogin::Identity(token) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "plumbline"),
                    ("refresh_token", token.expose()),
                ]);
                self.client.post(realm).form(&fields)
            }
            OciLogin::Basic { username, password } => {
                let basic = self.header(&challenge::basic(username, password.expose()))?;
                self.client.get(realm).query(&fields).header(AUTHORIZATION, basic)
            }
            OciLogin::Anonymous | OciLogin::Bearer(_) => self.client.get(realm).query(&fields),
        };
        let response = self.sent_off(request.send()).await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(self.unauthorized(&format!("its token server answered with the status {status}")));
        }
        let bytes = self.read(response, MAX_SMALL_BYTES, "bytes in a token").await?;
        challenge::token(&bytes).ok_or_else(|| self.unauthorized("its token server sent no token"))
    }

    async fn sent_off(
        &self,
        sending: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<Response, OciError> {
        sending.await.map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: reqwest::Error) -> OciError {
        let url = self.url.to_string();
        match AddressRefused::among(&error) {
            Some(reason) => OciError::AddressRefused { url, reason: reason.clone() },
            // Where a redirect has led is nobody's concern who may only write URLs.
            None => OciError::Unreachable { url, reason: with_causes(&error.without_url()) },
        }
    }

    async fn successful(&self, response: Response, what: &str) -> Result<Response, OciError> {
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response, what).await) }
    }

    /// What an answer says is wrong. Only an error of the distribution specification is repeated: a URL may lead to some other server, whose answers are none of the
    /// business of those who wrote it.
    async fn refused(&self, response: Response, what: &str) -> OciError {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Error>,
        }
        #[derive(Deserialize)]
        struct Error {
            code: String,
            #[serde(default)]
            message: String,
        }
        let status = response.status();
        let body = self.read(response, MAX_SMALL_BYTES, "bytes in an error").await.unwrap_or_default();
        let said =
            serde_json::from_slice::<Errors>(&body).ok().and_then(|errors| errors.errors.into_iter().next());
        let said = said.map(|error| format!(": {}: {}", error.code, error.message)).unwrap_or_default();
        let reason = format!("it answered with the status {}{said}", status.as_u16());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.unauthorized(&reason),
            StatusCode::NOT_FOUND => OciError::NotFound { url: self.url.to_string(), what: what.to_owned() },
            _ => self.failed(&reason),
        }
    }

    /// An answer of up to `limit` bytes.
    async fn read(
        &self,
        mut response: Response,
        limit: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, OciError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                return Err(self.too_much(what, limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    pub(crate) fn too_much(&self, what: &'static str, limit: u64) -> OciError {
        OciError::TooMuch { url: self.url.to_string(), what, limit }
    }

    pub(crate) fn mismatch(&self, what: &'static str, digest: &OciDigest) -> OciError {
        OciError::DigestMismatch { url: self.url.to_string(), what, digest: digest.to_string() }
    }

    fn unauthorized(&self, reason: &str) -> OciError {
        OciError::Unauthorized { url: self.url.to_string(), reason: printable(reason) }
    }

    fn failed(&self, reason: &str) -> OciError {
        OciError::Registry { url: self.url.to_string(), reason: printable(reason) }
    }
}

/// Whether a registry that need not have TLS has it.
async fn speaks_tls(client: &reqwest::Client, base: &Url) -> bool {
    let asked = client.head(base.clone()).timeout(PROBE_TIMEOUT).send().await;
    asked.is_ok()
}
