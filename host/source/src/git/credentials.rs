use std::collections::BTreeMap;

use plumb_api::Sensitive;

use crate::git::url::{GitUrl, Scheme};

/// How to sign in to a server, and which authorities to trust besides those of the system.
#[derive(Clone, Default)]
pub struct Credentials {
    /// How to sign in.
    pub login: Login,
    /// Certificates in PEM that are trusted besides those of the system; for `https` only.
    pub ca: Option<Vec<u8>>,
}

/// How to sign in to a server.
#[derive(Clone, Default)]
pub enum Login {
    /// Not at all.
    #[default]
    Anonymous,
    /// With a user name and a password, or a token in the place of either.
    Basic {
        /// The user name; may be empty.
        username: String,
        /// The password or token; may be empty.
        password: Sensitive<String>,
    },
    /// With a token in an `Authorization: Bearer` header.
    Bearer(Sensitive<String>),
    /// With a key, to a host whose key is known.
    Ssh(SshKey),
}

/// What is needed to sign in over SSH.
#[derive(Clone)]
pub struct SshKey {
    /// The private key, as `ssh-keygen` writes it.
    pub identity: Sensitive<Vec<u8>>,
    /// The password of the private key, where it has one.
    pub password: Option<Sensitive<String>>,
    /// The keys that the host may have, in the format of `known_hosts`.
    pub known_hosts: Vec<u8>,
}

/// A Secret that does not hold what the URL needs. The messages name keys, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// A key that must be there with others, or for this kind of URL, is not.
    #[error("the secret has no key {missing:?}, which is needed {because}")]
    Missing {
        /// The key that is missing.
        missing: &'static str,
        /// Why it is needed.
        because: &'static str,
    },
    /// A value is not text.
    #[error("the value of {0:?} in the secret is not UTF-8 text")]
    NotText(&'static str),
    /// A key asks for a way to sign in that is not there yet.
    #[error("the key {key:?} of the secret asks for {way}, which is not supported yet")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// What it asks for.
        way: &'static str,
    },
}

/// Keys of Flux that are read by nothing yet. Whoever set them expects them to be used.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("githubAppID", "a GitHub App"),
    ("githubAppInstallationID", "a GitHub App"),
    ("githubAppInstallationOwner", "a GitHub App"),
    ("githubAppPrivateKey", "a GitHub App"),
    ("tls.crt", "a client certificate"),
    ("tls.key", "a client certificate"),
    ("certFile", "a client certificate"),
    ("keyFile", "a client certificate"),
];

impl Credentials {
    /// Reads the data of a Secret, with the keys of Flux.
    ///
    /// For `http` and `https`: `bearerToken`, or `username` and `password` (either may be missing); and `ca.crt` or the older `caFile`.
    /// For `ssh`: `identity`, `known_hosts`, and `password` when the key has one. Source: Flux, "Git Repositories", `secretRef`.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>, url: &GitUrl) -> Result<Self, InvalidCredentials> {
        if let Some(&(key, way)) = UNSUPPORTED.iter().find(|(key, _)| data.contains_key(*key)) {
            return Err(InvalidCredentials::Unsupported { key, way });
        }
        match url.scheme() {
            Scheme::Ssh => Ok(Self { login: Login::Ssh(ssh_key(data)?), ca: None }),
            Scheme::Http => Ok(Self {
                login: http_login(data)?,
                ca: data.get("ca.crt").or_else(|| data.get("caFile")).cloned(),
            }),
        }
    }
}

fn text(data: &BTreeMap<String, Vec<u8>>, key: &'static str) -> Result<Option<String>, InvalidCredentials> {
    data.get(key)
        .map(|value| String::from_utf8(value.clone()).map_err(|_| InvalidCredentials::NotText(key)))
        .transpose()
}

fn http_login(data: &BTreeMap<String, Vec<u8>>) -> Result<Login, InvalidCredentials> {
    if let Some(token) = text(data, "bearerToken")? {
        return Ok(Login::Bearer(Sensitive::new(token)));
    }
    Ok(match (text(data, "username")?, text(data, "password")?) {
        (None, None) => Login::Anonymous,
        (username, password) => Login::Basic {
            username: username.unwrap_or_default(),
            password: Sensitive::new(password.unwrap_or_default()),
        },
    })
}

fn ssh_key(data: &BTreeMap<String, Vec<u8>>) -> Result<SshKey, InvalidCredentials> {
    let needed =
        |missing, because| data.get(missing).cloned().ok_or(InvalidCredentials::Missing { missing, because });
    Ok(SshKey {
        identity: Sensitive::new(needed("identity", "to sign in over ssh: the private key")?),
        known_hosts: needed("known_hosts", "to know the host over ssh: the output of ssh-keyscan HOST")?,
        password: text(data, "password")?.map(Sensitive::new),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn read(url: &str, keys: &[&str]) -> Result<Credentials, InvalidCredentials> {
        let data =
            keys.iter().map(|key| ((*key).to_owned(), format!("value of {key}").into_bytes())).collect();
        Credentials::from_secret(&data, &GitUrl::parse(url).unwrap())
    }

    fn told(login: &Login) -> String {
        match login {
            Login::Anonymous => "anonymous".to_owned(),
            Login::Basic { username, password } => format!("basic {username}/{}", password.expose()),
            Login::Bearer(token) => format!("bearer {}", token.expose()),
            Login::Ssh(key) => format!("ssh, password {}", key.password.is_some()),
        }
    }

    #[rstest]
    #[case("https://h/r", &[], "anonymous")]
    #[case("https://h/r", &["username", "password"], "basic value of username/value of password")]
    #[case("https://h/r", &["password"], "basic /value of password")]
    #[case("https://h/r", &["username", "password", "bearerToken"], "bearer value of bearerToken")]
    #[case("https://h/r", &["identity", "known_hosts"], "anonymous")]
    #[case("ssh://h/r", &["identity", "identity.pub", "known_hosts"], "ssh, password false")]
    #[case("ssh://h/r", &["identity", "known_hosts", "password"], "ssh, password true")]
    fn the_keys_of_flux_are_read(#[case] url: &str, #[case] keys: &[&str], #[case] login: &str) {
        assert_eq!(told(&read(url, keys).ok().unwrap().login), login);
    }

    #[rstest]
    #[case("ca.crt", true)]
    #[case("caFile", true)]
    #[case("username", false)]
    fn the_authority_is_read(#[case] key: &str, #[case] there: bool) {
        assert_eq!(read("https://h/r", &[key]).ok().unwrap().ca.is_some(), there);
    }

    #[rstest]
    #[case("https://h/r", &["githubAppID"], "the key \"githubAppID\" of the secret asks for a GitHub App, which is not supported yet")]
    #[case("https://h/r", &["tls.crt"], "the key \"tls.crt\" of the secret asks for a client certificate, which is not supported yet")]
    #[case("ssh://h/r", &["known_hosts"], "the secret has no key \"identity\", which is needed to sign in over ssh: the private key")]
    #[case("ssh://h/r", &["identity"], "the secret has no key \"known_hosts\", which is needed to know the host over ssh: the output of ssh-keyscan HOST")]
    fn what_is_missing_or_unknown_is_named(#[case] url: &str, #[case] keys: &[&str], #[case] message: &str) {
        assert_eq!(read(url, keys).err().unwrap().to_string(), message);
    }

    #[test]
    fn a_value_that_is_not_text_is_refused() {
        let data = BTreeMap::from([("password".to_owned(), vec![0xff])]);
        let read = Credentials::from_secret(&data, &GitUrl::parse("https://h/r").unwrap());
        assert_eq!(read.err(), Some(InvalidCredentials::NotText("password")));
    }
}
