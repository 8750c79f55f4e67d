//! The cluster of the test run, and a namespace of it for one test.

use std::env;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long a test waits for something that should happen at once, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The cluster that `KUBECONFIG` names.
#[derive(Clone)]
pub struct Cluster {
    /// A client that may do everything.
    pub client: Client,
    /// The kubeconfig file.
    pub kubeconfig: PathBuf,
}

impl Cluster {
    /// The cluster of this test run. `cargo xtask test` starts one and sets the variables.
    pub async fn from_env() -> anyhow::Result<Self> {
        let kubeconfig = env::var_os("KUBECONFIG").map(PathBuf::from);
        let (Some(kubeconfig), Some(_)) = (kubeconfig, env::var_os("PLUMB_USE_CLUSTER")) else {
            bail!(
                "this needs a cluster: run `cargo xtask test e2e`, or set KUBECONFIG and PLUMB_USE_CLUSTER=1"
            );
        };
        let client = Client::try_from(Config::infer().await.context("KUBECONFIG names no cluster")?)?;
        Ok(Self { client, kubeconfig })
    }

    /// Makes a namespace whose name begins with `prefix`.
    pub async fn namespace(&self, prefix: &str) -> anyhow::Result<String> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = Namespace {
            metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let made = namespaces.create(&PostParams::default(), &namespace).await?;
        made.metadata.name.context("the API server made a namespace without a name")
    }

    /// Applies an object as a user would, with the field manager of kubectl.
    pub async fn apply(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        let (api, name) = self.api_of(object)?;
        let params = PatchParams::apply("kubectl").force();
        api.patch(&name, &params, &Patch::Apply(object)).await.with_context(|| format!("cannot apply {name}"))
    }

    /// Changes an object by a merge patch, as `kubectl edit` does.
    pub async fn edit(&self, object: &Value, patch: &Value) -> anyhow::Result<DynamicObject> {
        self.edit_as("kubectl-edit", object, patch).await
    }

    /// Changes an object by a merge patch, as a controller of this name does.
    pub async fn edit_as(
        &self,
        manager: &str,
        object: &Value,
        patch: &Value,
    ) -> anyhow::Result<DynamicObject> {
        let (api, name) = self.api_of(object)?;
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        api.patch(&name, &params, &Patch::Merge(patch)).await.with_context(|| format!("cannot edit {name}"))
    }

    /// Changes the status of an object, as its controller does.
    pub async fn edit_status(&self, object: &Value, patch: &Value) -> anyhow::Result<DynamicObject> {
        let (api, name) = self.api_of(object)?;
        let params =
            PatchParams { field_manager: Some("its-controller".to_owned()), ..PatchParams::default() };
        api.patch_status(&name, &params, &Patch::Merge(patch))
            .await
            .with_context(|| format!("cannot edit the status of {name}"))
    }

    /// The object as it is; `None` when there is none. Only its type, name and namespace are looked at.
    pub async fn get(&self, object: &Value) -> anyhow::Result<Option<Value>> {
        let (api, name) = self.api_of(object)?;
        let found = api.get_opt(&name).await.with_context(|| format!("cannot get {name}"))?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// Deletes an object, without waiting until it is gone.
    pub async fn delete(&self, object: &Value) -> anyhow::Result<()> {
        let (api, name) = self.api_of(object)?;
        api.delete(&name, &DeleteParams::default()).await.with_context(|| format!("cannot delete {name}"))?;
        Ok(())
    }

    fn api_of(&self, object: &Value) -> anyhow::Result<(Api<DynamicObject>, String)> {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        let (Some(version), Some(kind), Some(name)) =
            (text("/apiVersion"), text("/kind"), text("/metadata/name"))
        else {
            bail!("{object} has no apiVersion, kind or name");
        };
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = match text("/metadata/namespace") {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        Ok((api, name.to_owned()))
    }

    /// Waits until the object is as `is` says, and returns it. `what` completes the sentence "waited in vain until …".
    pub async fn wait_for(
        &self,
        object: &Value,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let found = eventually(what, async || Ok(self.get(object).await?.filter(&is))).await;
        match found {
            Ok(object) => Ok(object),
            Err(error) => {
                Err(error.context(format!("it is: {:#}", self.get(object).await?.unwrap_or_default())))
            }
        }
    }

    /// Waits until the object is gone.
    pub async fn wait_gone(&self, object: &Value) -> anyhow::Result<()> {
        eventually("the object is gone", async || Ok(self.get(object).await?.is_none().then_some(()))).await
    }
}

/// Asks again and again until there is an answer.
pub async fn eventually<T: Debug>(
    what: &str,
    ask: impl AsyncFn() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited in vain until {what}");
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The condition of a type in the status of an object, as (status, reason, message).
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == type_)?;
    Some((condition["status"].as_str()?, condition["reason"].as_str()?, condition["message"].as_str()?))
}

/// Whether the Ready condition is true for the spec as it is.
pub fn is_ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|(status, _, _)| status == "True")
        && object.pointer("/status/observedGeneration") == object.pointer("/metadata/generation")
}
