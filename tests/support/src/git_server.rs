use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::git_repo::isolated_git;
use crate::tls::{Authority, TlsListener};

const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// Who may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    #[default]
    Anonymous,
    /// Who has this user name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: String,
    },
    /// Who has this token.
    Bearer(String),
}

/// How a [`GitServer`] is to serve.
#[derive(Clone, Debug, Default)]
pub struct GitServerOptions {
    /// Who may read.
    pub auth: Auth,
    /// With this authority's certificate, over `https`.
    pub tls: Option<Authority>,
    /// Which version of the protocol, whatever the client asks for.
    pub protocol: Protocol,
}

/// A version of the protocol of Git.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The second.
    #[default]
    V2,
    /// The one from before there were numbers.
    V0,
}

/// What the server does with requests from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers them.
    #[default]
    Serve,
    /// Never answers.
    Hang,
    /// Sends the first half of every answer, and never the rest.
    HangHalfway,
    /// Answers who wants this commit that no reference points to it, as servers do that hand out no others.
    Refuse(String),
    /// Answers all with this status.
    Fail(u16),
    /// Sends all to the same path of another server, given as `http://HOST:PORT`.
    Redirect(String),
}

/// A request that the server got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET` or `POST`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The value of `Authorization`, if it was sent.
    pub authorization: Option<String>,
    /// Whether objects were asked for, not only references.
    pub asks_for_objects: bool,
    /// How many bytes the answer had.
    pub answer_bytes: usize,
}

/// A real Git server on loopback: `git http-backend` behind HTTP, with version 2 of the protocol.
///
/// It runs on a thread of its own, so it can be used in tests that block and in tests that do not.
#[derive(Debug)]
pub struct GitServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    options: GitServerOptions,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Seen>>,
}

impl GitServer {
    /// Serves the repositories in `root`, for example [`GitRepo::root`](crate::GitRepo::root), on a free port.
    pub fn start(root: &Path, options: GitServerOptions) -> anyhow::Result<Self> {
        let shared = Shared {
            root: root.canonicalize()?,
            options,
            behaviour: Mutex::default(),
            seen: Mutex::default(),
        };
        let mut server =
            Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), shared: Arc::new(shared), running: None };
        server.restart()?;
        Ok(server)
    }

    /// Where the repository `repo.git` is.
    pub fn url(&self) -> String {
        format!("{}/repo.git", self.origin())
    }

    /// `http://HOST:PORT`, or with `https`.
    pub fn origin(&self) -> String {
        let scheme = if self.shared.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Changes what is done with requests from now on.
    pub fn set(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// The requests that asked for objects so far.
    pub fn asked_for_objects(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.asks_for_objects).collect()
    }

    /// Closes the port. Requests that are being answered are dropped.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.cancel();
            // It panics only when the test has failed already.
            let _ = running.thread.join();
        }
    }

    /// Opens the same port again.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        let listener = bind(self.address)?;
        self.address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let stop = CancellationToken::new();
        let (shared, stopped) = (Arc::clone(&self.shared), stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("git-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = serve(listener, shared) => result.expect("the Git server of the test failed"),
                    () = stopped.cancelled() => {}
                }
            });
            // Whoever waits for an answer gets none.
            runtime.shutdown_background();
        })?;
        self.running = Some(Running { stop, thread });
        Ok(())
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The port of a server that was stopped may be taken for a moment by a connection that is being closed.
fn bind(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let mut tries = 0;
    loop {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if tries == 100 => {
                return Err(error).with_context(|| format!("{address} cannot be bound"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
        tries += 1;
    }
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&shared));
    match &shared.options.tls {
        Some(authority) => axum::serve(TlsListener::new(listener, authority)?, app).await?,
        None => axum::serve(listener, app).await?,
    }
    Ok(())
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let behaviour = lock(&shared.behaviour).clone();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await.expect("a request of a test is small");
    let at = {
        let mut seen = lock(&shared.seen);
        seen.push(Seen {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            authorization: parts
                .headers
                .get(header::AUTHORIZATION)
                .and_then(|value| Some(value.to_str().ok()?.to_owned())),
            asks_for_objects: contains(&body, b"command=fetch") || contains(&body, b"want "),
            answer_bytes: 0,
        });
        seen.len() - 1
    };
    match behaviour {
        Behaviour::Hang => return std::future::pending().await,
        Behaviour::Fail(status) => return StatusCode::from_u16(status).expect("a status").into_response(),
        Behaviour::Redirect(origin) => {
            let target = format!("{origin}{}", parts.uri.path_and_query().map_or("/", |path| path.as_str()));
            return (StatusCode::FOUND, [(header::LOCATION, target)]).into_response();
        }
        Behaviour::Refuse(commit) if contains(&body, format!("want {commit}").as_bytes()) => {
            let line = format!("ERR upload-pack: not our ref {commit}");
            let result = (header::CONTENT_TYPE, "application/x-git-upload-pack-result");
            return ([result], format!("{:04x}{line}", line.len() + 4)).into_response();
        }
        Behaviour::Serve | Behaviour::HangHalfway | Behaviour::Refuse(_) => {}
    }
    if !is_allowed(&shared.options.auth, &parts.headers) {
        let challenge = match shared.options.auth {
            Auth::Bearer(_) => "Bearer",
            _ => "Basic realm=\"git\"",
        };
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    }
    let (status, headers, output) = backend(&shared, &parts, &body).await.expect("git http-backend runs");
    lock(&shared.seen)[at].answer_bytes = output.len();
    let body = if behaviour == Behaviour::HangHalfway { halfway(output) } else { Body::from(output) };
    (status, headers, body).into_response()
}

fn halfway(mut output: Bytes) -> Body {
    use futures::StreamExt as _;
    let half = output.split_to(output.len() / 2);
    let first = futures::stream::iter([Ok::<_, std::io::Error>(half)]);
    Body::from_stream(first.chain(futures::stream::pending()))
}

fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

fn is_allowed(auth: &Auth, headers: &HeaderMap) -> bool {
    let expected = match auth {
        Auth::Anonymous => return true,
        Auth::Basic { username, password } => {
            let both = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
            format!("Basic {both}")
        }
        Auth::Bearer(token) => format!("Bearer {token}"),
    };
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

/// Runs `git http-backend` as the CGI program that it is.
async fn backend(
    shared: &Shared,
    parts: &axum::http::request::Parts,
    body: &[u8],
) -> anyhow::Result<(StatusCode, HeaderMap, Bytes)> {
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let root = &shared.root;
    let protocol = match shared.options.protocol {
        Protocol::V2 => header("git-protocol"),
        Protocol::V0 => "",
    };
    let mut command = tokio::process::Command::from(isolated_git(root));
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", protocol)
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("git was started with a pipe")?;
    let body = body.to_vec();
    // A program that answers without reading everything closes its end.
    let feed = tokio::spawn(async move { drop(stdin.write_all(&body).await) });
    let output = Bytes::from(child.wait_with_output().await?.stdout);
    feed.await?;
    parse_cgi(&output)
}

fn parse_cgi(output: &Bytes) -> anyhow::Result<(StatusCode, HeaderMap, Bytes)> {
    let end =
        output.windows(4).position(|window| window == b"\r\n\r\n").context("a CGI answer has headers")?;
    let (mut status, mut headers) = (StatusCode::OK, HeaderMap::new());
    for line in std::str::from_utf8(&output[..end])?.lines() {
        let (name, value) = line.split_once(": ").context("a CGI header is NAME: VALUE")?;
        if name.eq_ignore_ascii_case("status") {
            status = value.split(' ').next().unwrap_or_default().parse()?;
        } else {
            headers.append(name.parse::<HeaderName>()?, HeaderValue::from_str(value)?);
        }
    }
    Ok((status, headers, output.slice(end + 4..)))
}
