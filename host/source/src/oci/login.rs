use std::collections::BTreeMap;

use base64::Engine as _;
use plumb_api::Sensitive;
use serde::Deserialize;

use crate::oci::url::OciUrl;

/// How to sign in to a registry.
#[derive(Clone, Default)]
pub enum OciLogin {
    /// Not at all.
    #[default]
    Anonymous,
    /// With a user name and a password.
    Basic {
        /// The user name.
        username: String,
        /// The password or token.
        password: Sensitive<String>,
    },
    /// With a token that the registry's token server exchanges for another, as `docker login` gets it from some clouds.
    Identity(Sensitive<String>),
    /// With a token for the registry itself.
    Bearer(Sensitive<String>),
}

/// The logins of some Secrets, each for the registries and repositories that it names.
///
/// It is read and matched as by Docker and Kubernetes: a name may be a host, `*.example.com`, a host with a port, a URL such as `https://index.docker.io/v1/`,
/// and may go on with a path; the longest one that fits a repository is used. Source: Kubernetes, "Images", "Interpretation of config.json".
#[derive(Clone, Default)]
pub struct OciLogins(Vec<(Pattern, OciLogin)>);

/// A Secret that holds no logins. The messages name keys, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogin {
    /// There is no key with logins.
    #[error(
        "the secret has no key \".dockerconfigjson\"; make it with kubectl create secret docker-registry NAME"
    )]
    Missing,
    /// What the key holds is not a configuration of Docker.
    #[error("the value of {key:?} in the secret is not a configuration of Docker: {reason}")]
    Malformed {
        /// The key.
        key: &'static str,
        /// Where it is wrong.
        reason: &'static str,
    },
    /// One of the logins cannot be read.
    #[error("the login for {registry:?} in the secret cannot be read: {reason}")]
    Login {
        /// The name that it is for.
        registry: String,
        /// What is wrong.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
    #[serde(default, rename = "registrytoken")]
    registry_token: String,
}

impl OciLogins {
    /// Adds the logins of the data of a Secret of type `kubernetes.io/dockerconfigjson`, or the older `kubernetes.io/dockercfg`. Where two Secrets have a
    /// login for the same name, the first one counts.
    pub fn add_secret(&mut self, data: &BTreeMap<String, Vec<u8>>) -> Result<(), InvalidLogin> {
        const CONFIG: &str = ".dockerconfigjson";
        const OLDER: &str = ".dockercfg";
        // What serde says may repeat a value.
        let malformed = |key| InvalidLogin::Malformed { key, reason: "it is not JSON of the expected form" };
        let auths = match (data.get(CONFIG), data.get(OLDER)) {
            (Some(config), _) => {
                serde_json::from_slice::<DockerConfig>(config).map_err(|_| malformed(CONFIG))?.auths
            }
            (None, Some(older)) => serde_json::from_slice(older).map_err(|_| malformed(OLDER))?,
            (None, None) => return Err(InvalidLogin::Missing),
        };
        for (registry, auth) in auths {
            let failed = |reason| InvalidLogin::Login { registry: registry.clone(), reason };
            let pattern =
                Pattern::parse(&registry).ok_or_else(|| failed("its name is not that of a registry"))?;
            self.0.push((pattern, login(auth).map_err(failed)?));
        }
        // The sort is stable.
        self.0.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.specificity()));
        Ok(())
    }

    /// The login for a repository; anonymous when there is none.
    pub fn login(&self, url: &OciUrl) -> OciLogin {
        let fitting = self.0.iter().find(|(pattern, _)| pattern.fits(url));
        fitting.map(|(_, login)| login.clone()).unwrap_or_default()
    }
}

fn login(auth: DockerAuth) -> Result<OciLogin, &'static str> {
    let DockerAuth { username, password, auth, identity_token, registry_token } = auth;
    if !registry_token.is_empty() {
        return Ok(OciLogin::Bearer(Sensitive::new(registry_token)));
    }
    if !identity_token.is_empty() {
        return Ok(OciLogin::Identity(Sensitive::new(identity_token)));
    }
    if auth.is_empty() {
        return Ok(match (username.as_str(), password.as_str()) {
            ("", "") => OciLogin::Anonymous,
            _ => OciLogin::Basic { username, password: Sensitive::new(password) },
        });
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(auth.trim()).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).map(Sensitive::new);
    let decoded = decoded.ok_or("its auth is not Base64 of text")?;
    // Docker pads the field with NUL bytes.
    let (username, password) =
        decoded.expose().trim_end_matches('\0').split_once(':').ok_or("its auth has no colon")?;
    Ok(OciLogin::Basic { username: username.to_owned(), password: Sensitive::new(password.to_owned()) })
}

/// What a login is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// Each may hold `*`.
    host: Vec<String>,
    port: Option<String>,
    path: Vec<String>,
}

impl Pattern {
    fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
        let (authority, path) = name.split_once('/').unwrap_or((name, ""));
        // The addresses of the API stand for the whole host.
        let path = match path.split_once('/').unwrap_or((path, "")) {
            ("v1" | "v2", rest) => rest,
            _ => path,
        };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (authority, None),
        };
        let host =
            if host == "docker.io" || host == "registry-1.docker.io" { "index.docker.io" } else { host };
        let path = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let host = host.split('.').map(str::to_ascii_lowercase).collect();
        (!authority.is_empty()).then_some(Self { host, port, path })
    }

    fn fits(&self, url: &OciUrl) -> bool {
        let (host, port) = match url.registry().split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (url.registry(), None),
        };
        let host: Vec<String> = host.split('.').map(str::to_ascii_lowercase).collect();
        let mut path = url.repository().split('/');
        self.port.as_deref() == port
            && self.host.len() == host.len()
            && self.host.iter().zip(&host).all(|(pattern, part)| globs(pattern, part))
            && self.path.iter().all(|part| path.next() == Some(part))
    }

    /// Longer paths go before shorter ones, and hosts without `*` before those with one.
    fn specificity(&self) -> (usize, usize) {
        (self.path.len(), self.host.iter().filter(|part| !part.contains('*')).count())
    }
}

/// Whether a part of a host fits, where `*` stands for any text within the part.
fn globs(pattern: &str, part: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == part };
    let Some(mut left) = part.strip_prefix(start) else { return false };
    let Some((middle, end)) = rest.rsplit_once('*') else { return left.ends_with(rest) };
    for piece in middle.split('*') {
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn logins(config: &str) -> Result<OciLogins, InvalidLogin> {
        let mut logins = OciLogins::default();
        logins.add_secret(&BTreeMap::from([(".dockerconfigjson".to_owned(), config.as_bytes().to_vec())]))?;
        Ok(logins)
    }

    fn told(login: &OciLogin) -> String {
        match login {
            OciLogin::Anonymous => "anonymous".to_owned(),
            OciLogin::Basic { username, password } => format!("{username}:{}", password.expose()),
            OciLogin::Identity(token) => format!("identity {}", token.expose()),
            OciLogin::Bearer(token) => format!("bearer {}", token.expose()),
        }
    }

    /// The table of Kubernetes, "Interpretation of config.json", and what `docker login` writes.
    #[rstest]
    #[case("ghcr.io", "oci://ghcr.io/myorg/a", true)]
    #[case("https://ghcr.io", "oci://ghcr.io/myorg/a", true)]
    #[case("https://ghcr.io/v2/", "oci://ghcr.io/myorg/a", true)]
    #[case("GHCR.io", "oci://ghcr.io/myorg/a", true)]
    #[case("ghcr.io/myorg", "oci://ghcr.io/myorg/a", true)]
    #[case("ghcr.io/myorg/a", "oci://ghcr.io/myorg/a", true)]
    #[case("ghcr.io/my", "oci://ghcr.io/myorg/a", false)]
    #[case("ghcr.io/myorg/a/b", "oci://ghcr.io/myorg/a", false)]
    #[case("ghcr.io", "oci://ghcr.io:5000/myorg/a", false)]
    #[case("ghcr.io:5000", "oci://ghcr.io:5000/myorg/a", true)]
    #[case("ghcr.io:5000", "oci://ghcr.io/myorg/a", false)]
    #[case("*.example.com", "oci://eu.example.com/a", true)]
    #[case("*.example.com", "oci://example.com/a", false)]
    #[case("*.example.com", "oci://a.b.example.com/a", false)]
    #[case("eu-*.example.com", "oci://eu-west.example.com/a", true)]
    #[case("e*-w*t.example.com", "oci://eu-west.example.com/a", true)]
    #[case("e*-e*t.example.com", "oci://eu-west.example.com/a", false)]
    #[case("example.com", "oci://example.com.evil.org/a", false)]
    #[case("https://index.docker.io/v1/", "oci://docker.io/myorg/a", true)]
    #[case("docker.io", "oci://myorg/a", true)]
    fn a_login_is_for_the_registry_that_it_names(#[case] name: &str, #[case] url: &str, #[case] fits: bool) {
        let logins =
            logins(&format!(r#"{{"auths": {{"{name}": {{"username": "ada", "password": "pw"}}}}}}"#))
                .unwrap();
        let expected = if fits { "ada:pw" } else { "anonymous" };
        assert_eq!(told(&logins.login(&OciUrl::parse(url).unwrap())), expected);
    }

    #[rstest]
    #[case(r#"{"username": "ada", "password": "p:w"}"#, "ada:p:w")]
    #[case(r#"{"auth": "YWRhOnA6dw=="}"#, "ada:p:w")]
    #[case(r#"{"auth": "YWRhOnA6dw==", "username": "eve", "password": "x", "email": "a@b"}"#, "ada:p:w")]
    #[case(r#"{"auth": "YWRhOg==", "identitytoken": "t"}"#, "identity t")]
    #[case(r#"{"registrytoken": "t"}"#, "bearer t")]
    #[case("{}", "anonymous")]
    fn the_fields_of_docker_are_read(#[case] auth: &str, #[case] login: &str) {
        let logins = logins(&format!(r#"{{"auths": {{"h.io": {auth}}}}}"#)).unwrap();
        assert_eq!(told(&logins.login(&OciUrl::parse("oci://h.io/a").unwrap())), login);
    }

    #[test]
    fn the_most_exact_name_counts_and_of_equal_ones_the_first() {
        let mut logins = logins(
            r#"{"auths": {"*.io": {"registrytoken": "any"}, "h.io": {"registrytoken": "host"}, "h.io/team": {"registrytoken": "team"}}}"#,
        )
        .unwrap();
        let second = br#"{"h.io": {"registrytoken": "second"}, "other.org": {"registrytoken": "other"}}"#;
        logins.add_secret(&BTreeMap::from([(".dockercfg".to_owned(), second.to_vec())])).unwrap();
        let login = |url: &str| told(&logins.login(&OciUrl::parse(url).unwrap()));
        assert_eq!(login("oci://h.io/team/a"), "bearer team");
        assert_eq!(login("oci://h.io/a"), "bearer host");
        assert_eq!(login("oci://g.io/a"), "bearer any");
        assert_eq!(login("oci://other.org/a"), "bearer other");
    }

    // Attack 19 (secrets): what is wrong is told without the value.
    #[rstest]
    #[case(
        r#"{"auths": {"h.io": "hunter2"}}"#,
        "the value of \".dockerconfigjson\" in the secret is not a configuration of Docker: it is not JSON of the expected form"
    )]
    #[case(
        r#"{"auths": {"h.io": {"auth": "hunter2"}}}"#,
        "the login for \"h.io\" in the secret cannot be read: its auth is not Base64 of text"
    )]
    #[case(
        r#"{"auths": {"h.io": {"auth": "aHVudGVyMg=="}}}"#,
        "the login for \"h.io\" in the secret cannot be read: its auth has no colon"
    )]
    #[case(
        r#"{"auths": {"https://": {}}}"#,
        "the login for \"https://\" in the secret cannot be read: its name is not that of a registry"
    )]
    fn what_is_wrong_is_told_without_the_value(#[case] config: &str, #[case] message: &str) {
        assert_eq!(logins(config).err().unwrap().to_string(), message);
    }

    #[test]
    fn a_secret_of_another_kind_is_told() {
        let error =
            OciLogins::default().add_secret(&BTreeMap::from([("username".to_owned(), b"ada".to_vec())]));
        assert_eq!(error, Err(InvalidLogin::Missing));
    }
}
