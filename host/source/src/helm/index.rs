//! An index has an entry for every version of every chart, with descriptions, icons and maintainers, and may have millions of them. It is read once, as a stream, when it is
//! fetched; what is needed to choose and to download is written to the disk in a form of our own, a line a version, which is looked through for each chart.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};

use jiff::Timestamp;
use plumb_tree::{Tree, TreePath};
use semver::Version;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use crate::content::{ContentError, ContentStore, Incoming, Received};
use crate::foreign::printable;
use crate::helm::ChartError;
use crate::versions::{Range, version_of_tag};

/// The file of the tree that holds the lines.
pub(crate) const FILE: &str = "index";
/// The first line. Another form gets another number.
const HEADER: &[u8] = b"plumbline helm index 1\n";
/// How much is collected before it is written.
const BUFFER_BYTES: usize = 64 * 1024;
/// How deeply an index may be nested: annotations of a chart come to 5.
const DEEPEST: usize = 64;
/// How many values aliases may stand for.
const MOST_ALIASED: usize = 100_000;
/// The longest line. What is kept of a version takes some hundred bytes.
const LINE_BYTES: u64 = 1024 * 1024;

/// A version of a chart, as an index has it. The names of the fields are short on the disk: what is kept of an index is never larger than the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartVersion {
    /// The version.
    #[serde(rename = "v")]
    pub version: String,
    /// Where its archive is: absolute, or from the repository on.
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The SHA-256 of its archive, where the index has one.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When it was made. It tells apart what differs in build metadata only.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

/// Why an index was not read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is not an index; this tells why, and where.
    Malformed(String),
    /// What was read of it could not be stored.
    Content(ContentError),
}

/// Reads an index to its end, and writes what is needed of it.
pub(crate) fn compact(index: impl Read, into: Incoming) -> Result<Received, Unreadable> {
    let mut lines = Lines { into, buffer: HEADER.to_vec(), failed: None };
    let read = serde_saphyr::with_deserializer_from_reader_with_options(index, options(), |deserializer| {
        Root(&mut lines).deserialize(deserializer)
    });
    match (lines.failed.take(), read) {
        (Some(failed), _) => return Err(Unreadable::Content(failed)),
        (None, Err(error)) => return Err(Unreadable::Malformed(sentence(&error))),
        (None, Ok(())) => {}
    }
    lines.finish().map_err(Unreadable::Content)
}

/// What bounds an index is its size, which was looked at before. Only aliases could make it grow.
fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    // To remember the names of a million charts takes more memory than everything else.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::AsOrdinary;
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = MOST_ALIASED;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = DEEPEST;
        budget.max_reader_input_bytes = None;
        (budget.max_nodes, budget.max_events, budget.max_total_scalar_bytes) =
            (usize::MAX, usize::MAX, usize::MAX);
    }
    options
}

/// The error on one line, with its place.
fn sentence(error: &serde_saphyr::Error) -> String {
    printable(&error.without_snippet().to_string())
}

/// The lines on their way to the disk.
struct Lines {
    into: Incoming,
    buffer: Vec<u8>,
    failed: Option<ContentError>,
}

impl Lines {
    fn line<E: serde::de::Error>(&mut self, first: &[u8], value: &impl Serialize) -> Result<(), E> {
        self.buffer.extend_from_slice(first);
        serde_json::to_writer(&mut self.buffer, value).map_err(E::custom)?;
        self.buffer.push(b'\n');
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(());
        }
        let written = self.into.write(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| {
            self.failed = Some(error);
            E::custom("the disk failed")
        })
    }

    fn finish(mut self) -> Result<Received, ContentError> {
        self.into.write(&self.buffer)?;
        self.into.finish()
    }
}

/// The whole index.
struct Root<'a>(&'a mut Lines);

impl<'de> DeserializeSeed<'de> for Root<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index with apiVersion and entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut has_version = false;
        while let Some(field) = fields.next_key::<String>()? {
            match field.as_str() {
                "apiVersion" => has_version = fields.next_value::<Option<String>>()?.is_some(),
                "entries" => fields.next_value_seed(Entries(&mut *self.0))?,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_version { Ok(()) } else { Err(A::Error::custom("no API version specified")) }
    }
}

/// The charts of an index.
struct Entries<'a>(&'a mut Lines);

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the charts by their names")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut charts: A) -> Result<(), A::Error> {
        while let Some(name) = charts.next_key::<String>()? {
            self.0.line(b">", &name)?;
            charts.next_value_seed(Versions(&mut *self.0))?;
        }
        Ok(())
    }
}

/// The versions of a chart.
struct Versions<'a>(&'a mut Lines);

impl<'de> DeserializeSeed<'de> for Versions<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Versions<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of the versions of a chart")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut versions: A) -> Result<(), A::Error> {
        while let Some(entry) = versions.next_element::<Option<Entry>>()? {
            // As in Flux, what is no version is passed over.
            let Some(kept) = entry.and_then(Entry::kept) else { continue };
            self.0.line(b"", &kept)?;
        }
        Ok(())
    }
}

/// A version of a chart, with what is looked at.
#[derive(Deserialize)]
struct Entry {
    version: Option<String>,
    urls: Option<Vec<String>>,
    digest: Option<String>,
    created: Option<String>,
}

impl Entry {
    fn kept(self) -> Option<ChartVersion> {
        let Self { version, urls, digest, created } = self;
        let digest = digest.filter(|digest| !digest.is_empty());
        // Only the first one is ever asked.
        let urls = urls.into_iter().flatten().take(1).collect();
        Some(ChartVersion { version: version?, urls, digest, created })
    }
}

/// The index of a repository, on the disk.
#[derive(Debug)]
pub struct Index {
    file: File,
    repository: String,
}

impl Index {
    /// The index that an [`IndexFetch`](crate::helm::IndexFetch) has stored as this tree. Blocks on the disk.
    ///
    /// `repository` is how messages call it.
    pub fn open(store: &ContentStore, tree: &dyn Tree, repository: &str) -> Result<Self, ChartError> {
        let id = tree.id(&TreePath::root().join(FILE).map_err(plumb_tree::TreeError::from)?)?;
        Ok(Self { file: store.open_file(&id)?, repository: repository.to_owned() })
    }

    /// The version of a chart that is written as `range`, or else the highest in it. Of versions that differ in build metadata only, which has no order, the one that was
    /// made last. Blocks on the disk.
    pub fn find(self, chart: &str, range: &str) -> Result<ChartVersion, ChartError> {
        let wanted = Range::parse(range).ok_or_else(|| ChartError::InvalidRange(range.to_owned()))?;
        let mut best: Option<(Version, Option<Timestamp>, ChartVersion)> = None;
        let mut exact: Option<ChartVersion> = None;
        let is_known = each_version(self.file, chart, |candidate| {
            if exact.is_none() && candidate.version == range {
                exact = Some(candidate);
                return;
            }
            let Some(version) = version_of_tag(&candidate.version).filter(|version| wanted.holds(version))
            else {
                return;
            };
            let created = candidate.created.as_deref().and_then(|created| created.parse().ok());
            let is_better = best.as_ref().is_none_or(|(best, best_created, _)| {
                version.cmp_precedence(best).then_with(|| created.cmp(best_created)).is_gt()
            });
            if is_better {
                best = Some((version, created, candidate));
            }
        })?;
        let (repository, chart) = (self.repository, chart.to_owned());
        match (exact.or(best.map(|(_, _, best)| best)), is_known) {
            (Some(found), _) => Ok(found),
            (None, true) => Err(ChartError::NoVersion { repository, chart, range: range.to_owned() }),
            (None, false) => Err(ChartError::NoChart { repository, chart }),
        }
    }
}

/// Goes through the versions of a chart; says whether there is such a chart.
fn each_version(file: File, chart: &str, mut take: impl FnMut(ChartVersion)) -> Result<bool, ChartError> {
    let damaged = |why: &dyn fmt::Display| {
        ChartError::Content(ContentError::store(format!("the index is damaged: {why}")))
    };
    let heading = format!(">{}\n", serde_json::to_string(chart).map_err(|error| damaged(&error))?);
    let mut lines = BufReader::with_capacity(BUFFER_BYTES, file);
    let (mut line, mut is_known, mut is_of_chart) = (Vec::new(), false, false);
    loop {
        line.clear();
        let read =
            lines.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line).map_err(|error| damaged(&error))?;
        match line.first() {
            None if read == 0 => return Ok(is_known),
            Some(b'>') => {
                is_of_chart = line == heading.as_bytes();
                is_known |= is_of_chart;
            }
            _ if is_of_chart => take(serde_json::from_slice(&line).map_err(|error| damaged(&error))?),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::content::Limits;

    const INDEX: &str = "
apiVersion: v1
generated: 2026-01-01T00:00:00Z
entries:
  web:
  - &first
    apiVersion: v2
    name: web
    version: 1.0.0
    created: 2025-01-01T00:00:00Z
    digest: aa
    urls: [web-1.0.0.tgz, https://mirror.example/web-1.0.0.tgz]
    maintainers: [{name: somebody}]
  - {version: 1.10.0, urls: [https://elsewhere.example/web-1.10.0.tgz]}
  - {version: 1.9.0, urls: [web-1.9.0.tgz]}
  - {version: 2.0.0-rc.1, urls: [web-2.0.0-rc.1.tgz]}
  - {version: 1.10.0+b.1, urls: [old], created: 2025-01-01T00:00:00Z}
  - {version: 1.10.0+b.2, urls: [new], created: 2025-06-01T00:00:00+02:00}
  - {version: one, urls: [one.tgz]}
  - {version: '1.2', urls: [two.tgz]}
  - {urls: [none.tgz]}
  - null
  a/b: [{version: 0.1.0, urls: [ab.tgz]}]
  none: null
  \"../../etc/passwd\": [{version: 1.0.0, urls: [x.tgz]}]
";

    type Stored = Result<(ContentStore, std::sync::Arc<dyn Tree>), String>;

    fn read(index: &str) -> (tempfile::TempDir, Stored) {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path(), Limits::default()).unwrap();
        let compacted =
            compact(index.as_bytes(), store.incoming(1 << 20).unwrap()).map_err(|error| match error {
                Unreadable::Malformed(why) => why,
                Unreadable::Content(error) => error.to_string(),
            });
        let stored = compacted.map(|received| {
            let mut builder = store.builder();
            builder.received(FILE, received).unwrap();
            let tree = builder.finish().unwrap().tree;
            (store, tree)
        });
        (dir, stored)
    }

    fn find(chart: &str, range: &str) -> Result<ChartVersion, ChartError> {
        let (_dir, stored) = read(INDEX);
        let (store, tree) = stored.unwrap();
        Index::open(&store, tree.as_ref(), "https://charts.example").unwrap().find(chart, range)
    }

    #[rstest]
    #[case("web", "*", "1.10.0+b.2")]
    #[case("web", "1.9.x", "1.9.0")]
    #[case("web", "<1.10.0", "1.9.0")]
    #[case("web", ">=2.0.0-0", "2.0.0-rc.1")]
    #[case("web", "1.10.0+b.1", "1.10.0+b.1")]
    #[case("web", "1.10.0", "1.10.0")]
    #[case("web", "1.2", "1.2")]
    #[case("a/b", "0.x", "0.1.0")]
    fn the_version_as_written_or_the_highest_is_found(
        #[case] chart: &str,
        #[case] range: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(find(chart, range).unwrap().version, expected);
    }

    #[test]
    fn what_is_needed_to_download_it_is_kept() {
        let expected = ChartVersion {
            version: "1.0.0".to_owned(),
            urls: vec!["web-1.0.0.tgz".to_owned()],
            digest: Some("aa".to_owned()),
            created: Some("2025-01-01T00:00:00Z".to_owned()),
        };
        assert_eq!(find("web", "1.0.0").unwrap(), expected);
    }

    #[rstest]
    #[case("web", "3.x", "no 'web' chart with version matching '3.x' found in https://charts.example")]
    #[case("none", "*", "no 'none' chart with version matching '*' found in https://charts.example")]
    #[case("missing", "*", "the repository https://charts.example has no chart \"missing\"")]
    #[case("we", "*", "the repository https://charts.example has no chart \"we\"")]
    #[case(
        "web",
        "newest",
        "spec.version \"newest\" is not a version or a range of versions; write it, for example, as 1.2.3, 1.x or >=1.2.0 <2.0.0"
    )]
    fn what_is_not_there_is_told(#[case] chart: &str, #[case] range: &str, #[case] message: &str) {
        assert_eq!(find(chart, range).unwrap_err().to_string(), message);
    }

    #[test]
    fn an_index_of_json_is_one_too() {
        let json = r#"{"apiVersion":"v1","entries":{"web":[{"version":"1.0.0","urls":["a.tgz"]}]}}"#;
        let (_dir, stored) = read(json);
        let (store, tree) = stored.unwrap();
        let found = Index::open(&store, tree.as_ref(), "x").unwrap().find("web", "*").unwrap();
        assert_eq!(found.urls, ["a.tgz"]);
    }

    #[rstest]
    #[case("", "")]
    #[case("<html><body>sign in</body></html>", "")]
    #[case("entries: {}", "no API version specified")]
    #[case("apiVersion: v1\nentries: [a]", "")]
    #[case("apiVersion: v1\nentries: {web: {version: 1.0.0}}", "")]
    #[case("apiVersion: v1\nentries: {web: [", "")]
    fn what_is_no_index_is_refused(#[case] index: &str, #[case] message: &str) {
        let refused = read(index).1.err().unwrap_or_else(|| panic!("{index:?} was taken for an index"));
        assert!(!refused.is_empty() && refused.contains(message), "{refused}");
    }

    // Attack 10 (sources): an index that grows when it is read.
    #[test]
    fn aliases_do_not_make_an_index_grow() {
        let mut index = "apiVersion: v1\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
        for level in 1..12 {
            let below = vec![format!("*x{}", level - 1); 10].join(", ");
            index.push_str(&format!("x{level}: &x{level} [{below}]\n"));
        }
        index.push_str("entries: {web: [{version: 1.0.0, urls: *x11}]}\n");
        let refused = read(&index).1.err().unwrap();
        assert!(refused.contains("alias") || refused.contains("anchor"), "{refused}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(apiVersion: v1\nentries: )?[-{}\\[\\]:,&*a0. \n\"']{0,40}|\\PC{0,40}") {
            let (_dir, stored) = read(&text);
            if let Ok((store, tree)) = stored {
                let _ = Index::open(&store, tree.as_ref(), "x").unwrap().find("a", "*");
            }
        }

        /// What is kept of an index fits wherever the index did.
        #[test]
        fn what_is_kept_is_no_larger(versions in proptest::collection::vec("[0-9]{1,3}\\.[0-9]\\.[0-9]", 1..20), url in "[a-z]{1,20}") {
            let entries: String = versions.iter().map(|version| format!("  - {{version: {version}, urls: [{url}]}}\n")).collect();
            let index = format!("apiVersion: v1\nentries:\n  web:\n{entries}");
            let (_dir, stored) = read(&index);
            let (_store, tree) = stored.unwrap();
            let kept = tree.size(&TreePath::new(FILE).unwrap()).unwrap();
            prop_assert!(kept <= index.len() as u64 + HEADER.len() as u64, "{kept} for {}", index.len());
        }
    }
}
