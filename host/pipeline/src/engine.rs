use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use plumb_api::Object;
use plumb_plugin::{Call, CallError, Plugin, World};
use plumb_tree::{Tree, View};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::CacheLimits;
use crate::cache::{Key, RenderCache};

/// One plugin with its parameters.
#[derive(Clone)]
pub struct Step {
    /// The name that errors call it by.
    pub name: String,
    /// What runs: a renderer as the first step, transformers after it.
    pub plugin: Plugin,
    /// What the plugin is told, a JSON object. It may have secrets in it: nobody shows it, and of it the cache keeps a hash only.
    pub parameters: Value,
}

/// What to render, and for whom.
pub struct Request<'a> {
    /// Who asks, for example `Kustomization/flux-system/apps`. Results are never shared between askers.
    pub scope: &'a str,
    /// The files.
    pub tree: &'a Arc<dyn Tree>,
    /// The steps, a renderer first.
    pub steps: &'a [Step],
    /// Limits of each step's call, and the flag that ends it.
    pub call: &'a Call,
}

/// What the steps made of a tree.
#[derive(Debug)]
pub struct Rendered {
    /// The objects, in the order in which the last step returned them.
    pub objects: Vec<Object>,
    /// `sha256:…` of the objects: equal digests, equal objects in equal order.
    pub digest: String,
    /// What the plugins found that should be changed but did not stop them.
    pub warnings: Vec<String>,
    /// How many bytes the objects take as JSON.
    pub(crate) bytes: usize,
}

/// How a result came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The plugins have made it now.
    Plugins,
    /// They made it earlier, and nothing that was read has changed since.
    Cache,
}

/// Why rendering failed.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// There is no step to run.
    #[error("there is nothing to render: the list of steps is empty")]
    NoSteps,
    /// A step's plugin is of a kind that cannot stand there.
    #[error("step {step} cannot run: its plugin is for the world {world:?}, and a {wanted} is wanted there")]
    WrongWorld {
        /// The name of the step.
        step: String,
        /// What its plugin is made for.
        world: World,
        /// What can stand there.
        wanted: &'static str,
    },
    /// A step failed.
    #[error("step {step}: {error}")]
    Step {
        /// The name of the step.
        step: String,
        /// What the plugin says, or which limit it met.
        error: CallError,
    },
}

/// Renders, and remembers what it rendered. Calls block: they belong on a pool of threads of their own.
pub struct Engine {
    cache: RenderCache,
    max_file_bytes: u64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Default for Engine {
    /// The default cache, and files of up to 50 MiB.
    fn default() -> Self {
        Self::new(CacheLimits::default(), 50 << 20)
    }
}

impl Engine {
    /// An engine with an empty cache that hands files of up to `max_file_bytes` to plugins.
    pub fn new(limits: CacheLimits, max_file_bytes: u64) -> Self {
        Self { cache: RenderCache::new(limits), max_file_bytes }
    }

    /// The objects, from the cache if nothing that was read to make them has changed since.
    pub fn render(&self, request: &Request<'_>) -> Result<Arc<Rendered>, RenderError> {
        self.render_with_origin(request).map(|(rendered, _)| rendered)
    }

    /// As [`render`](Self::render), for those who count how often the plugins had to run.
    pub fn render_with_origin(&self, request: &Request<'_>) -> Result<(Arc<Rendered>, Origin), RenderError> {
        let key = key(request);
        if let Some(rendered) = self.cache.get(&key, request.tree.as_ref()) {
            return Ok((rendered, Origin::Cache));
        }
        let deadline = Instant::now() + request.call.limits.wall_time;
        let view = Arc::new(View::new(request.tree.clone(), self.max_file_bytes).until(deadline));
        let objects = run(request, view.clone())?;
        let rendered = Arc::new(Rendered::new(objects, request.call.warnings.take()));
        self.cache.put(key, view.record(), rendered.clone());
        Ok((rendered, Origin::Plugins))
    }
}

impl Rendered {
    fn new(objects: Vec<Object>, warnings: Vec<String>) -> Self {
        let mut hash = Hash { hash: Sha256::new(), bytes: 0 };
        for object in &objects {
            // Writing into a hash does not fail, and objects are JSON already.
            let _ = serde_json::to_writer(&mut hash, object);
            hash.hash.update(b"\n");
        }
        Self { objects, warnings, digest: format!("sha256:{:x}", hash.hash.finalize()), bytes: hash.bytes }
    }
}

fn run(request: &Request<'_>, view: Arc<View>) -> Result<Vec<Object>, RenderError> {
    let (first, rest) = request.steps.split_first().ok_or(RenderError::NoSteps)?;
    expect_world(first, World::Renderer, "renderer")?;
    for step in rest {
        expect_world(step, World::Transformer, "transformer")?;
    }
    let failed = |step: &Step| {
        let step = step.name.clone();
        move |error| RenderError::Step { step, error }
    };
    let mut objects = first.plugin.render(view, &first.parameters, request.call).map_err(failed(first))?;
    for step in rest {
        objects = step.plugin.transform(&objects, &step.parameters, request.call).map_err(failed(step))?;
    }
    Ok(objects)
}

fn expect_world(step: &Step, world: World, wanted: &'static str) -> Result<(), RenderError> {
    let actual = step.plugin.world();
    if actual == world {
        return Ok(());
    }
    Err(RenderError::WrongWorld { step: step.name.clone(), world: actual, wanted })
}

fn key(request: &Request<'_>) -> Key {
    let mut hash = Sha256::new();
    // Every part is followed by its length, so that no two lists of parts hash alike.
    let mut part = |bytes: &[u8]| {
        hash.update(bytes);
        hash.update((bytes.len() as u64).to_le_bytes());
    };
    part(request.scope.as_bytes());
    for step in request.steps {
        part(step.plugin.digest().as_bytes());
        part(step.parameters.to_string().as_bytes());
    }
    hash.finalize().into()
}

/// Hashes and counts what is written to it.
struct Hash {
    hash: Sha256,
    bytes: usize,
}

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
