use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use plumb_api::{Object, PluginLimits};
use plumb_plugin::{Call, ClusterQuery, ClusterRecord, Grants, Host, Plugin};
use plumb_tree::{Tree, View};
use serde_json::Value;

use crate::cache::{Entry, RenderCache, key};
use crate::run::{Ran, run};
use crate::size::Hash;
use crate::{CacheLimits, RenderError};

/// One plugin with its parameters.
#[derive(Clone)]
pub struct Step {
    /// The name that errors call it by.
    pub name: String,
    /// What runs.
    pub runs: Runs,
    /// What the plugin is told, a JSON object. It may have secrets in it: nobody shows it, and of it the cache keeps a hash only.
    pub parameters: Value,
    /// Whether what it makes is among the result. Otherwise it makes objects for the steps after it only, and is a renderer.
    pub apply: bool,
    /// How much the plugin may use; less than the call's limits, never more.
    pub limits: PluginLimits,
    /// What the plugin may ask for.
    pub grants: Grants,
}

/// What runs in a step.
#[derive(Clone, Debug)]
pub enum Runs {
    /// A plugin that is loaded.
    Plugin(Plugin),
    /// A KRM function that lies in the source.
    InSource {
        /// Loads it.
        host: Host,
        /// Its path, from the root of the tree.
        module: String,
    },
}

impl Step {
    /// A step that is handed nothing, within the limits of the call.
    pub fn new(name: impl Into<String>, plugin: Plugin, parameters: Value) -> Self {
        Self {
            name: name.into(),
            runs: Runs::Plugin(plugin),
            parameters,
            apply: true,
            limits: PluginLimits::default(),
            grants: Grants::default(),
        }
    }
}

/// What to render, and for whom.
pub struct Request<'a> {
    /// Who asks, for example `Kustomization/flux-system/apps`. Results are never shared between askers.
    pub scope: &'a str,
    /// The files.
    pub tree: &'a Arc<dyn Tree>,
    /// The steps, of which the first makes objects.
    pub steps: &'a [Step],
    /// Limits of each step's call, of which the wall time is for all together, and the flag that ends it. Its grants are not looked at:
    /// each step has its own.
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
    /// What was asked of the cluster, each once: whoever watches it learns when to render again.
    pub asked: Vec<ClusterQuery>,
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

    /// The objects, from the cache if nothing that was read to make them has changed since: no file, and no object of the cluster. What was
    /// made with the help of HTTP, the clock or randomness is never kept.
    ///
    /// # Errors
    ///
    /// When a step fails, or a validator finds that the objects must not be applied.
    pub fn render(&self, request: &Request<'_>) -> Result<Arc<Rendered>, RenderError> {
        self.render_with_origin(request).map(|(rendered, _)| rendered)
    }

    /// As [`render`](Self::render), for those who count how often the plugins had to run.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_with_origin(&self, request: &Request<'_>) -> Result<(Arc<Rendered>, Origin), RenderError> {
        let deadline = Instant::now() + request.call.limits.wall_time;
        let key = key(request);
        if let Some(rendered) = self.cache.get(&key, request, deadline) {
            return Ok((rendered, Origin::Cache));
        }
        let (ran, view) = self.run(request, deadline)?;
        let rendered = Arc::new(Rendered::new(ran.objects, ran.warnings, &ran.asked));
        let is_steady = ran.is_steady && ran.asked.iter().all(|(_, record)| record.is_steady());
        if is_steady {
            self.cache.put(key, Entry { read: view.record(), asked: ran.asked, rendered: rendered.clone() });
        } else {
            self.cache.forget(&key);
        }
        Ok((rendered, Origin::Plugins))
    }

    /// The objects, made now and not kept: for what nobody asks for twice, such as a revision of a Helm release.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_anew(&self, request: &Request<'_>) -> Result<Rendered, RenderError> {
        let (ran, _) = self.run(request, Instant::now() + request.call.limits.wall_time)?;
        Ok(Rendered::new(ran.objects, ran.warnings, &ran.asked))
    }

    fn run(&self, request: &Request<'_>, deadline: Instant) -> Result<(Ran, Arc<View>), RenderError> {
        let view = Arc::new(View::new(request.tree.clone(), self.max_file_bytes).until(deadline));
        Ok((run(request, &view, deadline)?, view))
    }
}

impl Rendered {
    fn new(objects: Vec<Object>, warnings: Vec<String>, asked: &[(usize, ClusterRecord)]) -> Self {
        let mut hash = Hash::default();
        for object in &objects {
            hash.object(object);
        }
        let mut queries: Vec<ClusterQuery> =
            asked.iter().flat_map(|(_, record)| record.queries().cloned()).collect();
        queries.sort();
        queries.dedup();
        let (digest, bytes) = hash.finish();
        Self { objects, warnings, asked: queries, digest, bytes }
    }
}
