use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// A request that an [`ApiServer`] got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRequest {
    /// `GET`, `POST`, ….
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The value of `Authorization`, if it was sent.
    pub authorization: Option<String>,
    /// The value of `Accept`, if it was sent.
    pub accept: Option<String>,
    /// All headers whose values are text, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, as text.
    pub body: String,
}

/// A server on loopback that answers in JSON what a test wants it to, or in plain text when that is a string.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<ApiRequest>>>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Answer = dyn Fn(&ApiRequest) -> (u16, serde_json::Value) + Send + Sync;

#[derive(Clone)]
struct Shared {
    answer: Arc<Answer>,
    seen: Arc<Mutex<Vec<ApiRequest>>>,
}

impl ApiServer {
    /// Starts it on a free port. `answer` has a status and a body for each request.
    pub fn start(
        answer: impl Fn(&ApiRequest) -> (u16, serde_json::Value) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::<Mutex<Vec<ApiRequest>>>::default();
        let shared = Shared { answer: Arc::new(answer), seen: Arc::clone(&seen) };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("api-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("the listener is one");
                let app = axum::Router::new().fallback(serve).with_state(shared);
                tokio::select! {
                    result = axum::serve(listener, app) => result.expect("the server of the test failed"),
                    () = stopped.cancelled() => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { address, seen, stop, thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<ApiRequest> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It panics only when the test has failed already.
            let _ = thread.join();
        }
    }
}

async fn serve(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await.expect("a request of a test is small");
    let header = |name: &str| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
    let request = ApiRequest {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        authorization: header("authorization"),
        accept: header("accept"),
        headers: parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let (status, answer) = (shared.answer)(&request);
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let status = StatusCode::from_u16(status).expect("a status");
    match answer {
        serde_json::Value::String(text) => (status, text).into_response(),
        answer => (status, [("content-type", "application/json")], answer.to_string()).into_response(),
    }
}
