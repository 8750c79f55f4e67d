//! The schemas of the kinds that Kubernetes itself has.
//!
//! `kubernetes.txt` is made by `examples/reduce.rs`; README.md says how. A line is a definition: its name, the kinds that it is the schema of, and the
//! schema as JSON, separated by tabs, in the order of the names. The first line says which version of Kubernetes it is.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

const TEXT: &str = include_str!("../kubernetes.txt");

/// The definition of `metadata`.
pub const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Definitions by their names and kinds. Their JSON is read when one is needed: an object needs a few of them.
#[derive(Debug)]
pub struct Bundle {
    definitions: HashMap<&'static str, &'static str>,
    kinds: HashMap<&'static str, &'static str>,
}

impl Bundle {
    /// That of Kubernetes.
    pub fn of_kubernetes() -> Self {
        let mut bundle = Self { definitions: HashMap::new(), kinds: HashMap::new() };
        for line in TEXT.lines().skip(1) {
            let mut parts = line.splitn(3, '\t');
            if let (Some(name), Some(kinds), Some(schema)) = (parts.next(), parts.next(), parts.next()) {
                bundle.definitions.insert(name, schema);
                bundle
                    .kinds
                    .extend(kinds.split(' ').filter(|kind| !kind.is_empty()).map(|kind| (kind, name)));
            }
        }
        bundle
    }

    /// The schema of a definition.
    pub fn definition(&self, name: &str) -> Option<Cow<'static, Value>> {
        serde_json::from_str(self.definitions.get(name)?).ok().map(Cow::Owned)
    }

    /// The schema of a kind, for example of `apps/v1` `Deployment`.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<Cow<'static, Value>> {
        self.definition(self.kinds.get(format!("{api_version}/{kind}").as_str())?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn references<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
        match schema {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_definition_is_json_and_refers_to_others_only() {
        let bundle = Bundle::of_kubernetes();
        assert!(TEXT.starts_with("# Kubernetes 1."));
        assert!(bundle.definitions.len() > 300, "{}", bundle.definitions.len());
        for name in bundle.definitions.keys() {
            let schema = bundle.definition(name).unwrap_or_else(|| panic!("{name}"));
            let mut found = Vec::new();
            references(&schema, &mut found);
            for reference in found {
                assert!(bundle.definitions.contains_key(reference), "{name}: {reference}");
            }
        }
        assert!(bundle.definitions.contains_key(METADATA));
        assert!(bundle.kind("v1", "Pod").is_some() && bundle.kind("apps/v1", "Deployment").is_some());
    }
}
