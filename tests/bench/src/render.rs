//! How long renders take, without a cluster. The files are in a Git repository, as the controller has them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use plumb_api::GitReference;
use plumb_pipeline::{Builtins, Engine, Request, Step};
use plumb_plugin::{Call, Host, HostConfig};
use plumb_source::Cancel;
use plumb_source::git::{Credentials, Fetch, Fetched, GitStore, GitUrl, Limits, Selection};
use plumb_test_support::{GitRepo, GitServer, GitServerOptions};
use plumb_tree::Tree;
use serde_json::json;

use crate::metrics::percentile;
use crate::report::{render as print, say};

/// How many objects, and how often what takes long is done.
const SIZES: [(usize, usize); 3] = [(5, 20), (100, 20), (1000, 5)];
/// How often what takes milliseconds at the most is done.
const WARM_RUNS: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(60);

/// Measures renders of 5, 100 and 1000 objects, a file each.
///
/// - cold: the plugin is compiled, and nothing was rendered;
/// - changed: one file is other than in the last render;
/// - warm: the same again.
///
/// It blocks.
pub(crate) fn measure() -> anyhow::Result<()> {
    let plugins = std::env::var_os("PLUMB_PLUGIN_DIR").map(PathBuf::from);
    let plugins = plugins.context("PLUMB_PLUGIN_DIR is not set: run `cargo xtask bench`")?;
    let since = Instant::now();
    let builtins = Builtins::new(Host::new(HostConfig::default())?, plugins);
    let kustomize = builtins.renderer("kustomize")?;
    say(&format!("the kustomize plugin is compiled after {:.1} s", since.elapsed().as_secs_f64()));
    // As of a Kustomization that only has a path.
    let steps = [Step::new("kustomize", kustomize, json!({"path": "./apps", "overlay": {}}))];
    for (objects, runs) in SIZES {
        measure_one(objects, runs, &steps)?;
    }
    Ok(())
}

fn measure_one(objects: usize, runs: usize, steps: &[Step]) -> anyhow::Result<()> {
    let files = Files::make(objects)?;
    let [first, second] = files.trees()?;
    let render = |engine: &Engine, tree: &Arc<dyn Tree>| -> anyhow::Result<Duration> {
        let call = Call::default();
        let since = Instant::now();
        let rendered = engine.render(&Request { scope: "bench", tree, steps, call: &call })?;
        let took = since.elapsed();
        ensure!(rendered.objects.len() == objects, "{} objects were rendered", rendered.objects.len());
        Ok(took)
    };
    let cold = (0..runs).map(|_| render(&Engine::default(), &first)).collect::<anyhow::Result<Vec<_>>>()?;
    report(objects, "cold", &cold)?;

    let engine = Engine::default();
    render(&engine, &second)?;
    // Only the last result is kept, so each is another than the one before.
    let trees = [&first, &second].into_iter().cycle().take(runs);
    let changed = trees.map(|tree| render(&engine, tree)).collect::<anyhow::Result<Vec<_>>>()?;
    report(objects, "changed", &changed)?;

    let warm = (0..WARM_RUNS).map(|_| render(&engine, &second)).collect::<anyhow::Result<Vec<_>>>()?;
    report(objects, "warm", &warm)
}

fn report(objects: usize, phase: &str, took: &[Duration]) -> anyhow::Result<()> {
    let percent = |percent| percentile(took, percent).context("nothing was measured");
    print(objects, phase, percent(50)?, percent(99)?, took.len())
}

/// A repository with two commits that differ in one file, and what was fetched of it.
struct Files {
    server: GitServer,
    store: GitStore,
    commits: [String; 2],
    _repository: GitRepo,
    _dir: tempfile::TempDir,
}

impl Files {
    fn make(objects: usize) -> anyhow::Result<Self> {
        let repository = GitRepo::new()?;
        let resources: Vec<String> = (0..objects).map(|at| format!("object-{at:04}.yaml")).collect();
        for at in 0..objects {
            repository.write(&format!("apps/object-{at:04}.yaml"), object(at, "one"))?;
        }
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources,
        });
        repository.write("apps/kustomization.yaml", format!("{kustomization:#}\n"))?;
        let first = repository.commit("All objects")?;
        repository.write("apps/object-0000.yaml", object(0, "two"))?;
        let second = repository.commit("One object")?;
        let server = GitServer::start(&repository.root(), GitServerOptions::default())?;
        let dir = tempfile::tempdir()?;
        let store = GitStore::open(dir.path(), Limits::default())?;
        Ok(Self { server, store, commits: [first, second], _repository: repository, _dir: dir })
    }

    fn trees(&self) -> anyhow::Result<[Arc<dyn Tree>; 2]> {
        let [first, second] = &self.commits;
        Ok([self.tree(first)?, self.tree(second)?])
    }

    fn tree(&self, commit: &str) -> anyhow::Result<Arc<dyn Tree>> {
        let fetch = Fetch {
            url: GitUrl::parse(&self.server.url())?,
            reference: GitReference::Commit { branch: Some("main".to_owned()), sha: commit.to_owned() },
            credentials: Credentials::default(),
            timeout: TIMEOUT,
            verify: None,
            selection: Selection::default(),
            known: None,
        };
        match self.store.fetch(&fetch, &Cancel::new())? {
            Fetched::New(snapshot) => Ok(snapshot.tree),
            Fetched::Unchanged(revision) => bail!("{revision} is not new to a store that is"),
        }
    }
}

fn object(at: usize, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: object-{at:04}\n  namespace: apps\n  \
         labels:\n    app: bench\ndata:\n  value: {value}\n  text: |\n    {}\n",
        "Some lines that a real file would have, too. ".repeat(8).trim_end()
    )
}
