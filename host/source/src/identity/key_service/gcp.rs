use serde::Deserialize;
use url::Url;

use super::{KeyUser, read, send, unusable};
use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Answered;
use crate::identity::google_key::{GoogleKey, KeyFile};
use crate::identity::{Token, Tokens};
use crate::transport::{InvalidSecret, Transport};

pub(super) const SECRET_KEY: &str = "sops.gcp-kms";
const HOST: &str = "cloudkms.googleapis.com";
const API: &str = "https://cloudkms.googleapis.com/";
/// The variable by which `gcloud` finds the API elsewhere.
const OVERRIDE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS";

/// A key of Google Cloud KMS, as the path of the request that decrypts with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoogleKms {
    path: String,
}

impl GoogleKms {
    pub(super) fn of(url: &Url) -> Option<Self> {
        if url.host_str() != Some(HOST) || url.query().is_some() {
            return None;
        }
        let path = url.path();
        let parts: Vec<&str> = path.strip_prefix("/v1/")?.strip_suffix(":decrypt")?.split('/').collect();
        let ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", key] =
            parts.as_slice()
        else {
            return None;
        };
        // Projects of organisations have the domain before their name.
        let is_name = |name: &&str, more: &str| {
            let is_plain =
                |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char) || more.contains(char);
            !name.is_empty() && name.chars().all(is_plain)
        };
        let is_key = is_name(project, ":") && [location, ring, key].into_iter().all(|name| is_name(name, ""));
        is_key.then(|| Self { path: path.to_owned() })
    }

    /// Source: Google, `projects.locations.keyRings.cryptoKeys.decrypt` of Cloud KMS.
    pub(super) async fn decrypt(
        &self,
        tokens: &Tokens,
        user: &KeyUser,
        body: String,
        transport: &Transport,
    ) -> Result<Answered, IdentityError> {
        let mut endpoint = user.environment().endpoint(OVERRIDE, API)?;
        endpoint.set_path(&self.path);
        let token = match user {
            KeyUser::Secret { value, .. } => token(tokens, value.expose(), transport).await?,
            KeyUser::Workload(workload) => tokens.gcp(workload, transport).await?,
        };
        send(endpoint, &token, body, transport).await
    }
}

/// The file of a key, as Google gives it out.
#[derive(Deserialize)]
struct File {
    r#type: String,
    #[serde(flatten)]
    key: KeyFile,
}

/// Other types of this file lead to files and programs of the machine, and are refused.
fn of_secret(value: &[u8]) -> Result<GoogleKey, InvalidSecret> {
    let file: File = read(SECRET_KEY, value, "it is not the JSON of a service account's key")?;
    if file.r#type != "service_account" {
        let reason =
            "its type is not service_account; use spec.decryption.serviceAccountName for other identities";
        return Err(unusable(SECRET_KEY, reason));
    }
    GoogleKey::of(file.key).map_err(|reason| unusable(SECRET_KEY, reason))
}

async fn token(tokens: &Tokens, value: &[u8], transport: &Transport) -> Result<Token, IdentityError> {
    // Not under the same name as a token of the controller: a value is what a tenant has written.
    let key = Key::of(&[b"gcp key of a secret", value]);
    tokens.tokens.get_or(key, async { of_secret(value)?.token(transport).await }).await
}
