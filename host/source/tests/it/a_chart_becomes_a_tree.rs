use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use plumb_api::{Reason, Sensitive};
use plumb_source::content::{ContentError, ContentStore, Limits};
use plumb_source::helm::{
    Chart, ChartError, ChartFetch, HelmLimits, HelmLogin, Index, IndexFetch, IndexFetched, Package, Packaged,
    Remote,
};
use plumb_source::transport::Transport;
use plumb_tree::{Memory, Tree, TreePath};
use rstest::rstest;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::tarball::Tarball;
use crate::web::{Web, bytes, status};

pub(crate) struct Shelf {
    pub(crate) store: Arc<ContentStore>,
    pub(crate) dir: TempDir,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Arc::new(ContentStore::open(dir.path(), Limits::default()).unwrap());
        Self { store, dir }
    }

    /// Fetches the index, chooses a version, and downloads it.
    pub(crate) async fn pull(
        &self,
        repository: &ChartFetch,
        chart: &str,
        range: &str,
    ) -> Result<Chart, String> {
        let fetch = IndexFetch { owner: "me".to_owned(), repository: repository.clone(), known: None };
        let IndexFetched::New { stored, .. } =
            fetch.fetch(&self.store).await.map_err(|error| error.to_string())?
        else {
            panic!("nothing is known")
        };
        let index = Index::open(&self.store, stored.tree.as_ref(), &repository.url).unwrap();
        let version = index.find(chart, range).map_err(|error| error.to_string())?;
        let received =
            repository.fetch(chart, &version, &self.store).await.map_err(|error| error.to_string())?;
        Chart::unpack(&self.store, received.open().unwrap(), HelmLimits::default())
            .map_err(|error| error.to_string())
    }
}

pub(crate) fn repository(url: String) -> ChartFetch {
    ChartFetch {
        url,
        login: None,
        pass_credentials: false,
        transport: Transport::default(),
        timeout: Duration::from_secs(60),
        limits: HelmLimits::default(),
        signers: None,
    }
}

pub(crate) fn login() -> Option<HelmLogin> {
    Some(HelmLogin { username: "ada".to_owned(), password: Sensitive::new("hunter2".to_owned()) })
}

pub(crate) fn chart(name: &str, version: &str) -> Tarball {
    Tarball::new()
        .file(
            &format!("{name}/Chart.yaml"),
            format!("apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: 1.10\n").as_bytes(),
        )
        .file(&format!("{name}/values.yaml"), b"replicas: 1\nimage: {tag: a, pull: Always}\n")
        .file(&format!("{name}/values-prod.yaml"), b"replicas: 3\nimage: {tag: b}\n")
        .file(&format!("{name}/templates/web.yaml"), b"kind: Service\n")
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// An index with these charts: names, versions, URLs and digests.
pub(crate) fn index(entries: &[(&str, &str, &str, &str)]) -> String {
    let mut index = "apiVersion: v1\nentries:\n".to_owned();
    for (name, version, url, digest) in entries {
        index.push_str(&format!(
            "  {name}:\n  - {{name: {name}, version: {version}, urls: ['{url}'], digest: '{digest}'}}\n"
        ));
    }
    index
}

fn read(tree: &dyn Tree, path: &str) -> String {
    String::from_utf8(tree.read(&TreePath::new(path).unwrap(), 1 << 20).unwrap()).unwrap()
}

fn names(tree: &dyn Tree, path: &str) -> Vec<String> {
    tree.list(&TreePath::new(path).unwrap()).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[tokio::test]
async fn it_is_chosen_from_the_index_downloaded_and_unpacked() {
    let (shelf, archive) = (Shelf::new(), chart("web", "1.2.3").tar_gz());
    let index = index(&[("web", "1.2.3", "files/web-1.2.3.tgz", &digest(&archive))]);
    let web = Web::start(move |uri, _| match uri.path() {
        "/charts/index.yaml" => bytes(index.clone()),
        "/charts/files/web-1.2.3.tgz" => bytes(archive.clone()),
        _ => status(404),
    })
    .await;
    let pulled = shelf.pull(&repository(web.url("/charts")), "web", "1.x").await.unwrap();
    let packaged = Package::new(pulled).store(&shelf.store).unwrap();
    let tree = packaged.stored.tree.as_ref();
    assert_eq!(names(tree, ""), ["web"]);
    assert_eq!(names(tree, "web"), ["Chart.yaml", "templates", "values-prod.yaml", "values.yaml"]);
    assert_eq!((packaged.name.as_str(), packaged.version.as_str()), ("web", "1.2.3"));
    assert_eq!(packaged.app_version.as_deref(), Some("1.10"));
    assert!(!packaged.is_changed);
    assert_eq!(Packaged::directory(tree).as_deref(), Some("web"));
}

#[tokio::test]
async fn an_index_is_downloaded_when_it_has_changed() {
    let shelf = Shelf::new();
    let web = Web::answering(|request, before| {
        let answer = |text: &str| -> Response {
            let mut response = bytes(text.to_owned());
            response.headers_mut().insert("etag", "\"one\"".parse().unwrap());
            response
        };
        match (before, request.headers().get("if-none-match").and_then(|tag| tag.to_str().ok())) {
            (0, None) => answer(&index(&[("web", "1.0.0", "a.tgz", "")])),
            (_, Some("\"one\"")) if before < 3 => status(304),
            (_, Some(_)) => bytes(index(&[("web", "2.0.0", "a.tgz", "")])),
            _ => status(500),
        }
    })
    .await;
    let mut fetch = IndexFetch { owner: "me".to_owned(), repository: repository(web.url("")), known: None };
    let IndexFetched::New { revision, stored } = fetch.fetch(&shelf.store).await.unwrap() else { panic!() };
    let expected = digest(index(&[("web", "1.0.0", "a.tgz", "")]).as_bytes());
    assert_eq!(revision.to_string(), format!("sha256:{expected}"));
    // Who does not know it gets it from the disk.
    let IndexFetched::New { stored: again, .. } = fetch.fetch(&shelf.store).await.unwrap() else { panic!() };
    assert_eq!(again.digest, stored.digest);
    fetch.known = Some(revision.clone());
    assert!(matches!(fetch.fetch(&shelf.store).await, Ok(IndexFetched::Unchanged(same)) if same == revision));
    assert!(
        matches!(fetch.fetch(&shelf.store).await, Ok(IndexFetched::New { revision: new, .. }) if new != revision)
    );
    assert_eq!(web.seen(), vec!["/index.yaml"; 4]);
}

/// Two versions differ in what is put into them only.
#[test]
fn values_and_version_are_put_in_and_nothing_else_changes() {
    let shelf = Shelf::new();
    let of = || {
        Chart::unpack(&shelf.store, chart("web", "1.2.3").tar_gz().as_slice(), HelmLimits::default()).unwrap()
    };
    let files = ["values.yaml".to_owned(), "values-prod.yaml".to_owned()];
    let package =
        Package::new(of()).with_version("1.2.3+4".to_owned()).with_values_of_chart(&files, false).unwrap();
    let packaged = package.store(&shelf.store).unwrap();
    assert!(packaged.is_changed);
    assert_eq!(packaged.values_files, files);
    let tree = packaged.stored.tree.as_ref();
    let values: serde_json::Value = serde_json::from_str(&read(tree, "web/values.yaml")).unwrap();
    assert_eq!(values, serde_json::json!({"replicas": 3, "image": {"tag": "b", "pull": "Always"}}));
    assert_eq!(
        read(tree, "web/Chart.yaml"),
        "apiVersion: v2\nname: web\nversion: \"1.2.3+4\"\nappVersion: 1.10\n"
    );
    assert_eq!(read(tree, "web/templates/web.yaml"), "kind: Service\n");
}

fn files(more: &[(&str, &str)]) -> Arc<dyn Tree> {
    let files = [
        (
            "charts/web/Chart.yaml",
            "name: web\nversion: 1.0.0\ndependencies:\n- {name: db, version: 1.x, repository: 'file://../db'}\n- {name: vendored, version: 1.x, repository: 'https://charts.example'}\n",
        ),
        ("charts/web/charts/vendored/Chart.yaml", "name: vendored\nversion: 1.0.0\n"),
        ("charts/web/templates/a.yaml", "kind: A\n"),
        ("charts/db/Chart.yaml", "name: db\nversion: 1.4.0\n"),
        ("charts/db/templates/b.yaml", "kind: B\n"),
        ("values/prod.yaml", "replicas: 2\n"),
    ];
    let add =
        |tree: Memory, (path, text): &(&str, &str)| tree.with_file(&TreePath::new(path).unwrap(), *text);
    Arc::new(files.iter().chain(more).fold(Memory::new(), add))
}

fn of_tree(shelf: &Shelf, tree: &Arc<dyn Tree>, path: &str) -> Result<Chart, ChartError> {
    Chart::of_tree(&shelf.store, tree.clone(), path, HelmLimits::default())
}

#[test]
fn a_chart_of_a_repository_brings_what_is_beside_it() {
    let (shelf, tree) = (Shelf::new(), files(&[]));
    let package = Package::new(of_tree(&shelf, &tree, "./charts/web").unwrap());
    let package = package.with_values_of_tree(tree.clone(), &["values/prod.yaml".to_owned()], false).unwrap();
    let package = package.with_dependencies(&shelf.store).unwrap();
    assert_eq!(package.remotes(), []);
    let packaged = package.store(&shelf.store).unwrap();
    let tree = packaged.stored.tree.as_ref();
    assert_eq!(names(tree, ""), ["web"]);
    assert_eq!(names(tree, "web/charts"), ["db", "vendored"]);
    assert_eq!(read(tree, "web/charts/db/templates/b.yaml"), "kind: B\n");
    assert!(packaged.is_changed, "a directory is packaged, as in Flux");
}

#[test]
fn what_a_chart_needs_from_elsewhere_is_asked_for_and_put_in() {
    let needs = "name: web\nversion: 1.0.0\ndependencies:\n- {name: db, version: ^2, repository: 'https://charts.example'}\n";
    let (shelf, tree) = (Shelf::new(), files(&[("charts/web/Chart.yaml", needs)]));
    let package = || {
        Package::new(of_tree(&shelf, &tree, "charts/web").unwrap()).with_dependencies(&shelf.store).unwrap()
    };
    let remote =
        Remote { name: "db".into(), version: "^2".into(), repository: "https://charts.example".into() };
    assert_eq!(package().remotes(), std::slice::from_ref(&remote));
    let error = package().store(&shelf.store).unwrap_err();
    assert_eq!(error.reason(), Reason::DependencyBuildError);
    let of = |name, version| {
        Chart::unpack(&shelf.store, chart(name, version).tar_gz().as_slice(), HelmLimits::default()).unwrap()
    };
    assert_eq!(
        package().with_remote(&remote, of("db", "1.9.0")).unwrap_err().to_string(),
        "the dependency \"db\" of the chart cannot be had: what is there has the version 1.9.0, which is not in \"^2\""
    );
    let packaged = package().with_remote(&remote, of("db", "2.1.0")).unwrap().store(&shelf.store).unwrap();
    assert_eq!(names(packaged.stored.tree.as_ref(), "web/charts"), ["db", "vendored"]);
}

#[rstest]
#[case("Chart.lock")]
#[case("requirements.lock")]
fn what_was_settled_on_goes_before_what_is_asked_for(#[case] lock: &str) {
    let needs = "name: web\nversion: 1.0.0\ndependencies:\n- {name: db, version: ^2, repository: 'https://charts.example'}\n";
    let locked = "dependencies:\n- name: db\n  repository: https://charts.example\n  version: 2.0.3\ndigest: sha256:00\ngenerated: \"2026-01-01T00:00:00Z\"\n";
    let (shelf, path) = (Shelf::new(), format!("charts/web/{lock}"));
    let package = |locked: &str| {
        let tree = files(&[("charts/web/Chart.yaml", needs), (&path, locked)]);
        Package::new(of_tree(&shelf, &tree, "charts/web").unwrap()).with_dependencies(&shelf.store)
    };
    let versions: Vec<_> =
        package(locked).unwrap().remotes().iter().map(|remote| remote.version.clone()).collect();
    assert_eq!(versions, ["2.0.3"]);
    let error = package("[").unwrap_err().to_string();
    assert!(error.contains(&format!("{lock} cannot be read")), "{error}");
}

#[rstest]
#[case(
    "{name: db, version: 2.x, repository: 'file://../db'}",
    "what is there has the version 1.4.0, which is not in \"2.x\""
)]
#[case("{name: db, version: 1.x}", "it is not in charts/, and names no repository; add it there")]
#[case(
    "{name: db, version: 1.x, repository: '@mine'}",
    "its repository \"@mine\" is not a URL that begins with file://, https://, http:// or oci://; names of repositories are known to the helm command only"
)]
#[case("{name: other, version: 1.x, repository: 'file://../db'}", "what is there is the chart \"db\"")]
// Attack 10 (sources): what is beside the source is not beside the chart.
#[case(
    "{name: db, version: 1.x, repository: 'file://../../../db'}",
    "the path \"../../../db\" leads out of the root of the source"
)]
fn a_dependency_that_cannot_be_had_is_told(#[case] dependency: &str, #[case] why: &str) {
    let needs = format!("name: web\nversion: 1.0.0\ndependencies: [{dependency}]\n");
    let (shelf, tree) = (Shelf::new(), files(&[("charts/web/Chart.yaml", &needs)]));
    let error = Package::new(of_tree(&shelf, &tree, "charts/web").unwrap())
        .with_dependencies(&shelf.store)
        .unwrap_err();
    assert_eq!(error.reason(), Reason::DependencyBuildError);
    assert!(error.to_string().ends_with(why), "{error}");
}

#[test]
fn an_archive_in_a_repository_is_a_chart_too() {
    let shelf = Shelf::new();
    let tree: Arc<dyn Tree> = Arc::new(
        Memory::new()
            .with_file(&TreePath::new("dist/web-1.0.0.tgz").unwrap(), chart("web", "1.0.0").tar_gz()),
    );
    let packaged =
        Package::new(of_tree(&shelf, &tree, "dist/web-1.0.0.tgz").unwrap()).store(&shelf.store).unwrap();
    assert_eq!((packaged.name.as_str(), packaged.is_changed), ("web", false));
}

#[rstest]
#[case("charts/missing", "there is no chart at \"charts/missing\": there is nothing at \"charts/missing\"")]
#[case("values", "there is no chart at \"values\": there is nothing at \"values/Chart.yaml\"")]
#[case(
    "../charts/web",
    "there is no chart at \"../charts/web\": the path \"../charts/web\" leads out of the root of the source"
)]
fn what_is_no_chart_is_told(#[case] path: &str, #[case] message: &str) {
    let error = of_tree(&Shelf::new(), &files(&[]), path).unwrap_err();
    assert_eq!((error.reason(), error.to_string().as_str()), (Reason::InvalidChartReference, message));
}

#[rstest]
#[case(Tarball::new().file("web/values.yaml", b""), "there is nothing at \"web/Chart.yaml\"")]
#[case(Tarball::new().file("Chart.yaml", b"name: web\nversion: 1.0.0\n"), "it has no directory at its root")]
#[case(chart("web", "1.0.0").file("other/Chart.yaml", b""), "it has more than one directory at its root")]
#[case(chart("web", "newest"), "the version \"newest\" in Chart.yaml is not one of semver")]
// Attack 10 (sources): a chart whose name has a slash is no path.
#[case(Tarball::new().file("web/Chart.yaml", b"name: ../../etc\nversion: 1.0.0\n"), "the name \"../../etc\" in Chart.yaml is not that of a chart")]
// Attack 8 (sources): an archive that writes elsewhere.
#[case(chart("web", "1.0.0").file("../../etc/cron.d/x", b""), "has a part `..`")]
#[case(chart("web", "1.0.0").file("/etc/cron.d/x", b""), "is absolute")]
#[case(chart("web", "1.0.0").entry(tar::EntryType::Link, "web/x", "web/values.yaml", b""), "a hard link")]
#[case(chart("web", "1.0.0").entry(tar::EntryType::Char, "web/x", "", b""), "a device")]
fn an_archive_that_is_no_chart_is_refused(#[case] archive: Tarball, #[case] why: &str) {
    let shelf = Shelf::new();
    let error = Chart::unpack(&shelf.store, archive.tar_gz().as_slice(), HelmLimits::default()).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
}

// Attack 8 (sources), CVE-2025-32386: a small archive that is unpacked to more than memory or disk can hold.
#[rstest]
#[case::one_file(1, 6 * 1024 * 1024, "bytes in a file")]
#[case::in_all(30, 4 * 1024 * 1024, "")]
fn an_archive_is_no_bomb(#[case] count: usize, #[case] bytes: usize, #[case] what: &str) {
    let (shelf, zeros) = (Shelf::new(), vec![0; bytes]);
    let bomb = (0..count)
        .fold(chart("web", "1.0.0"), |bomb, at| bomb.file(&format!("web/files/{at}"), &zeros))
        .tar_gz();
    assert!(bomb.len() < 1024 * 1024, "it is small");
    let refused = Chart::unpack(&shelf.store, bomb.as_slice(), HelmLimits::default()).unwrap_err();
    let ChartError::Content(ContentError::TooMuch { what: told, .. }) = refused else { panic!("{refused}") };
    assert!(told.contains(what), "{told}");
    assert_eq!(shelf.dir.path().join("trees").read_dir().unwrap().count(), 0, "nothing of it is kept");
}

// Attack 8 (sources): links of an archive or of a repository lead nowhere but into it.
#[test]
fn links_stay_inside() {
    let shelf = Shelf::new();
    let archive = chart("web", "1.0.0").link("web/templates/out", "/etc/passwd");
    let pulled = Chart::unpack(&shelf.store, archive.tar_gz().as_slice(), HelmLimits::default()).unwrap();
    let error = Package::new(pulled).store(&shelf.store).unwrap_err();
    assert!(error.to_string().contains("leads nowhere or out of the source"), "{error}");

    let path = |path| TreePath::new(path).unwrap();
    let tree = Memory::new()
        .with_file(&path("shared/labels.tpl"), "labels\n")
        .with_file(&path("web/Chart.yaml"), "name: web\nversion: 1.0.0\n")
        .with_link(&path("web/templates/labels.tpl"), "../../shared/labels.tpl");
    let tree: Arc<dyn Tree> = Arc::new(tree);
    let packaged = Package::new(of_tree(&shelf, &tree, "web").unwrap()).store(&shelf.store).unwrap();
    assert_eq!(read(packaged.stored.tree.as_ref(), "web/templates/labels.tpl"), "labels\n");

    // Two links to where they are make a tree without an end.
    let endless = Memory::new()
        .with_file(&path("web/Chart.yaml"), "name: web\nversion: 1.0.0\n")
        .with_link(&path("web/a"), ".")
        .with_link(&path("web/b"), ".");
    let tree: Arc<dyn Tree> = Arc::new(endless);
    let error = Package::new(of_tree(&shelf, &tree, "web").unwrap()).store(&shelf.store).unwrap_err();
    assert!(
        matches!(error, ChartError::Content(ContentError::TooMuch { .. }) | ChartError::Tree(_)),
        "{error}"
    );
}
