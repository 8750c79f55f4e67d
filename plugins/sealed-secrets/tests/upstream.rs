//! What the code of Sealed Secrets itself has sealed is unsealed as that code unseals it, and what it refuses is refused. Its program (`tests/sealed-secrets`) is
//! built by `cargo xtask servers`; a test that does not find it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_sealed_secrets::keys::seal;
use plumb_sealed_secrets::{Parameters, transform};
use plumbline_plugin::Object;
use plumbline_plugin::testing::Host;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use serde_json::{Value, json};

const SCOPES: [&str; 3] = ["strict", "namespace-wide", "cluster-wide"];

/// Pairs of keys, as the controller stores them.
static KEYS: LazyLock<[Value; 2]> =
    LazyLock::new(|| [(); 2].map(|()| upstream("keygen", &json!({})).unwrap()));

fn upstream(what: &str, asked: &Value) -> Result<Value, String> {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/sealed-secrets");
    let program = std::env::var_os("PLUMB_TEST_SEALED_SECRETS").map_or_else(built, PathBuf::from);
    let mut child = Command::new(program)
        .arg(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("target/sealed-secrets is missing; run `cargo xtask servers`");
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A Secret that says in which scope it is to be sealed.
fn secret(scope: &str) -> Value {
    let mut annotations = json!({"note": "b"});
    annotations[format!("sealedsecrets.bitnami.com/{scope}")] = "true".into();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "immutable": true,
        "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "a"}, "annotations": annotations},
        "data": {
            "username": STANDARD.encode("bob"), "password": STANDARD.encode("hun\"ter2 <&>\n"), "empty": "",
            "bytes": STANDARD.encode([0, 255, 128, 10]), "long": STANDARD.encode(vec![7; 5_000]),
        },
    })
}

fn sealed(secret: &Value, key: &Value) -> Value {
    upstream("seal", &json!({"certificate": key["tls.crt"], "secret": secret})).unwrap()
}

/// What upstream makes of a SealedSecret, and what ours does.
fn both(object: &Value, keys: &[Value]) -> (Result<Value, String>, Result<Value, String>) {
    let keys = keys.iter().map(|pair| pair["tls.key"].as_str().unwrap());
    let theirs =
        upstream("unseal", &json!({"keys": keys.clone().collect::<Vec<_>>(), "sealedSecret": object}));
    let host =
        keys.enumerate().fold(Host::default(), |host, (number, key)| host.secret(&number.to_string(), key));
    let objects = vec![Object::new(object.clone()).unwrap()];
    let ours = host.run(|| transform(objects, Parameters::default())).result;
    let told = |errors: plumbline_plugin::Errors| format!("{:?}", errors.as_slice());
    (theirs, ours.map(|objects| objects[0].as_value().clone()).map_err(told))
}

/// That both make the same Secret. What ours leaves out is what only the other controller needs: its own annotations, and its object as the owner.
fn assert_same(object: &Value, keys: &[Value], what: &str) {
    let (theirs, ours) = both(object, keys);
    let (mut theirs, ours) = (theirs.unwrap(), ours.unwrap_or_else(|told| panic!("{what}: {told}")));
    let metadata = theirs["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| !["ownerReferences", "creationTimestamp"].contains(&field.as_str()));
    let annotations = metadata["annotations"].as_object_mut().unwrap();
    annotations.retain(|name, _| !name.starts_with("sealedsecrets.bitnami.com/"));
    for field in ["metadata", "type", "immutable"] {
        assert_eq!(ours[field], theirs[field], "{what}: {field}");
    }
    // No bytes are null in Go.
    let bytes = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data = |secret: &Value| -> BTreeMap<String, String> {
        secret["data"].as_object().unwrap().iter().map(|(key, value)| (key.clone(), bytes(value))).collect()
    };
    assert_eq!(data(&ours), data(&theirs), "{what}");
}

#[test]
fn what_upstream_seals_is_unsealed_in_every_scope() {
    for scope in SCOPES {
        let object = sealed(&secret(scope), &KEYS[0]);
        assert_same(&object, &KEYS[..1], scope);
    }
}

// Attack 18 (Secrets): what was sealed for one object is used in another, or under a scope that somebody has widened.
#[test]
fn what_upstream_does_not_open_is_not_opened() {
    let mut opened = 0;
    for scope in SCOPES {
        let object = sealed(&secret(scope), &KEYS[0]);
        for says in SCOPES {
            for (namespace, name) in [("shop", "db"), ("shop", "other"), ("other", "db")] {
                let mut moved = object.clone();
                let mut annotations = json!({});
                annotations[format!("sealedsecrets.bitnami.com/{says}")] = "true".into();
                moved["metadata"] = json!({"name": name, "namespace": namespace, "annotations": annotations});
                let (theirs, ours) = both(&moved, &KEYS[..1]);
                let what = format!("sealed {scope}, says {says}, is {namespace}/{name}: {ours:?}");
                assert_eq!(ours.is_ok(), theirs.is_ok(), "{what}");
                assert!(
                    ours.is_ok() || ours.unwrap_err().contains("is opened by none of the keys"),
                    "{what}"
                );
                opened += usize::from(theirs.is_ok());
            }
        }
    }
    assert_eq!(
        opened,
        1 + 2 + 3,
        "strict opens in its place, namespace-wide in its namespace, cluster-wide everywhere"
    );
}

#[test]
fn old_keys_open_what_was_sealed_before_and_others_open_nothing() {
    let (old, new) = (sealed(&secret("strict"), &KEYS[0]), sealed(&secret("strict"), &KEYS[1]));
    for object in [&old, &new] {
        assert_same(object, &*KEYS, "both keys");
    }
    let (theirs, ours) = both(&new, &KEYS[..1]);
    assert!(theirs.is_err() && ours.unwrap_err().contains("is opened by none of the keys"));
}

#[test]
fn what_is_sealed_here_is_opened_by_upstream() {
    let key = rsa::RsaPrivateKey::from_pkcs1_pem(KEYS[0]["tls.key"].as_str().unwrap()).unwrap();
    let mut object = sealed(&secret("strict"), &KEYS[0]);
    let value = seal(&key.to_public_key(), b"hunter3", "shop/db").unwrap();
    object["spec"]["encryptedData"] = json!({"password": STANDARD.encode(value)});
    assert_same(&object, &KEYS[..1], "sealed here");
    assert_eq!(both(&object, &KEYS[..1]).0.unwrap()["data"]["password"], STANDARD.encode("hunter3"));
}

#[test]
fn templates_that_are_supported_make_what_upstream_makes_of_them() {
    let mut object = sealed(&secret("strict"), &KEYS[0]);
    for template in [
        "as it is\n",
        "}} { {\\{ \"text\"",
        "{{ .username }}:{{.password}}",
        "user={{ index . \"username\" }} {{ index . `bytes` }}",
        "{\"password\": {{ toJson .password }}, \"bytes\": {{ toJson (index . \"bytes\") }}}",
        "{{ .password | b64enc }} {{ (index . \"bytes\") | b64enc | toJson }} {{ b64enc (.username) }}",
        "a \r\n {{- .username -}} \t b {{-   .empty   -}} c",
        "{{ .username\t}}{{\n.username }}",
    ] {
        object["spec"]["template"]["data"] = json!({"made": template});
        assert_same(&object, &KEYS[..1], template);
    }
    // A template goes before the value with its key.
    object["spec"]["template"]["data"] = json!({"username": "not {{ .username }}"});
    assert_same(&object, &KEYS[..1], "the same key");
}

/// Where ours refuses, upstream does, or has a meaning for it that ours does not know. Nothing is taken for what it is not.
#[test]
fn templates_that_are_not_supported_are_refused() {
    let mut object = sealed(&secret("strict"), &KEYS[0]);
    let mut with = |template: &str| {
        object["spec"]["template"]["data"] = json!({"made": template});
        both(&object, &KEYS[..1])
    };
    for (template, upstream_makes_something) in [
        ("{{ .nonesuch }}", true),
        ("{{ index . \"nonesuch\" }}", true),
        ("{{ .username | quote }}", true),
        ("{{ if .username }}a{{ end }}", true),
        ("{{/* why */}}", true),
        ("{{ env \"HOME\" }}", false),
        ("{{ .username.first }}", false),
        ("{{ .tls-key }}", false),
        ("{{-.username}}", false),
        ("{{ b64enc(.username) }}", false),
        ("{{ toJson index . \"username\" }}", false),
        ("{{ .username", false),
        ("{{ }}", false),
    ] {
        let (theirs, ours) = with(template);
        assert_eq!(theirs.is_ok(), upstream_makes_something, "{template}: {theirs:?}");
        let told = ours.expect_err(template);
        assert!(told.contains("the entry made of spec.template.data"), "{template}: {told}");
    }
}
