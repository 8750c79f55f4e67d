//! An OCI registry, as far as plugins go there: artifacts of WebAssembly as the CNCF has settled them, and signatures.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use plumb_api::Sensitive;
use plumb_source::oci::{OciLogin, OciLogins, OciUrl};
use sha2::{Digest as _, Sha256};

/// The types of the parts of such an artifact. Source: CNCF TAG Runtime, "Wasm OCI Artifact layout".
pub(super) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(super) const WASM_LAYER: &str = "application/wasm";

/// The largest component that is pulled, as in the host.
const LARGEST: i64 = 256 << 20;
const CONNECT: Duration = Duration::from_secs(30);
const READ: Duration = Duration::from_secs(120);

/// How a registry is reached and signed in to.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The user name; the password comes by --password-stdin. Without it the logins of `docker login` are used.
    #[arg(long, requires = "password_stdin")]
    username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Speak plain HTTP, for a registry on this machine.
    #[arg(long)]
    insecure: bool,
}

/// One repository, and what of it was named.
pub(super) struct Registry {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
}

/// A plugin that was pulled.
pub(super) struct Pulled {
    /// Of the manifest: what is signed.
    pub(super) digest: String,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) component: Vec<u8>,
}

impl Connection {
    /// Does something with the repository that `oci://…` names.
    pub(super) fn run<T>(
        &self,
        reference: &str,
        work: impl AsyncFnOnce(Registry) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let registry = self.open(reference)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the network")?;
        runtime.block_on(work(registry)).with_context(|| format!("with {reference}"))
    }

    fn open(&self, reference: &str) -> anyhow::Result<Registry> {
        let name = reference.strip_prefix("oci://").with_context(|| {
            format!(
                "{reference} is not the address of an artifact; write it as oci://REGISTRY/REPOSITORY:TAG"
            )
        })?;
        let parsed: Reference = name.parse().with_context(|| format!("{reference} cannot be read"))?;
        let protocol = if self.insecure { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(READ),
            ..ClientConfig::default()
        };
        let auth = self.auth(&parsed)?;
        Ok(Registry { client: Client::new(config), reference: parsed, auth })
    }

    fn auth(&self, reference: &Reference) -> anyhow::Result<RegistryAuth> {
        let Some(username) = &self.username else { return docker_login(reference) };
        let mut password = String::new();
        std::io::stdin()
            .read_to_string(&mut password)
            .context("cannot read the password from standard input")?;
        Ok(RegistryAuth::Basic(username.clone(), password.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// What `docker login` and its like have written down, if anything.
fn docker_login(reference: &Reference) -> anyhow::Result<RegistryAuth> {
    let Some(file) = docker_config() else { return Ok(RegistryAuth::Anonymous) };
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => Sensitive::new(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let mut logins = OciLogins::default();
    logins
        .add_secret(&BTreeMap::from([(".dockerconfigjson".to_owned(), bytes.expose().clone())]))
        .with_context(|| format!("cannot use {}", file.display()))?;
    let url = OciUrl::parse(&format!("oci://{}/{}", reference.registry(), reference.repository()))?;
    Ok(match logins.login(&url) {
        OciLogin::Anonymous => RegistryAuth::Anonymous,
        OciLogin::Basic { username, password } => RegistryAuth::Basic(username, password.expose().clone()),
        OciLogin::Bearer(token) => RegistryAuth::Bearer(token.expose().clone()),
        OciLogin::Identity(_) => bail!(
            "the login for {} in {} is an identity token, which is not supported here; use --username and --password-stdin",
            reference.registry(),
            file.display()
        ),
    })
}

/// `$DOCKER_CONFIG/config.json`, or that below the home directory.
fn docker_config() -> Option<PathBuf> {
    let directory = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")))?;
    Some(directory.join("config.json"))
}

impl Registry {
    /// `REGISTRY/REPOSITORY`.
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.reference.registry(), self.reference.repository())
    }

    /// The digest of the manifest that was named.
    pub(super) async fn digest(&self) -> anyhow::Result<String> {
        if let Some(digest) = self.reference.digest() {
            return Ok(digest.to_owned());
        }
        self.client
            .fetch_manifest_digest(&self.reference, &self.auth)
            .await
            .context("cannot find the artifact")
    }

    /// The plugin that was named. What it is made of is compared with its digests.
    pub(super) async fn pull(&self) -> anyhow::Result<Pulled> {
        let (manifest, digest) = self
            .client
            .pull_manifest(&self.reference, &self.auth)
            .await
            .context("cannot pull the manifest")?;
        let OciManifest::Image(manifest) = manifest else { bail!("it is a list of artifacts, not a plugin") };
        let [layer] = &manifest.layers[..] else {
            bail!("it has {} layers; a plugin has one", manifest.layers.len())
        };
        ensure!(
            layer.media_type == WASM_LAYER,
            "its layer is of the type {}; that of a plugin is {WASM_LAYER}",
            layer.media_type
        );
        let component = self.blob(&self.reference, layer).await?;
        Ok(Pulled { digest, annotations: manifest.annotations.unwrap_or_default(), component })
    }

    async fn blob(&self, reference: &Reference, layer: &OciDescriptor) -> anyhow::Result<Vec<u8>> {
        ensure!(
            (0..=LARGEST).contains(&layer.size),
            "a layer of {} bytes is larger than {LARGEST}",
            layer.size
        );
        let mut bytes = Vec::new();
        self.client.pull_blob(reference, layer, &mut bytes).await.context("cannot pull a layer")?;
        ensure!(digest_of(&bytes) == layer.digest, "a layer has not the digest {}", layer.digest);
        Ok(bytes)
    }

    /// Pushes an artifact to what was named, and returns the digest of its manifest.
    pub(super) async fn push(
        &self,
        layers: &[ImageLayer],
        config: Config,
        annotations: BTreeMap<String, String>,
    ) -> anyhow::Result<String> {
        self.push_to(&self.reference, layers, config, annotations).await
    }

    async fn push_to(
        &self,
        reference: &Reference,
        layers: &[ImageLayer],
        config: Config,
        annotations: BTreeMap<String, String>,
    ) -> anyhow::Result<String> {
        let annotations = (!annotations.is_empty()).then_some(annotations);
        let mut manifest = OciImageManifest::build(layers, &config, annotations);
        manifest.media_type = Some(OCI_IMAGE_MEDIA_TYPE.to_owned());
        self.client
            .auth(reference, &self.auth, RegistryOperation::Push)
            .await
            .context("the registry does not let us push")?;
        self.client
            .push(reference, layers, config, &self.auth, Some(manifest))
            .await
            .context("cannot push")?;
        self.client.fetch_manifest_digest(reference, &self.auth).await.context("cannot see what was pushed")
    }

    /// The layers under the tag for the signatures of a manifest, none when there is no such tag.
    pub(super) async fn signatures(&self, digest: &str) -> anyhow::Result<Vec<ImageLayer>> {
        let reference = self.signature_tag(digest);
        let manifest = match self.client.pull_manifest(&reference, &self.auth).await {
            Ok((OciManifest::Image(manifest), _)) => manifest,
            Ok((OciManifest::ImageIndex(_), _)) => bail!("{reference} is a list, not signatures"),
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error).context("cannot look for signatures"),
        };
        let mut layers = Vec::new();
        for layer in &manifest.layers {
            let bytes = self.blob(&reference, layer).await?;
            layers.push(ImageLayer::new(bytes, layer.media_type.clone(), layer.annotations.clone()));
        }
        Ok(layers)
    }

    /// Puts these layers under the tag for the signatures of a manifest.
    pub(super) async fn push_signatures(
        &self,
        digest: &str,
        layers: &[ImageLayer],
        config: Config,
    ) -> anyhow::Result<()> {
        self.push_to(&self.signature_tag(digest), layers, config, BTreeMap::new()).await.map(drop)
    }

    /// `sha256-….sig`, as cosign has it.
    fn signature_tag(&self, digest: &str) -> Reference {
        let tag = format!("{}.sig", digest.replace(':', "-"));
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        Reference::with_tag(registry.to_owned(), repository.to_owned(), tag)
    }
}

fn is_missing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::RegistryError { envelope, .. } => envelope
            .errors
            .iter()
            .any(|error| matches!(error.code, OciErrorCode::ManifestUnknown | OciErrorCode::NotFound)),
        _ => false,
    }
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
