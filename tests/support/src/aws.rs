use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{ApiRequest, ApiServer};

/// A server that answers as AWS KMS and as the token service of AWS do. It has one key, [`Aws::KEY`], and takes only what is signed by somebody whom it knows,
/// for its service and region.
#[derive(Debug)]
pub struct Aws(ApiServer);

/// Keys of a user of [`Aws`], or of a session of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    /// The name of the key.
    pub id: String,
    /// The key.
    pub secret: String,
    /// What is sent along by sessions of roles.
    pub token: Option<String>,
}

impl Aws {
    /// The key that there is.
    pub const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd";
    /// A role that may use it.
    pub const ROLE: &str = "arn:aws:iam::111122223333:role/reader";
    /// One that may not.
    pub const OTHER_ROLE: &str = "arn:aws:iam::111122223333:role/other";

    /// Starts it on a free port.
    pub fn start() -> anyhow::Result<Self> {
        ApiServer::start(answer).map(Self)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        self.0.origin()
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<ApiRequest> {
        self.0.seen()
    }

    /// A user who may use the key.
    pub fn reader() -> AwsKeys {
        AwsKeys { id: "AKIDREADER".to_owned(), secret: "canary-of-the-reader".to_owned(), token: None }
    }

    /// One who may not, but may assume both roles.
    pub fn nobody() -> AwsKeys {
        AwsKeys { id: "AKIDNOBODY".to_owned(), secret: "canary-of-nobody".to_owned(), token: None }
    }
}

impl AwsKeys {
    /// As Flux has them in a Secret, under `sops.aws-kms`.
    pub fn yaml(&self) -> String {
        let Self { id, secret, token } = self;
        let token = token.as_ref().map_or(String::new(), |token| format!("aws_session_token: {token}\n"));
        format!("aws_access_key_id: {id}\naws_secret_access_key: {secret}\n{token}")
    }

    fn of_role(arn: &str) -> Self {
        let name = arn.rsplit('/').next().unwrap_or_default();
        Self {
            id: format!("ASIA{name}"),
            secret: format!("secret of {arn}"),
            token: Some(format!("session of {arn}")),
        }
    }

    fn all() -> [Self; 4] {
        [Aws::reader(), Aws::nobody(), Self::of_role(Aws::ROLE), Self::of_role(Aws::OTHER_ROLE)]
    }

    fn may_use_the_key(&self) -> bool {
        [Aws::reader(), Self::of_role(Aws::ROLE)].contains(self)
    }
}

fn answer(request: &ApiRequest) -> (u16, Value) {
    let refused = |kind: &str| (400, json!({"__type": kind, "message": "canary-of-the-answer"}));
    let form: BTreeMap<String, String> =
        reqwest::Url::parse(&format!("http://aws/?{}", request.body.replace('#', "%23")))
            .map(|url| url.query_pairs().into_owned().collect())
            .unwrap_or_default();
    let action = form.get("Action").map(String::as_str).unwrap_or_default();
    if action == "AssumeRoleWithWebIdentity" {
        return match form.get("WebIdentityToken").is_some_and(|token| !token.is_empty()) {
            true => session(action, &form),
            false => refused("InvalidIdentityToken"),
        };
    }
    let service = if action.is_empty() { "kms" } else { "sts" };
    let Some(user) = signer(request, service) else { return refused("InvalidSignatureException") };
    if action == "AssumeRole" {
        return if user == Aws::nobody() {
            session(action, &form)
        } else {
            (403, json!("canary-of-the-answer"))
        };
    }
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    if body["KeyId"] != Aws::KEY {
        return refused("NotFoundException");
    }
    if !user.may_use_the_key() {
        return refused("AccessDeniedException");
    }
    let context = body.get("EncryptionContext").filter(|context| **context != json!({})).cloned();
    match request.headers.get("x-amz-target").map(String::as_str) {
        Some("TrentService.Encrypt") => {
            let sealed = json!({"key": Aws::KEY, "context": context, "plain": body["Plaintext"]});
            (200, json!({"KeyId": Aws::KEY, "CiphertextBlob": STANDARD.encode(sealed.to_string())}))
        }
        Some("TrentService.Decrypt") => {
            let sealed = body["CiphertextBlob"].as_str().and_then(|sealed| STANDARD.decode(sealed).ok());
            let sealed: Value = serde_json::from_slice(&sealed.unwrap_or_default()).unwrap_or_default();
            if sealed["key"] != Aws::KEY || sealed["context"] != json!(context) {
                return refused("InvalidCiphertextException");
            }
            (200, json!({"KeyId": Aws::KEY, "Plaintext": sealed["plain"]}))
        }
        _ => refused("UnknownOperationException"),
    }
}

fn session(action: &str, form: &BTreeMap<String, String>) -> (u16, Value) {
    let role = form.get("RoleArn").map(String::as_str).unwrap_or_default();
    if ![Aws::ROLE, Aws::OTHER_ROLE].contains(&role) {
        return (403, json!("canary-of-the-answer"));
    }
    let AwsKeys { id, secret, token } = AwsKeys::of_role(role);
    // In the year 2100.
    let keys = json!({"AccessKeyId": id, "SecretAccessKey": secret, "SessionToken": token, "Expiration": 4_102_444_800.0});
    let result = json!({format!("{action}Result"): {"Credentials": keys}});
    (200, json!({format!("{action}Response"): result}))
}

/// Who has signed a request for a service in the region of the key, if it is somebody who is known. Source: AWS, "Signature Version 4 signing process".
fn signer(request: &ApiRequest, service: &str) -> Option<AwsKeys> {
    let authorization = request.authorization.as_deref()?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let fields: BTreeMap<&str, &str> =
        authorization.split(',').filter_map(|field| field.trim().split_once('=')).collect();
    let (id, scope) = fields.get("Credential")?.split_once('/')?;
    let names = *fields.get("SignedHeaders")?;
    let date = scope.split('/').next()?;
    if scope != format!("{date}/eu-west-1/{service}/aws4_request") {
        return None;
    }
    let user = AwsKeys::all().into_iter().find(|user| user.id == id)?;
    if request.headers.get("x-amz-security-token") != user.token.as_ref() {
        return None;
    }
    let mut lines = String::new();
    for name in names.split(';') {
        lines.push_str(&format!("{name}:{}\n", request.headers.get(name)?.trim()));
    }
    let digest = |text: &str| hex::encode(Sha256::digest(text));
    let canonical =
        format!("{}\n{}\n\n{lines}\n{names}\n{}", request.method, request.path, digest(&request.body));
    let time = request.headers.get("x-amz-date")?;
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", digest(&canonical));
    let first = format!("AWS4{}", user.secret).into_bytes();
    let signature = scope.split('/').chain([to_sign.as_str()]).fold(first, |key, part| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of every length");
        mac.update(part.as_bytes());
        mac.finalize().into_bytes().to_vec()
    });
    (fields.get("Signature") == Some(&hex::encode(signature).as_str())).then_some(user)
}
