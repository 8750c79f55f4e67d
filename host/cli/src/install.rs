use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt as _};
use plumb_api::crds;
use serde::Deserialize as _;
use serde_json::Value;

use crate::cluster::{self, Pace};
use crate::output;

/// What `deploy/` holds, with the image left open.
const MANIFESTS: &str = include_str!("../../../deploy/controller.yaml");
/// How long the API server has to make the new kinds known.
const ESTABLISHED: Duration = Duration::from_secs(60);
const IMAGE: &str = "ghcr.io/plumbline/plumb";
/// What stands for the image in [`MANIFESTS`].
const PLACEHOLDER: &str = "__IMAGE__";

/// Installs Plumbline into a cluster: the custom resource definitions, its namespace, its permissions and its Deployment.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plumb install --export | kubectl apply --server-side -f -")]
pub(crate) struct Install {
    /// Print what would be installed, for kubectl or for Git, and leave the cluster alone.
    #[arg(long)]
    export: bool,
    /// Only the custom resource definitions.
    #[arg(long)]
    crds_only: bool,
    /// The container image of the controller. Default: the one of this version.
    #[arg(long)]
    image: Option<String>,
}

impl Install {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let manifests = self.manifests()?;
        if self.export {
            for manifest in &manifests {
                output::write(format_args!("---\n{}", output::yaml(manifest)?))?;
            }
        } else {
            cluster::block_on(apply(&manifests))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn manifests(&self) -> anyhow::Result<Vec<Value>> {
        let mut manifests = crds()
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<Vec<_>, _>>()
            .context("a CRD cannot be written")?;
        if !self.crds_only {
            let image =
                self.image.clone().unwrap_or_else(|| format!("{IMAGE}:v{}", env!("CARGO_PKG_VERSION")));
            let text = MANIFESTS.replace(PLACEHOLDER, &image);
            for document in serde_yaml::Deserializer::from_str(&text) {
                manifests
                    .push(Value::deserialize(document).context("the manifests of this version are damaged")?);
            }
        }
        Ok(manifests)
    }
}

/// The namespace that the manifests are for.
pub(crate) const NAMESPACE: &str = "plumbline-system";

/// Installs the controller without starting it. Definitions that are there stay as they are: they may be Flux's own.
pub(crate) async fn install_stopped(client: &Client, image: Option<&str>) -> anyhow::Result<()> {
    let install = Install { export: false, crds_only: false, image: image.map(str::to_owned) };
    let mut manifests = install.manifests()?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let there = api
        .list_metadata(&ListParams::default())
        .await
        .map_err(cluster::plain)
        .context("cannot list the CRDs")?;
    let there: Vec<String> = there.items.iter().map(|crd| crd.name_any()).collect();
    let is_there = |manifest: &Value| {
        manifest["kind"] == "CustomResourceDefinition"
            && there.iter().any(|name| manifest["metadata"]["name"] == name.as_str())
    };
    manifests.retain(|manifest| !is_there(manifest));
    for manifest in manifests.iter_mut().filter(|manifest| manifest["kind"] == "Deployment") {
        manifest["spec"]["replicas"] = 0.into();
    }
    apply(&manifests).await
}

/// Applies every manifest, and reports every one that failed.
async fn apply(manifests: &[Value]) -> anyhow::Result<()> {
    let client = cluster::client(Pace::Interactive).await?;
    let mut failures = 0;
    for manifest in manifests {
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let (Some(types), Some(name)) = (&object.types, &object.metadata.name) else { continue };
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let params = PatchParams::apply("plumb-install").force();
        match api.patch(name, &params, &Patch::Apply(manifest)).await {
            Ok(_) => output::line(format_args!("{}/{name} applied", types.kind))?,
            Err(error) => {
                failures += 1;
                output::note(format_args!("{}/{name}: {}", types.kind, cluster::plain(error)));
            }
        }
    }
    for crd in crds() {
        wait_until_established(&client, &crd.name_any()).await?;
    }
    if failures > 0 {
        bail!("{failures} of {} objects could not be applied", manifests.len());
    }
    Ok(())
}

/// A kind can be used once its definition is established, which takes the API server a moment.
async fn wait_until_established(client: &Client, name: &str) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let established = await_condition(api, name, conditions::is_crd_established());
    let established = tokio::time::timeout(ESTABLISHED, established).await;
    established
        .with_context(|| format!("the API server has not established {name} within {ESTABLISHED:?}"))??;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn crds_come_first_and_the_image_is_filled_in() {
        let install =
            Install { export: true, crds_only: false, image: Some("registry.example/plumb:1".to_owned()) };
        let manifests = install.manifests().unwrap();
        let kinds: Vec<&str> = manifests.iter().map(|manifest| manifest["kind"].as_str().unwrap()).collect();
        let (first, rest) = kinds.split_at(crds().len());
        assert!(first.iter().all(|kind| *kind == "CustomResourceDefinition"), "{kinds:?}");
        assert!(!rest.contains(&"CustomResourceDefinition"), "{kinds:?}");
        assert!(kinds.contains(&"Namespace") && kinds.contains(&"Deployment"), "{kinds:?}");
        let deployment = manifests.iter().find(|manifest| manifest["kind"] == "Deployment").unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example/plumb:1");
    }

    #[test]
    fn crds_alone_are_crds() {
        let manifests = Install { export: true, crds_only: true, image: None }.manifests().unwrap();
        assert!(manifests.iter().all(|manifest| manifest["kind"] == "CustomResourceDefinition"));
    }
}
