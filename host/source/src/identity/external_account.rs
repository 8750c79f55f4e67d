use plumb_api::Sensitive;
use serde::Deserialize;
use url::Url;

use crate::identity::error::IdentityError;
use crate::identity::gcp::Federation;
use crate::identity::google_key::{GoogleKey, KeyFile};
use crate::identity::workload::Environment;

/// The variable that names the file.
pub(super) const CONFIGURATION: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const HINT: &str = "mount the file that gcloud iam workload-identity-pools create-cred-config has made, or the key of a service account";

/// Who this controller is, as the file says that `GOOGLE_APPLICATION_CREDENTIALS` names.
pub(super) enum Configured {
    /// Somebody whom Google Cloud trusts.
    External(ExternalAccount),
    /// Who has a key.
    Key(GoogleKey),
}

/// Who this controller is outside of Google Cloud: a token in a file, and what becomes of it. Source: Google, AIP-4117.
pub(super) struct ExternalAccount {
    pub(super) federation: Federation,
    source: FileSource,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum File {
    ExternalAccount(Configuration),
    ServiceAccount(KeyFile),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    audience: String,
    #[serde(default)]
    subject_token_type: String,
    token_url: Option<Url>,
    service_account_impersonation_url: Option<Url>,
    credential_source: Option<CredentialSource>,
}

#[derive(Deserialize)]
struct CredentialSource {
    file: Option<String>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(default)]
    r#type: String,
    subject_token_field_name: Option<String>,
}

struct FileSource {
    path: String,
    /// In which field of JSON it is; without one, the file is the token.
    field: Option<String>,
}

impl Configured {
    pub(super) async fn read(environment: &Environment) -> Result<Self, IdentityError> {
        let text = environment.token(CONFIGURATION, HINT).await?;
        // What is wrong is told without a value: the file may hold a key.
        match serde_json::from_str(text.expose()) {
            Ok(File::ExternalAccount(configuration)) => {
                ExternalAccount::of(configuration).map(Self::External)
            }
            Ok(File::ServiceAccount(file)) => GoogleKey::of(file).map(Self::Key).map_err(unusable),
            Ok(File::Other) => Err(unusable("its type is neither external_account nor service_account")),
            Err(_) => Err(unusable("it is not the JSON of an identity")),
        }
    }
}

impl ExternalAccount {
    fn of(configuration: Configuration) -> Result<Self, IdentityError> {
        let Configuration { audience, subject_token_type, token_url, credential_source, .. } = configuration;
        let exchange = token_url.ok_or_else(|| unusable("it has no token_url"))?;
        let source = credential_source
            .and_then(|source| Some((source.file?, source.format)))
            .ok_or_else(|| unusable("it has no credential_source.file; other sources are not supported"))?;
        let field = match (source.1.r#type.as_str(), source.1.subject_token_field_name) {
            ("" | "text", _) => None,
            ("json", Some(field)) => Some(field),
            _ => return Err(unusable("its credential_source.format is neither text nor json with a field")),
        };
        let impersonation = configuration.service_account_impersonation_url;
        Ok(Self {
            federation: Federation { audience, subject_token_type, exchange, impersonation },
            source: FileSource { path: source.0, field },
        })
    }

    /// The token that becomes one of Google Cloud.
    pub(super) async fn subject(&self) -> Result<Sensitive<String>, IdentityError> {
        let FileSource { path, field } = &self.source;
        let text = tokio::fs::read_to_string(path).await.map(Sensitive::new);
        let text = text.map_err(|error| IdentityError::TokenFile {
            variable: "credential_source.file of GOOGLE_APPLICATION_CREDENTIALS",
            reason: error.to_string(),
        })?;
        let Some(field) = field else { return Ok(Sensitive::new(text.expose().trim().to_owned())) };
        let value = serde_json::from_str::<serde_json::Value>(text.expose()).ok();
        let token = value.as_ref().and_then(|value| value.get(field)?.as_str());
        token
            .map(|token| Sensitive::new(token.to_owned()))
            .ok_or_else(|| unusable("its credential_source.file has no text in the field that it names"))
    }
}

pub(super) fn unusable(reason: &'static str) -> IdentityError {
    IdentityError::Configuration { variable: CONFIGURATION, reason }
}
