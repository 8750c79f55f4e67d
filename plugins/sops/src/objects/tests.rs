#![allow(clippy::unwrap_used, reason = "tests")]

use ::age::x25519::Identity;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumbline_plugin::Object;
use plumbline_plugin::http::{Request, Response};
use plumbline_plugin::testing::Host;
use serde_json::{Value, json};

use super::decrypt;
use crate::cipher::{DataKey, Scalar};
use crate::keys::Keyring;

/// An object of which `data` is encrypted, as SOPS does it with `--encrypted-regex '^data$'`, and the key of whoever may read it.
fn encrypted(mut object: Value) -> (Value, Identity) {
    let (identity, key) = (Identity::generate(), DataKey::generate());
    for (name, value) in object["data"].as_object_mut().unwrap() {
        let plain = Scalar::Text(value.as_str().unwrap().as_bytes().to_vec());
        *value = key.encrypt(&plain, &format!("data:{name}:")).into();
    }
    let recipient = identity.to_public();
    let enc = ::age::encrypt_and_armor(&recipient, key.expose()).unwrap();
    object["sops"] = json!({
        "age": [{"recipient": recipient.to_string(), "enc": enc}],
        "lastmodified": "2026-01-01T00:00:00Z", "mac": "ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]",
        "encrypted_regex": "^data$", "version": "3.10.2",
    });
    (object, identity)
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"}, "data": {"password": "aHVudGVyMg=="}})
}

fn ring(identity: &Identity) -> Keyring {
    use ::age::secrecy::ExposeSecret as _;
    let file = format!("# created: 2026-01-01\n{}\n", identity.to_string().expose_secret());
    Keyring::read([("identity.agekey".to_owned(), file.into_bytes())]).unwrap()
}

fn decrypted(object: &Value, keys: &Keyring) -> Result<Value, String> {
    let objects = decrypt(vec![Object::new(object.clone()).unwrap()], keys);
    let told = |errors: plumbline_plugin::Errors| {
        errors.into_iter().map(|error| error.to_string()).collect::<Vec<_>>().join("\n")
    };
    objects.map(|objects| objects[0].as_value().clone()).map_err(told)
}

#[test]
fn what_is_encrypted_is_as_it_was() {
    let (object, identity) = encrypted(secret());
    assert!(!object.to_string().contains("aHVudGVyMg"));
    assert_eq!(decrypted(&object, &ring(&identity)), Ok(secret()));
    let plain = secret();
    assert_eq!(decrypted(&plain, &ring(&identity)), Ok(plain.clone()));
}

#[test]
fn kustomize_may_have_changed_what_is_not_encrypted() {
    let (mut object, identity) = encrypted(secret());
    object["metadata"]["labels"] = json!({"team": "a"});
    let mut expected = secret();
    expected["metadata"]["labels"] = json!({"team": "a"});
    assert_eq!(decrypted(&object, &ring(&identity)), Ok(expected));
}

#[test]
fn an_annotation_keeps_an_object_as_it_is() {
    let (mut object, _) = encrypted(secret());
    object["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/decrypt": "Disabled"});
    assert_eq!(decrypted(&object, &Keyring::default()), Ok(object.clone()));
}

// Attack 18 (Secrets): the MAC is removed, values are mixed, moved or added, or somebody else's key is used.
#[test]
fn what_was_tampered_with_is_refused_without_a_value() {
    let (object, identity) = encrypted(secret());
    let (other, _) = encrypted(secret());
    let keys = ring(&identity);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut changed = object.clone();
        change(&mut changed);
        let told = decrypted(&changed, &keys).unwrap_err();
        assert!(!told.contains("hunter2") && !told.contains("aHVudGVyMg"), "{told}");
        told
    };
    let told = changed(&|object| drop(object["sops"].as_object_mut().unwrap().remove("mac")));
    assert!(
        told.starts_with(
            "Secret shop/db has a value that SOPS has encrypted, data.password, and no `sops.mac`"
        ),
        "{told}"
    );
    let told = changed(&|object| drop(object.as_object_mut().unwrap().remove("sops")));
    assert!(told.contains("data.password, and no `sops.mac`"), "{told}");
    let told = changed(&|object| object["data"]["password"] = other["data"]["password"].clone());
    assert!(
        told.contains("the value of data.password cannot be decrypted: it was changed, or moved here"),
        "{told}"
    );
    let told = changed(&|object| object["data"]["user"] = object["data"]["password"].clone());
    assert!(told.contains("the value of data.user cannot be decrypted"), "{told}");
    let told = changed(&|object| object["data"]["admin"] = "aHVudGVyMg==".into());
    assert_eq!(
        told,
        "Secret shop/db: the value of data.admin is not encrypted, though its name says that it is"
    );
    let told = changed(&|object| object["sops"]["age"] = other["sops"]["age"].clone());
    assert!(
        told.contains("no key that was handed over decrypts it: age age1")
            && told.contains("no identity fits"),
        "{told}"
    );
}

#[test]
fn whoever_has_no_key_is_told_which_would_do() {
    let (object, identity) = encrypted(secret());
    let told = decrypted(&object, &Keyring::default()).unwrap_err();
    let recipient = identity.to_public();
    assert!(
        told.contains(&format!("decrypts it: age {recipient}: no age identity was handed over")),
        "{told}"
    );
}

// Attack 18 (Secrets): a key of another account or server is named.
#[test]
fn services_that_are_not_asked_are_named() {
    let (mut object, identity) = encrypted(secret());
    object["sops"]["age"] = json!(null);
    object["sops"]["kms"] = json!([{"arn": "arn:aws:kms:eu-west-1:666666666666:key/evil", "enc": "x", "created_at": "", "aws_profile": ""}]);
    object["sops"]["hckms"] = json!([{"key_id": "tr-west-1:1", "enc": "x", "created_at": ""}]);
    let told = decrypted(&object, &ring(&identity)).unwrap_err();
    assert!(
        told.contains("AWS KMS arn:aws:kms:eu-west-1:666666666666:key/evil: the request was not sent")
            && told.contains("Huawei Cloud KMS tr-west-1:1: Huawei Cloud KMS is not supported"),
        "{told}"
    );
}

#[test]
fn a_key_service_opens_what_its_key_has_encrypted() {
    let (mut object, key) = (secret(), DataKey::generate());
    let plain = Scalar::Text(b"aHVudGVyMg==".to_vec());
    object["data"]["password"] = key.encrypt(&plain, "data:password:").into();
    let arn = "arn:aws:kms:eu-west-1:111122223333:key/1";
    object["sops"] = json!({
        "kms": [{"arn": arn, "enc": STANDARD.encode(key.expose()), "context": {"app": "shop"}}],
        "lastmodified": "2026-01-01T00:00:00Z", "mac": "ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]",
        "encrypted_regex": "^data$",
    });
    let service = move |request: &Request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let is_right = body["KeyId"] == arn && body["EncryptionContext"] == json!({"app": "shop"});
        let answer = json!({"Plaintext": body["CiphertextBlob"]});
        let status = if is_right { 200 } else { 400 };
        Ok(Response { status, headers: Vec::new(), body: answer.to_string().into_bytes() })
    };
    let opened = Host::default().http(service).run(|| decrypted(&object, &Keyring::default()));
    assert_eq!(opened.result, Ok(secret()));
}

#[test]
fn values_that_are_no_keys_are_told_by_their_names() {
    let read = |name: &str, value: &str| {
        let read = Keyring::read([(name.to_owned(), value.as_bytes().to_vec())]);
        read.map(drop).map_err(|errors| errors.as_slice()[0].to_string())
    };
    assert_eq!(read("note.txt", "hunter2"), Ok(()));
    refused(
        &read("a.agekey", "hunter2"),
        "the key \"a.agekey\" cannot be used: it is no age identity, which is a line that starts with AGE-SECRET-KEY-1",
    );
    refused(&read("a.agekey", "# nothing"), "the key \"a.agekey\" cannot be used: it has no identity in it");
    refused(
        &read(
            "a.agekey",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n",
        ),
        "the key \"a.agekey\" cannot be used: it is no private key of SSH",
    );
}

fn refused(told: &Result<(), String>, expected: &str) {
    assert_eq!(told.as_ref().unwrap_err(), expected);
}
