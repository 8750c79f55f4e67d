use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use url::Url;

use crate::transport::Transport;

/// Of a page of a listing, a token, or an error: a page has up to 1000 names of 1024 bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// An answer that is larger than any honest one.
#[derive(Debug, thiserror::Error)]
#[error("the server answered with more than {MAX_ANSWER_BYTES} bytes where an object was not asked for")]
struct TooLarge;

/// What the library sends requests through: it goes where the transport may go, and takes no answer of any size into memory.
#[derive(Clone, Debug)]
pub(crate) struct Guarded {
    pub(crate) transport: Transport,
    pub(crate) client: HttpClient,
}

impl HttpConnector for Guarded {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Guarded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_object = request.method() == http::Method::GET && !is_listing(request.uri());
        if let Ok(url) = request.uri().to_string().parse::<Url>() {
            self.transport.check(&url).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        }
        let response = self.client.execute(request).await?;
        // Objects are written to the disk piece by piece, and counted there.
        if is_object && response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(bounded(body).await?)))
    }
}

fn is_listing(uri: &http::Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list")))
}

async fn bounded(body: HttpResponseBody) -> Result<Bytes, HttpError> {
    let (mut stream, mut bytes) = (body.bytes_stream(), BytesMut::new());
    while let Some(more) = stream.next().await {
        bytes.extend_from_slice(&more?);
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(HttpError::new(HttpErrorKind::Decode, TooLarge));
        }
    }
    Ok(bytes.freeze())
}
