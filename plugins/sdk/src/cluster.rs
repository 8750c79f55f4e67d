//! Objects of the cluster, read as the tenant's service account. Needs `capabilities.clusterRead` of the step. What was read is
//! remembered: when it changes, the plugin is called again.

use crate::{Error, Object, host};

/// Why the cluster could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The step was not granted this kind or namespace. The text says what to grant.
    Denied(String),
    /// The tenant's service account may not read this. The text is what the API server says.
    Forbidden(String),
    /// The cluster does not have this kind.
    UnknownKind,
    /// There is no cluster. The text says how to give the plugin objects.
    NoCluster(String),
    /// The API server could not be asked. The text says why.
    Failed(String),
}

/// One object as the API server has it; none when it does not exist. `namespace` is none for kinds that have none.
///
/// Fails with an error that says what to grant, or why the cluster could not be read.
pub fn get(
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Object>, Error> {
    let found = host::cluster_get(api_version, kind, namespace, name);
    let text = found.map_err(|refused| error(api_version, kind, refused))?;
    Ok(text.map(|text| Object::from_json(&text)).transpose()?)
}

/// All objects of a kind in a namespace, or in all that were granted, in the order of their namespaces and names. `selector` is written as for
/// `kubectl get --selector`.
///
/// Fails as [`get`] does.
pub fn list(
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    selector: Option<&str>,
) -> Result<Vec<Object>, Error> {
    let texts = host::cluster_list(api_version, kind, namespace, selector)
        .map_err(|refused| error(api_version, kind, refused))?;
    texts.iter().map(|text| Ok(Object::from_json(text)?)).collect()
}

fn error(api_version: &str, kind: &str, refused: Refused) -> Error {
    let what = format!("{kind} of {api_version} cannot be read from the cluster");
    match refused {
        Refused::Denied(why) => Error::denied(format!("{what}: {why}"))
            .hint("Add the kind to `capabilities.clusterRead` of the step."),
        Refused::Forbidden(why) => Error::denied(format!("{what}: {why}")),
        Refused::UnknownKind => Error::not_found(format!("{what}: the cluster does not have this kind")),
        Refused::NoCluster(why) | Refused::Failed(why) => Error::internal(format!("{what}: {why}")),
    }
}
