//! What a component is.

use plumb_api::Capability;
use plumb_pipeline::{BuiltinError, Builtins};
use plumb_plugin::{Plugin, Wants};

/// Loads a built-in plugin, which takes seconds when it has to be compiled: call it where blocking is allowed.
pub(super) fn builtin(builtins: &Builtins, name: &str) -> Result<Plugin, String> {
    builtins.plugin(name).map_err(|error| match &error {
        BuiltinError::Load { source, .. } => format!("{error}: {source}"),
        error => error.to_string(),
    })
}

/// What a component imports, in the words of the API.
pub(super) fn wants(wants: &Wants) -> Vec<Capability> {
    let of = |capability| match capability {
        plumb_plugin::Capability::Secrets => Capability::Secrets,
        plumb_plugin::Capability::ClusterRead => Capability::ClusterRead,
        plumb_plugin::Capability::Http => Capability::Http,
        plumb_plugin::Capability::Clock => Capability::Clock,
        plumb_plugin::Capability::Random => Capability::Random,
    };
    wants.iter().map(of).collect()
}
