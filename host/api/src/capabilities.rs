//! What a plugin may be handed besides its input, as pipelines hand it over and policies allow it.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serde_rules::is_false;
use crate::{ByteSize, Duration, SecretKeyReference};

/// What a plugin can ask for besides its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Capability {
    /// Values by name.
    Secrets,
    /// Objects of the cluster.
    ClusterRead,
    /// Requests over HTTP.
    Http,
    /// What time it is.
    Clock,
    /// Randomness.
    Random,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Secrets, Self::ClusterRead, Self::Http, Self::Clock, Self::Random];

    /// The capability as a step and a policy have it, for example `clusterRead`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::ClusterRead => "clusterRead",
            Self::Http => "http",
            Self::Clock => "clock",
            Self::Random => "random",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a step hands to its plugin besides objects and parameters; nothing by default. It gets what the step hands over, a policy allows,
/// and the service account of the Pipeline may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Values of Secrets of this namespace, by the names under which the plugin asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub secrets: Vec<NamedSecret>,
    /// Which objects of the cluster that is applied to the plugin may read. They are read as the service account that applies. When one of
    /// them changes, the step runs again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub cluster_read: Vec<ClusterReadGrant>,
    /// Which servers the plugin may send requests to. The host sends them. The result of the Pipeline is then not kept for the next
    /// time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub http: Vec<HttpGrant>,
    /// Whether the plugin is told what time it is. The result of the Pipeline is then not kept for the next time. It defaults to
    /// `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub clock: bool,
    /// Whether the plugin is given randomness, for keys and passwords that it makes up. The result of the Pipeline is then not kept for the next
    /// time: it is another one each time. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub random: bool,
}

impl Capabilities {
    /// Whether this capability is handed over at all.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Secrets => !self.secrets.is_empty(),
            Capability::ClusterRead => !self.cluster_read.is_empty(),
            Capability::Http => !self.http.is_empty(),
            Capability::Clock => self.clock,
            Capability::Random => self.random,
        }
    }
}

/// A value of a Secret, and the name under which a plugin asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedSecret {
    /// The name under which the plugin asks for the value, for example `token`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Where the value is, for example `{name: api, key: token}`. The key defaults to the name under which the plugin asks for it.
    pub secret_ref: SecretKeyReference,
}

impl NamedSecret {
    /// The key of the Secret that holds the value.
    pub fn key(&self) -> &str {
        self.secret_ref.key.as_deref().unwrap_or(&self.name)
    }
}

/// Objects of the cluster that a plugin may read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReadGrant {
    /// The group and version of the objects, for example `apps/v1`; `v1` for the core group. In a policy `*` means any.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// The kind of the objects, for example `ConfigMap`. In a policy `*` means any.
    #[schemars(length(min = 1, max = 253))]
    pub kind: String,
    /// The namespaces of the objects; `*` means any. It defaults to the namespace of the Pipeline, and means nothing for kinds that are in
    /// no namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub namespaces: Vec<String>,
}

/// Means any in a grant.
const ANY: &str = "*";

/// The namespaces in which objects of a kind may be read.
#[derive(Debug, PartialEq, Eq)]
pub enum GrantedNamespaces<'a> {
    /// All that there are.
    All,
    /// Those with these names.
    These(BTreeSet<&'a str>),
}

impl GrantedNamespaces<'_> {
    /// Whether objects of a namespace may be read.
    pub fn have(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(namespace),
        }
    }
}

impl ClusterReadGrant {
    /// Whether it is for objects of a kind.
    fn is_for(&self, api_version: &str, kind: &str) -> bool {
        let is = |granted: &str, asked: &str| granted == ANY || granted == asked;
        is(&self.api_version, api_version) && is(&self.kind, kind)
    }

    /// The namespaces in which some grants let objects of a kind be read; `None` when none is for the kind. `own` is the namespace that a grant without any means.
    pub fn namespaces<'a>(
        granted: &'a [Self],
        api_version: &str,
        kind: &str,
        own: &'a str,
    ) -> Option<GrantedNamespaces<'a>> {
        let mut of_kind = granted.iter().filter(|grant| grant.is_for(api_version, kind)).peekable();
        of_kind.peek()?;
        let names: BTreeSet<&str> = of_kind
            .flat_map(|grant| match grant.namespaces.as_slice() {
                [] => vec![own],
                named => named.iter().map(String::as_str).collect(),
            })
            .collect();
        let is_any = names.contains(ANY);
        Some(if is_any { GrantedNamespaces::All } else { GrantedNamespaces::These(names) })
    }
}

/// A server that a plugin may send requests to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpGrant {
    /// The host, for example `vault.example.com`; `*.example.com` means all hosts below `example.com`, and not itself.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^(\*\.)?[a-zA-Z0-9:]([-a-zA-Z0-9.:]*[a-zA-Z0-9:])?$")
    )]
    pub host: String,
    /// The port. It defaults to 443, and to 80 with `insecure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "port")]
    pub port: Option<u16>,
    /// Whether requests go over plain `http` instead of `https`. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Whether the host may have an address that is private, or that of the machine itself. It defaults to `false`: such addresses are
    /// refused even where the name of the host is granted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_private_addresses: bool,
}

fn port(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535})
}

impl HttpGrant {
    /// The port that requests go to.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.insecure { 80 } else { 443 })
    }
}

/// How much a plugin may use in one call. What is not given is as the controller has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginLimits {
    /// How long a call may take, for example `10s`. It is never more than what is left of the timeout of the Pipeline, which it defaults to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_time: Option<Duration>,
    /// How much memory the plugin may have, for example `128Mi`. It defaults to `1Gi`, and is never more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// How large the result may be, for example `16Mi`. It defaults to `64Mi`, and is never more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<ByteSize>,
}

impl PluginLimits {
    /// The lower of two, limit by limit.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            wall_time: lower(&self.wall_time, &other.wall_time, Duration::to_std),
            memory: lower(&self.memory, &other.memory, ByteSize::bytes),
            output: lower(&self.output, &other.output, ByteSize::bytes),
        }
    }
}

/// The lower of two limits; one that is not given is no limit.
fn lower<T: Clone, U: Ord>(a: &Option<T>, b: &Option<T>, amount: impl Fn(&T) -> U) -> Option<T> {
    [a, b].into_iter().flatten().min_by_key(|limit| amount(limit)).cloned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn limits(yaml: &str) -> PluginLimits {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[rstest]
    #[case("{}", "{}", "{}")]
    #[case("{wallTime: 10s}", "{}", "{wallTime: 10s}")]
    #[case("{}", "{memory: 1Mi}", "{memory: 1Mi}")]
    #[case(
        "{wallTime: 10s, memory: 2Mi, output: 1k}",
        "{wallTime: 1m, memory: 1Mi, output: 1Ki}",
        "{wallTime: 10s, memory: 1Mi, output: 1k}"
    )]
    fn the_lower_limit_counts(#[case] a: &str, #[case] b: &str, #[case] expected: &str) {
        assert_eq!(limits(a).min(&limits(b)), limits(expected));
        assert_eq!(limits(b).min(&limits(a)), limits(expected));
    }

    #[test]
    fn capabilities_are_called_as_the_fields_that_hand_them_over() {
        let all: Capabilities = serde_json::from_value(json!({
            "secrets": [{"name": "token", "secretRef": {"name": "api"}}],
            "clusterRead": [{"apiVersion": "v1", "kind": "ConfigMap"}],
            "http": [{"host": "example.com"}],
            "clock": true,
            "random": true,
        }))
        .unwrap();
        let fields = serde_json::to_value(&all).unwrap();
        for capability in Capability::ALL {
            assert!(all.has(capability) && !Capabilities::default().has(capability), "{capability}");
            assert!(fields.get(capability.as_str()).is_some(), "{capability}");
            assert_eq!(serde_json::to_value(capability).unwrap(), capability.as_str());
        }
    }

    #[test]
    fn what_is_not_given_follows_from_the_rest() {
        let secret = |more: &str| -> NamedSecret {
            serde_yaml::from_str(&format!("{{name: token, secretRef: {{name: api{more}}}}}")).unwrap()
        };
        assert_eq!(secret("").key(), "token");
        assert_eq!(secret(", key: t").key(), "t");
        let http = |more: &str| -> HttpGrant {
            serde_yaml::from_str(&format!("{{host: a.example{more}}}")).unwrap()
        };
        assert_eq!(http("").port(), 443);
        assert_eq!(http(", insecure: true").port(), 80);
        assert_eq!(http(", insecure: true, port: 8080").port(), 8080);
    }
}
