use std::collections::BTreeMap;

use plumb_api::Sensitive;

use crate::git::url::{GitUrl, Scheme};
use crate::transport::{InvalidSecret, Transport, text};

/// How to reach a server, and how to sign in to it.
#[derive(Clone, Default)]
pub struct Credentials {
    /// How to sign in.
    pub login: Login,
    /// How to reach it. For `ssh`, only the proxy and the addresses matter.
    pub transport: Transport,
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

impl Credentials {
    /// Reads the data of a Secret, with the keys of Flux.
    ///
    /// For `http` and `https`: `bearerToken`, or `username` and `password` (either may be missing); and what [`Transport::from_secret`] reads.
    /// For `ssh`: `identity`, `known_hosts`, and `password` when the key has one. Source: Flux, "Git Repositories", `secretRef`.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>, url: &GitUrl) -> Result<Self, InvalidSecret> {
        Ok(match url.scheme() {
            Scheme::Ssh => Self { login: Login::Ssh(ssh_key(data)?), transport: Transport::default() },
            Scheme::Http => Self { login: http_login(data)?, transport: Transport::from_secret(data)? },
        })
    }
}

fn http_login(data: &BTreeMap<String, Vec<u8>>) -> Result<Login, InvalidSecret> {
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

fn ssh_key(data: &BTreeMap<String, Vec<u8>>) -> Result<SshKey, InvalidSecret> {
    let needed =
        |missing, because| data.get(missing).cloned().ok_or(InvalidSecret::Missing { missing, because });
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

    fn read(url: &str, keys: &[&str]) -> Result<Credentials, InvalidSecret> {
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
        assert_eq!(read("https://h/r", &[key]).ok().unwrap().transport.ca.is_some(), there);
    }

    #[rstest]
    #[case("https://h/r", &["tls.crt"], "the secret has no key \"tls.key\", which is needed with tls.crt, the client certificate")]
    #[case("ssh://h/r", &["known_hosts"], "the secret has no key \"identity\", which is needed to sign in over ssh: the private key")]
    #[case("ssh://h/r", &["identity"], "the secret has no key \"known_hosts\", which is needed to know the host over ssh: the output of ssh-keyscan HOST")]
    fn what_is_missing_is_named(#[case] url: &str, #[case] keys: &[&str], #[case] message: &str) {
        assert_eq!(read(url, keys).err().unwrap().to_string(), message);
    }

    #[test]
    fn a_value_that_is_not_text_is_refused() {
        let data = BTreeMap::from([("password".to_owned(), vec![0xff])]);
        let read = Credentials::from_secret(&data, &GitUrl::parse("https://h/r").unwrap());
        assert_eq!(read.err(), Some(InvalidSecret::NotText("password")));
    }
}
