//! From the network to the disk, without blocking the runtime.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};

use crate::content::{ContentError, Incoming, Received};

/// How much is collected before it is written.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Why a download ended early.
#[derive(Debug)]
pub(crate) enum Interrupted<E> {
    /// What comes from the network failed.
    Source(E),
    /// It could not be stored.
    Content(ContentError),
}

/// Writes a stream to its end.
pub(crate) async fn receive<E>(
    mut incoming: Incoming,
    stream: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Received, Interrupted<E>> {
    let mut stream = std::pin::pin!(stream);
    let mut buffer = BytesMut::new();
    while let Some(bytes) = stream.next().await {
        buffer.extend_from_slice(&bytes.map_err(Interrupted::Source)?);
        if buffer.len() >= BUFFER_BYTES {
            let full = buffer.split();
            incoming = blocking(move || incoming.write(&full).map(|()| incoming))
                .await
                .map_err(Interrupted::Content)?;
        }
    }
    blocking(move || incoming.write(&buffer).and_then(|()| incoming.finish()))
        .await
        .map_err(Interrupted::Content)
}

/// Does what blocks on the disk where that is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ContentError> + Send + 'static,
) -> Result<T, ContentError> {
    // It fails when the work panicked, or the runtime ends.
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ContentError::Store(error.to_string())))
}
