//! A registry that keeps everything in memory, and lies when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use plumb_source::oci::OciDigest;
use serde_json::{Value, json};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONTENT: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";

/// How the registry lets one in.
#[derive(Clone, Default)]
pub(super) enum Door {
    #[default]
    Open,
    /// With this value of `Authorization`.
    Basic(String),
    /// With the token `let-me-in`, which its token server gives for this value of `Authorization`.
    Token(Option<String>),
}

type Answer = (StatusCode, Vec<(&'static str, String)>, Bytes);

#[derive(Default)]
struct Inside {
    /// By `REPOSITORY@DIGEST`.
    manifests: BTreeMap<String, (String, Bytes)>,
    /// By `REPOSITORY:TAG`.
    tags: BTreeMap<String, OciDigest>,
    /// What a tag points to after it was looked at.
    moves: BTreeMap<String, OciDigest>,
    /// By `REPOSITORY@DIGEST`.
    blobs: BTreeMap<String, Bytes>,
    /// By `REPOSITORY@DIGEST` of what is referred to.
    referrers: BTreeMap<String, Vec<Value>>,
    /// By path.
    lies: BTreeMap<String, Answer>,
    has_referrers_api: bool,
    door: Door,
    seen: Vec<String>,
}

#[derive(Clone)]
pub(super) struct FakeRegistry {
    inside: Arc<Mutex<Inside>>,
    address: std::net::SocketAddr,
}

impl FakeRegistry {
    pub(super) async fn start(door: Door) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inside = Inside { door, has_referrers_api: true, ..Inside::default() };
        let registry = Self { inside: Arc::new(Mutex::new(inside)), address };
        let router = axum::Router::new().fallback(answer).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        registry
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn url(&self, repository: &str) -> String {
        format!("oci://{}/{repository}", self.address)
    }

    pub(super) fn push_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> Value {
        let bytes = bytes.into();
        let digest = OciDigest::of(&bytes);
        let descriptor = json!({"digest": digest.to_string(), "size": bytes.len()});
        self.inside.lock().blobs.insert(format!("{repository}@{digest}"), bytes);
        descriptor
    }

    pub(super) fn push_manifest(&self, repository: &str, media_type: &str, manifest: &Value) -> OciDigest {
        let bytes = Bytes::from(manifest.to_string());
        let digest = OciDigest::of(&bytes);
        let mut inside = self.inside.lock();
        if let Some(subject) = manifest.pointer("/subject/digest").and_then(Value::as_str) {
            let descriptor = json!({
                "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len(),
                "artifactType": manifest.get("artifactType").cloned().unwrap_or_default(),
            });
            inside.referrers.entry(format!("{repository}@{subject}")).or_default().push(descriptor);
        }
        inside.manifests.insert(format!("{repository}@{digest}"), (media_type.to_owned(), bytes));
        digest
    }

    pub(super) fn tag(&self, repository: &str, tag: &str, digest: OciDigest) {
        self.inside.lock().tags.insert(format!("{repository}:{tag}"), digest);
    }

    /// After a tag was looked at once more, it points elsewhere.
    pub(super) fn move_when_seen(&self, repository: &str, tag: &str, digest: OciDigest) {
        self.inside.lock().moves.insert(format!("{repository}:{tag}"), digest);
    }

    /// Answers a path with something else, from now on.
    pub(super) fn lie(
        &self,
        path: &str,
        status: StatusCode,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.inside.lock().lies.insert(path.to_owned(), (status, headers, body.into()));
    }

    pub(super) fn without_referrers_api(&self) {
        self.inside.lock().has_referrers_api = false;
    }

    /// The requests so far: `GET /v2/…`, with ` *` when they had credentials.
    pub(super) fn seen(&self) -> Vec<String> {
        self.inside.lock().seen.clone()
    }

    pub(super) fn forget_seen(&self) {
        self.inside.lock().seen.clear();
    }

    /// Pushes files as `flux push artifact` does.
    pub(super) fn push(&self, repository: &str, tag: &str, files: &[(&str, &str)]) -> OciDigest {
        self.push_annotated(repository, tag, files, &json!({}))
    }

    pub(super) fn push_annotated(
        &self,
        repository: &str,
        tag: &str,
        files: &[(&str, &str)],
        annotations: &Value,
    ) -> OciDigest {
        let layer = self.layer(repository, CONTENT, tar_gz(files));
        let manifest = self.manifest(repository, &[layer], annotations);
        let digest = self.push_manifest(repository, MANIFEST, &manifest);
        self.tag(repository, tag, digest);
        digest
    }

    pub(super) fn layer(&self, repository: &str, media_type: &str, bytes: Vec<u8>) -> Value {
        let mut descriptor = self.push_blob(repository, bytes);
        descriptor["mediaType"] = json!(media_type);
        descriptor
    }

    pub(super) fn manifest(&self, repository: &str, layers: &[Value], annotations: &Value) -> Value {
        let config = self.layer(repository, "application/vnd.cncf.flux.config.v1+json", b"{}".to_vec());
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, "annotations": annotations})
    }
}

pub(super) fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(gz);
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

async fn answer(State(registry): State<FakeRegistry>, request: Request) -> Response {
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let mut inside = registry.inside.lock();
    let starred = if headers.contains_key("authorization") { " *" } else { "" };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    inside.seen.push(format!("{method} {}{query}{starred}", uri.path()));
    let found = match inside.lies.get(uri.path()) {
        Some(lie) => lie.clone(),
        None => truth(&mut inside, registry.address, &method, uri.path(), uri.query(), &headers),
    };
    let (status, headers, body) = found;
    let mut response = (status, body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn truth(
    inside: &mut Inside,
    address: std::net::SocketAddr,
    method: &Method,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Answer {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap());
    if path == "/token" {
        let wanted = match &inside.door {
            Door::Token(wanted) => wanted.as_deref(),
            _ => panic!("there is no token server"),
        };
        return match authorization == wanted {
            true => (StatusCode::OK, Vec::new(), Bytes::from_static(b"{\"token\": \"let-me-in\"}")),
            false => (StatusCode::UNAUTHORIZED, Vec::new(), Bytes::new()),
        };
    }
    let challenge = match &inside.door {
        Door::Basic(wanted) if authorization != Some(wanted) => Some("Basic realm=\"test\"".to_owned()),
        Door::Token(_) if authorization != Some("Bearer let-me-in") => {
            Some(format!("Bearer realm=\"http://{address}/token\",service=\"test\""))
        }
        _ => None,
    };
    if let Some(challenge) = challenge {
        return (StatusCode::UNAUTHORIZED, vec![("www-authenticate", challenge)], Bytes::new());
    }
    let path = path.strip_prefix("/v2/").unwrap_or_default();
    let Some((repository, kind, reference)) = path
        .rsplit_once('/')
        .and_then(|(rest, last)| rest.rsplit_once('/').map(|(rest, kind)| (rest, kind, last)))
    else {
        return not_found();
    };
    let by_digest = format!("{repository}@{reference}");
    match kind {
        "manifests" => manifest(inside, method, repository, reference),
        "blobs" => match inside.blobs.get(&by_digest) {
            Some(bytes) => (StatusCode::OK, Vec::new(), bytes.clone()),
            None => not_found(),
        },
        "referrers" if inside.has_referrers_api => {
            let manifests = inside.referrers.get(&by_digest).cloned().unwrap_or_default();
            let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string();
            (StatusCode::OK, vec![("content-type", INDEX.to_owned())], Bytes::from(index))
        }
        "tags" => tags(inside, repository, query),
        _ => not_found(),
    }
}

fn manifest(inside: &mut Inside, method: &Method, repository: &str, reference: &str) -> Answer {
    let tag = format!("{repository}:{reference}");
    let digest = match reference.parse() {
        Ok(digest) => Some(digest),
        Err(_) => inside.tags.get(&tag).copied(),
    };
    if let Some(next) = inside.moves.remove(&tag) {
        inside.tags.insert(tag, next);
    }
    let found = digest.and_then(|digest: OciDigest| inside.manifests.get(&format!("{repository}@{digest}")));
    let Some((media_type, bytes)) = found.cloned() else { return not_found() };
    let digest = OciDigest::of(&bytes).to_string();
    let body = if method == Method::HEAD { Bytes::new() } else { bytes };
    (StatusCode::OK, vec![("content-type", media_type), ("docker-content-digest", digest)], body)
}

/// Two at a time, so that there are pages.
fn tags(inside: &Inside, repository: &str, query: Option<&str>) -> Answer {
    let all: Vec<_> =
        inside.tags.keys().filter_map(|key| key.strip_prefix(&format!("{repository}:"))).collect();
    let last = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("last=")));
    let start = last.map_or(0, |last| all.iter().take_while(|tag| **tag <= last).count());
    let page: Vec<_> = all.iter().skip(start).take(2).collect();
    let mut headers = Vec::new();
    if start + 2 < all.len() {
        headers.push(("link", format!("</v2/{repository}/tags/list?n=2&last={}>; rel=\"next\"", page[1])));
    }
    (StatusCode::OK, headers, Bytes::from(json!({"name": repository, "tags": page}).to_string()))
}

fn not_found() -> Answer {
    let body = br#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#;
    (StatusCode::NOT_FOUND, Vec::new(), Bytes::from_static(body))
}
