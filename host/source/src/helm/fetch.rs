use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plumb_api::Revision;
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use url::Url;

use crate::content::{ContentError, ContentStore, Received, Remembered, Stored};
use crate::download::{Interrupted, blocking, receive};
use crate::git::verify::TrustedKeys;
use crate::helm::http::{Http, shown, unreachable};
use crate::helm::index::{self, ChartVersion, Unreadable};
use crate::helm::{HelmLimits, HelmLogin, RepositoryError, provenance};
use crate::percent::decoded;
use crate::transport::Transport;

/// A provenance file has `Chart.yaml` in it, and a signature.
const MAX_PROVENANCE_BYTES: usize = 1024 * 1024;

/// An index to fetch.
#[derive(Clone)]
pub struct IndexFetch {
    /// Whose fetch it is, for example the UID of the object: what one has downloaded is not handed to another, who might not be allowed to.
    pub owner: String,
    /// The repository, and how it is reached.
    pub repository: ChartFetch,
    /// The revision that the caller already has, if any.
    pub known: Option<Revision>,
}

/// How a repository is reached, which a chart may be downloaded from.
#[derive(Clone)]
pub struct ChartFetch {
    /// The repository: `index.yaml` is below it.
    pub url: String,
    /// Who one is.
    pub login: Option<HelmLogin>,
    /// Whether other servers than that of `url` are told so, too, where the index says that a chart is there.
    pub pass_credentials: bool,
    /// How the servers are reached.
    pub transport: Transport,
    /// How long a fetch may take.
    pub timeout: Duration,
    /// How much may be received.
    pub limits: HelmLimits,
    /// Who has to have signed a chart: its provenance file, as `helm package --sign` makes it, is beside it. Without it there need be none.
    pub signers: Option<TrustedKeys>,
}

/// What a fetch of an index has found.
#[derive(Clone, Debug)]
pub enum IndexFetched {
    /// It is the one that the caller has, and is still in the store.
    Unchanged(Revision),
    /// Another one, or one that the store had lost.
    New {
        /// The SHA-256 of the index, as the server has it.
        revision: Revision,
        /// What [`Index`](crate::helm::Index) reads.
        stored: Stored,
    },
}

/// What is noted of an index.
#[derive(Clone, Serialize, Deserialize)]
struct Note {
    revision: Revision,
    etag: Option<String>,
    last_modified: Option<String>,
}

impl IndexFetch {
    /// Fetches the index, unless the server says that it has not changed. Dropping the future ends it.
    pub async fn fetch(&self, content: &Arc<ContentStore>) -> Result<IndexFetched, RepositoryError> {
        let url = self.repository.below("index.yaml")?;
        let late = |_| self.repository.late(&url);
        timeout(self.repository.timeout, self.run(&url, content)).await.map_err(late)?
    }

    async fn run(&self, url: &Url, content: &Arc<ContentStore>) -> Result<IndexFetched, RepositoryError> {
        let stored_failed = |reason| RepositoryError::Content { url: shown(url), reason };
        let (name, store) = (self.name(), Arc::clone(content));
        let before = blocking(move || Ok(store.recall(&name).and_then(read))).await.map_err(stored_failed)?;
        let conditions = before.as_ref().map(|(_, note)| note.conditions()).unwrap_or_default();
        let repository = self.repository.base()?;
        let response = self.repository.http(&repository).get(url.clone(), conditions).await?;
        match (response.status(), before) {
            (StatusCode::NOT_MODIFIED, Some((stored, note))) => Ok(self.found(note.revision, stored)),
            (StatusCode::NOT_MODIFIED, None) => {
                Err(RepositoryError::Status { url: shown(url), status: response.status().as_u16() })
            }
            (_, before) => self.take(url, response, before, content).await,
        }
    }

    async fn take(
        &self,
        url: &Url,
        response: Response,
        before: Option<(Stored, Note)>,
        content: &Arc<ContentStore>,
    ) -> Result<IndexFetched, RepositoryError> {
        let stored_failed = |reason| RepositoryError::Content { url: shown(url), reason };
        let header = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (etag, last_modified) = (header(ETAG), header(LAST_MODIFIED));
        let limit = self.repository.limits.index_bytes;
        let received = download(url, response, limit, "bytes in an index", content).await?;
        let revision = Revision::new(None, "sha256", &received.id().to_string());
        let revision = revision.map_err(|error| stored_failed(ContentError::Store(error.to_string())))?;
        let note = Note { revision: revision.clone(), etag, last_modified };
        let kept = before.filter(|(_, before)| before.revision == revision).map(|(stored, _)| stored);
        let (name, content) = (self.name(), Arc::clone(content));
        let stored = blocking(move || {
            let stored = match kept {
                Some(stored) => Ok(stored),
                None => compacted(&content, &received, limit)?,
            };
            let note =
                serde_json::to_string(&note).map_err(|error| ContentError::Store(error.to_string()))?;
            if let Ok(stored) = &stored {
                content.remember(&name, &stored.digest, &note)?;
            }
            Ok(stored)
        });
        let stored = stored.await.map_err(stored_failed)?;
        let stored = stored.map_err(|reason| RepositoryError::Index { url: shown(url), reason })?;
        Ok(self.found(revision, stored))
    }

    fn found(&self, revision: Revision, stored: Stored) -> IndexFetched {
        if self.known.as_ref() == Some(&revision) {
            IndexFetched::Unchanged(revision)
        } else {
            IndexFetched::New { revision, stored }
        }
    }

    fn name(&self) -> String {
        format!("helm index {} {}", self.owner, self.repository.url)
    }
}

/// Stores what is needed of an index; the inner error tells why it is none.
fn compacted(
    content: &ContentStore,
    received: &Received,
    limit: u64,
) -> Result<Result<Stored, String>, ContentError> {
    match index::compact(received.open()?, content.incoming(limit)?) {
        Ok(lines) => {
            let mut tree = content.builder();
            tree.received(index::FILE, lines)?;
            tree.finish().map(Ok)
        }
        Err(Unreadable::Malformed(why)) => Ok(Err(why)),
        Err(Unreadable::Content(error)) => Err(error),
    }
}

fn read(remembered: Remembered) -> Option<(Stored, Note)> {
    Some((remembered.stored, serde_json::from_str(&remembered.note).ok()?))
}

impl Note {
    /// Asks the server to answer only if it has another one.
    fn conditions(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.last_modified)] {
            if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

impl ChartFetch {
    /// Downloads the archive of a version of a chart, and compares it with the digest that the index has for it. Dropping the future ends it.
    pub async fn fetch(
        &self,
        chart: &str,
        version: &ChartVersion,
        content: &Arc<ContentStore>,
    ) -> Result<Received, RepositoryError> {
        let repository = self.base()?;
        let url = version.urls.first().ok_or_else(|| RepositoryError::NoUrl {
            repository: shown(&repository),
            chart: chart.to_owned(),
            version: version.version.clone(),
        })?;
        let url = resolve(&repository, url)?;
        let downloading = async {
            let response = self.http(&repository).get(url.clone(), HeaderMap::new()).await?;
            let limit = self.limits.archive_bytes;
            let received =
                download(&url, response, limit, "bytes in the archive of a chart", content).await?;
            let found = received.id().to_string();
            match &version.digest {
                Some(expected) if expected.strip_prefix("sha256:").unwrap_or(expected) != found => {
                    return Err(RepositoryError::Digest {
                        url: shown(&url),
                        expected: expected.clone(),
                        found,
                    });
                }
                _ => {}
            }
            if let Some(signers) = &self.signers {
                self.verify(&repository, &url, &version.version, &found, signers).await?;
            }
            Ok(received)
        };
        timeout(self.timeout, downloading).await.map_err(|_| self.late(&url))?
    }

    /// Looks at the provenance file beside an archive that has this digest.
    async fn verify(
        &self,
        repository: &Url,
        archive: &Url,
        version: &str,
        digest: &str,
        signers: &TrustedKeys,
    ) -> Result<(), RepositoryError> {
        let failed = |reason| RepositoryError::Provenance { url: shown(archive), reason };
        let mut url = archive.clone();
        url.set_path(&format!("{}.prov", archive.path()));
        let response = match self.http(repository).get(url.clone(), HeaderMap::new()).await {
            Err(RepositoryError::Status { status: 404, .. }) => {
                return Err(failed("there is no file .prov beside it".to_owned()));
            }
            response => response?,
        };
        let file = provenance_file(&url, response).await?;
        let name = decoded(archive.path().rsplit('/').next().unwrap_or_default());
        provenance::check(&file, &name, version, digest, signers, Timestamp::now()).map_err(failed)
    }

    /// The URL of the repository, as a directory.
    fn base(&self) -> Result<Url, RepositoryError> {
        self.below("")
    }

    /// As Helm resolves what is relative: below the URL of the repository, with its query.
    fn below(&self, relative: &str) -> Result<Url, RepositoryError> {
        let invalid = |reason| RepositoryError::InvalidUrl { url: masked(&self.url), reason };
        let mut url = Url::parse(&self.url).map_err(|_| invalid("write it as https://HOST/PATH"))?;
        match url.scheme() {
            "http" | "https" => {}
            "oci" => return Err(invalid("a registry needs spec.type: oci")),
            _ => return Err(invalid("it has to begin with https://, http:// or oci://")),
        }
        let path = format!("{}/{relative}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }

    fn http<'a>(&'a self, repository: &'a Url) -> Http<'a> {
        let Self { transport, login, pass_credentials, .. } = self;
        Http { repository, transport, login: login.as_ref(), pass_credentials: *pass_credentials }
    }

    fn late(&self, url: &Url) -> RepositoryError {
        RepositoryError::TimedOut { url: shown(url), seconds: self.timeout.as_secs() }
    }
}

/// Where a chart is that the index has under this URL.
fn resolve(repository: &Url, reference: &str) -> Result<Url, RepositoryError> {
    let invalid = |reason| RepositoryError::InvalidUrl { url: masked(reference), reason };
    let url = match Url::parse(reference) {
        Ok(url) => url,
        Err(_) => {
            let mut url = repository
                .join(reference)
                .map_err(|_| invalid("the index has it for a chart, and it is none"))?;
            if url.query().is_none() {
                url.set_query(repository.query());
            }
            url
        }
    };
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(invalid("the index has it for a chart, and it does not begin with https:// or http://")),
    }
}

/// What is no URL may hold a password, too.
fn masked(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => shown(&url),
        Err(_) => url.split_once('@').map_or(url, |(_, rest)| rest).chars().take(200).collect(),
    }
}

/// A provenance file, which is small.
async fn provenance_file(url: &Url, mut response: Response) -> Result<Vec<u8>, RepositoryError> {
    let mut file = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(url, error))? {
        file.extend_from_slice(&chunk);
        if file.len() > MAX_PROVENANCE_BYTES {
            let limit = MAX_PROVENANCE_BYTES as u64;
            let reason = ContentError::TooMuch { what: "bytes in a provenance file", limit };
            return Err(RepositoryError::Content { url: shown(url), reason });
        }
    }
    Ok(file)
}

async fn download(
    url: &Url,
    response: Response,
    limit: u64,
    what: &'static str,
    content: &Arc<ContentStore>,
) -> Result<Received, RepositoryError> {
    let failed = |reason| RepositoryError::Content { url: shown(url), reason };
    let too_much = || failed(ContentError::TooMuch { what, limit });
    if response.content_length().is_some_and(|bytes| bytes > limit) {
        return Err(too_much());
    }
    let content = Arc::clone(content);
    let incoming = blocking(move || content.incoming(limit)).await.map_err(failed)?;
    receive(incoming, response.bytes_stream()).await.map_err(|error| match error {
        Interrupted::Source(error) => unreachable(url, error),
        Interrupted::Content(ContentError::TooMuch { .. }) => too_much(),
        Interrupted::Content(error) => failed(error),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://c.example/a", "web-1.tgz", "https://c.example/a/web-1.tgz")]
    #[case("https://c.example/a/", "sub/web-1.tgz", "https://c.example/a/sub/web-1.tgz")]
    #[case("https://c.example/a/?token=x", "web-1.tgz", "https://c.example/a/web-1.tgz?token=x")]
    #[case("https://c.example/a", "/web-1.tgz", "https://c.example/web-1.tgz")]
    #[case("https://c.example/a", "http://d.example/web-1.tgz", "http://d.example/web-1.tgz")]
    fn a_chart_is_below_its_repository(#[case] url: &str, #[case] reference: &str, #[case] expected: &str) {
        assert_eq!(resolve(&fetch(url).base().unwrap(), reference).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("file:///etc/passwd")]
    #[case("oci://registry.example/web")]
    #[case("gopher://127.0.0.1/")]
    fn nothing_else_is_asked_for_than_the_web(#[case] reference: &str) {
        resolve(&fetch("https://c.example").base().unwrap(), reference).unwrap_err();
    }

    #[rstest]
    #[case(
        "oci://ghcr.io/a",
        "the URL \"oci://ghcr.io/a\" of the Helm repository cannot be used: a registry needs spec.type: oci"
    )]
    #[case(
        "https://",
        "the URL \"https://\" of the Helm repository cannot be used: write it as https://HOST/PATH"
    )]
    #[case(
        "ftp://user:hunter2@h/a",
        "the URL \"ftp://h/a\" of the Helm repository cannot be used: it has to begin with https://, http:// or oci://"
    )]
    fn what_is_no_repository_is_told(#[case] url: &str, #[case] message: &str) {
        assert_eq!(fetch(url).base().unwrap_err().to_string(), message);
    }

    fn fetch(url: &str) -> ChartFetch {
        ChartFetch {
            url: url.to_owned(),
            login: None,
            pass_credentials: false,
            transport: Transport::default(),
            timeout: Duration::from_secs(5),
            limits: HelmLimits::default(),
            signers: None,
        }
    }
}
