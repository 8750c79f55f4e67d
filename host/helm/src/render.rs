//! From a chart and values to what a release is made of. Plugins do the work, and the caller runs them: nothing here waits for anything.

use plumb_api::{HelmReleaseSpec, Object};
use serde_json::{Value, json};

use crate::objects::Ownership;
use crate::post_render::post_rendered;
use crate::rendered::{NotRendered, RenderedRelease};
use crate::values::Values;

mod capabilities;
mod occasion;

pub use crate::post_render::File;
pub use capabilities::Capabilities;
pub use occasion::Occasion;

/// What a chart is rendered for.
pub struct Rendering<'a> {
    /// What the HelmRelease says.
    pub spec: &'a HelmReleaseSpec,
    /// Whose the objects are.
    pub ownership: Ownership<'a>,
    /// The chart in its tree: a directory, or an archive.
    pub path: &'a str,
    /// The values of the release.
    pub values: &'a Values,
    /// What the chart is told of the cluster.
    pub capabilities: &'a Capabilities,
    /// What the chart is rendered for.
    pub occasion: Occasion,
}

impl Rendering<'_> {
    /// The parameters of the helm plugin, which is to be given the tree of the chart.
    pub fn parameters(&self) -> Value {
        json!({
            "path": self.path,
            "as": "release",
            "release": {
                "name": self.ownership.release_name, "namespace": self.ownership.release_namespace,
                "revision": self.occasion.revision(), "isUpgrade": self.occasion.is_upgrade(),
            },
            "values": self.values.expose(),
            "capabilities": self.capabilities,
            "skipSchemaValidation": !self.occasion.validates_values(self.spec),
        })
    }

    /// What the post-renderers of the spec make of what the helm plugin has rendered, with the labels and annotations that all objects get.
    ///
    /// `kustomize` builds the root of a tree with these files; the objects that it gives are in the order in which it writes them.
    pub fn finish<E>(
        &self,
        rendered: Vec<Object>,
        kustomize: impl FnMut([File; 2]) -> Result<Vec<Object>, E>,
    ) -> Result<RenderedRelease, RenderError<E>> {
        let object = rendered.into_iter().next().map(Object::into_value);
        let rendered = RenderedRelease::read(object.unwrap_or_default())?;
        post_rendered(rendered, self.spec, &self.ownership, kustomize)
            .map_err(|(index, why)| RenderError::PostRenderer { index, why })
    }
}

/// Why a chart did not become a release. `E` is what whoever runs kustomize says.
#[derive(Debug, thiserror::Error)]
pub enum RenderError<E> {
    /// The helm plugin has given something else.
    #[error(transparent)]
    NotRendered(#[from] NotRendered),
    /// A post-renderer fails.
    #[error("spec.postRenderers[{index}]: {why}")]
    PostRenderer {
        /// Its place in the list.
        index: usize,
        /// Why.
        why: E,
    },
}

#[cfg(test)]
#[path = "render/tests.rs"]
mod tests;
