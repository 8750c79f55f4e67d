//! Keys of AWS that are where this controller runs: in its environment, at an agent beside its container, or at the machine.
//!
//! Nobody can lead a request of ours there: what is asked is in variables of the controller or below, and its requests go out by a client of their own. Source: AWS, "Standardized
//! credential providers", "Container credential provider" and "IMDS credential provider".

use jiff::Timestamp;
use plumb_api::Sensitive;
use reqwest::{Method, RequestBuilder};
use url::{Host, Url};

use crate::identity::Tokens;
use crate::identity::aws::{AwsCredentials, HINT, HandedOut, KEYS, TOKEN_FILE};
use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::workload::Environment;

const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const AGENT_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const AGENT_TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const METADATA: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
/// The agent of ECS.
const ECS: &str = "http://169.254.170.2/";
/// Where agents are: those of ECS and of EKS. Everything else but the machine itself is asked over TLS.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
/// The metadata service, over IPv4 and IPv6.
const METADATA_V4: &str = "http://169.254.169.254/";
const METADATA_V6: &str = "http://[fd00:ec2::254]/";
/// How long the word is good for that shows that we may ask, in seconds. It is used at once.
const WORD_SECONDS: &str = "60";

/// Where this controller has keys from.
pub(super) enum Own {
    /// They are in variables.
    Given(AwsCredentials),
    /// A role, by the token in a file.
    Role,
    /// They are handed out here.
    Local(Local),
}

/// Who hands out keys where this controller runs.
pub(super) enum Local {
    /// An agent beside the container: of ECS, or of EKS Pod Identity.
    Agent { url: Url, word: Option<Word> },
    /// The metadata service of the machine (EC2), in its version 2.
    Machine { root: Url },
}

/// What an agent wants to be shown.
pub(super) enum Word {
    /// The agent replaces it now and then.
    InFile(String),
    Given(Sensitive<String>),
}

impl Own {
    /// What the environment tells, in the order of AWS's own libraries.
    pub(super) fn of(environment: &Environment) -> Result<Self, IdentityError> {
        if let (Some(id), Some(secret)) =
            (environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY"))
        {
            return Ok(Self::Given(AwsCredentials {
                access_key_id: id.to_owned(),
                secret_access_key: Sensitive::new(secret.to_owned()),
                session_token: environment
                    .get("AWS_SESSION_TOKEN")
                    .map(|token| Sensitive::new(token.to_owned())),
                expires: Timestamp::MAX,
            }));
        }
        if environment.get(TOKEN_FILE).is_some() {
            return Ok(Self::Role);
        }
        Local::of(environment).map(Self::Local)
    }
}

impl Local {
    fn of(environment: &Environment) -> Result<Self, IdentityError> {
        if let Some(url) = agent(environment)? {
            let word = match (environment.get(AGENT_TOKEN_FILE), environment.get(AGENT_TOKEN)) {
                (Some(file), _) => Some(Word::InFile(file.to_owned())),
                (None, word) => word.map(|word| Word::Given(Sensitive::new(word.to_owned()))),
            };
            return Ok(Self::Agent { url, word });
        }
        if environment
            .get("AWS_EC2_METADATA_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Err(IdentityError::Environment { variable: TOKEN_FILE, hint: HINT });
        }
        let default = match environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") {
            Some(mode) if mode.eq_ignore_ascii_case("ipv6") => METADATA_V6,
            _ => METADATA_V4,
        };
        Ok(Self::Machine { root: environment.endpoint(METADATA, default)? })
    }

    /// What is asked for keys.
    fn origin(&self) -> &Url {
        match self {
            Self::Agent { url, .. } => url,
            Self::Machine { root } => root,
        }
    }

    async fn keys(&self) -> Result<HandedOut<Timestamp>, IdentityError> {
        match self {
            Self::Agent { url, word } => {
                let word = match word {
                    Some(word) => Some(word.read().await?),
                    None => None,
                };
                let show = |request: RequestBuilder| match &word {
                    Some(word) => request.header("authorization", word.expose()),
                    None => request,
                };
                Endpoint::of_this_machine()?.ask(Method::GET, url.clone(), KEYS, show).await
            }
            Self::Machine { root } => keys_of_machine(root).await,
        }
    }
}

/// Where the agent is that the environment names, if it names one.
fn agent(environment: &Environment) -> Result<Option<Url>, IdentityError> {
    if let Some(path) = environment.get(RELATIVE_URI) {
        let what = "the path in AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        let url = Url::parse(ECS).and_then(|root| root.join(path)).ok();
        let url = url.filter(|url| url.as_str().starts_with(ECS));
        return url.map(Some).ok_or(IdentityError::Malformed { what });
    }
    let Some(url) = environment.get(FULL_URI) else { return Ok(None) };
    let what = "the URL in AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let url = Url::parse(url).ok().filter(may_be_agent);
    url.map(Some).ok_or(IdentityError::Malformed { what })
}

/// As AWS's own libraries have it: keys are not carried through a network in the clear.
fn may_be_agent(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_here || url.host_str().is_some_and(|host| AGENTS.contains(&host)),
        _ => false,
    }
}

/// Who may ask has to get a word first, by a request that nobody can be made to send by a link or a redirect.
async fn keys_of_machine(root: &Url) -> Result<HandedOut<Timestamp>, IdentityError> {
    let endpoint = Endpoint::of_this_machine()?;
    let at = |path: &str| {
        let what = "the URL in AWS_EC2_METADATA_SERVICE_ENDPOINT";
        root.join(path).map_err(|_| IdentityError::Malformed { what })
    };
    let ask = |request: RequestBuilder| {
        request.header("x-aws-ec2-metadata-token-ttl-seconds", WORD_SECONDS).header("content-length", "0")
    };
    let word = endpoint.send(Method::PUT, at("latest/api/token")?, "a token of the metadata service", ask);
    let word = word.await.map_err(not_there)?;
    let show = |request: RequestBuilder| request.header("x-aws-ec2-metadata-token", word.expose().as_slice());
    let (roles, what) = ("latest/meta-data/iam/security-credentials/", "the role of this machine");
    let answer = endpoint.send(Method::GET, at(roles)?, what, show).await?;
    let role = std::str::from_utf8(answer.expose()).ok().and_then(|text| text.lines().next());
    let role = role.map(str::trim).filter(|role| is_role(role)).ok_or_else(|| IdentityError::Answer {
        endpoint: root.host_str().unwrap_or_default().to_owned(),
        what,
    })?;
    endpoint.ask(Method::GET, at(&format!("{roles}{role}"))?, KEYS, show).await
}

/// It becomes a part of a path. Source: AWS, "IAM name requirements".
fn is_role(name: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "+=,@_-.".contains(char);
    !name.is_empty() && name.chars().all(is_plain) && !name.chars().all(|char| char == '.')
}

fn not_there(error: IdentityError) -> IdentityError {
    match error {
        IdentityError::Unreachable { reason, .. } => IdentityError::NoMetadata {
            of: "EC2",
            reason,
            hint: "give the service account of the controller a role (eks.amazonaws.com/role-arn, or EKS Pod Identity), or let pods reach the service, which takes a hop limit of 2",
        },
        other => other,
    }
}

impl Word {
    async fn read(&self) -> Result<Sensitive<String>, IdentityError> {
        match self {
            Self::Given(word) => Ok(Sensitive::new(word.expose().clone())),
            Self::InFile(path) => {
                let text = tokio::fs::read_to_string(path).await;
                text.map(|text| Sensitive::new(text.trim().to_owned())).map_err(|error| {
                    IdentityError::TokenFile { variable: AGENT_TOKEN_FILE, reason: error.to_string() }
                })
            }
        }
    }
}

impl Tokens {
    /// What is handed out where this controller runs.
    pub(super) async fn aws_of_machine(&self, local: &Local) -> Result<AwsCredentials, IdentityError> {
        let key = Key::of(&[b"aws local", local.origin().as_str().as_bytes()]);
        self.aws.get_or(key, async { Ok(local.keys().await?.until(|end| end)) }).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn own(pairs: &[(&str, &str)]) -> Result<Own, IdentityError> {
        Own::of(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn told(pairs: &[(&str, &str)]) -> String {
        match own(pairs) {
            Ok(Own::Given(keys)) => format!("key {}", keys.access_key_id),
            Ok(Own::Role) => "role".to_owned(),
            Ok(Own::Local(Local::Agent { url, word })) => {
                format!("agent {url}{}", if word.is_some() { " with a word" } else { "" })
            }
            Ok(Own::Local(Local::Machine { root })) => format!("machine {root}"),
            Err(error) => error.to_string(),
        }
    }

    const KEY: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    const FILE: (&str, &str) = (TOKEN_FILE, "/token");
    const RELATIVE: (&str, &str) = (RELATIVE_URI, "/v2/credentials/1");
    const EKS: (&str, &str) = (FULL_URI, "http://169.254.170.23/v1/credentials");
    const DISABLED: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

    #[rstest]
    #[case(&[KEY[0], KEY[1], FILE, RELATIVE], "key id")]
    #[case(&[KEY[0], FILE, RELATIVE], "role")]
    #[case(&[RELATIVE, EKS], "agent http://169.254.170.2/v2/credentials/1")]
    #[case(&[EKS, (AGENT_TOKEN_FILE, "/word")], "agent http://169.254.170.23/v1/credentials with a word")]
    #[case(&[(FULL_URI, "http://[fd00:ec2::23]/v1"), (AGENT_TOKEN, "word")], "agent http://[fd00:ec2::23]/v1 with a word")]
    #[case(&[(FULL_URI, "https://agent.example.com/")], "agent https://agent.example.com/")]
    #[case(&[DISABLED, EKS], "agent http://169.254.170.23/v1/credentials")]
    #[case(&[], "machine http://169.254.169.254/")]
    #[case(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6")], "machine http://[fd00:ec2::254]/")]
    #[case(&[(METADATA, "http://10.0.0.1:8080")], "machine http://10.0.0.1:8080/")]
    fn keys_are_looked_for_as_by_the_libraries_of_aws(
        #[case] pairs: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        assert_eq!(told(pairs), expected);
    }

    #[rstest]
    #[case::clear(&[(FULL_URI, "http://agent.example.com/")], "the URL in AWS_CONTAINER_CREDENTIALS_FULL_URI is not one")]
    #[case::elsewhere(&[(RELATIVE_URI, "//evil.example.com/")], "the path in AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not one")]
    #[case::scheme(&[(FULL_URI, "file:///x")], "the URL in AWS_CONTAINER_CREDENTIALS_FULL_URI is not one")]
    #[case::garbage(&[(METADATA, "x")], "the variable AWS_EC2_METADATA_SERVICE_ENDPOINT of the controller holds no URL with a host")]
    #[case::disabled(&[DISABLED], "the variable AWS_WEB_IDENTITY_TOKEN_FILE of the controller is not set")]
    fn what_cannot_be_asked_is_told(#[case] pairs: &[(&str, &str)], #[case] expected: &str) {
        assert!(told(pairs).starts_with(expected), "{}", told(pairs));
    }

    #[rstest]
    #[case("node-Role_1@x", true)]
    #[case("", false)]
    #[case("..", false)]
    #[case("a/b", false)]
    #[case("a?b", false)]
    fn a_role_is_no_path(#[case] name: &str, #[case] is_one: bool) {
        assert_eq!(is_role(name), is_one);
    }
}
