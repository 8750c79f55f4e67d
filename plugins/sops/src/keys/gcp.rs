//! Google Cloud KMS (<https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/decrypt>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumbline_plugin::http::Request;
use serde_json::json;
use zeroize::Zeroizing;

use super::service::{Answer, ask, is_name};

/// What the service says that a data key is.
pub(super) fn open(resource: &str, enc: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    if !is_key(resource) {
        return Err("that is no projects/…/locations/…/keyRings/…/cryptoKeys/…".to_owned());
    }
    let request = Request::new("POST", format!("https://cloudkms.googleapis.com/v1/{resource}:decrypt"));
    let answer = ask(request, &json!({ "ciphertext": enc }))?;
    if answer.status != 200 {
        return Err(refusal(&answer));
    }
    let plain = answer.text("/plaintext").and_then(|plain| STANDARD.decode(&*plain).ok());
    plain
        .map(Zeroizing::new)
        .ok_or_else(|| "the answer of Google Cloud KMS is not that to a decryption".to_owned())
}

fn is_key(resource: &str) -> bool {
    let parts: Vec<&str> = resource.split('/').collect();
    let ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", key] = parts[..] else {
        return false;
    };
    // Projects of organisations have the domain before their name.
    is_name(project, "-_.:") && [location, ring, key].into_iter().all(|name| is_name(name, "-_."))
}

fn refusal(answer: &Answer) -> String {
    let (user, kind) = (&answer.user, answer.text("/error/status"));
    match (answer.status, kind.as_ref().map_or("", |kind| kind.as_str())) {
        (401, _) => format!("Google Cloud does not take the credentials of {user}: they are wrong, or over"),
        (403, _) => format!(
            "Google Cloud KMS does not let {user} decrypt with this key, or has no such key; give it the role roles/cloudkms.cryptoKeyDecrypter"
        ),
        (404, _) => "Google Cloud KMS has no such key".to_owned(),
        (400, "FAILED_PRECONDITION") => "the version of the key is disabled, or destroyed".to_owned(),
        (400, _) => "Google Cloud KMS says that this key has not encrypted the data key".to_owned(),
        (status, _) => format!("Google Cloud KMS answers with the status {status}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::Value;

    use super::super::service::tests::answering;
    use super::*;

    const KEY: &str = "projects/shop/locations/global/keyRings/sops/cryptoKeys/key";

    /// A service with one key, which turns bytes around.
    fn kms(request: &Request, body: Value) -> (u16, Value) {
        if request.url != format!("https://cloudkms.googleapis.com/v1/{KEY}:decrypt") {
            return (403, json!({"error": {"status": "PERMISSION_DENIED", "message": "hunter2"}}));
        }
        let sealed = STANDARD.decode(body["ciphertext"].as_str().unwrap()).unwrap();
        let refused = |status, kind: &str| (status, json!({"error": {"status": kind, "message": "hunter2"}}));
        match sealed.as_slice() {
            b"401" => refused(401, "UNAUTHENTICATED"),
            b"404" => refused(404, "NOT_FOUND"),
            b"off" => refused(400, "FAILED_PRECONDITION"),
            b"bad" => refused(400, "INVALID_ARGUMENT"),
            b"odd" => (200, json!({})),
            b"503" => (503, json!("hunter2")),
            sealed => {
                (200, json!({"plaintext": STANDARD.encode(sealed.iter().rev().copied().collect::<Vec<_>>())}))
            }
        }
    }

    fn opened(resource: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let enc = STANDARD.encode(sealed);
        answering(kms, || open(resource, &enc).map(|key| key.to_vec()))
    }

    // Attack 18 (Secrets): a name that would lead elsewhere.
    #[test]
    fn a_key_decrypts_and_nothing_else_is_asked_for() {
        assert_eq!(opened(KEY, b"yek"), Ok(b"key".to_vec()));
        for resource in [
            "",
            "projects/shop",
            "projects/shop/locations/global/keyRings/sops/cryptoKeys/key/cryptoKeyVersions/1",
            "projects/shop/locations/global/keyRings/../cryptoKeys/a/b",
            "projects/shop/locations/global/keyRings/sops/cryptoKeys/key?x=y",
            "projects/shop/locations/global/keyRings/so%2fps/cryptoKeys/key",
        ] {
            let told = opened(resource, b"yek").unwrap_err();
            assert_eq!(told, "that is no projects/…/locations/…/keyRings/…/cryptoKeys/…", "{resource}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_nothing_of_the_answer() {
        let refused = |sealed: &[u8]| opened(KEY, sealed).unwrap_err();
        assert_eq!(
            opened(&KEY.replace("shop", "other"), b"yek").unwrap_err(),
            "Google Cloud KMS does not let the controller decrypt with this key, or has no such key; give it the role roles/cloudkms.cryptoKeyDecrypter"
        );
        assert_eq!(
            refused(b"401"),
            "Google Cloud does not take the credentials of the controller: they are wrong, or over"
        );
        assert_eq!(refused(b"404"), "Google Cloud KMS has no such key");
        assert_eq!(refused(b"off"), "the version of the key is disabled, or destroyed");
        assert_eq!(refused(b"bad"), "Google Cloud KMS says that this key has not encrypted the data key");
        assert_eq!(refused(b"odd"), "the answer of Google Cloud KMS is not that to a decryption");
        assert_eq!(refused(b"503"), "Google Cloud KMS answers with the status 503");
    }
}
