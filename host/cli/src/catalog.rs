//! The kinds of a cluster, by the names that people type: `deploy`, `ks`, `ingresses.networking.k8s.io`.

use anyhow::{Context as _, bail};
use kube::Client;
use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery};
use kube::discovery::ApiResource;
use plumb_api::GroupKind;

use crate::cluster;

/// A kind that the cluster serves, in the version that it prefers.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) resource: ApiResource,
    pub(crate) is_namespaced: bool,
    pub(crate) can_list: bool,
    /// The kind, its plural, its singular and its short names, in lower case.
    names: Vec<String>,
}

/// All kinds of a cluster, those of the core group first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog(Vec<Entry>);

impl Catalog {
    /// Asks the cluster, by aggregated discovery (KEP-3352, Kubernetes 1.27).
    pub(crate) async fn of(client: &Client) -> anyhow::Result<Self> {
        let core = client.list_core_api_versions_aggregated().await;
        let groups = client.list_api_groups_aggregated().await;
        let failed = "cannot ask the cluster which kinds it serves";
        let (core, groups) =
            (core.map_err(cluster::plain).context(failed)?, groups.map_err(cluster::plain).context(failed)?);
        Ok(Self::from_groups(core.items.into_iter().chain(groups.items)))
    }

    fn from_groups(groups: impl Iterator<Item = APIGroupDiscovery>) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        for group in groups {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            // The preferred version comes first.
            for version in group.versions {
                let label = version.version.unwrap_or_default();
                for resource in version.resources {
                    let Some(entry) = entry(&name, &label, resource) else { continue };
                    if !entries.iter().any(|known| known.group_kind() == entry.group_kind()) {
                        entries.push(entry);
                    }
                }
            }
        }
        Self(entries)
    }

    /// The kind of a name: a kind, plural, singular or short name, which may be followed by a dot and the group.
    pub(crate) fn find(&self, name: &str) -> anyhow::Result<&Entry> {
        let lower = name.to_lowercase();
        let (short, group) =
            lower.split_once('.').map_or((lower.as_str(), None), |(short, group)| (short, Some(group)));
        let is_meant = |entry: &&Entry| {
            entry.names.iter().any(|known| known == short)
                && group.is_none_or(|group| entry.resource.group == group)
        };
        let Some(found) = self.0.iter().find(is_meant) else {
            bail!("the cluster serves no kind {name:?}; `kubectl api-resources` lists those that it does");
        };
        Ok(found)
    }

    /// A kind of a group.
    pub(crate) fn get(&self, kind: &GroupKind) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.group_kind() == *kind)
    }

    /// The kinds whose group ends in a text.
    pub(crate) fn of_groups<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| entry.resource.group.ends_with(suffix))
    }
}

impl Entry {
    pub(crate) fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.resource.group, &self.resource.kind)
    }
}

fn entry(group: &str, version: &str, resource: APIResourceDiscovery) -> Option<Entry> {
    let kind = resource.response_kind?.kind?;
    let plural = resource.resource?;
    let names = [Some(kind.clone()), Some(plural.clone()), resource.singular_resource].into_iter().flatten();
    let gvk = kube::core::GroupVersionKind::gvk(group, version, &kind);
    Some(Entry {
        names: names.chain(resource.short_names).map(|name| name.to_lowercase()).collect(),
        is_namespaced: resource.scope.as_deref() == Some("Namespaced"),
        can_list: resource.verbs.iter().any(|verb| verb == "list"),
        resource: ApiResource::from_gvk_with_plural(&gvk, &plural),
    })
}

/// Objects as people name them on a command line: `KIND/NAME …` or `KIND NAME …`.
pub(crate) fn named(words: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let whole = |word: &String| word.split_once('/').map(|(kind, name)| (kind.to_owned(), name.to_owned()));
    let pairs: Option<Vec<_>> = words.iter().map(whole).collect();
    let pairs = match (pairs, words) {
        (Some(pairs), _) => pairs,
        (None, [kind, names @ ..]) if !names.is_empty() && words.iter().all(|word| !word.contains('/')) => {
            names.iter().map(|name| (kind.clone(), name.clone())).collect()
        }
        (None, _) => bail!("name an object as KIND/NAME or as KIND NAME, for example deployment/web"),
    };
    if pairs.iter().any(|(kind, name)| kind.is_empty() || name.is_empty() || name.contains('/')) {
        bail!("name an object as KIND/NAME or as KIND NAME, for example deployment/web");
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn group(name: &str, versions: Value) -> APIGroupDiscovery {
        serde_json::from_value(json!({"metadata": {"name": name}, "versions": versions})).unwrap()
    }

    fn resource(kind: &str, plural: &str, short: &[&str]) -> Value {
        json!({"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced", "shortNames": short,
            "singularResource": kind.to_lowercase(), "verbs": ["list"]})
    }

    fn catalog() -> Catalog {
        let core = json!([{"version": "v1", "resources": [resource("Event", "events", &["ev"])]}]);
        let events = json!([{"version": "v1", "resources": [resource("Event", "events", &["ev"])]}]);
        let apps = json!([
            {"version": "v2", "resources": [resource("Deployment", "deployments", &["deploy"])]},
            {"version": "v1", "resources": [resource("Deployment", "deployments", &["deploy"])]},
        ]);
        Catalog::from_groups(
            [group("", core), group("events.k8s.io", events), group("apps", apps)].into_iter(),
        )
    }

    #[rstest]
    #[case("deploy", "apps/v2")]
    #[case("Deployment", "apps/v2")]
    #[case("deployments.apps", "apps/v2")]
    #[case("ev", "v1")]
    #[case("events.events.k8s.io", "events.k8s.io/v1")]
    fn a_kind_is_found_by_each_of_its_names(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(catalog().find(name).unwrap().resource.api_version, expected);
    }

    #[test]
    fn a_name_that_no_kind_has() {
        let error = catalog().find("widgets").unwrap_err().to_string();
        assert_eq!(
            error,
            "the cluster serves no kind \"widgets\"; `kubectl api-resources` lists those that it does"
        );
    }

    #[rstest]
    #[case(&["deploy/web"], &[("deploy", "web")])]
    #[case(&["deploy/web", "cm/a"], &[("deploy", "web"), ("cm", "a")])]
    #[case(&["deploy", "a", "b"], &[("deploy", "a"), ("deploy", "b")])]
    #[case(&["deploy"], &[])]
    #[case(&["deploy", "cm/a"], &[])]
    #[case(&["/a"], &[])]
    #[case(&["a/b/c"], &[])]
    fn objects_are_named_as_for_kubectl(#[case] words: &[&str], #[case] expected: &[(&str, &str)]) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let found = named(&words).unwrap_or_default();
        let found: Vec<(&str, &str)> = found.iter().map(|(kind, name)| (&**kind, &**name)).collect();
        assert_eq!(found, expected);
    }
}
