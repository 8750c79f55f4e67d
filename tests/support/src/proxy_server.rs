use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use axum::serve::Listener;
use base64::Engine as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::tls::{Authority, TlsListener};

const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A proxy on loopback that speaks HTTP (`CONNECT`, and plain requests) and SOCKS 5 on one port.
///
/// It resolves every name that ends in `.test` to `127.0.0.1`, which nobody else does.
#[derive(Debug)]
pub struct ProxyServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    login: Option<(String, String)>,
    asked: Mutex<Vec<String>>,
}

impl ProxyServer {
    /// Starts it on a free port; with a login, it wants that user name and password.
    pub fn start(login: Option<(&str, &str)>) -> anyhow::Result<Self> {
        Self::start_with(login, None)
    }

    /// As [`start`](Self::start), over TLS.
    pub fn start_over_tls(login: Option<(&str, &str)>, authority: Authority) -> anyhow::Result<Self> {
        Self::start_with(login, Some(authority))
    }

    fn start_with(login: Option<(&str, &str)>, tls: Option<Authority>) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let login = login.map(|(username, password)| (username.to_owned(), password.to_owned()));
        let shared = Arc::new(Shared { login, asked: Mutex::default() });
        let stop = CancellationToken::new();
        let (serving, stopped) = (Arc::clone(&shared), stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("the listener is one");
                match tls {
                    None => stopped.run_until_cancelled(accept(listener, serving)).await,
                    Some(authority) => {
                        let listener = TlsListener::new(listener, &authority).expect("the authority is one");
                        stopped.run_until_cancelled(accept(listener, serving)).await
                    }
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { address, shared, stop, thread: Some(thread) })
    }

    /// `SCHEME://127.0.0.1:PORT`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// What connections were made to, as `HOST:PORT`, as the clients wrote it.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It panics only when the test has failed already.
            let _ = thread.join();
        }
    }
}

async fn accept<L>(mut listener: L, shared: Arc<Shared>)
where
    L: Listener,
    L::Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    loop {
        let (client, _) = listener.accept().await;
        let shared = Arc::clone(&shared);
        // A client that goes away is no failure.
        tokio::spawn(async move { drop(serve(client, &shared).await) });
    }
}

async fn serve(mut client: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> anyhow::Result<()> {
    let first = client.read_u8().await?;
    let mut server =
        if first == 5 { socks(&mut client, shared).await? } else { http(&mut client, first, shared).await? };
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn connect(target: &str, shared: &Shared) -> anyhow::Result<TcpStream> {
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(target.to_owned());
    let (host, port) = target.rsplit_once(':').context("a target has a port")?;
    let host = if host.ends_with(".test") { "127.0.0.1" } else { host.trim_matches(['[', ']']) };
    Ok(TcpStream::connect((host, port.parse()?)).await?)
}

async fn http(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    first: u8,
    shared: &Shared,
) -> anyhow::Result<TcpStream> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < MAX_HEAD_BYTES, "the head is too long");
        head.push(client.read_u8().await?);
    }
    let text = std::str::from_utf8(&head)?.to_owned();
    if let Some((username, password)) = &shared.login {
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
        let expected = format!("proxy-authorization: basic {both}").to_lowercase();
        if !text.lines().any(|line| line.to_lowercase() == expected) {
            client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n").await?;
            bail!("not signed in");
        }
    }
    let mut words = text.split(' ');
    let (method, target) = (words.next().context("a method")?, words.next().context("a target")?);
    if method == "CONNECT" {
        let server = connect(target, shared).await?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        return Ok(server);
    }
    let host = target.strip_prefix("http://").context("a URL of plain HTTP")?;
    let mut server = connect(host.split('/').next().unwrap_or(host), shared).await?;
    // Servers take requests in the form that is meant for proxies, too.
    server.write_all(&head).await?;
    Ok(server)
}

/// RFC 1928 and RFC 1929. The first byte was read.
async fn socks(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    shared: &Shared,
) -> anyhow::Result<TcpStream> {
    read_counted(client).await?;
    if let Some((username, password)) = &shared.login {
        client.write_all(&[5, 2]).await?;
        ensure!(client.read_u8().await? == 1, "the version of the negotiation");
        let given = (read_counted(client).await?, read_counted(client).await?);
        let right = given.0 == username.as_bytes() && given.1 == password.as_bytes();
        client.write_all(&[1, u8::from(!right)]).await?;
        ensure!(right, "not signed in");
    } else {
        client.write_all(&[5, 0]).await?;
    }
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let host = match head[3] {
        1 => std::net::Ipv4Addr::from(client.read_u32().await?).to_string(),
        3 => String::from_utf8(read_counted(client).await?)?,
        4 => format!("[{}]", std::net::Ipv6Addr::from(client.read_u128().await?)),
        other => bail!("the kind of address {other}"),
    };
    let port = client.read_u16().await?;
    let server = connect(&format!("{host}:{port}"), shared).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(server)
}

async fn read_counted(client: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(client.read_u8().await?)];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}
