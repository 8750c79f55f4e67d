//! Buckets of object stores: anything that speaks the S3 API, Google Cloud Storage, and Azure Blob Storage.
//!
//! In goes where a bucket is and who one is there; out comes a tree of its objects. What has not changed since the last fetch is not downloaded again.
//!
//! The revision is computed as Flux does, of the keys and tags of the objects; only for Google Cloud Storage and Azure it may differ, where Flux asks for other tags. A key that leads up,
//! or has an empty part, a backslash or an unprintable character, refuses the bucket: it is never taken for the name of a file. Objects that stand for directories are passed over, and so
//! are those whose key begins with a slash.

mod access;
mod error;
mod http;
mod identity;
mod index;
mod provider;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::list::PaginatedListOptions;
use object_store::path::Path;
use object_store::{GetOptions, RetryConfig};
use plumb_api::Revision;
use tokio::time::timeout;

use crate::content::{Builder, ContentError, ContentStore, Received, Remembered, Stored};
use crate::download::{Interrupted, blocking, receive};
use crate::foreign::{printable, with_causes};
use crate::transport::{AddressRefused, Transport, TransportError};

pub use access::Access;
pub use error::BucketError;
pub use provider::Provider;

use index::{Content, Index, Note, Object, SOURCEIGNORE};
use provider::Store;

/// How many objects are downloaded at the same time.
const CONCURRENCY: usize = 16;
/// More is not read of `.sourceignore`.
const MAX_RULES_BYTES: u64 = 64 * 1024;

/// What to fetch.
#[derive(Clone)]
pub struct BucketFetch {
    /// Whose fetch it is, for example the UID of the object: what one has downloaded is not handed to another, who might not be allowed to.
    pub owner: String,
    /// The object store.
    pub provider: Provider,
    /// The name of the bucket, or of the container.
    pub bucket: String,
    /// What the keys have to begin with to be taken.
    pub prefix: Option<String>,
    /// `spec.ignore`.
    pub ignore: Option<String>,
    /// How the server is reached.
    pub transport: Transport,
    /// How long all of it may take.
    pub timeout: Duration,
    /// The revision that the caller already has, if any.
    pub known: Option<Revision>,
}

/// What a fetch found.
#[derive(Clone, Debug)]
pub enum BucketFetched {
    /// The bucket still has the revision that the caller has, and it is still in the store.
    Unchanged(Revision),
    /// Another revision, or one that the store had lost.
    New {
        /// What the bucket has now.
        revision: Revision,
        /// Its objects.
        stored: Stored,
    },
}

impl BucketFetch {
    /// Lists the bucket, and downloads what is new. Dropping the future ends it.
    pub async fn fetch(&self, content: &Arc<ContentStore>) -> Result<BucketFetched, BucketError> {
        let retry = RetryConfig { retry_timeout: self.timeout, ..RetryConfig::default() };
        let store = self.provider.store(&self.bucket, &self.transport, retry)?;
        let run = Run { fetch: self, store, content };
        let late = |_| BucketError::TimedOut { bucket: self.bucket.clone(), seconds: self.timeout.as_secs() };
        timeout(self.timeout, run.run()).await.map_err(late)?
    }

    /// The tree of the last fetch, from the disk, if it is of this revision. Blocks on the disk.
    pub fn recall(&self, content: &ContentStore, revision: &Revision) -> Option<Stored> {
        let (stored, note) = read(content.recall(&self.name())?)?;
        (note.revision == *revision).then_some(stored)
    }

    fn name(&self) -> String {
        format!("bucket {} {} {}", self.owner, self.provider.place(), self.bucket)
    }
}

fn read(remembered: Remembered) -> Option<(Stored, Note)> {
    Some((remembered.stored, serde_json::from_str(&remembered.note).ok()?))
}

/// One fetch.
struct Run<'a> {
    fetch: &'a BucketFetch,
    store: Arc<dyn Store>,
    content: &'a Arc<ContentStore>,
}

impl Run<'_> {
    async fn run(&self) -> Result<BucketFetched, BucketError> {
        let name = self.fetch.name();
        let content = Arc::clone(self.content);
        let before = blocking(move || Ok(content.recall(&name).and_then(read))).await?;
        let mut index = self.list().await?;
        let rules = self.rules().await?;
        index.remove(SOURCEIGNORE);
        index::leave_out(&mut index, rules.clone(), self.fetch.ignore.as_deref())?;
        if let Some((_, note)) = &before {
            index::take_over(&mut index, &note.objects);
        }
        index::mark_directories(&mut index);
        let revision = index::revision(&index);
        if let Some((stored, _)) = before.filter(|(_, note)| note.revision == revision) {
            return Ok(self.found(revision, stored));
        }
        let builder = self.content.builder();
        for (key, _) in index.iter().filter(|(_, object)| object.content != Content::Gone) {
            builder.check_path(key).map_err(|error| self.stored(error))?;
        }
        let (builder, index) = reuse(builder, index).await?;
        let (mut builder, index) = self.download(builder, index).await?;
        if let Some(rules) = rules {
            builder =
                blocking(move || builder.file(SOURCEIGNORE, rules.as_slice()).map(|()| builder)).await?;
        }
        self.finish(builder, index).await
    }

    fn found(&self, revision: Revision, stored: Stored) -> BucketFetched {
        if self.fetch.known.as_ref() == Some(&revision) {
            BucketFetched::Unchanged(revision)
        } else {
            BucketFetched::New { revision, stored }
        }
    }

    async fn finish(&self, builder: Builder, index: Index) -> Result<BucketFetched, BucketError> {
        let revision = index::revision(&index);
        let (name, content) = (self.fetch.name(), Arc::clone(self.content));
        let note = serde_json::to_string(&Note { revision: revision.clone(), objects: index })
            .map_err(|error| ContentError::Store(error.to_string()))?;
        let stored = blocking(move || {
            let stored = builder.finish()?;
            content.remember(&name, &stored.digest, &note)?;
            Ok(stored)
        });
        Ok(BucketFetched::New { revision, stored: stored.await? })
    }

    /// All objects, page by page.
    async fn list(&self) -> Result<Index, BucketError> {
        let limit = self.content.limits().entries;
        let (mut index, mut page_token) = (Index::new(), None);
        loop {
            let options = PaginatedListOptions { page_token, ..PaginatedListOptions::default() };
            let page = self.store.list_paginated(self.fetch.prefix.as_deref(), options);
            let page = page.await.map_err(|error| self.told(error))?;
            for object in page.result.objects {
                let listed = Object {
                    etag: tag(object.e_tag),
                    modified: object.last_modified.timestamp_millis(),
                    size: object.size,
                    content: Content::Unknown,
                };
                // The library drops the slash at the end of a key that stands for a directory; a file of that name goes before.
                let key = object.location.to_string();
                if index.get(&key).is_none_or(|before| before.size == 0) {
                    index.insert(key, listed);
                }
            }
            if index.len() > limit {
                return Err(ContentError::too_much("files and directories", limit).into());
            }
            page_token = page.page_token;
            if page_token.is_none() {
                return Ok(index);
            }
        }
    }

    /// The object `.sourceignore`, which is looked for whatever the prefix is.
    async fn rules(&self) -> Result<Option<Vec<u8>>, BucketError> {
        let path = Path::from(SOURCEIGNORE);
        let result = match self.store.get_opts(&path, GetOptions::default()).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            result => result.map_err(|error| self.told(error))?,
        };
        let (mut stream, mut rules) = (result.into_stream(), Vec::new());
        while let Some(bytes) = stream.try_next().await.map_err(|error| self.told(error))? {
            rules.extend(bytes);
            if rules.len() as u64 > MAX_RULES_BYTES {
                return Err(
                    ContentError::TooMuch { what: "bytes in .sourceignore", limit: MAX_RULES_BYTES }.into()
                );
            }
        }
        Ok(Some(rules))
    }

    /// Downloads all objects whose bytes are not known, some at a time.
    async fn download(
        &self,
        mut builder: Builder,
        mut index: Index,
    ) -> Result<(Builder, Index), BucketError> {
        let missing: Vec<String> = index
            .iter()
            .filter(|(_, object)| object.content == Content::Unknown)
            .map(|(key, _)| key.clone())
            .collect();
        let mut downloads =
            futures::stream::iter(missing).map(|key| self.object(key)).buffer_unordered(CONCURRENCY);
        while let Some((key, downloaded)) = downloads.try_next().await? {
            let Some(object) = index.get_mut(&key) else { continue };
            match downloaded {
                // Deleted since it was listed, or the mark of a directory.
                None => object.content = Content::Gone,
                Some((etag, file)) => {
                    (object.etag, object.size, object.content) =
                        (etag, file.size(), Content::File(file.id()));
                    builder.received(&key, file).map_err(|error| self.stored(error))?;
                }
            }
        }
        drop(downloads);
        Ok((builder, index))
    }

    async fn object(&self, key: String) -> Result<(String, Option<(String, Received)>), BucketError> {
        let path = Path::parse(&key).map_err(|error| self.told(error.into()))?;
        let result = match self.store.get_opts(&path, GetOptions::default()).await {
            Err(object_store::Error::NotFound { .. }) => return Ok((key, None)),
            result => result.map_err(|error| self.told(error))?,
        };
        let (etag, size) = (tag(result.meta.e_tag.clone()), result.meta.size);
        let content = Arc::clone(self.content);
        let incoming = blocking(move || content.incoming(content.limits().file_bytes)).await?;
        let received = receive(incoming, result.into_stream()).await.map_err(|error| match error {
            Interrupted::Source(error) => self.told(error),
            Interrupted::Content(error) => error.into(),
        })?;
        if received.size() != size {
            let reason =
                format!("object {} has {} bytes, {size} were announced", printable(&key), received.size());
            return Err(BucketError::Failed { bucket: self.fetch.bucket.clone(), reason });
        }
        Ok((key, Some((etag, received))))
    }

    fn stored(&self, error: ContentError) -> BucketError {
        match error {
            ContentError::InvalidPath { .. } | ContentError::Conflict { .. } => {
                BucketError::InvalidKey { bucket: self.fetch.bucket.clone(), reason: error.to_string() }
            }
            error => error.into(),
        }
    }

    /// What an error of the library means.
    fn told(&self, error: object_store::Error) -> BucketError {
        if let Some(refused) = AddressRefused::among(&error) {
            return TransportError::from(refused.clone()).into();
        }
        let bucket = self.fetch.bucket.clone();
        if let Some(error) = access::refusal(&error) {
            return BucketError::Identity { bucket, error: error.clone() };
        }
        let answer = Answer::in_error(&error);
        let reason = answer.as_ref().map_or_else(|| with_causes(&error), Answer::told);
        match (error, answer.as_ref().map_or("", |answer| answer.code.as_str())) {
            (object_store::Error::NotFound { .. }, _) | (_, "NoSuchBucket" | "ContainerNotFound") => {
                BucketError::NotFound { bucket }
            }
            (object_store::Error::InvalidPath { .. }, _) => BucketError::InvalidKey { bucket, reason },
            (
                object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. },
                _,
            ) => BucketError::AuthenticationFailed { bucket, reason },
            (_, code) if REFUSALS.contains(&code) => BucketError::AuthenticationFailed { bucket, reason },
            _ => BucketError::Failed { bucket, reason },
        }
    }
}

/// What S3, Google and Azure answer to who may not, also where the library does not tell it from other failures.
const REFUSALS: [&str; 9] = [
    "AccessDenied",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "NoAuthenticationInformation",
    "SignatureDoesNotMatch",
];

/// Puts what the store has already into the tree; what it has lost is to be downloaded.
async fn reuse(mut builder: Builder, mut index: Index) -> Result<(Builder, Index), ContentError> {
    blocking(move || {
        for (key, object) in &mut index {
            if let Content::File(id) = object.content
                && !builder.reuse(key, id, object.size)?
            {
                object.content = Content::Unknown;
            }
        }
        Ok((builder, index))
    })
    .await
}

/// A tag without its quotes, as MinIO's client has it.
fn tag(etag: Option<String>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

/// The XML that S3, Google and Azure answer errors with.
struct Answer {
    code: String,
    message: String,
}

impl Answer {
    fn in_error(error: &object_store::Error) -> Option<Self> {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let text = causes.map(ToString::to_string).find(|text| text.contains("<Code>"))?;
        let between = |tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            rest.split_once(&format!("</{tag}>")).map(|(value, _)| value.to_owned())
        };
        Some(Self { code: between("Code")?, message: between("Message").unwrap_or_default() })
    }

    fn told(&self) -> String {
        printable(&format!("{}: {}", self.code, self.message))
    }
}
