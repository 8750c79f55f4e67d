use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// A certificate authority that nobody trusts, a certificate of it for `127.0.0.1` and `localhost`, and one for a client.
#[derive(Clone)]
pub struct Authority {
    ca_pem: String,
    ca: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: Arc<KeyPair>,
    client_pem: String,
    client_key_pem: String,
    demands_certificates: bool,
}

impl Authority {
    /// Makes one.
    pub fn new() -> anyhow::Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate()?;
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let client_key = KeyPair::generate()?;
        let client =
            CertificateParams::new(vec!["client.test".to_owned()])?.signed_by(&client_key, &issuer)?;
        Ok(Self {
            ca_pem: ca_certificate.pem(),
            ca: ca_certificate.der().clone(),
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key: Arc::new(key),
            client_pem: client.pem(),
            client_key_pem: client_key.serialize_pem(),
            demands_certificates: false,
        })
    }

    /// The same, but its servers let in only who shows a certificate of this authority.
    pub fn demanding_certificates(self) -> Self {
        Self { demands_certificates: true, ..self }
    }

    /// The certificate of a server and its key in PEM, for servers that read them from files.
    pub fn server(&self) -> (&str, String) {
        (&self.certificate_pem, self.key.serialize_pem())
    }

    /// The certificate of a client and its key in PEM, as `tls.crt` and `tls.key` of a Secret have them.
    pub fn client(&self) -> (&str, &str) {
        (&self.client_pem, &self.client_key_pem)
    }

    /// The certificate of the authority in PEM, as `ca.crt` of a Secret has it.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// Accepts connections over TLS.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, authority: &Authority) -> anyhow::Result<Self> {
        let key =
            PrivateKeyDer::try_from(authority.key.serialize_der()).ok().context("the key was made above")?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let config = if authority.demands_certificates {
            let mut roots = RootCertStore::empty();
            roots.add(authority.ca.clone())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let config = config.with_single_cert(vec![authority.certificate.clone()], key)?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// The next client that trusts us. One that does not goes away.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
