//! Connections for programs that do not know of proxies and of addresses that must not be reached.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use base64::Engine as _;
use plumb_api::Sensitive;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use url::Host;

use crate::deadline::{Deadline, TICK};
use crate::foreign::printable;
use crate::transport::addresses::AddressRefused;
use crate::transport::proxy::{Proxy, ProxyKind, ProxyLogin};
use crate::transport::{Transport, resolver};

/// The answer of a proxy to `CONNECT`, in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// A connection to a server that one program of this machine can use, by a port on loopback. It is closed when this is dropped.
pub(crate) struct Tunnel {
    port: u16,
    /// Dropped to end it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    #[error(transparent)]
    Refused(#[from] AddressRefused),
    #[error("{0}")]
    Unreachable(String),
    /// The proxy cannot be reached or does not let us through.
    #[error("{0}")]
    Proxy(String),
    /// This host cannot open a port.
    #[error("{0}")]
    Host(io::Error),
    /// The deadline has passed, or nobody waits any more.
    #[error("stopped")]
    Stopped,
}

impl Tunnel {
    /// Connects to a host, given without brackets, and opens a port for the program.
    pub(crate) fn open(
        transport: &Transport,
        host: &str,
        port: u16,
        deadline: &Deadline,
    ) -> Result<Self, TunnelError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TunnelError::Host)?;
        let connected = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(TunnelError::Host)?;
            Ok((listener, connect(transport, host, port).await?))
        };
        let (listener, server) = runtime.block_on(within(deadline, connected))?;
        let port = listener.local_addr().map_err(TunnelError::Host)?.port();
        let (stop, stopped) = oneshot::channel();
        let forwarding = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = forward(listener, server) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("tunnel".to_owned()).spawn(forwarding);
        Ok(Self { port, stop: Some(stop), thread: Some(thread.map_err(TunnelError::Host)?) })
    }

    /// The port on `127.0.0.1`. It takes one connection.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

async fn within<T>(
    deadline: &Deadline,
    future: impl Future<Output = Result<T, TunnelError>>,
) -> Result<T, TunnelError> {
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            done = &mut future => return done,
            () = tokio::time::sleep(TICK) => deadline.check().map_err(|_| TunnelError::Stopped)?,
        }
    }
}

async fn forward(listener: TcpListener, mut server: TcpStream) -> io::Result<()> {
    let (mut program, _) = listener.accept().await?;
    drop(listener);
    tokio::io::copy_bidirectional(&mut program, &mut server).await.map(drop)
}

async fn connect(transport: &Transport, host: &str, port: u16) -> Result<TcpStream, TunnelError> {
    let Some(proxy) = &transport.proxy else {
        return dial(transport, host, port).await;
    };
    // The proxy resolves names, so only what is written as an address can be looked at.
    if let Some(address) = literal(host) {
        transport.addresses.check_resolved(host, &[address])?;
    }
    let proxy_host = proxy.url().host_str().unwrap_or_default().trim_matches(['[', ']']);
    let mut stream = dial(transport, proxy_host, proxy.port()).await.map_err(|error| match error {
        TunnelError::Unreachable(reason) => TunnelError::Proxy(reason),
        other => other,
    })?;
    let answer = match proxy.kind() {
        ProxyKind::Http => through_http(&mut stream, proxy, host, port).await,
        ProxyKind::Socks => through_socks(&mut stream, proxy.login(), host, port).await,
        ProxyKind::Https => {
            let reason =
                "ssh does not go through proxies that are reached over https; use a socks5 or http proxy";
            return Err(TunnelError::Proxy(reason.to_owned()));
        }
    };
    answer.map_err(|error| TunnelError::Proxy(printable(&error.to_string())))?;
    Ok(stream)
}

/// Connects to the first address that answers, if all of them may be reached.
async fn dial(transport: &Transport, host: &str, port: u16) -> Result<TcpStream, TunnelError> {
    let unreachable = |error: io::Error| TunnelError::Unreachable(error.to_string());
    let addresses = resolver::system(host.to_owned()).await.map_err(unreachable)?;
    transport.addresses.check_resolved(host, &addresses)?;
    let addresses: Vec<SocketAddr> =
        addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    TcpStream::connect(addresses.as_slice()).await.map_err(unreachable)
}

/// The address that a host is written as, in every spelling that the C library reads.
fn literal(host: &str) -> Option<IpAddr> {
    match Host::parse(host) {
        Ok(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        _ => host.parse().ok(),
    }
}

/// `CONNECT` of RFC 9110. Not a byte more than the answer is read: over SSH the server speaks first.
async fn through_http(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> io::Result<()> {
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let login = proxy.login().map_or_else(String::new, |login| {
        let both = Sensitive::new(format!("{}:{}", login.username, login.password.expose()));
        let encoded = base64::engine::general_purpose::STANDARD.encode(both.expose());
        format!("Proxy-Authorization: Basic {encoded}\r\n")
    });
    let request = Sensitive::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n"));
    stream.write_all(request.expose().as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD_BYTES {
            return Err(io::Error::other("its answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some(code) if status.starts_with("HTTP/1.") && code.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("it answers {status:?}"))),
    }
}

/// RFC 1928, and RFC 1929 when the proxy wants to know who asks.
async fn through_socks(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: Option<&ProxyLogin>,
    host: &str,
    port: u16,
) -> io::Result<()> {
    const NOBODY: u8 = 0;
    const PASSWORD: u8 = 2;
    let offer: &[u8] = if login.is_some() { &[5, 2, NOBODY, PASSWORD] } else { &[5, 1, NOBODY] };
    stream.write_all(offer).await?;
    match (read_array(stream).await?, login) {
        ([5, NOBODY], _) => {}
        ([5, PASSWORD], Some(login)) => {
            let mut request = Sensitive::new(vec![1]);
            let parts = [login.username.as_bytes(), login.password.expose().as_bytes()];
            for part in parts {
                request = Sensitive::new([request.expose().as_slice(), &counted(part)?].concat());
            }
            stream.write_all(request.expose()).await?;
            let [_, outcome] = read_array(stream).await?;
            if outcome != 0 {
                return Err(io::Error::other("it does not take the user name and password"));
            }
        }
        ([5, _], _) => return Err(io::Error::other("it asks for another way to sign in")),
        _ => return Err(io::Error::other("it does not speak SOCKS 5")),
    }
    let address = match literal(host) {
        Some(IpAddr::V4(address)) => [&[1], address.octets().as_slice()].concat(),
        Some(IpAddr::V6(address)) => [&[4], address.octets().as_slice()].concat(),
        None => [vec![3], counted(host.as_bytes())?].concat(),
    };
    stream.write_all(&[&[5, 1, 0], address.as_slice(), &port.to_be_bytes()].concat()).await?;
    let [_, outcome, _, kind] = read_array(stream).await?;
    if outcome != 0 {
        return Err(io::Error::other(format!("it answers {}", reply(outcome))));
    }
    // Where it connects from, which nobody needs to know.
    let length = match kind {
        1 => 4,
        4 => 16,
        _ => usize::from(stream.read_u8().await?),
    };
    let mut bound = vec![0; length + 2];
    stream.read_exact(&mut bound).await.map(drop)
}

async fn read_array<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn counted(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let count = u8::try_from(bytes.len())
        .map_err(|_| io::Error::other("SOCKS 5 has no room for a text that long"))?;
    Ok([&[count], bytes].concat())
}

/// RFC 1928, section 6.
fn reply(code: u8) -> String {
    match code {
        2 => "that its rules do not permit it".to_owned(),
        3 | 4 => "that the host cannot be reached".to_owned(),
        5 => "that the connection was refused".to_owned(),
        other => format!("with the error {other}"),
    }
}
