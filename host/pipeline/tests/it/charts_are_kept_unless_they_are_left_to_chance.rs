//! The cache, and the built-in plugin helm as `cargo xtask build` makes it. A test that does not find it fails.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use plumb_pipeline::{Engine, Origin, Rendered, Request, Step};
use plumb_plugin::{Call, Grants, Host, HostConfig, Plugin, SystemClock, SystemRandom, World};
use plumb_tree::{Memory, Tree, TreePath};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

static HELM: LazyLock<(Plugin, TempDir)> = LazyLock::new(|| {
    let directory = std::env::var_os("PLUMB_PLUGIN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let file = directory.join("helm.wasm");
    assert!(file.exists(), "{} is missing; run `cargo xtask build`", file.display());
    let cache = TempDir::new().unwrap();
    let config = HostConfig { cache_dir: Some(cache.path().to_owned()), ..HostConfig::default() };
    (Host::new(config).unwrap().load_file("helm", &file, World::Renderer).unwrap(), cache)
});

/// A chart whose only object has one value, and the step that renders it.
fn chart(expression: &str) -> (Arc<dyn Tree>, Step) {
    let path = |text: &str| TreePath::new(text).unwrap();
    let template = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: {{{{ {expression} | quote }}}}}}\n"
    );
    let files = Memory::new()
        .with_file(&path("web/Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.0.0\n")
        .with_file(&path("web/templates/a.yaml"), template);
    let tree: Arc<dyn Tree> = Arc::new(files);
    let mut step = Step::new("helm", HELM.0.clone(), json!({"path": "web"}));
    step.grants = Grants {
        clock: Some(Arc::new(SystemClock)),
        random: Some(Arc::new(SystemRandom)),
        ..Grants::default()
    };
    (tree, step)
}

/// Renders such a chart twice.
fn twice(expression: &str) -> [Rendered; 2] {
    let (tree, step) = chart(expression);
    let (engine, steps) = (Engine::default(), [step]);
    let request = Request { scope: "me", tree: &tree, steps: &steps, call: &Call::default() };
    [(); 2].map(|()| engine.render(&request).unwrap())
}

#[test]
fn a_chart_is_rendered_once() {
    let [first, again] = twice(".Release.Name");
    assert_eq!([first.origin, again.origin], [Origin::Plugins, Origin::Cache]);
    assert_eq!(first.objects, again.objects);
}

#[test]
fn what_is_rendered_anew_is_not_kept() {
    let (tree, step) = chart(".Release.Name");
    let (engine, steps) = (Engine::default(), [step]);
    let request = Request { scope: "me", tree: &tree, steps: &steps, call: &Call::default() };
    let anew = engine.render_anew(&request).unwrap();
    let rendered = engine.render(&request).unwrap();
    assert_eq!((anew.digest, rendered.origin), (rendered.digest, Origin::Plugins));
}

#[rstest]
#[case("randAlphaNum 32")]
#[case("uuidv4")]
#[case("randInt 0 1000000000000000000")]
#[case("genPrivateKey \"ed25519\"")]
fn what_is_random_is_made_anew_each_time(#[case] expression: &str) {
    let [first, again] = twice(expression);
    assert_eq!(again.origin, Origin::Plugins);
    assert_ne!(first.digest, again.digest);
}

#[test]
fn what_depends_on_the_time_is_made_anew_each_time() {
    let [_, again] = twice("now | unixEpoch");
    assert_eq!(again.origin, Origin::Plugins);
}
