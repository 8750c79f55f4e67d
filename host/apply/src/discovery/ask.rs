use kube::Client;
use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery};
use kube::discovery::{Discovery, Scope, verbs};

use super::Kind;
use super::kind::api_resource;
use super::table::{Discovered, GroupVersion};

/// Asks by aggregated discovery. A server too old for it answers with another type, which reads as an empty list: then
/// each group is asked on its own.
pub(super) async fn discover(client: &Client) -> kube::Result<Discovered> {
    let groups = client.list_api_groups_aggregated().await?;
    if groups.items.is_empty() {
        return discover_each_group(client).await;
    }
    let core = client.list_core_api_versions_aggregated().await?;
    let mut found = Discovered::default();
    for group in groups.items.into_iter().chain(core.items) {
        found.add_group(group);
    }
    Ok(found)
}

async fn discover_each_group(client: &Client) -> kube::Result<Discovered> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut found = Discovered::default();
    for group in discovery.groups() {
        for version in group.versions() {
            found.kinds.extend(group.versioned_resources(version).into_iter().map(
                |(resource, capabilities)| Kind {
                    resource,
                    is_namespaced: capabilities.scope == Scope::Namespaced,
                    is_watchable: capabilities.supports_operation(verbs::WATCH)
                        && capabilities.supports_operation(verbs::LIST),
                },
            ));
        }
    }
    Ok(found)
}

impl Discovered {
    fn add_group(&mut self, group: APIGroupDiscovery) {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        for version in group.versions {
            let label = version.version.unwrap_or_default();
            if version.freshness.as_deref() == Some("Stale") {
                self.silent.push(GroupVersion { group: name.clone(), version: label.clone() });
            }
            self.kinds.extend(
                version.resources.into_iter().filter_map(|resource| kind_of(&name, &label, resource)),
            );
        }
    }
}

fn kind_of(group: &str, version: &str, resource: APIResourceDiscovery) -> Option<Kind> {
    let kind = resource.response_kind?.kind?;
    let can = |verb: &str| resource.verbs.iter().any(|offered| offered == verb);
    Some(Kind {
        is_namespaced: resource.scope.as_deref() == Some("Namespaced"),
        is_watchable: can(verbs::LIST) && can(verbs::WATCH),
        resource: api_resource(group, version, &kind, &resource.resource?),
    })
}
