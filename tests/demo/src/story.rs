//! Commit, applied; edited by hand, put back; removed, pruned; broken, reported and nothing lost; healed.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use kube::Client;
use plumb_test_support::cluster::{Cluster, condition, eventually, is_ready};
use plumb_test_support::controller::{Controller, plumb};
use plumb_test_support::{Auth, GitRepo, GitServer, GitServerOptions};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::narrate::{Narrator, say};

const NAMESPACE: &str = "flux-system";
const OBJECTS: &str = include_str!("objects.yaml");
const USER: &str = "plumb";

/// Everything that the story is about.
struct Stage {
    cluster: Cluster,
    repository: GitRepo,
    server: GitServer,
    source: Value,
    kustomization: Value,
    narrator: Narrator,
}

/// Tells the story.
pub(crate) async fn tell(example: &Path, keep: bool) -> anyhow::Result<()> {
    let mut stage = Stage::set(example).await?;
    let controller = stage.start_controller().await?;
    let result = stage.play().await;
    if let Err(error) = result {
        say(format_args!("\nThe controller has logged:\n{}", controller.log()));
        return Err(error);
    }
    stage.narrator.end("That was the main job.");
    if keep {
        stage.keep().await?;
    } else {
        say("To look around with kubectl afterwards, run `cargo xtask demo --keep`.");
    }
    drop(controller);
    Ok(())
}

impl Stage {
    async fn set(example: &Path) -> anyhow::Result<Self> {
        let mut narrator = Narrator::new();
        let cluster = Cluster::from_env().await?;
        let since = narrator.step("A Git repository that asks for a password");
        let repository = GitRepo::new()?;
        repository.copy_from(example)?;
        repository.commit("The application in production and staging")?;
        // A password that nobody can guess, so that what works works because of the Secret.
        let password = format!("{:x}", since.elapsed().as_nanos() ^ u128::from(std::process::id()));
        let auth = Auth::Basic { username: USER.to_owned(), password: password.clone() };
        let server =
            GitServer::start(&repository.root(), GitServerOptions { auth, ..GitServerOptions::default() })?;
        narrator.saw(since, format_args!("{} is served at {}", example.display(), server.url()));
        let [mut source, kustomization] = objects()?;
        source["spec"]["url"] = server.url().into();
        let stage = Self { cluster, repository, server, source, kustomization, narrator };
        stage.install(&password).await?;
        Ok(stage)
    }

    /// CRDs, namespace, Secret.
    async fn install(&self, password: &str) -> anyhow::Result<()> {
        self.plumb(&["install", "--crds-only"]).await?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        self.cluster.apply(&namespace).await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git-credentials", "namespace": NAMESPACE},
            "stringData": {"username": USER, "password": password},
        });
        self.cluster.apply(&secret).await?;
        Ok(())
    }

    async fn start_controller(&mut self) -> anyhow::Result<Controller> {
        let since = self.narrator.step("The controller");
        let controller = Controller::start(&self.cluster, NAMESPACE).await?;
        self.narrator.saw(since, "plumb controller is ready (the first time, it compiles its plugins)");
        Ok(controller)
    }

    async fn play(&mut self) -> anyhow::Result<()> {
        self.apply_a_commit().await?;
        self.edit_by_hand().await?;
        self.remove_a_file().await?;
        self.break_and_heal().await
    }

    async fn apply_a_commit(&mut self) -> anyhow::Result<()> {
        let since = self.narrator.step("A commit is applied");
        self.cluster.apply(&self.source).await?;
        self.cluster.apply(&self.kustomization).await?;
        self.narrator.aside(OBJECTS);
        self.wait(&deployment(), "the Deployment is there", |_| true).await?;
        self.narrator.saw(since, "Deployment/default/myapp is created");
        self.wait_ready(since).await?;
        let live = self
            .wait(&deployment(), "3 replicas are ready", |live| live["status"]["readyReplicas"] == 3)
            .await?;
        self.narrator.saw(since, format_args!("{} of 3 replicas are ready", live["status"]["readyReplicas"]));

        let since = self.narrator.step("Another commit, in production only: 4 replicas");
        self.write("overlays/production/replica-count.yaml", replicas(4))?;
        self.publish("Production: 4 replicas").await?;
        self.wait(&deployment(), "there are 4 replicas", |live| live["spec"]["replicas"] == 4).await?;
        self.narrator.saw(since, "the Deployment has 4 replicas");
        self.wait_ready(since).await
    }

    async fn edit_by_hand(&mut self) -> anyhow::Result<()> {
        let since = self.narrator.step("Somebody edits the replica count by hand: 1");
        self.cluster.edit(&deployment(), &json!({"spec": {"replicas": 1}})).await?;
        self.wait(&deployment(), "the replicas are put back", |live| live["spec"]["replicas"] == 4).await?;
        self.narrator.saw(since, "put back to 4 replicas");
        let note = self.event("DriftCorrected").await?;
        self.narrator.aside(note);

        let since = self.narrator.step("Somebody deletes the Service by hand");
        let uid =
            self.cluster.get(&service()).await?.context("there is no Service")?["metadata"]["uid"].clone();
        self.cluster.delete(&service()).await?;
        self.wait(&service(), "the Service is back", |live| live["metadata"]["uid"] != uid).await?;
        self.narrator.saw(since, "the Service is back");
        Ok(())
    }

    async fn remove_a_file(&mut self) -> anyhow::Result<()> {
        let since = self.narrator.step("A file is removed from Git");
        self.repository.remove("base/service.yaml")?;
        self.write("base/kustomization.yaml", "resources:\n- deployment.yaml\n".to_owned())?;
        self.publish("The application needs no Service").await?;
        self.cluster.wait_gone(&service()).await?;
        self.narrator.saw(since, "Service/default/myapp is pruned");
        self.wait_ready(since).await
    }

    async fn break_and_heal(&mut self) -> anyhow::Result<()> {
        let since = self.narrator.step("A broken commit: a patch for a Deployment that does not exist");
        let before = self.cluster.get(&deployment()).await?.context("there is no Deployment")?;
        self.write("overlays/production/replica-count.yaml", replicas(5).replace("myapp", "my-app"))?;
        self.publish("Production: 5 replicas").await?;
        let failed = |object: &Value| {
            condition(object, "Ready")
                .is_some_and(|(status, reason, _)| status == "False" && reason == "BuildFailed")
        };
        let object = self.wait(&self.kustomization, "the mistake is reported", failed).await?;
        self.narrator.saw(since, "reported on the Kustomization:");
        self.narrator.aside(condition(&object, "Ready").map_or("", |(_, _, message)| message));
        let after = self.cluster.get(&deployment()).await?.context("the Deployment was lost")?;
        ensure!(before["metadata"]["uid"] == after["metadata"]["uid"], "the Deployment was made anew");
        ensure!(before["spec"] == after["spec"], "the Deployment was changed");
        self.narrator.saw(since, "nothing is lost: Deployment/default/myapp is as it was");

        let since = self.narrator.step("Healed by the next commit");
        self.write("overlays/production/replica-count.yaml", replicas(5))?;
        self.publish("Production: 5 replicas, of the right Deployment").await?;
        self.wait(&deployment(), "there are 5 replicas", |live| live["spec"]["replicas"] == 5).await?;
        self.narrator.saw(since, "the Deployment has 5 replicas");
        self.wait_ready(since).await
    }

    /// Commits, and has the source looked at now: a webhook would do that, and the interval does it once a minute.
    async fn publish(&self, message: &str) -> anyhow::Result<()> {
        let commit = self.repository.commit(message)?;
        self.narrator.aside(format_args!(
            "git commit {} {message:?}; plumb reconcile source app-manifests",
            &commit[..8]
        ));
        self.plumb(&["reconcile", "source", "app-manifests"]).await
    }

    async fn plumb(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(plumb()?);
        let output = command.args(args).env("KUBECONFIG", &self.cluster.kubeconfig).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "plumb {} failed: {said}", args.join(" "));
        Ok(())
    }

    fn write(&self, path: &str, text: String) -> anyhow::Result<()> {
        self.repository.write(path, text)?;
        Ok(())
    }

    async fn wait(&self, object: &Value, what: &str, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        match self.cluster.wait_for(object, what, is).await {
            Ok(object) => Ok(object),
            Err(error) => {
                let status =
                    self.cluster.get(&self.kustomization).await?.unwrap_or_default()["status"].take();
                Err(error.context(format!("the status of the Kustomization is {status:#}")))
            }
        }
    }

    /// Until the Kustomization has applied the last commit, and says so.
    async fn wait_ready(&self, since: Instant) -> anyhow::Result<()> {
        let commit = self.repository.head()?;
        let revision = format!("main@sha1:{commit}");
        let applied =
            |object: &Value| is_ready(object) && object["status"]["lastAppliedRevision"] == revision.as_str();
        let object = self.wait(&self.kustomization, "the Kustomization is ready", applied).await?;
        let message = condition(&object, "Ready").map_or("", |(_, _, message)| message).to_owned();
        self.narrator.saw(since, format_args!("Kustomization/flux-system/apps is Ready: {message}"));
        Ok(())
    }

    /// The newest event of a reason about the Kustomization.
    async fn event(&self, reason: &str) -> anyhow::Result<String> {
        let client: Client = self.cluster.client.clone();
        let events: kube::Api<k8s_openapi::api::events::v1::Event> = kube::Api::namespaced(client, NAMESPACE);
        eventually("there is an event about it", async || {
            let list = events.list(&kube::api::ListParams::default()).await?;
            Ok(list
                .items
                .into_iter()
                .rev()
                .find(|event| event.reason.as_deref() == Some(reason))
                .and_then(|event| event.note))
        })
        .await
    }

    /// Leaves everything up until Ctrl-C.
    async fn keep(&self) -> anyhow::Result<()> {
        let kubeconfig = self.cluster.kubeconfig.display();
        say(format_args!(
            "\nEverything stays up until Ctrl-C. To look around, in another terminal:\n\n    \
             export KUBECONFIG={kubeconfig}\n    \
             kubectl get gitrepositories,kustomizations -A\n    \
             kubectl describe kustomization apps -n flux-system\n    \
             kubectl get deployment myapp -o yaml --show-managed-fields\n    \
             kubectl scale deployment myapp --replicas=9     # and watch it come back\n\n\
             The repository's work tree is {}; commit there and push to {}.",
            self.repository.work_tree().display(),
            self.server.url(),
        ));
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
    }
}

fn objects() -> anyhow::Result<[Value; 2]> {
    let documents = serde_yaml::Deserializer::from_str(OBJECTS).map(Value::deserialize);
    let objects: Vec<Value> = documents.collect::<Result<_, _>>()?;
    objects.try_into().ok().context("objects.yaml does not hold two objects")
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "myapp", "namespace": "default"}})
}

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "myapp", "namespace": "default"}})
}

fn replicas(count: u32) -> String {
    format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: myapp\nspec:\n  replicas: {count}\n")
}
