//! What the host keeps for one call, and the functions that the guest can call.

use std::sync::Arc;

use plumb_tree::{NodeKind, TreeError, View};
use wasmtime::component::Resource;

use crate::bindings::{log, tree, types};
use crate::call::Warnings;
use crate::mask::Mask;
use crate::meter::Meter;
use crate::printable::one_line;
use crate::waiting::guard;
use crate::{Grants, Used};

/// What the handle of a directory stands for. There is one tree a call, so the handle need not say which.
#[derive(Debug)]
#[allow(
    unreachable_pub,
    reason = "the bindings export it again, publicly when wasmtime-wizer is in the same build"
)]
pub struct Root;

/// What the host keeps for one call.
pub(crate) struct State {
    pub(crate) plugin: Arc<str>,
    pub(crate) root: Option<Arc<View>>,
    pub(crate) meter: Meter,
    pub(crate) warnings: Warnings,
    pub(crate) grants: Grants,
    pub(crate) used: Used,
    pub(crate) mask: Mask,
    /// The store of the tree is damaged or gone. Whatever the guest makes of it, its answer is worth nothing.
    pub(crate) broken_tree: Option<TreeError>,
}

impl State {
    /// Asks the tree, and remembers when it is broken.
    fn ask<T>(
        &mut self,
        ask: impl FnOnce(&View) -> Result<T, TreeError>,
    ) -> wasmtime::Result<Result<T, tree::TreeError>> {
        self.meter.host_call()?;
        let Some(view) = &self.root else { return Err(wasmtime::Error::msg("this call has no tree")) };
        // Trees are the caller's own code.
        let answer = guard("tree", || ask(view)).unwrap_or_else(|_| Err(broken_host()));
        Ok(answer.map_err(|error| {
            if matches!(error, TreeError::Failed { .. }) {
                self.broken_tree.get_or_insert(error.clone());
            }
            error.into()
        }))
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.meter.host_call()?;
        self.meter.log(&message)?;
        let (message, plugin) = (one_line(&self.mask.hide(&message)), &*self.plugin);
        match level {
            log::Level::Trace => tracing::trace!(plugin, "{message}"),
            log::Level::Debug => tracing::debug!(plugin, "{message}"),
            log::Level::Info => tracing::info!(plugin, "{message}"),
            log::Level::Warn => {
                tracing::warn!(plugin, "{message}");
                self.warnings.add(&message);
            }
        }
        Ok(())
    }
}

impl tree::Host for State {}

impl tree::HostDir for State {
    fn list(
        &mut self,
        _: Resource<Root>,
        path: String,
    ) -> wasmtime::Result<Result<Vec<tree::Entry>, tree::TreeError>> {
        let entry = |entry: plumb_tree::ViewEntry| tree::Entry { name: entry.name, kind: entry.kind.into() };
        self.ask(|view| Ok(view.list(&path)?.into_iter().map(entry).collect()))
    }

    fn stat(
        &mut self,
        _: Resource<Root>,
        path: String,
    ) -> wasmtime::Result<Result<tree::Node, tree::TreeError>> {
        self.ask(|view| {
            let node = view.stat(&path)?;
            Ok(tree::Node {
                kind: node.kind.into(),
                size: node.size,
                resolved: node.resolved.as_str().to_owned(),
            })
        })
    }

    fn read(
        &mut self,
        _: Resource<Root>,
        path: String,
    ) -> wasmtime::Result<Result<Vec<u8>, tree::TreeError>> {
        self.ask(|view| view.read(&path))
    }

    /// The guest never owns the handle, so it cannot give it up.
    fn drop(&mut self, _: Resource<Root>) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn broken_host() -> TreeError {
    TreeError::Failed {
        path: String::new(),
        reason: "the host could not answer; its log says why".to_owned(),
    }
}

impl From<NodeKind> for tree::NodeKind {
    fn from(kind: NodeKind) -> Self {
        match kind {
            NodeKind::File => Self::File,
            NodeKind::Directory => Self::Directory,
            NodeKind::Opaque => Self::Opaque,
        }
    }
}

impl From<TreeError> for tree::TreeError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::NotFound(_) => Self::NotFound,
            TreeError::NotADirectory(_) => Self::NotADirectory,
            TreeError::IsADirectory(_) => Self::IsADirectory,
            TreeError::Denied(_) => Self::Denied,
            TreeError::TooLarge { limit, .. } => Self::TooLarge(limit),
            TreeError::Failed { reason, .. } => Self::Failed(reason),
        }
    }
}
