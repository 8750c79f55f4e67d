//! How long calls of plugins take, beside the same work by other programs, and how much memory many plugins take.

mod charts;
mod elsewhere;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use plumb_api::Object;
use plumb_plugin::{Call, Host, HostConfig, Plugin, World};
use plumb_tree::{Directory, View};
use serde_json::{Value, json};

use crate::report::{Each, plugin as print, say};
use elsewhere::{Sidecar, exec};

pub(crate) use elsewhere::play;

/// How often what takes less than a millisecond is done, and what takes longer.
const WARM_RUNS: usize = 2000;
const RUNS: usize = 50;

/// The files of a repository, and how many of them are rendered.
const FILES: usize = 200;
const RENDERED: usize = 5;

/// How many plugins are loaded at once.
const MANY: usize = 1000;

/// What is in the folder that is rendered.
pub(crate) const FOLDER: &str = "apps/app-000";

/// Measures:
///
/// - `call`: a transformer with nothing to do, which is what a call costs;
/// - `labels`: the same with four objects, beside a program that is started for each call;
/// - `render`: five of two hundred files, beside such a program, and a sidecar that gets all files each time;
/// - `chart-5`, `chart-40`, `chart-200`: charts of so many templates, beside Helm itself in a process that stays, and in one that is
///   started for each render;
/// - `cold-start`: a host loads what an earlier one has compiled, and calls it;
/// - `many`: the memory of a process that has loaded a thousand different plugins and called each.
///
/// It blocks.
pub(crate) fn measure() -> anyhow::Result<()> {
    let plugins = std::env::var_os("PLUMB_PLUGIN_DIR").map(PathBuf::from);
    let plugins = plugins.context("PLUMB_PLUGIN_DIR is not set: run `cargo xtask bench`")?;
    let cache = tempfile::tempdir()?;
    calls(&plugins, cache.path())?;
    renders(&plugins, cache.path())?;
    charts::measure(&plugins, cache.path())?;
    for name in ["labels", "kustomize"] {
        cold_start(&plugins, cache.path(), name)?;
    }
    many(&plugins.join("labels.wasm"))
}

fn host(cache: &Path) -> anyhow::Result<Host> {
    Ok(Host::new(HostConfig { cache_dir: Some(cache.to_owned()), ..HostConfig::default() })?)
}

fn timed(runs: usize, mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Each> {
    // The first one finds nothing in the processor's caches.
    run()?;
    let took = (0..runs).map(|_| {
        let since = Instant::now();
        run().map(|()| since.elapsed())
    });
    Ok(Each::of(&took.collect::<anyhow::Result<Vec<Duration>>>()?))
}

fn objects(count: usize) -> anyhow::Result<Vec<Object>> {
    let object = |at| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("object-{at}")}, "data": {"log": "info"}});
    Ok((0..count).map(|at| Object::new(object(at))).collect::<Result<_, _>>()?)
}

fn parameters() -> Value {
    json!({"labels": {"tier": "web"}})
}

fn calls(plugins: &Path, cache: &Path) -> anyhow::Result<()> {
    let labels = host(cache)?.load_file("labels", &plugins.join("labels.wasm"), World::Transformer)?;
    let call = Call::default();
    let transform = |objects: &[Object]| -> anyhow::Result<()> {
        let returned = labels.transform(objects, &parameters(), &call)?;
        ensure!(returned.len() == objects.len(), "{} objects were returned", returned.len());
        Ok(())
    };
    print("call", "plumbline", &timed(WARM_RUNS, || transform(&[]))?)?;
    let objects = objects(4)?;
    print("labels", "plumbline", &timed(WARM_RUNS, || transform(&objects))?)?;
    let input = serde_json::to_vec(&objects)?;
    let native = || -> anyhow::Result<()> {
        let returned: Vec<Value> = serde_json::from_slice(&exec("labels", &input)?)?;
        ensure!(
            returned.iter().all(|object| object["metadata"]["labels"]["tier"] == "web"),
            "a label is missing"
        );
        Ok(())
    };
    print("labels", "exec", &timed(RUNS, native)?)
}

fn renders(plugins: &Path, cache: &Path) -> anyhow::Result<()> {
    let repository = tempfile::tempdir()?;
    for at in 0..FILES {
        let folder = repository.path().join(format!("apps/app-{:03}", at / RENDERED));
        std::fs::create_dir_all(&folder)?;
        let text = "A line of a file that is as long as such lines are.\n".repeat(40);
        let text = text.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let object = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: object-{at}\ndata:\n  text: |\n{text}"
        );
        std::fs::write(folder.join(format!("object-{at:03}.yaml")), object)?;
    }
    let yaml = host(cache)?.load_file("yaml", &plugins.join("yaml.wasm"), World::Renderer)?;
    let (call, tree) = (Call::default(), Arc::new(Directory::open(repository.path())?));
    let render = || -> anyhow::Result<()> {
        let view = Arc::new(View::new(Arc::clone(&tree) as _, 1 << 20));
        let rendered = yaml.render(view, &json!({"path": FOLDER}), &call)?;
        ensure!(rendered.len() == RENDERED, "{} objects were rendered", rendered.len());
        Ok(())
    };
    print("render", "plumbline", &timed(RUNS * 4, render)?)?;

    let rendered = |json: &[u8]| -> anyhow::Result<()> {
        let objects: Vec<Value> = serde_json::from_slice(json)?;
        ensure!(objects.len() == RENDERED, "{} objects were rendered", objects.len());
        Ok(())
    };
    let root = repository.path().to_str().context("the path is not UTF-8")?;
    print("render", "exec", &timed(RUNS, || rendered(&exec("render", root.as_bytes())?))?)?;
    let mut sidecar = Sidecar::start()?;
    print("render", "sidecar", &timed(RUNS, || rendered(&sidecar.render(repository.path())?))?)
}

fn cold_start(plugins: &Path, cache: &Path, name: &'static str) -> anyhow::Result<()> {
    let bytes = std::fs::read(plugins.join(format!("{name}.wasm")))?;
    host(cache)?.load(name, &bytes)?;
    let mut took = Vec::new();
    for _ in 0..RUNS {
        // As in a process that has just begun, but for the pages that the kernel still has.
        let host = host(cache)?;
        let since = Instant::now();
        let plugin = host.load(name, &bytes)?;
        first_call(&plugin)?;
        took.push(since.elapsed());
    }
    print(if name == "labels" { "cold-start" } else { "cold-start-kustomize" }, "plumbline", &Each::of(&took))
}

/// Whether it gives objects or an error, it has run.
fn first_call(plugin: &Plugin) -> anyhow::Result<()> {
    let call = Call::default();
    if plugin.world() == World::Transformer {
        plugin.transform(&[], &parameters(), &call)?;
    } else {
        let nothing = Arc::new(View::new(Arc::new(plumb_tree::Memory::new()), 1 << 20));
        let _ = plugin.render(nothing, &json!({"path": "missing"}), &call);
    }
    Ok(())
}

/// Compiles all of them in one process, and loads them in another, so that what compiling takes does not count.
fn many(component: &Path) -> anyhow::Result<()> {
    let cache = tempfile::tempdir()?;
    let input = json!({"component": component, "cache": cache.path(), "count": MANY}).to_string();
    let since = Instant::now();
    exec("load-many", input.as_bytes())?;
    say(&format!("{MANY} plugins are compiled after {:.1} s", since.elapsed().as_secs_f64()));
    let loaded: Value = serde_json::from_slice(&exec("load-many", input.as_bytes())?)?;
    crate::report::many(MANY, &loaded)
}

/// What the process does that [`many`] starts. Each plugin is the same component with another number in a section that means nothing, so nothing is shared
/// but what the kernel shares.
pub(crate) fn load_many(input: &Value) -> anyhow::Result<Value> {
    let path =
        |key: &str| input[key].as_str().map(PathBuf::from).with_context(|| format!("{key} is missing"));
    let count = usize::try_from(input["count"].as_u64().context("count is missing")?)?;
    let component = std::fs::read(path("component")?)?;
    let config = HostConfig {
        cache_dir: Some(path("cache")?),
        cache_entries: count,
        cache_bytes: u64::MAX,
        ..HostConfig::default()
    };
    let (host, since) = (Host::new(config)?, Instant::now());
    let mut plugins = Vec::with_capacity(count);
    for at in 0..u32::try_from(count)? {
        let mut bytes = component.clone();
        // A custom section: its kind, its length, the length of its name, its name, its content.
        bytes.extend([0, 6, 1, b'n']);
        bytes.extend(at.to_le_bytes());
        let plugin = host.load_bytes("labels", &bytes, World::Transformer)?;
        first_call(&plugin)?;
        plugins.push(plugin);
    }
    let seconds = since.elapsed().as_secs_f64();
    let status = procfs::process::Process::myself()?.status()?;
    let mib = |kib: Option<u64>| kib.unwrap_or_default() as f64 / 1024.0;
    Ok(
        json!({"seconds": seconds, "peak_memory_mib": mib(status.vmhwm), "memory_mib": mib(status.vmrss), "file_mib": mib(status.rssfile)}),
    )
}
