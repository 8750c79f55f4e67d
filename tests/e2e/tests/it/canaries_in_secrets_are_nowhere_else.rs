//! Canaries are values that occur nowhere by chance. They are planted in everything that is encrypted, and looked for in everything that the controller and the
//! command line leave behind.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{Api, ListParams};
use plumb_test_support::sops::AgeKey;
use serde_json::{Value, json};

use crate::cli_process::run;
use crate::scene::Scene;

/// What is looked for: as it is, in Base64 whatever stands before it, and in hexadecimal.
fn forms(canary: &str) -> Vec<String> {
    let mut forms = vec![canary.to_owned(), hex(canary), STANDARD.encode(canary)];
    for shift in 0..3 {
        let shifted = format!("{}{canary}", " ".repeat(shift));
        // Without the characters that depend on what stands around.
        let inner = |text: String| text.get(shift + 1..text.len() - 3).unwrap_or_default().to_owned();
        forms.push(inner(STANDARD_NO_PAD.encode(&shifted)));
        forms.push(inner(URL_SAFE_NO_PAD.encode(&shifted)));
    }
    forms
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything in which canaries were looked for.
#[derive(Default)]
struct Search {
    found: Vec<String>,
    bytes: usize,
}

impl Search {
    fn text(&mut self, place: &str, text: &[u8], canaries: &[String]) {
        self.bytes += text.len();
        for canary in canaries {
            let is_there = forms(canary)
                .iter()
                .any(|form| text.windows(form.len()).any(|part| part.eq_ignore_ascii_case(form.as_bytes())));
            if is_there {
                self.found.push(format!("{canary} is in {place}"));
            }
        }
    }

    fn files(&mut self, directory: &Path, canaries: &[String]) -> anyhow::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                self.files(&path, canaries)?;
            } else if path.is_file() {
                self.text(&path.display().to_string(), &fs::read(&path)?, canaries);
            }
        }
        Ok(())
    }
}

#[test]
fn a_canary_is_found_in_every_form() {
    let canary = "canary-0f1e2d3c4b5a";
    for text in [
        format!("a {canary} b"),
        STANDARD.encode(format!("password={canary}\n")),
        STANDARD.encode(format!("x{canary}!")),
        hex(canary),
    ] {
        let mut search = Search::default();
        search.text("here", text.as_bytes(), &[canary.to_owned()]);
        assert_eq!(search.found.len(), 1, "{text}");
    }
}

struct Planted {
    scene: Scene,
    key: AgeKey,
    apps: Value,
    canaries: Vec<String>,
}

impl Planted {
    fn canary(&mut self) -> String {
        let canary = format!("canary-{}-{}", self.canaries.len(), self.scene.namespace);
        self.canaries.push(canary.clone());
        canary
    }

    /// The files of a commit, each with canaries of its own.
    fn files(&mut self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let (login, env, file, patch) = (self.canary(), self.canary(), self.canary(), self.canary());
        let kustomization = "resources: [login.yaml, patched.yaml]\nsecretGenerator:\n- name: made\n  envs: [.env]\n  files: [app.json]\n\
            patches:\n- path: patch.yaml\ngeneratorOptions: {disableNameSuffixHash: true}\n";
        let patched = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: patched\n";
        let patch = format!("{patched}stringData:\n  word: {patch}\n");
        Ok(vec![
            ("apps/kustomization.yaml", kustomization.to_owned()),
            ("apps/login.yaml", self.key.secret("login", "password", &login)?),
            ("apps/patched.yaml", patched.to_owned()),
            ("apps/patch.yaml", self.key.encrypt("yaml", &patch, &["--encrypted-regex", "^stringData$"])?),
            ("apps/.env", self.key.encrypt("dotenv", &format!("TOKEN={env}\n"), &[])?),
            ("apps/app.json", self.key.encrypt("json", &json!({ "token": file }).to_string(), &[])?),
        ])
    }

    async fn push(&self, files: &[(&'static str, String)]) -> anyhow::Result<String> {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        self.scene.push(&files).await
    }

    /// Looks everywhere but into the Secrets themselves.
    async fn search(&self, printed: &[String]) -> anyhow::Result<Search> {
        let (scene, mut search) = (&self.scene, Search::default());
        let client = scene.cluster.client.clone();
        let events: Api<Event> = Api::namespaced(client.clone(), &scene.namespace);
        for event in events.list(&ListParams::default()).await? {
            search.text("an event", serde_json::to_string(&event)?.as_bytes(), &self.canaries);
        }
        let config_maps: Api<ConfigMap> = Api::namespaced(client, &scene.namespace);
        for object in config_maps.list(&ListParams::default()).await? {
            search.text("a ConfigMap", serde_json::to_string(&object)?.as_bytes(), &self.canaries);
        }
        for object in [&self.apps, &scene.source()] {
            let live = scene.cluster.get(object).await?.context("it is gone")?;
            search.text("a status", live.to_string().as_bytes(), &self.canaries);
        }
        let metrics = scene.controller.page("/metrics").await.context("there are no metrics")?;
        search.text("the metrics", metrics.as_bytes(), &self.canaries);
        search.files(scene.controller.directory(), &self.canaries)?;
        for text in printed {
            search.text("what the command line prints", text.as_bytes(), &self.canaries);
        }
        Ok(search)
    }
}

// Attacks 18, 19 and 20 (Secrets): decrypted values in logs, statuses, events, metrics, differences, error texts and on the disk; a value that is no Base64;
// a mask in the place of a value.
#[tokio::test]
async fn whatever_happens_to_them() -> anyhow::Result<()> {
    let key = AgeKey::generate()?;
    let scene = Scene::set_with(
        "canaries",
        &[
            "--log-level",
            "plumb_controller=debug,plumb_pipeline=debug,plumb_plugin=debug,plumb_apply=debug,info",
        ],
    )
    .await?;
    let mut keys = scene.object("v1", "Secret", "sops-age");
    keys["stringData"] = json!({"age.agekey": key.file});
    scene.cluster.apply(&keys).await?;
    let decryption = json!({"provider": "sops", "secretRef": {"name": "sops-age"}});
    let apps = scene.kustomization("apps", json!({"path": "./apps", "decryption": decryption}));
    // The key is as secret as what it opens.
    let private =
        key.file.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).context("no key")?.to_owned();
    let mut planted = Planted { scene, key, apps, canaries: vec![private] };

    let first = planted.files()?;
    planted.scene.commit(&[("readme", "nothing")])?;
    planted.scene.cluster.apply(&planted.scene.source()).await?;
    planted.scene.cluster.apply(&planted.apps).await?;
    let commit = planted.push(&first).await?;
    planted.scene.wait_applied(&planted.apps, &commit).await?;

    let login = planted.scene.object("v1", "Secret", "login");
    let is = |secret: &Value, canary: &str| secret["data"]["password"] == STANDARD.encode(canary).as_str();
    let (one, drift) = (planted.canaries[1].clone(), planted.canary());
    planted.scene.cluster.edit(&login, &json!({"stringData": {"password": drift}})).await?;
    planted.scene.wait(&login, "drift is put back", |secret| is(secret, &one)).await?;

    let second = planted.files()?;
    let mut printed = Vec::new();
    for (path, text) in &second {
        planted.scene.repository.write(path, text)?;
    }
    planted.scene.repository.write("apps.yaml", planted.apps.to_string())?;
    planted.scene.repository.write("keys.yaml", keys.to_string())?;
    for arguments in [&["diff", "-f", "apps.yaml", "--values", "keys.yaml"][..], &["diff", "-f", "apps.yaml"]]
    {
        let ran = run(&planted.scene, arguments).await?;
        printed.extend([ran.stdout, ran.stderr]);
    }
    assert!(printed[0].contains("***") && printed[1].is_empty(), "{printed:?}");
    assert!(printed[3].contains("Secret sops-age does not exist"), "{printed:?}");

    let two = planted.canaries[planted.canaries.len() - 4].clone();
    let commit = planted.push(&second).await?;
    planted.scene.wait_applied(&planted.apps, &commit).await?;
    planted.scene.wait(&login, "the update is applied", |secret| is(secret, &two)).await?;

    // What the API server refuses, what kustomize refuses, and what cannot be decrypted.
    let broken = planted.canary();
    let text =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\ndata:\n  password: '{broken}!'\n");
    let not_base64 = planted.key.encrypt("yaml", &text, &["--encrypted-regex", "^data$"])?;
    planted.push(&[("apps/login.yaml", not_base64)]).await?;
    planted.scene.wait_condition(&planted.apps, "False", "ReconciliationFailed").await?;
    let broken = planted.canary();
    let not_a_patch = planted.key.encrypt("yaml", &format!("word: {broken}\n"), &[])?;
    planted.push(&[("apps/login.yaml", second[1].1.clone()), ("apps/patch.yaml", not_a_patch)]).await?;
    planted.scene.wait_condition(&planted.apps, "False", "BuildFailed").await?;
    let foreign = planted.canary();
    let foreign = AgeKey::generate()?.secret("login", "password", &foreign)?;
    planted.push(&[("apps/login.yaml", foreign), ("apps/patch.yaml", second[3].1.clone())]).await?;
    let told = |object: &Value| object["status"].to_string().contains("login cannot be decrypted");
    planted.scene.wait(&planted.apps, "it cannot be decrypted", told).await?;

    let live = planted.scene.cluster.get(&login).await?.context("it is gone")?;
    assert!(is(&live, &two) && !live.to_string().contains("***"), "the cluster is as it was");
    let search = planted.search(&printed).await?;
    assert!(search.bytes > 10_000, "there was little to look into: {} bytes", search.bytes);
    assert_eq!(search.found, Vec::<String>::new());
    Ok(())
}
