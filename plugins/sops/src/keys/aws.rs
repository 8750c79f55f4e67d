//! AWS KMS (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumbline_plugin::http::Request;
use serde_json::json;
use zeroize::Zeroizing;

use super::service::{Answer, ask, is_name};

/// The header that tells the host which role to assume first.
const ROLE: &str = "x-plumbline-role";

/// What the service says that a data key is. The context is what the data key was encrypted together with.
pub(super) fn open(
    arn: &str,
    role: &str,
    context: &BTreeMap<String, String>,
    enc: &str,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let region = region(arn).ok_or("that is no ARN of a key or an alias")?;
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let mut request = Request::new("POST", format!("https://kms.{region}.{domain}/"));
    if !role.is_empty() {
        request = request.header(ROLE, role);
    }
    let mut body = json!({"KeyId": arn, "CiphertextBlob": enc});
    if !context.is_empty() {
        body["EncryptionContext"] = json!(context);
    }
    let answer = ask(request, &body)?;
    if answer.status != 200 {
        return Err(refusal(&answer));
    }
    let plain = answer.text("/Plaintext").and_then(|plain| STANDARD.decode(&*plain).ok());
    plain.map(Zeroizing::new).ok_or_else(|| "the answer of AWS KMS is not that to a decryption".to_owned())
}

/// `arn:aws:kms:REGION:ACCOUNT:key/ID`, or of an alias.
fn region(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "kms", region, account, key] = parts[..] else { return None };
    let is_key = key.strip_prefix("key/").or_else(|| key.strip_prefix("alias/"));
    let is_one = partition.starts_with("aws") && account.bytes().all(|byte| byte.is_ascii_digit());
    (is_one && is_name(region, "-") && is_key.is_some_and(|name| !name.is_empty())).then_some(region)
}

fn refusal(answer: &Answer) -> String {
    let (user, kind) = (&answer.user, answer.text("/__type"));
    let kind = kind.as_ref().map(|kind| kind.rsplit('#').next().unwrap_or_default());
    match kind.unwrap_or_default() {
        "AccessDeniedException" => format!(
            "AWS KMS does not let {user} decrypt with this key; the policy of the key, or of the role, has to allow kms:Decrypt"
        ),
        "InvalidCiphertextException" | "IncorrectKeyException" => {
            "AWS KMS says that this key has not encrypted the data key, or not in this context".to_owned()
        }
        "NotFoundException" => "AWS KMS has no such key in this region".to_owned(),
        "DisabledException" | "KMSInvalidStateException" | "KeyUnavailableException" => {
            "the key is disabled, or about to be deleted".to_owned()
        }
        "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
            format!("AWS does not take the credentials of {user}: they are wrong, or over")
        }
        _ => format!("AWS KMS answers with the status {}", answer.status),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::Value;

    use super::super::service::tests::answering;
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd";

    /// A service with one key, which turns bytes around.
    fn kms(request: &Request, body: Value) -> (u16, Value) {
        let refused = |kind: &str| (400, json!({"__type": kind, "message": "hunter2"}));
        let is_as_role =
            request.headers.iter().any(|(name, value)| name == ROLE && value == b"arn:aws:iam::1:role/r");
        match request.url.as_str() {
            "https://kms.eu-west-1.amazonaws.com/" | "https://kms.cn-north-1.amazonaws.com.cn/" => {}
            "https://kms.us-east-1.amazonaws.com/" => return refused("NotFoundException"),
            _ => return (500, json!("hunter2")),
        }
        if body["EncryptionContext"]["role"] == "needed" && !is_as_role {
            return refused("com.amazonaws.kms#AccessDeniedException");
        }
        let sealed = STANDARD.decode(body["CiphertextBlob"].as_str().unwrap()).unwrap_or_default();
        match sealed.first() {
            Some(b'!') => refused("InvalidCiphertextException"),
            Some(b'?') => refused("UnrecognizedClientException"),
            Some(b'.') => refused("DisabledException"),
            Some(b',') => (200, json!({"Plaintext": 1})),
            Some(_) => (
                200,
                json!({"KeyId": body["KeyId"], "Plaintext": STANDARD.encode(sealed.into_iter().rev().collect::<Vec<_>>())}),
            ),
            None => (503, json!({"__type": "KMSInternalException"})),
        }
    }

    fn opened(arn: &str, role: &str, context: &[(&str, &str)], sealed: &[u8]) -> Result<Vec<u8>, String> {
        let context = context.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let enc = STANDARD.encode(sealed);
        answering(kms, || open(arn, role, &context, &enc).map(|key| key.to_vec()))
    }

    #[test]
    fn the_key_of_an_arn_decrypts_in_its_region() {
        assert_eq!(opened(ARN, "", &[], b"yek"), Ok(b"key".to_vec()));
        let china = "arn:aws-cn:kms:cn-north-1:111122223333:alias/sops";
        assert_eq!(opened(china, "", &[("app", "shop")], b"yek"), Ok(b"key".to_vec()));
        let (role, context) = ("arn:aws:iam::1:role/r", [("role", "needed")]);
        assert_eq!(opened(ARN, role, &context, b"yek"), Ok(b"key".to_vec()));
    }

    // Attack 18 (Secrets): an ARN that would lead elsewhere.
    #[test]
    fn what_is_no_arn_is_not_asked_for() {
        for arn in [
            "",
            "alias/sops",
            "arn:aws:kms:evil.example/:1:key/1",
            "arn:aws:kms:eu-west-1.evil.example:1:key/1",
            "arn:aws:kms::1:key/1",
            "arn:aws:kms:eu-west-1:1:key/",
            "arn:aws:s3:eu-west-1:1:key/1",
            "arn:evil:kms:eu-west-1:1:key/1",
        ] {
            assert_eq!(
                opened(arn, "", &[], b"yek").unwrap_err(),
                "that is no ARN of a key or an alias",
                "{arn}"
            );
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_nothing_of_the_answer() {
        let refused = |sealed: &[u8]| opened(ARN, "", &[], sealed).unwrap_err();
        assert_eq!(
            opened(ARN, "", &[("role", "needed")], b"yek").unwrap_err(),
            "AWS KMS does not let the controller decrypt with this key; the policy of the key, or of the role, has to allow kms:Decrypt"
        );
        assert_eq!(
            opened(&ARN.replace("eu-west-1", "us-east-1"), "", &[], b"yek").unwrap_err(),
            "AWS KMS has no such key in this region"
        );
        assert_eq!(
            refused(b"!"),
            "AWS KMS says that this key has not encrypted the data key, or not in this context"
        );
        assert_eq!(
            refused(b"?"),
            "AWS does not take the credentials of the controller: they are wrong, or over"
        );
        assert_eq!(refused(b"."), "the key is disabled, or about to be deleted");
        assert_eq!(refused(b","), "the answer of AWS KMS is not that to a decryption");
        assert_eq!(refused(b""), "AWS KMS answers with the status 503");
    }
}
