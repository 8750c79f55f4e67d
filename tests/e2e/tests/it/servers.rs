//! Servers of artifacts, for tests that use them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A `tar.gz` of these files.
pub(crate) fn tar_gz(files: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(gz);
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_bytes())?;
    }
    Ok(archive.into_inner()?.finish()?)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// Serves files over HTTP, as Flux's source-controller does.
pub(crate) struct FileServer {
    origin: String,
    files: Files,
}

impl FileServer {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let files = Files::default();
        let router = Router::new().route("/{*path}", axum::routing::get(serve)).with_state(files.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        // It ends with the runtime of the test.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { origin, files })
    }

    /// Where the files are.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Serves a file.
    pub(crate) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.to_owned(), bytes.into());
    }

    /// Has no files any more.
    pub(crate) fn clear(&self) {
        self.files.lock().unwrap().clear();
    }

    /// Serves an archive of these files, and returns the `status.artifact` that Flux would write.
    pub(crate) fn publish(
        &self,
        path: &str,
        revision: &str,
        files: &[(&str, &str)],
    ) -> anyhow::Result<Value> {
        let archive = tar_gz(files)?;
        let digest = sha256(&archive);
        let size = archive.len();
        self.files.lock().unwrap().insert(path.to_owned(), archive);
        Ok(json!({
            "digest": digest, "path": path, "url": format!("{}/{path}", self.origin), "revision": revision,
            "lastUpdateTime": "2026-01-01T00:00:00Z", "size": size,
        }))
    }
}

async fn serve(State(files): State<Files>, Path(path): Path<String>) -> Result<Vec<u8>, StatusCode> {
    files.lock().unwrap().get(&path).cloned().ok_or(StatusCode::NOT_FOUND)
}

/// Pushes an artifact as `flux push artifact` does, and returns the digest of its manifest.
pub(crate) async fn push(
    origin: &str,
    login: Option<(&str, &str)>,
    repository: &str,
    tag: &str,
    files: &[(&str, &str)],
) -> anyhow::Result<String> {
    let artifact = Artifact {
        config: "application/vnd.cncf.flux.config.v1+json",
        layer: "application/vnd.cncf.flux.content.v1.tar+gzip",
        bytes: tar_gz(files)?,
        layer_annotations: json!({}),
        annotations: json!({"org.opencontainers.image.source": "https://git.example/apps"}),
    };
    artifact.push(origin, login, repository, tag).await
}

/// An OCI artifact of one layer.
pub(crate) struct Artifact {
    /// The media type of its config, which is empty.
    pub(crate) config: &'static str,
    /// The media type of the layer.
    pub(crate) layer: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) layer_annotations: Value,
    pub(crate) annotations: Value,
}

impl Artifact {
    /// Pushes it, and returns the digest of its manifest.
    pub(crate) async fn push(
        self,
        origin: &str,
        login: Option<(&str, &str)>,
        repository: &str,
        tag: &str,
    ) -> anyhow::Result<String> {
        let client = reqwest::Client::new();
        let signed_in = |request: reqwest::RequestBuilder| match login {
            Some((username, password)) => request.basic_auth(username, Some(password)),
            None => request,
        };
        let blob = async |media_type: &str, bytes: Vec<u8>| -> anyhow::Result<Value> {
            let (digest, size) = (sha256(&bytes), bytes.len());
            let start =
                signed_in(client.post(format!("{origin}/v2/{repository}/blobs/uploads/"))).send().await?;
            let place = start.error_for_status()?.headers()["location"].to_str()?.to_owned();
            let place = if place.starts_with('/') { format!("{origin}{place}") } else { place };
            let sign = if place.contains('?') { '&' } else { '?' };
            let put =
                signed_in(client.put(format!("{place}{sign}digest={digest}"))).body(bytes).send().await?;
            put.error_for_status()?;
            Ok(json!({"mediaType": media_type, "digest": digest, "size": size}))
        };
        let config = blob(self.config, b"{}".to_vec()).await?;
        let mut layer = blob(self.layer, self.bytes).await?;
        layer["annotations"] = self.layer_annotations;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer],
            "annotations": self.annotations,
        });
        let bytes = serde_json::to_vec(&manifest)?;
        let digest = sha256(&bytes);
        let put = client
            .put(format!("{origin}/v2/{repository}/manifests/{tag}"))
            .header("content-type", media_type);
        signed_in(put).body(bytes).send().await?.error_for_status().context("the manifest was not taken")?;
        Ok(digest)
    }
}
