use base64::Engine as _;
use http_auth::ChallengeRef;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

/// How a registry wants one to sign in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// With a user name and a password.
    Basic,
    /// With a token of a token server.
    Bearer { realm: Url, service: Option<String> },
}

/// The challenge of an answer that is known here; a token before a password.
pub(crate) fn among(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let challenges: Vec<_> =
        texts.filter_map(|text| http_auth::parse_challenges(text).ok()).flatten().collect();
    let of_scheme =
        |scheme: &str| challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme));
    of_scheme("bearer").and_then(bearer).or_else(|| of_scheme("basic").map(|_| Challenge::Basic))
}

fn bearer(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    let parameter = |name: &str| {
        let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let realm = Url::parse(&parameter("realm")?).ok()?;
    matches!(realm.scheme(), "http" | "https")
        .then(|| Challenge::Bearer { realm, service: parameter("service") })
}

/// The value of `Authorization` for a user name and a password.
pub(crate) fn basic(username: &str, password: &str) -> String {
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    format!("Basic {both}")
}

/// The token in the answer of a token server, by either of the names that it may have.
pub(crate) fn token(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    answer.token.or(answer.access_token).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.parse().unwrap(), service: service.map(str::to_owned) })
    }

    #[rstest]
    #[case(&[r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull""#], bearer("https://auth.docker.io/token", Some("registry.docker.io")))]
    #[case(&[r#"bearer realm="https://h/t""#], bearer("https://h/t", None))]
    #[case(&[r#"Basic realm="x""#], Some(Challenge::Basic))]
    #[case(&[r#"Basic realm="x""#, r#"Bearer realm="https://h/t""#], bearer("https://h/t", None))]
    #[case(&[r#"Bearer realm="file:///etc/passwd""#], None)]
    #[case(&[r#"Bearer realm="not a url""#], None)]
    #[case(&["Negotiate"], None)]
    #[case(&[r#"Bearer realm=""#], None)]
    #[case(&[], None)]
    fn the_challenge_that_is_known_is_taken(#[case] headers: &[&str], #[case] expected: Option<Challenge>) {
        let headers = headers.iter().map(|text| (WWW_AUTHENTICATE, text.parse().unwrap())).collect();
        assert_eq!(among(&headers), expected);
    }

    #[rstest]
    #[case(r#"{"token": "a", "expires_in": 300}"#, Some("a"))]
    #[case(r#"{"access_token": "b"}"#, Some("b"))]
    #[case(r#"{"token": ""}"#, None)]
    #[case("hunter2", None)]
    fn a_token_has_one_of_two_names(#[case] answer: &str, #[case] expected: Option<&str>) {
        assert_eq!(token(answer.as_bytes()).as_deref(), expected);
    }
}
