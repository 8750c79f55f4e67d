use std::collections::BTreeMap;
use std::fmt;

use plumb_api::Sensitive;
use url::Url;

use crate::percent::decoded;
use crate::transport::secret::{InvalidSecret, text};

/// A server that connections go through.
///
/// The names of hosts are resolved by the proxy, not here, so what they lead to is not looked at: a proxy decides for itself what it reaches. Its own address, and hosts
/// that are written as addresses, are.
#[derive(Clone)]
pub struct Proxy {
    /// Without user and password.
    url: Url,
    kind: ProxyKind,
    login: Option<ProxyLogin>,
}

/// What a proxy asks for before it connects.
#[derive(Clone)]
pub struct ProxyLogin {
    /// The user name; may be empty.
    pub username: String,
    /// The password; may be empty.
    pub password: Sensitive<String>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// HTTP, with `CONNECT` for everything but plain HTTP.
    Http,
    /// The same over TLS.
    Https,
    /// SOCKS 5.
    Socks,
}

impl Proxy {
    /// Reads the data of a Secret with the keys of Flux: `address`, a URL with `http`, `https`, `socks5` or `socks5h`; `username` and `password` when the
    /// proxy asks for them. Source: Flux, "Git Repositories", `proxySecretRef`.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, InvalidSecret> {
        let because = "to know the proxy: a URL such as http://HOST:PORT or socks5://HOST:PORT";
        let address = text(data, "address")?.ok_or(InvalidSecret::Missing { missing: "address", because })?;
        let login = match (text(data, "username")?, text(data, "password")?) {
            (None, None) => None,
            (username, password) => Some(ProxyLogin {
                username: username.unwrap_or_default(),
                password: Sensitive::new(password.unwrap_or_default()),
            }),
        };
        Self::new(address.trim(), login).map_err(|reason| InvalidSecret::Unusable { key: "address", reason })
    }

    /// Of a URL. A user and a password in it are used when no other ones are given. The error does not repeat the URL.
    fn new(address: &str, login: Option<ProxyLogin>) -> Result<Self, String> {
        let mut url = Url::parse(address).map_err(|error| error.to_string())?;
        let kind = match url.scheme() {
            "http" => ProxyKind::Http,
            "https" => ProxyKind::Https,
            "socks5" | "socks5h" => ProxyKind::Socks,
            scheme => return Err(format!("{scheme:?} is not a kind of proxy; use http, https or socks5")),
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err("it names no host".to_owned());
        }
        let in_url = (!url.username().is_empty() || url.password().is_some()).then(|| ProxyLogin {
            username: decoded(url.username()),
            password: Sensitive::new(decoded(url.password().unwrap_or_default())),
        });
        // A URL that has a host can be without a user and a password.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self { url, kind, login: login.or(in_url) })
    }

    /// Where it is, without user and password.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What it asks for, if it does.
    pub fn login(&self) -> Option<&ProxyLogin> {
        self.login.as_ref()
    }

    pub(crate) fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(1080)
    }

    /// For an HTTP client: everything goes through it.
    pub(crate) fn for_client(&self) -> reqwest::Result<reqwest::Proxy> {
        let mut url = self.url.clone();
        // To this client, `socks5` means that names are resolved here; to Flux it does not.
        if self.kind == ProxyKind::Socks {
            let _ = url.set_scheme("socks5h");
        }
        let proxy = reqwest::Proxy::all(url)?;
        let Some(login) = &self.login else { return Ok(proxy) };
        // The client puts them into the URL, escapes all but `%`, and unescapes everything.
        let username = login.username.replace('%', "%25");
        let password = Sensitive::new(login.password.expose().replace('%', "%25"));
        Ok(proxy.basic_auth(&username, password.expose()))
    }
}

/// The address, without user and password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.url)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Proxy, InvalidSecret> {
        let data = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Proxy::from_secret(&data)
    }

    #[rstest]
    #[case("http://proxy.com", ProxyKind::Http, "http://proxy.com/", 80)]
    #[case("http://proxy.com:3128\n", ProxyKind::Http, "http://proxy.com:3128/", 3128)]
    #[case("https://proxy.com", ProxyKind::Https, "https://proxy.com/", 443)]
    #[case("socks5://proxy.com", ProxyKind::Socks, "socks5://proxy.com", 1080)]
    #[case("socks5h://proxy.com:99", ProxyKind::Socks, "socks5h://proxy.com:99", 99)]
    fn the_address_is_read(
        #[case] address: &str,
        #[case] kind: ProxyKind,
        #[case] url: &str,
        #[case] port: u16,
    ) {
        let proxy = read(&[("address", address)]).unwrap();
        assert_eq!((proxy.kind(), proxy.url().as_str(), proxy.port()), (kind, url, port));
        assert!(proxy.login().is_none());
    }

    #[rstest]
    #[case(&[("address", "http://p"), ("username", "ada"), ("password", "p:w@+")], "ada/p:w@+")]
    #[case(&[("address", "http://p"), ("username", "ada")], "ada/")]
    #[case(&[("address", "http://a%40b:p%3Aw%26%2B+=@p")], "a@b/p:w&++=")]
    #[case(&[("address", "http://eve:evil@p"), ("username", "ada"), ("password", "pw")], "ada/pw")]
    fn the_login_is_kept_apart(#[case] pairs: &[(&str, &str)], #[case] login: &str) {
        let proxy = read(pairs).unwrap();
        let found = proxy.login().unwrap();
        assert_eq!(format!("{}/{}", found.username, found.password.expose()), login);
        assert_eq!(format!("{proxy:?}"), "Proxy(http://p/)");
    }

    #[rstest]
    #[case(&[], "the secret has no key \"address\", which is needed to know the proxy: a URL such as http://HOST:PORT or socks5://HOST:PORT")]
    #[case(&[("address", "ftp://u:hunter2@p")], "the value of \"address\" in the secret cannot be used: \"ftp\" is not a kind of proxy; use http, https or socks5")]
    #[case(&[("address", "proxy.com")], "the value of \"address\" in the secret cannot be used: relative URL without a base")]
    #[case(&[("address", "socks5://")], "the value of \"address\" in the secret cannot be used: it names no host")]
    fn what_cannot_be_used_is_told(#[case] pairs: &[(&str, &str)], #[case] message: &str) {
        assert_eq!(read(pairs).unwrap_err().to_string(), message);
    }
}
