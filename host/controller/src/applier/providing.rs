//! Where the steps of an applier get their plugins.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumb_api::Sensitive;
use plumb_pipeline::{Code, Plugins, Provided, StepSpec, Unavailable};
use tokio::runtime::Handle;

use crate::clusters::Actor;
use crate::context::Context;
use crate::plugins::{Asking, Resolved, Runs, Unresolved, resolve};

/// Provides plugins to one applier. It blocks: built-in ones may have to be compiled.
pub(super) struct Providing {
    pub(super) context: Arc<Context>,
    /// That of the applier.
    pub(super) namespace: String,
    /// In whose name plugins read the cluster.
    pub(super) actor: Arc<Actor>,
}

impl Plugins for Providing {
    fn provide(
        &self,
        step: &StepSpec,
        secrets: BTreeMap<String, Sensitive<Vec<u8>>>,
    ) -> Result<Provided, Unavailable> {
        let asking = Asking { namespace: &self.namespace, actor: &self.actor, secrets };
        match Handle::current().block_on(resolve(&self.context, asking, step)) {
            Ok(Resolved { runs, grants, limits }) => {
                let plugin = match runs {
                    Runs::Plugin(plugin) => Code::Plugin(plugin),
                    Runs::Krm => Code::InSource(self.context.plugins.host()),
                };
                Ok(Provided { plugin, limits, grants })
            }
            Err(Unresolved::NotReady(why)) => Err(Unavailable::NotYet(why)),
            Err(Unresolved::Denied(why) | Unresolved::Wrong(why)) => Err(Unavailable::Refused(why)),
        }
    }
}
