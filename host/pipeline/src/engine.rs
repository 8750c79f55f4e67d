use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use plumb_api::PluginLimits;
use plumb_plugin::{Call, Grants, Host, Plugin};
use plumb_tree::{Tree, View};
use serde_json::Value;

use crate::cache::{Entry, RenderCache, key};
use crate::rendered::Kept;
use crate::run::{Ran, run};
use crate::{CacheLimits, RenderError, Rendered};

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
    pub fn render(&self, request: &Request<'_>) -> Result<Rendered, RenderError> {
        let deadline = Instant::now() + request.call.limits.wall_time;
        let key = key(request);
        if let Some(rendered) = self.cache.get(&key, request, deadline) {
            return Ok(rendered);
        }
        let (ran, view) = self.run(request, deadline)?;
        let is_steady = ran.is_steady && ran.asked.iter().all(|(_, record)| record.is_steady());
        if !is_steady {
            self.cache.forget(&key);
            return Ok(Rendered::new(ran));
        }
        let kept = Kept::new(&ran);
        let rendered = kept.with(ran.objects);
        self.cache.put(key, Entry { read: view.record(), asked: ran.asked, kept });
        Ok(rendered)
    }

    /// The objects, made now and not kept: for what nobody asks for twice, such as a revision of a Helm release.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_anew(&self, request: &Request<'_>) -> Result<Rendered, RenderError> {
        let (ran, _) = self.run(request, Instant::now() + request.call.limits.wall_time)?;
        Ok(Rendered::new(ran))
    }

    fn run(&self, request: &Request<'_>, deadline: Instant) -> Result<(Ran, Arc<View>), RenderError> {
        let view = Arc::new(View::new(request.tree.clone(), self.max_file_bytes).until(deadline));
        Ok((run(request, &view, deadline)?, view))
    }
}
