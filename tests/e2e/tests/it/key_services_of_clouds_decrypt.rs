use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_test_support::{Aws, AwsKeys, sops};
use serde_json::{Value, json};

use crate::scene::Scene;

/// A Secret whose data key AWS KMS has encrypted, as `sops` writes it.
async fn secret(aws: &Aws, value: &str) -> anyhow::Result<String> {
    let text =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  password: {value}\n");
    let (endpoint, AwsKeys { id, secret, .. }) = (aws.origin(), Aws::reader());
    let run = move || {
        let arguments = [
            "encrypt",
            "--kms",
            Aws::KEY,
            "--encryption-context",
            "app:shop",
            "--encrypted-regex",
            "^stringData$",
            "--input-type",
            "yaml",
            "--output-type",
            "yaml",
            "/dev/stdin",
        ];
        let variables = [
            ("AWS_ENDPOINT_URL_KMS", &*endpoint),
            ("AWS_ACCESS_KEY_ID", &id),
            ("AWS_SECRET_ACCESS_KEY", &secret),
        ];
        sops::run(&arguments, &text, &variables)
    };
    tokio::task::spawn_blocking(run).await?
}

fn holds(value: &str) -> impl Fn(&Value) -> bool + use<> {
    let encoded = STANDARD.encode(value);
    move |secret: &Value| secret["data"]["password"] == encoded.as_str()
}

// Attack 18 (Secrets): credentials that may not, and those of somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn for_a_secret_and_for_service_accounts_that_may() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    let origin = aws.origin();
    let variables = [("AWS_ENDPOINT_URL_KMS", &*origin), ("AWS_ENDPOINT_URL_STS", &*origin)];
    let arguments = ["--default-decryption-service-account", "reader"];
    let scene = Scene::set_in("key-services", &arguments, &variables).await?;
    scene.commit(&[("a.yaml", &secret(&aws, "hunter2").await?)])?;
    scene.cluster.apply(&scene.source()).await?;
    for (name, role) in [("reader", Aws::ROLE), ("other", Aws::OTHER_ROLE)] {
        let mut account = scene.object("v1", "ServiceAccount", name);
        account["metadata"]["annotations"] = json!({"eks.amazonaws.com/role-arn": role});
        scene.cluster.apply(&account).await?;
    }
    let keys = async |keys: AwsKeys| {
        let mut secret = scene.object("v1", "Secret", "sops-keys");
        secret["stringData"] = json!({"sops.aws-kms": keys.yaml()});
        scene.cluster.apply(&secret).await
    };
    keys(Aws::nobody()).await?;
    let decrypting = |with: Value| {
        let mut decryption = json!({"provider": "sops"});
        decryption.as_object_mut().unwrap().extend(with.as_object().cloned().unwrap_or_default());
        scene.kustomization("apps", json!({ "decryption": decryption }))
    };
    let apps = decrypting(json!({"secretRef": {"name": "sops-keys"}}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(
        message.contains(&format!(
            "AWS KMS {}: AWS KMS does not let the user of sops.aws-kms decrypt",
            Aws::KEY
        )),
        "{message}"
    );

    // Other credentials are noticed.
    keys(Aws::reader()).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    let login = scene.object("v1", "Secret", "login");
    scene.wait(&login, "it is decrypted", holds("hunter2")).await?;

    let other = json!({"spec": {"decryption": {"secretRef": null, "serviceAccountName": "other"}}});
    scene.cluster.edit(&apps, &other).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    let refused = format!("does not let the service account {}/other decrypt", scene.namespace);
    assert!(message.contains(&refused), "{message}");
    assert!(holds("hunter2")(&scene.cluster.get(&login).await?.unwrap_or_default()));

    // Nobody is named, so it is the account that the operator has named.
    let commit = scene.push(&[("a.yaml", &secret(&aws, "hunter3").await?)]).await?;
    scene.cluster.edit(&apps, &json!({"spec": {"decryption": {"serviceAccountName": null}}})).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene.wait(&login, "the new value is applied", holds("hunter3")).await?;

    let log = scene.controller.log();
    assert!(!log.contains("canary-of") && !message.contains("canary-of"), "{log}");
    Ok(())
}
