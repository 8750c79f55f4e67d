//! The chart in the tree of a source.

use std::sync::Arc;

use plumb_api::{Reason, SourceKind};
use plumb_source::content::{ContentStore, Format};
use plumb_tree::{NodeKind, Replaced, Tree, TreeError, TreePath, View};
use serde_json::{Map, Value};

use super::super::failure::{Failure, Retry};
use crate::artifacts::Artifact;

/// The file that makes a directory a chart.
const CHART_FILE: &str = "Chart.yaml";
/// The largest `Chart.yaml`, and the largest archive of a chart. Helm's own bounds are 5 MiB a file and 100 MiB a chart.
const MAX_CHART_FILE: u64 = 5 << 20;
const MAX_ARCHIVE: u64 = 100 << 20;
/// How many characters of a digest go into a version.
const SHORT_DIGEST: usize = 12;

/// A chart that can be rendered.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) tree: Arc<dyn Tree>,
    /// Its directory in the tree.
    pub(super) path: String,
    pub(super) name: String,
    /// Its version. Where the source has a digest, that is a part of it, as in Flux: a tag that has moved is another version.
    pub(super) version: String,
    /// The digest of the artifact of an OCI registry.
    pub(super) digest: Option<String>,
}

/// Finds the chart of an artifact, and reads what its `Chart.yaml` says. Blocks on the disk.
pub(super) fn open(artifact: &Artifact, kind: SourceKind, store: &ContentStore) -> Result<Chart, Failure> {
    let (tree, path) = find(&artifact.tree, store)?;
    let file = if path.is_empty() { CHART_FILE.to_owned() } else { format!("{path}/{CHART_FILE}") };
    let bytes = View::new(tree.clone(), MAX_CHART_FILE).read(&file).map_err(|error| unusable(&error))?;
    let mut fields = parse(&bytes, &file)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let missing = |name: &str| failed(format!("{file} has no {name}"));
    let chart = text("name").filter(|name| !name.is_empty()).ok_or_else(|| missing("name"))?;
    let version = text("version").ok_or_else(|| missing("version"))?;
    let digest = digest_of(&artifact.revision.to_string(), kind);
    if digest.is_some() {
        refuse_another_version(&artifact.revision.to_string(), &version)?;
    }
    let (tree, version) = match &digest {
        None => (tree, version),
        Some(digest) => {
            let version = with_digest(&version, &artifact.revision.to_string(), digest)?;
            fields.insert("version".to_owned(), version.clone().into());
            let bytes = serde_json::to_vec(&fields).map_err(|error| failed(error.to_string()))?;
            let place = TreePath::new(&file).map_err(|error| failed(error.to_string()))?;
            let tree = Replaced::new(tree, place, bytes).map_err(|error| unusable(&error))?;
            (Arc::new(tree) as Arc<dyn Tree>, version)
        }
    };
    Ok(Chart { tree, path, name: chart, version, digest })
}

/// The chart is the root, the only directory of the root, or an archive that is all there is, as Helm packages it.
fn find(tree: &Arc<dyn Tree>, store: &ContentStore) -> Result<(Arc<dyn Tree>, String), Failure> {
    let view = View::new(tree.clone(), MAX_ARCHIVE);
    if is_file(&view, CHART_FILE) {
        return Ok((tree.clone(), String::new()));
    }
    let entries = view.list("").map_err(|error| unusable(&error))?;
    let charts: Vec<_> =
        entries.iter().filter(|entry| is_file(&view, &format!("{}/{CHART_FILE}", entry.name))).collect();
    match (charts.as_slice(), entries.as_slice()) {
        ([chart], _) => Ok((tree.clone(), chart.name.clone())),
        ([], [archive]) if archive.kind == NodeKind::File && archive.name.ends_with(".tgz") => {
            let bytes = view.read(&archive.name).map_err(|error| unusable(&error))?;
            let unpacked =
                store.unpack(bytes.as_slice(), Format::TarGz).map_err(|error| failed(error.to_string()))?;
            let tree = unpacked.tree;
            let inner = View::new(tree.clone(), MAX_CHART_FILE);
            let names = inner.list("").map_err(|error| unusable(&error))?;
            let charts =
                names.iter().filter(|entry| is_file(&inner, &format!("{}/{CHART_FILE}", entry.name)));
            match charts.collect::<Vec<_>>().as_slice() {
                [chart] => Ok((tree, chart.name.clone())),
                _ => Err(failed(format!("the archive {} holds no chart", archive.name))),
            }
        }
        ([], _) => Err(failed(format!(
            "there is no chart in the source: neither its root nor a directory of it has a {CHART_FILE}"
        ))),
        _ => Err(failed("there is more than one chart in the source")),
    }
}

fn is_file(view: &View, path: &str) -> bool {
    matches!(view.stat(path), Ok(node) if node.kind == NodeKind::File)
}

fn parse(bytes: &[u8], file: &str) -> Result<Map<String, Value>, Failure> {
    let unreadable = |reason: String| failed(format!("{file} cannot be read: {reason}"));
    let text = std::str::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
    match serde_yaml::from_str(text).map_err(|error| unreadable(error.to_string()))? {
        Value::Object(fields) => Ok(fields),
        _ => Err(unreadable("it is not a map".to_owned())),
    }
}

/// What tells artifacts of one version apart, where the source has it: as in Flux, the digest where the revision has a version as its name,
/// and the whole revision otherwise.
fn digest_of(revision: &str, kind: SourceKind) -> Option<String> {
    let has_digest = matches!(kind, SourceKind::OciRepository)
        || (kind == SourceKind::ExternalArtifact && revision.contains(':'));
    let digest = match revision.split_once('@') {
        Some((name, digest)) if is_version(name) => digest,
        Some(_) | None => revision,
    };
    has_digest.then(|| digest.to_owned())
}

/// A tag that is a version has to be that of the chart, as in Flux: who has pinned a version must not get another one. Build metadata does not count.
fn refuse_another_version(revision: &str, version: &str) -> Result<(), Failure> {
    let Some((tag, _)) = revision.split_once('@').filter(|(tag, _)| is_version(tag)) else { return Ok(()) };
    if completed(tag) == completed(version) {
        return Ok(());
    }
    Err(failed(format!(
        "the tag {tag} and the version {version} of the chart have to be the same; push the chart with `helm push`, which sees to that"
    )))
}

/// Whether a tag is a version, of which parts may be missing. Tags have `_` where versions have `+`.
fn is_version(tag: &str) -> bool {
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let numbers = version.split(['-', '_', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.split('.').count() <= 3 && numbers.split('.').all(is_number)
}

/// `1.2.3+0123456789ab`: as Flux does, the beginning of the digest is put in the place of the metadata of the version.
fn with_digest(version: &str, revision: &str, digest: &str) -> Result<String, Failure> {
    let hex = digest.split_once(':').map(|(_, hex)| hex).unwrap_or_default();
    let short =
        hex.get(..SHORT_DIGEST).ok_or_else(|| failed(format!("invalid artifact revision {revision}")))?;
    Ok(format!("{}+{short}", completed(version)))
}

/// A version with all three of its numbers, as Helm completes it, and without build metadata. Tags have `_` where versions have `+`.
fn completed(version: &str) -> String {
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.split_once(['+', '_']).map_or(version, |(core, _)| core);
    let (numbers, pre) =
        version.split_once('-').map_or((version, None), |(numbers, pre)| (numbers, Some(pre)));
    let mut parts: Vec<&str> = numbers.split('.').collect();
    parts.resize(parts.len().max(3), "0");
    let numbers = parts.join(".");
    pre.map_or(numbers.clone(), |pre| format!("{numbers}-{pre}"))
}

fn unusable(error: &TreeError) -> Failure {
    failed(error.to_string())
}

fn failed(why: impl Into<String>) -> Failure {
    Failure::new(Reason::ArtifactFailed, Retry::Interval, format!("Could not load chart: {}", why.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_source::content::Limits;
    use plumb_tree::Memory;
    use rstest::rstest;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> Arc<dyn Tree> {
        let with =
            |tree: Memory, (path, text): &(&str, &str)| tree.with_file(&TreePath::new(path).unwrap(), *text);
        Arc::new(files.iter().fold(Memory::new(), with))
    }

    fn opened(files: &[(&str, &str)], kind: SourceKind, revision: &str) -> Result<Chart, String> {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path(), Limits::default()).unwrap();
        let artifact = Artifact {
            revision: revision.parse().unwrap(),
            tree: tree(files),
            digest: "sha256:00".to_owned(),
            origin: None,
        };
        open(&artifact, kind, &store).map_err(|failure| failure.message)
    }

    const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.2.3+old\nappVersion: 4.5\n";
    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[rstest]
    #[case::root(&[("Chart.yaml", CHART)], "")]
    #[case::directory(&[("web/Chart.yaml", CHART), ("README.md", "")], "web")]
    fn a_chart_is_found(#[case] files: &[(&str, &str)], #[case] path: &str) {
        let chart =
            opened(files, SourceKind::GitRepository, "main@sha1:0123456789abcdef0123456789abcdef01234567")
                .unwrap();
        assert_eq!(
            (chart.path.as_str(), chart.name.as_str(), chart.version.as_str()),
            (path, "web", "1.2.3+old")
        );
        assert_eq!(chart.digest, None);
    }

    #[rstest]
    #[case::none(&[("README.md", "")], "Could not load chart: there is no chart in the source: neither its root nor a directory of it has a Chart.yaml")]
    #[case::two(&[("a/Chart.yaml", CHART), ("b/Chart.yaml", CHART)], "Could not load chart: there is more than one chart in the source")]
    #[case::nameless(&[("Chart.yaml", "version: 1.0.0")], "Could not load chart: Chart.yaml has no name")]
    #[case::broken(&[("Chart.yaml", "[")], "Could not load chart: Chart.yaml cannot be read: ")]
    fn what_is_no_chart_is_told(#[case] files: &[(&str, &str)], #[case] expected: &str) {
        let message =
            opened(files, SourceKind::GitRepository, "main@sha1:0123456789abcdef0123456789abcdef01234567")
                .unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }

    #[rstest]
    #[case::tag(&format!("1.2.3@{DIGEST}"), DIGEST)]
    #[case::latest(&format!("latest@{DIGEST}"), &format!("latest@{DIGEST}"))]
    fn the_digest_of_an_oci_artifact_is_a_part_of_the_version(#[case] revision: &str, #[case] digest: &str) {
        let chart = opened(&[("web/Chart.yaml", CHART)], SourceKind::OciRepository, revision).unwrap();
        assert_eq!(chart.version, "1.2.3+0123456789ab");
        assert_eq!(chart.digest.as_deref(), Some(digest));
        let seen = View::new(chart.tree.clone(), MAX_CHART_FILE).read("web/Chart.yaml").unwrap();
        let fields: Value = serde_yaml::from_slice(&seen).unwrap();
        assert_eq!((&fields["version"], &fields["name"]), (&"1.2.3+0123456789ab".into(), &"web".into()));
    }

    #[rstest]
    #[case::another("1.2.4")]
    #[case::a_pre_release("1.2.3-rc.1")]
    #[case::of_fewer_numbers("v1.2")]
    fn a_tag_that_is_a_version_is_that_of_the_chart(#[case] tag: &str) {
        let opened = |tag: &str| {
            opened(&[("web/Chart.yaml", CHART)], SourceKind::OciRepository, &format!("{tag}@{DIGEST}"))
        };
        let message = opened(tag).unwrap_err();
        let expected = format!(
            "Could not load chart: the tag {tag} and the version 1.2.3+old of the chart have to be the same"
        );
        assert!(message.starts_with(&expected), "{message}");
        for same in ["1.2.3", "v1.2.3", "1.2.3_build.7"] {
            assert_eq!(opened(same).unwrap().version, "1.2.3+0123456789ab");
        }
    }

    #[rstest]
    #[case("1", "1.0.0")]
    #[case("v1.2", "1.2.0")]
    #[case("1.2.3-rc.1", "1.2.3-rc.1")]
    fn versions_are_completed(#[case] version: &str, #[case] expected: &str) {
        assert_eq!(completed(version), expected);
    }
}
