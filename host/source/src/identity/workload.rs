use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use plumb_api::Sensitive;
use url::Url;

use crate::identity::error::IdentityError;

/// Whose identity is used towards a cloud.
#[derive(Clone)]
pub enum Workload {
    /// That of this controller, as the cloud tells it by variables of the environment.
    Controller(Environment),
    /// That of a service account, as its annotations tell.
    ServiceAccount(ServiceAccount),
}

/// Variables of the environment.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

/// A service account and somebody who gets tokens for it.
#[derive(Clone)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its annotations, which name its identity in the cloud.
    pub annotations: BTreeMap<String, String>,
    /// Who gets its tokens.
    pub tokens: Arc<dyn ServiceAccountTokens>,
    /// The variables of this controller: which cloud it is, but not whose identity.
    pub environment: Environment,
}

/// Gets tokens for one service account from Kubernetes (`TokenRequest`).
pub trait ServiceAccountTokens: Send + Sync {
    /// A token for this audience; or why there is none, without secrets.
    fn token<'a>(&'a self, audience: &'a str) -> BoxFuture<'a, Result<Sensitive<String>, String>>;
}

impl Workload {
    /// The variables of this controller: which cloud it is.
    pub(crate) fn environment(&self) -> &Environment {
        match self {
            Self::Controller(environment) => environment,
            Self::ServiceAccount(account) => &account.environment,
        }
    }
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    pub(crate) fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where an API is: as a variable says, or else at `default`.
    pub(crate) fn endpoint(&self, variable: &'static str, default: &str) -> Result<Url, IdentityError> {
        let url = Url::parse(self.get(variable).unwrap_or(default)).ok().filter(Url::has_host);
        url.ok_or(IdentityError::Url { variable })
    }

    pub(crate) fn need(&self, variable: &'static str, hint: &'static str) -> Result<&str, IdentityError> {
        self.get(variable).ok_or(IdentityError::Environment { variable, hint })
    }

    /// The text of the file that a variable names. The cloud replaces it every hour or so.
    pub(crate) async fn token(
        &self,
        variable: &'static str,
        hint: &'static str,
    ) -> Result<Sensitive<String>, IdentityError> {
        let file = self.need(variable, hint)?;
        let text = tokio::fs::read_to_string(file).await;
        text.map(|text| Sensitive::new(text.trim().to_owned()))
            .map_err(|error| IdentityError::TokenFile { variable, reason: error.to_string() })
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl ServiceAccount {
    /// `NAMESPACE/NAME`.
    pub(crate) fn account(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(crate) fn annotation(&self, annotation: &'static str) -> Result<&str, IdentityError> {
        self.optional(annotation)
            .ok_or_else(|| IdentityError::Annotation { account: self.account(), annotation })
    }

    pub(crate) fn optional(&self, annotation: &str) -> Option<&str> {
        self.annotations.get(annotation).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub(crate) async fn token(&self, audience: &str) -> Result<Sensitive<String>, IdentityError> {
        let token = self.tokens.token(audience).await;
        token.map_err(|reason| IdentityError::ServiceAccount { account: self.account(), reason })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, Ok("https://sts.example.com/"))]
    #[case(Some(""), Ok("https://sts.example.com/"))]
    #[case(Some("http://127.0.0.1:4566"), Ok("http://127.0.0.1:4566/"))]
    #[case(
        Some("127.0.0.1:4566"),
        Err("the variable AWS_ENDPOINT_URL_STS of the controller holds no URL with a host")
    )]
    #[case(
        Some("mailto:a"),
        Err("the variable AWS_ENDPOINT_URL_STS of the controller holds no URL with a host")
    )]
    fn an_api_is_where_a_variable_says(#[case] value: Option<&str>, #[case] expected: Result<&str, &str>) {
        let variables = value.map(|value| ("AWS_ENDPOINT_URL_STS".to_owned(), value.to_owned()));
        let environment: Environment = variables.into_iter().collect();
        let endpoint = environment.endpoint("AWS_ENDPOINT_URL_STS", "https://sts.example.com/");
        let told = endpoint.as_ref().map(Url::as_str).map_err(ToString::to_string);
        assert_eq!(told, expected.map_err(str::to_owned));
    }
}
