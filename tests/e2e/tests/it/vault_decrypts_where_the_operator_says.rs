use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_test_support::sops;
use serde_json::{Value, json};

use crate::scene::Scene;

const TOKEN: &str = "hvs.canary-4711";

/// A server that answers as the transit engine of Vault does. What it encrypts is turned around; it remembers the tokens it was shown.
struct Vault {
    address: String,
    tokens: Arc<std::sync::Mutex<Vec<String>>>,
}

type Seen = State<Arc<std::sync::Mutex<Vec<String>>>>;

async fn transit(
    State(tokens): Seen,
    Path((engine, what, key)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Json<Value>) {
    // Vault's own client names no type of content.
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let token = headers.get("x-vault-token").and_then(|token| token.to_str().ok()).unwrap_or_default();
    tokens.lock().unwrap().push(token.to_owned());
    if (engine.as_str(), what.as_str(), key.as_str()) == ("auth", "kubernetes", "login") {
        let role = body["role"].as_str().unwrap_or_default();
        // A token of Kubernetes has three parts.
        let is_known =
            role.ends_with("_sops") && body["jwt"].as_str().unwrap_or_default().split('.').count() == 3;
        let auth = json!({"client_token": TOKEN, "lease_duration": 3600});
        return match is_known {
            true => (StatusCode::OK, Json(json!({ "auth": auth }))),
            false => (StatusCode::FORBIDDEN, Json(json!({"errors": ["permission denied"]}))),
        };
    }
    if token != TOKEN {
        return (StatusCode::FORBIDDEN, Json(json!({"errors": ["permission denied"]})));
    }
    if (engine.as_str(), key.as_str()) != ("transit", "sops") {
        return (StatusCode::NOT_FOUND, Json(json!({"errors": []})));
    }
    let turned = |text: &str| text.chars().rev().collect::<String>();
    let data = match (what.as_str(), body["plaintext"].as_str(), body["ciphertext"].as_str()) {
        ("encrypt", Some(plain), _) => {
            json!({"ciphertext": format!("vault:v1:{}", turned(plain)), "key_version": 1})
        }
        ("decrypt", _, Some(sealed)) => json!({"plaintext": turned(sealed.trim_start_matches("vault:v1:"))}),
        _ => return (StatusCode::BAD_REQUEST, Json(json!({"errors": ["invalid ciphertext"]}))),
    };
    (StatusCode::OK, Json(json!({ "data": data })))
}

impl Vault {
    async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let tokens = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let path = "/v1/{engine}/{what}/{key}";
        let router = Router::new().route(path, post(transit).put(transit)).with_state(tokens.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, tokens })
    }

    /// A Secret whose data key this server has encrypted.
    async fn secret(&self, value: &str) -> anyhow::Result<String> {
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  password: {value}\n"
        );
        let uri = format!("{}/v1/transit/keys/sops", self.address);
        let run = move || {
            let arguments = [
                "encrypt",
                "--hc-vault-transit",
                &uri,
                "--encrypted-regex",
                "^stringData$",
                "--input-type",
                "yaml",
                "--output-type",
                "yaml",
                "/dev/stdin",
            ];
            sops::run(&arguments, &text, &[("VAULT_TOKEN", TOKEN)])
        };
        tokio::task::spawn_blocking(run).await?
    }
}

// Attack 18 (Secrets): a file names a server of Vault that is not on the operator's list.
#[tokio::test(flavor = "multi_thread")]
async fn and_no_other_server_is_shown_the_token() -> anyhow::Result<()> {
    let (vault, evil) = (Vault::start().await?, Vault::start().await?);
    let cluster = crate::scene::cluster().await?;
    let operator = cluster.namespace("vault-operator").await?;
    let listing = json!({"instances": [{"address": vault.address, "loginPath": "auth/kubernetes/login"}]});
    let mut listed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vaults", "namespace": operator}});
    // JSON is YAML.
    listed["data"] = json!({"config.yaml": listing.to_string()});
    let arguments = ["--sops-vault-configmap", "vaults", "--leader-election-namespace", &operator];
    let files = [("a.yaml", &*vault.secret("hunter2").await?)];
    let scene = Scene::with_files_and("vault", &files, &arguments).await?;
    let mut keys = scene.object("v1", "Secret", "sops-vault");
    keys["stringData"] = json!({"sops.vault-token": TOKEN});
    scene.cluster.apply(&keys).await?;
    let decryption = json!({"provider": "sops", "secretRef": {"name": "sops-vault"}});
    let apps = scene.kustomization("apps", json!({ "decryption": decryption }));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(
        message.contains(&vault.address)
            && message.contains("which lists the servers of Vault, does not exist"),
        "{message}"
    );

    // The list is noticed, too.
    scene.cluster.apply(&listed).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    let login = scene.object("v1", "Secret", "login");
    let holds = |value: &str| {
        let encoded = STANDARD.encode(value);
        move |secret: &Value| secret["data"]["password"] == encoded.as_str()
    };
    scene.wait(&login, "it is decrypted", holds("hunter2")).await?;

    let told_before = evil.tokens.lock().unwrap().len();
    scene.push(&[("a.yaml", &evil.secret("hunter3").await?)]).await?;
    let seen_by_sops = evil.tokens.lock().unwrap().len();
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(
        message.contains(&evil.address) && message.contains("is not among those that the operator lists"),
        "{message}"
    );
    assert_eq!(
        (told_before, evil.tokens.lock().unwrap().len()),
        (0, seen_by_sops),
        "the controller has not asked it"
    );
    assert!(holds("hunter2")(&scene.cluster.get(&login).await?.unwrap_or_default()));

    // Without a token in the Secret, the service account signs in.
    scene.cluster.apply(&scene.object("v1", "ServiceAccount", "sops")).await?;
    let account = json!({"spec": {"decryption": {"secretRef": null, "serviceAccountName": "sops"}}});
    scene.cluster.edit(&apps, &account).await?;
    let commit = scene.push(&[("a.yaml", &vault.secret("hunter4").await?)]).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene.wait(&login, "the new value is decrypted", holds("hunter4")).await?;
    let other = json!({"spec": {"decryption": {"serviceAccountName": "default"}}});
    scene.cluster.edit(&apps, &other).await?;
    let refused = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(
        refused.contains("no token was handed over under sops.vault-token, and 127.0.0.1 answers 403 to the request for a token of Vault"),
        "{refused}"
    );
    assert!(!scene.controller.log().contains("canary-4711") && !message.contains("canary-4711"));
    Ok(())
}
