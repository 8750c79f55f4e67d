//! What policies allow. Pure.
//!
//! Without any PluginPolicy in the cluster, built-in plugins may be used everywhere and are handed nothing, and so may those of a registry whose Plugin
//! verifies a signature. As soon as a policy selects a namespace, only what policies allow may run there. Rules add up in what they allow; of limits the
//! lowest counts, and every signature that one of them asks for has to be there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::core::{Selector, SelectorExt as _};
use plumb_api::{
    Capabilities, Capability, ClusterReadGrant, HttpGrant, OciRepositoryVerification, PluginLimits,
    PluginPolicy, PluginRule,
};

use super::image::{Repositories, Repository};

/// Means any in a rule.
const ANY: &str = "*";
/// The name of KRM functions of a source in rules for built-in plugins.
pub(crate) const KRM: &str = "krm";

/// Where something wants to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

/// What wants to run. A Plugin is what it refers to: how it is called in its namespace does not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// A plugin that is built in.
    Builtin(&'a str),
    /// A KRM function that lies in a source.
    Krm,
    /// A plugin of a registry.
    Image(&'a Repository),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "the built-in plugin {name}"),
            Self::Krm => f.write_str("a KRM function of a source (krm)"),
            Self::Image(repository) => write!(f, "the plugin {repository}"),
        }
    }
}

impl Subject<'_> {
    fn fits(&self, rule: &PluginRule) -> bool {
        let is_builtin = |name: &str| rule.builtin.as_deref().is_some_and(|rule| rule == ANY || rule == name);
        match self {
            Self::Builtin(name) => is_builtin(name),
            Self::Krm => is_builtin(KRM),
            Self::Image(repository) => {
                let repositories = rule.image.as_deref().and_then(Repositories::parse);
                repositories.is_some_and(|repositories| repositories.hold(repository))
            }
        }
    }

    /// The rule that would be for this one.
    fn rule(&self) -> String {
        match self {
            Self::Builtin(name) => format!("builtin: {name}"),
            Self::Krm => format!("builtin: {KRM}"),
            Self::Image(repository) => format!("image: {repository}"),
        }
    }
}

/// Whose signatures of a plugin of a registry were found good.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signatures<'a> {
    /// That which the Plugin itself asks for.
    pub(crate) of_plugin: bool,
    /// Those that rules ask for.
    pub(crate) of_rules: &'a [OciRepositoryVerification],
}

/// What a step may be handed: all that it asks for, and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    /// As the step asks for it.
    pub(crate) capabilities: Capabilities,
    /// What all rules together leave.
    pub(crate) limits: PluginLimits,
}

/// Why something may not run, or not with all that it was to be handed. The message names what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Denied(String);

/// The rules that are for a plugin in a namespace.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    place: Place<'a>,
    subject: Subject<'a>,
    /// The names of the policies that select the namespace.
    policies: Vec<&'a str>,
    rules: Vec<Rule<'a>>,
}

/// One of them, and where it stands.
#[derive(Clone, Copy, Debug)]
struct Rule<'a> {
    policy: &'a str,
    index: usize,
    rule: &'a PluginRule,
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.plugins[{}] of PluginPolicy '{}'", self.index, self.policy)
    }
}

/// Whether a plugin may run in a namespace, and with all that a step hands over.
pub(crate) fn decide(
    policies: &[Arc<PluginPolicy>],
    place: Place<'_>,
    subject: Subject<'_>,
    signatures: Signatures<'_>,
    asks: &Capabilities,
) -> Result<Grant, Denied> {
    let rules = Rules::find(policies, place, subject)?;
    rules.check_signatures(signatures)?;
    Ok(Grant { capabilities: rules.check_capabilities(asks)?, limits: rules.limits() })
}

impl<'a> Rules<'a> {
    /// The rules for a plugin. It is denied when policies select the namespace, and none of their rules is for it.
    pub(crate) fn find(
        policies: &'a [Arc<PluginPolicy>],
        place: Place<'a>,
        subject: Subject<'a>,
    ) -> Result<Self, Denied> {
        let mut found = Self { place, subject, policies: Vec::new(), rules: Vec::new() };
        for policy in policies {
            let name = policy.metadata.name.as_deref().unwrap_or_default();
            if !selects(policy, place)? {
                continue;
            }
            found.policies.push(name);
            let rules = policy.spec.plugins.iter().enumerate().filter(|(_, rule)| subject.fits(rule));
            found.rules.extend(rules.map(|(index, rule)| Rule { policy: name, index, rule }));
        }
        if !found.policies.is_empty() && found.rules.is_empty() {
            return Err(Denied(format!(
                "{subject} may not run in the namespace '{}': no rule of {} is for it; add `{}` to spec.plugins of one",
                place.namespace,
                found.named(),
                subject.rule()
            )));
        }
        Ok(found)
    }

    /// Whose signatures they ask for, each once.
    pub(crate) fn verifications(&self) -> Vec<&'a OciRepositoryVerification> {
        let mut all: Vec<&OciRepositoryVerification> = Vec::new();
        for verify in self.rules.iter().filter_map(|found| found.rule.verify.as_ref()) {
            if !all.contains(&verify) {
                all.push(verify);
            }
        }
        all
    }

    /// Refuses a plugin of a registry that does not have all signatures that are asked for, or none without being allowed to.
    pub(crate) fn check_signatures(&self, signatures: Signatures<'_>) -> Result<(), Denied> {
        let Subject::Image(repository) = self.subject else { return Ok(()) };
        let asks = |found: &&Rule<'_>| found.rule.verify.is_some();
        let is_missing = |found: &&Rule<'_>| {
            found.rule.verify.as_ref().is_some_and(|verify| !signatures.of_rules.contains(verify))
        };
        if let Some(missing) = self.rules.iter().find(is_missing) {
            return Err(Denied(format!(
                "the plugin {repository} has not been found to be signed as verify of {missing} asks"
            )));
        }
        let is_signed = signatures.of_plugin || self.rules.iter().any(|found| asks(&found));
        if is_signed || self.rules.iter().any(|found| found.rule.unsigned) {
            return Ok(());
        }
        let or = match self.rules.first() {
            None => format!(
                ", or make a PluginPolicy for the namespace '{}' with the rule `{}` and `unsigned: true`",
                self.place.namespace,
                self.subject.rule()
            ),
            Some(rule) => format!(", or set verify or unsigned in {rule}"),
        };
        Err(Denied(format!(
            "nobody says who must have signed the plugin {repository}; set spec.verify of the Plugin{or}"
        )))
    }

    /// What a step asks for, if all of it is allowed.
    fn check_capabilities(&self, asks: &Capabilities) -> Result<Capabilities, Denied> {
        if let (Subject::Krm, Some(asked)) =
            (self.subject, Capability::ALL.into_iter().find(|capability| asks.has(*capability)))
        {
            return Err(Denied(format!(
                "a KRM function of a source is never handed anything: remove capabilities.{asked} from the step"
            )));
        }
        let allowed =
            |allows: &dyn Fn(&PluginRule) -> bool| self.rules.iter().any(|found| allows(found.rule));
        if !asks.secrets.is_empty() && !allowed(&|rule| rule.capabilities.secrets) {
            return Err(self.lacks("values of Secrets", "secrets: true"));
        }
        if asks.clock && !allowed(&|rule| rule.capabilities.clock) {
            return Err(self.lacks("the clock", "clock: true"));
        }
        if asks.random && !allowed(&|rule| rule.capabilities.random) {
            return Err(self.lacks("randomness", "random: true"));
        }
        for ask in &asks.http {
            if !allowed(&|rule| rule.capabilities.http.iter().any(|grant| covers_host(grant, ask))) {
                let what = format!("requests to {} on port {}", ask.host, ask.port());
                return Err(self.lacks(&what, &format!("http: [{}]", json(ask))));
            }
        }
        let mut capabilities = asks.clone();
        for ask in &mut capabilities.cluster_read {
            if ask.namespaces.is_empty() {
                ask.namespaces = vec![self.place.namespace.to_owned()];
            }
            for namespace in &ask.namespaces {
                let covers = |grant: &ClusterReadGrant| self.covers_objects(grant, ask, namespace);
                if !allowed(&|rule| rule.capabilities.cluster_read.iter().any(covers)) {
                    let what = format!("{} {} of the namespace '{namespace}'", ask.api_version, ask.kind);
                    let wanted = ClusterReadGrant { namespaces: vec![namespace.clone()], ..ask.clone() };
                    return Err(self.lacks(&what, &format!("clusterRead: [{}]", json(&wanted))));
                }
            }
        }
        Ok(capabilities)
    }

    fn covers_objects(&self, grant: &ClusterReadGrant, ask: &ClusterReadGrant, namespace: &str) -> bool {
        let own = &self.place.namespace;
        let grants = std::slice::from_ref(grant);
        let covered = ClusterReadGrant::namespaces(grants, &ask.api_version, &ask.kind, own);
        covered.is_some_and(|namespaces| namespaces.have(namespace))
    }

    fn limits(&self) -> PluginLimits {
        let none = PluginLimits::default();
        self.rules.iter().fold(none, |limits, found| limits.min(&found.rule.limits))
    }

    fn lacks(&self, what: &str, wanted: &str) -> Denied {
        let (namespace, subject) = (self.place.namespace, self.subject);
        let place = match self.rules.first() {
            Some(rule) => format!("add `{wanted}` to capabilities of {rule}"),
            None => format!(
                "make a PluginPolicy for the namespace with the rule `{}` and `{wanted}` in its capabilities",
                subject.rule()
            ),
        };
        Denied(format!(
            "no PluginPolicy allows steps of the namespace '{namespace}' to hand {what} to {subject}; {place}, or remove it from \
             the step"
        ))
    }

    fn named(&self) -> String {
        let names: Vec<String> = self.policies.iter().map(|name| format!("'{name}'")).collect();
        format!("PluginPolicy {}", names.join(", "))
    }
}

/// Whether a policy is for a namespace. One that cannot be read as a selector denies: it may have been meant for this one.
fn selects(policy: &PluginPolicy, place: Place<'_>) -> Result<bool, Denied> {
    if policy.spec.namespaces.iter().any(|name| name == place.namespace) {
        return Ok(true);
    }
    let Some(selector) = &policy.spec.namespace_selector else { return Ok(false) };
    match Selector::try_from(selector.clone()) {
        Ok(selector) => Ok(selector.matches(place.labels)),
        Err(error) => Err(Denied(format!(
            "spec.namespaceSelector of PluginPolicy '{}' cannot be understood: {error}; until it is mended no plugin may run",
            policy.name_any()
        ))),
    }
}

/// Whether a grant is for all hosts that are asked for. `*.example.com` is all below `example.com`, which are names and never addresses.
pub(super) fn covers_host(grant: &HttpGrant, ask: &HttpGrant) -> bool {
    let (rule, asked) = (grant.host.to_ascii_lowercase(), ask.host.to_ascii_lowercase());
    let host = match rule.strip_prefix("*.") {
        None => rule == asked,
        Some(above) => match asked.strip_prefix("*.") {
            Some(asked) => asked == above || is_below(asked, above),
            None => asked.parse::<std::net::IpAddr>().is_err() && is_below(&asked, above),
        },
    };
    let is_private = grant.allow_private_addresses || !ask.allow_private_addresses;
    host && is_private && grant.insecure == ask.insecure && grant.port() == ask.port()
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|start| start.len() > 1 && start.ends_with('.'))
}

/// As one can write it into a policy.
fn json(grant: &impl serde::Serialize) -> String {
    serde_json::to_string(grant).unwrap_or_default()
}

#[cfg(test)]
mod tests;
