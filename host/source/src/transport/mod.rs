//! What every kind of source needs to reach a server: whom to trust, how to show who one is, the way through a proxy, and where not to go.
//!
//! In go Secrets with the keys of Flux; out comes an HTTP client. Nothing here knows what is fetched.

mod addresses;
mod proxy;
mod resolver;
mod secret;
mod tunnel;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use plumb_api::Sensitive;
use reqwest::redirect;
use url::Url;

use crate::foreign::with_causes;

pub use addresses::{AddressPolicy, AddressRefused, InvalidNetwork};
pub use proxy::{Proxy, ProxyLogin};
pub use secret::InvalidSecret;

pub(crate) use secret::text;
pub(crate) use tunnel::{Tunnel, TunnelError};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// As many as browsers and Go follow, about.
const MAX_REDIRECTS: usize = 10;

/// How servers are reached.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// Certificates in PEM of authorities that are trusted besides those of the system.
    pub ca: Option<Vec<u8>>,
    /// What is shown to a server that asks for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// What connections go through. Without one, the variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of this process tell.
    pub proxy: Option<Proxy>,
    /// Where they must not lead.
    pub addresses: AddressPolicy,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate in PEM, and those between it and its authority.
    pub cert: Vec<u8>,
    /// The private key in PEM.
    pub key: Sensitive<Vec<u8>>,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientCertificate")
    }
}

/// Why no client can be made, or why it sends nothing. The messages hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The authority in the Secret is not one.
    #[error("ca.crt of the secret cannot be used: {0}")]
    Authority(String),
    /// The certificate or the key in the Secret is not one, or they do not belong together.
    #[error("tls.crt and tls.key of the secret cannot be used: {0}")]
    ClientCertificate(String),
    /// The proxy in the Secret cannot be used.
    #[error("the proxy {url} cannot be used: {reason}")]
    Proxy {
        /// Where it is, without user and password.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The server, or the proxy, is where nobody may go.
    #[error(transparent)]
    Refused(#[from] AddressRefused),
    /// This host cannot make a client.
    #[error("this host cannot make an HTTP client: {0}")]
    Host(String),
}

impl Transport {
    /// Reads the data of a Secret with the keys of Flux: `ca.crt`, and `tls.crt` with `tls.key`; or the older `caFile`, `certFile` and `keyFile`, which are
    /// looked at where the newer ones are missing. Other keys are left to others. Proxy and addresses are as by default.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, InvalidSecret> {
        let value = |key: &str, older: &str| data.get(key).or_else(|| data.get(older)).cloned();
        let missing = |missing, because| InvalidSecret::Missing { missing, because };
        let client_certificate = match (value("tls.crt", "certFile"), value("tls.key", "keyFile")) {
            (Some(cert), Some(key)) => Some(ClientCertificate { cert, key: Sensitive::new(key) }),
            (None, None) => None,
            (Some(_), None) => return Err(missing("tls.key", "with tls.crt, the client certificate")),
            (None, Some(_)) => return Err(missing("tls.crt", "with tls.key, the key of the certificate")),
        };
        Ok(Self { ca: value("ca.crt", "caFile"), client_certificate, ..Self::default() })
    }

    /// A client that goes where it may. It follows redirects, but not from `https` to `http`, and takes credentials to no other host.
    ///
    /// Who uses it calls [`check`](Self::check) with the first URL, and bounds the time and the size of answers.
    pub fn client(&self) -> Result<reqwest::Client, TransportError> {
        self.build(self.client_builder()?)
    }

    /// The same, for those who set more. A policy for redirects that replaces this one has to [`check`](Self::check) where they lead.
    pub fn client_builder(&self) -> Result<reqwest::ClientBuilder, TransportError> {
        let mut builder = reqwest::Client::builder()
            .dns_resolver(resolver::Guarded::new(self.addresses.clone(), resolver::system))
            .redirect(redirects(self.addresses.clone()))
            .connect_timeout(CONNECT_TIMEOUT)
            .referer(false);
        if let Some(ca) = &self.ca {
            builder = builder.tls_certs_merge(authorities(ca)?);
        }
        if let Some(certificate) = &self.client_certificate {
            builder = builder.identity(certificate.identity()?);
        }
        if let Some(proxy) = &self.proxy {
            self.addresses.check(proxy.url())?;
            let unusable = |error: reqwest::Error| TransportError::Proxy {
                url: proxy.url().to_string(),
                reason: told(&error.without_url()),
            };
            builder = builder.proxy(proxy.for_client().map_err(unusable)?);
        }
        Ok(builder)
    }

    /// Makes a client of a builder that [`client_builder`](Self::client_builder) has made.
    pub fn build(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::Client, TransportError> {
        builder.build().map_err(|error| match &self.client_certificate {
            // What else can fail was looked at before.
            Some(_) => TransportError::ClientCertificate(told(&error)),
            None => TransportError::Host(told(&error)),
        })
    }

    /// Refuses a URL whose host is written as an address that must not be reached. Clients look at names, but not at addresses: call this before a URL of
    /// somebody else is used.
    pub fn check(&self, url: &Url) -> Result<(), AddressRefused> {
        self.addresses.check(url)
    }
}

impl ClientCertificate {
    fn identity(&self) -> Result<reqwest::Identity, TransportError> {
        let both = Sensitive::new([self.cert.as_slice(), b"\n", self.key.expose()].concat());
        reqwest::Identity::from_pem(both.expose())
            .map_err(|error| TransportError::ClientCertificate(told(&error)))
    }
}

fn authorities(ca: &[u8]) -> Result<Vec<reqwest::Certificate>, TransportError> {
    let certificates =
        reqwest::Certificate::from_pem_bundle(ca).map_err(|error| TransportError::Authority(told(&error)))?;
    if certificates.is_empty() {
        return Err(TransportError::Authority("it holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

/// What a library says is wrong, without the words that it starts all errors with.
fn told(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| with_causes(error), with_causes)
}

/// Why a redirect is not followed.
#[derive(Debug, thiserror::Error)]
enum RedirectRefused {
    #[error("it redirects from https to http")]
    Downgrade,
    #[error("it redirects too often")]
    TooMany,
}

/// Follows redirects of the web to where one may go. The client itself takes `Authorization` to no other host.
fn redirects(addresses: AddressPolicy) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let was_https = attempt.previous().iter().any(|url| url.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error(RedirectRefused::TooMany);
        }
        if was_https && attempt.url().scheme() != "https" {
            return attempt.error(RedirectRefused::Downgrade);
        }
        match addresses.check(attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn read(keys: &[&str]) -> Result<Transport, InvalidSecret> {
        let data =
            keys.iter().map(|key| ((*key).to_owned(), format!("value of {key}").into_bytes())).collect();
        Transport::from_secret(&data)
    }

    #[rstest]
    #[case(&[], [None, None, None])]
    #[case(&["username", "password"], [None, None, None])]
    #[case(&["ca.crt"], [Some("ca.crt"), None, None])]
    #[case(&["caFile", "certFile", "keyFile"], [Some("caFile"), Some("certFile"), Some("keyFile")])]
    #[case(&["tls.crt", "tls.key"], [None, Some("tls.crt"), Some("tls.key")])]
    #[case(&["ca.crt", "caFile", "tls.crt", "certFile", "tls.key", "keyFile"], [Some("ca.crt"), Some("tls.crt"), Some("tls.key")])]
    fn the_keys_of_flux_are_read(#[case] keys: &[&str], #[case] expected: [Option<&str>; 3]) {
        let transport = read(keys).unwrap();
        let certificate = transport.client_certificate.as_ref();
        let found = [
            transport.ca.clone(),
            certificate.map(|certificate| certificate.cert.clone()),
            certificate.map(|certificate| certificate.key.expose().clone()),
        ];
        assert_eq!(found, expected.map(|key| key.map(|key| format!("value of {key}").into_bytes())));
    }

    #[rstest]
    #[case(&["tls.crt"], "the secret has no key \"tls.key\", which is needed with tls.crt, the client certificate")]
    #[case(&["keyFile"], "the secret has no key \"tls.crt\", which is needed with tls.key, the key of the certificate")]
    fn one_half_of_a_certificate_is_refused(#[case] keys: &[&str], #[case] message: &str) {
        assert_eq!(read(keys).unwrap_err().to_string(), message);
    }

    #[rstest]
    #[case(&["ca.crt"], "ca.crt of the secret cannot be used: it holds no certificate in PEM")]
    #[case(&["tls.crt", "tls.key"], "tls.crt and tls.key of the secret cannot be used: unexpected error: private key or certificate not found")]
    fn what_is_no_certificate_is_told(#[case] keys: &[&str], #[case] message: &str) {
        assert_eq!(read(keys).unwrap().client().unwrap_err().to_string(), message);
    }

    // Attack 6 (sources): the proxy of a tenant is a way to reach an address, too.
    #[test]
    fn a_proxy_is_not_where_nobody_may_go() {
        let data = BTreeMap::from([("address".to_owned(), b"http://169.254.169.254".to_vec())]);
        let proxy = Some(Proxy::from_secret(&data).unwrap());
        let error = Transport { proxy, ..Transport::default() }.client().unwrap_err();
        assert!(matches!(error, TransportError::Refused(_)), "{error:?}");
    }
}
