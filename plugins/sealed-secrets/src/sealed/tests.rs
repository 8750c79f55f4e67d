#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumbline_plugin::testing::Host;
use plumbline_plugin::{Errors, Object};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};

use crate::keys::seal;
use crate::{Parameters, transform};

/// Keys of 2048 bits take seconds to make without optimisation; these are for tests only.
static KEYS: LazyLock<[RsaPrivateKey; 2]> =
    LazyLock::new(|| [1024, 1024].map(|bits| RsaPrivateKey::new(&mut aes_gcm::aead::OsRng, bits).unwrap()));

fn sealed(label: &str, metadata: Value) -> Value {
    let value = seal(&KEYS[0].to_public_key(), b"hunter2", label).unwrap();
    json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": metadata,
        "spec": {
            "encryptedData": {"password": STANDARD.encode(value)},
            "template": {
                "metadata": {"name": "ignored", "labels": {"app": "a"}, "annotations": {
                    "note": "b", "sealedsecrets.bitnami.com/managed": "true",
                }},
                "type": "kubernetes.io/basic-auth", "immutable": true,
            },
        },
    })
}

fn unsealed(object: &Value, key: usize, parameters: Value) -> Result<Value, String> {
    let pem = KEYS[key].to_pkcs8_pem(LineEnding::LF).unwrap();
    let host = Host::default().secret("tls.key", pem.as_bytes().to_vec());
    let objects = vec![Object::new(object.clone()).unwrap()];
    let parameters: Parameters = serde_json::from_value(parameters).unwrap();
    let made = host.run(|| transform(objects, parameters)).result;
    made.map(|objects| objects[0].as_value().clone()).map_err(told)
}

fn told(errors: Errors) -> String {
    errors.into_iter().map(|error| error.to_string()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_sealed_secret_becomes_the_secret_that_it_is() {
    let object = sealed("shop/db", json!({"name": "db", "namespace": "shop"}));
    assert_eq!(
        unsealed(&object, 0, json!({})),
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "a"}, "annotations": {"note": "b"}},
            "type": "kubernetes.io/basic-auth", "immutable": true, "data": {"password": "aHVudGVyMg=="},
        }))
    );
}

#[test]
fn a_value_is_opened_in_its_scope_only() {
    let wide = |scope: &str, name: &str, namespace: &str| {
        let annotation = format!("sealedsecrets.bitnami.com/{scope}-wide");
        json!({"name": name, "namespace": namespace, "annotations": {annotation: "true"}})
    };
    let opens = |label: &str, metadata: Value| unsealed(&sealed(label, metadata), 0, json!({})).is_ok();
    assert!(opens("", wide("cluster", "any", "where")));
    assert!(opens("shop", wide("namespace", "any", "shop")));
    assert!(!opens("shop", wide("namespace", "any", "other")));
    assert!(!opens("shop/db", json!({"name": "db", "namespace": "other"})));
    assert!(!opens("shop/db", json!({"name": "other", "namespace": "shop"})));
    // Attack 18 (Secrets): a scope that is widened by whoever can only write the object.
    assert!(!opens("shop/db", wide("namespace", "db", "shop")));
    assert!(!opens("shop", wide("cluster", "db", "shop")));
}

#[test]
fn the_namespace_may_come_from_the_step() {
    let object = sealed("shop/db", json!({"name": "db"}));
    let secret = unsealed(&object, 0, json!({"namespace": "shop"})).unwrap();
    assert_eq!(secret["metadata"].get("namespace"), None);
    let told = unsealed(&object, 0, json!({})).unwrap_err();
    assert_eq!(
        told,
        "SealedSecret db names no namespace, and was sealed for one (Set metadata.namespace, or `namespace` in `with` of the step.)"
    );
}

#[test]
fn values_are_put_into_the_templates_of_other_entries() {
    let mut object = sealed("shop/db", json!({"name": "db", "namespace": "shop"}));
    object["spec"]["template"]["data"] = json!({
        "config.json": "{\"password\": {{ toJson .password }}}\n", "plain": "as it is",
    });
    let secret = unsealed(&object, 0, json!({})).unwrap();
    let plain = |key: &str| STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap();
    assert_eq!(plain("config.json"), b"{\"password\": \"hunter2\"}\n");
    assert_eq!((plain("plain"), plain("password")), (b"as it is".to_vec(), b"hunter2".to_vec()));

    object["spec"]["template"]["data"] = json!({"password": "{{ .password }}!"});
    assert_eq!(
        unsealed(&object, 0, json!({})).unwrap()["data"],
        json!({"password": STANDARD.encode("hunter2!")})
    );
}

// Attack 19 (Secrets): what cannot be opened or decoded is not shown.
#[test]
fn what_cannot_be_unsealed_is_told_without_the_value() {
    let object = sealed("shop/db", json!({"name": "db", "namespace": "shop"}));
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut changed = object.clone();
        change(&mut changed);
        let told = unsealed(&changed, 0, json!({})).unwrap_err();
        assert!(!told.contains("hunter2"), "{told}");
        told
    };
    let told = unsealed(&object, 1, json!({})).unwrap_err();
    assert!(
        told.starts_with(
            "SealedSecret shop/db cannot be unsealed: the value of password is opened by none of the keys"
        ),
        "{told}"
    );
    let told = changed(&|object| object["spec"]["encryptedData"]["password"] = "hunter2!".into());
    assert_eq!(
        told,
        "SealedSecret shop/db cannot be unsealed: the value of password is damaged: it is not Base64"
    );
    let told = changed(&|object| object["spec"]["encryptedData"]["password"] = "AQA=".into());
    assert_eq!(
        told,
        "SealedSecret shop/db cannot be unsealed: the value of password is damaged: it is shorter than what it says"
    );
    let told = changed(&|object| object["spec"]["data"] = "x".into());
    assert!(told.contains("spec.data of the first version"), "{told}");
    let told =
        changed(&|object| object["spec"]["template"]["data"] = json!({"a": "{{ .password | sha256sum }}"}));
    assert!(
        told.starts_with("SealedSecret shop/db cannot be unsealed: the entry a of spec.template.data has an action in line 1"),
        "{told}"
    );
    let told =
        changed(&|object| object["spec"]["template"]["data"] = json!({"a": "\n{{ .user }} {{ .password }}"}));
    assert_eq!(
        told,
        "SealedSecret shop/db cannot be unsealed: the entry a of spec.template.data uses the value of user in line 2, which spec.encryptedData does not have"
    );
    let told = changed(&|object| object["spec"]["encryptedData"] = json!(["hunter2"]));
    assert!(told.contains("its spec has another structure"), "{told}");
}

#[test]
fn keys_may_be_of_either_form() {
    let object = sealed("shop/db", json!({"name": "db", "namespace": "shop"}));
    let run = |host: Host| {
        let objects = vec![Object::new(object.clone()).unwrap()];
        host.run(|| transform(objects, Parameters::default())).result
    };
    let old = KEYS[0].to_pkcs1_pem(LineEnding::LF).unwrap().as_bytes().to_vec();
    let other = KEYS[1].to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes().to_vec();
    assert!(run(Host::default().secret("b", old).secret("a", other)).is_ok());
    let told_of = |host: Host| told(run(host).unwrap_err());
    assert!(
        told_of(Host::default().secret("tls.crt", "hunter2"))
            .starts_with("the key \"tls.crt\" cannot be used: it is no private key of RSA")
    );
    let nobody = told_of(Host::default());
    assert!(nobody.ends_with("the value of password cannot be opened: no key was handed over"), "{nobody}");
}

#[test]
fn other_objects_stay_as_they_are_and_need_no_key() {
    let config =
        Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})).unwrap();
    let made = Host::default().run(|| transform(vec![config.clone()], Parameters::default())).result;
    assert_eq!(made, Ok(vec![config]));
}
