use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use plumb_api::Sensitive;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::identity::Token;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::external_account::unusable;
use crate::identity::gcp::{AccessToken, SCOPES, WHAT};
use crate::transport::Transport;

/// How long the word of an account is good for, in seconds. It is used at once; Google takes up to an hour.
const LIFETIME_SECONDS: i64 = 120;
/// How far Google's clock may be behind ours, in seconds.
const SKEW_SECONDS: i64 = 30;

/// A service account of Google by its key. Source: Google, "Using OAuth 2.0 for Server to Server Applications".
pub(super) struct GoogleKey {
    pub(super) email: String,
    key: Sensitive<String>,
    id: String,
    exchange: Url,
}

/// The file of a key.
#[derive(Deserialize)]
pub(super) struct KeyFile {
    client_email: Option<String>,
    private_key: Option<String>,
    #[serde(default)]
    private_key_id: String,
    token_uri: Option<Url>,
}

impl GoogleKey {
    /// What is wrong with a file is told without a value.
    pub(super) fn of(file: KeyFile) -> Result<Self, &'static str> {
        let key = file.private_key.map(Sensitive::new).ok_or("it has no private_key")?;
        EncodingKey::from_rsa_pem(key.expose().as_bytes())
            .map_err(|_| "its private_key is not an RSA key in PEM")?;
        Ok(Self {
            email: file.client_email.ok_or("it has no client_email")?,
            key,
            id: file.private_key_id,
            exchange: file.token_uri.ok_or("it has no token_uri")?,
        })
    }

    pub(super) async fn token(&self, transport: &Transport) -> Result<Token, IdentityError> {
        let now = Timestamp::now();
        let word = self.word(now)?;
        let form =
            [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", word.expose())];
        let answer: AccessToken = Endpoint::new(transport)?
            .ask(Method::POST, self.exchange.clone(), WHAT, |request| request.form(&form))
            .await?;
        Ok(answer.token(now))
    }

    /// What the account says of itself, signed.
    fn word(&self, now: Timestamp) -> Result<Sensitive<String>, IdentityError> {
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            scope: String,
            aud: &'a str,
            iat: i64,
            exp: i64,
        }
        let cannot = |_| unusable("its private_key cannot sign");
        let iat = now.as_second() - SKEW_SECONDS;
        let claims = Claims {
            iss: &self.email,
            scope: SCOPES.join(" "),
            aud: self.exchange.as_str(),
            iat,
            exp: iat + LIFETIME_SECONDS,
        };
        let key = EncodingKey::from_rsa_pem(self.key.expose().as_bytes()).map_err(cannot)?;
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &key).map(Sensitive::new).map_err(cannot)
    }
}
