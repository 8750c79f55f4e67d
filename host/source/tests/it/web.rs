//! A server that answers as a test says, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A web server on loopback. It ends when it is dropped.
pub(crate) struct Web {
    origin: String,
    seen: Arc<Mutex<Vec<Uri>>>,
    task: JoinHandle<()>,
}

impl Web {
    /// `answer` is given the address that is asked for, and how many requests there were before.
    pub(crate) async fn start(
        answer: impl Fn(&Uri, usize) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::answering(move |request, before| answer(request.uri(), before)).await
    }

    /// `answer` is given the whole request, and how many there were before.
    pub(crate) async fn answering(
        answer: impl Fn(&Request, usize) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&seen);
        let app = axum::Router::new().fallback(move |request: Request| {
            let before = {
                let mut seen = remembered.lock().unwrap();
                seen.push(request.uri().clone());
                seen.len() - 1
            };
            let response = answer(&request, before);
            async move { response }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { origin, seen, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(crate) fn host(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }

    /// The addresses that were asked for.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn status(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

pub(crate) fn bytes(bytes: impl Into<Body>) -> Response {
    Response::new(bytes.into())
}

/// An answer that begins and never ends.
pub(crate) fn endless(first: Vec<u8>) -> Response {
    use futures::StreamExt as _;
    let first = futures::stream::iter([Ok::<_, std::io::Error>(first)]);
    Response::new(Body::from_stream(first.chain(futures::stream::pending())))
}
