use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Object;

/// Which objects are meant, as parameters say it: an object has to fit in every respect that is named, and nothing named means all objects.
///
/// ```
/// use plumbline_plugin::{Object, Selector};
/// use serde_json::json;
///
/// let selector: Selector = serde_json::from_value(json!({"kinds": ["Deployment.apps"], "names": ["web-*"]}))?;
/// let web = Object::new(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web-1"}}))?;
/// assert!(selector.selects(&web));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// `Deployment`, of any group, or `Deployment.apps`, of this one. `*` stands for any text, here and below.
    pub kinds: Vec<String>,
    /// Names.
    pub names: Vec<String>,
    /// Namespaces. Objects without a namespace are in the namespace `""`.
    pub namespaces: Vec<String>,
    /// Labels that the object has, each with this value.
    pub labels: BTreeMap<String, String>,
}

impl Selector {
    /// Whether an object is meant.
    pub fn selects(&self, object: &Object) -> bool {
        let group = object.api_version().rsplit_once('/').map_or("", |(group, _)| group);
        let qualified = format!("{}.{group}", object.kind());
        let any = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, text))
        };
        (self.kinds.is_empty() || any(&self.kinds, object.kind()) || any(&self.kinds, &qualified))
            && any(&self.names, object.name())
            && any(&self.namespaces, object.namespace().unwrap_or_default())
            && self
                .labels
                .iter()
                .all(|(name, pattern)| object.label(name).is_some_and(|value| fits(pattern, value)))
    }
}

/// Whether a text is that of a pattern, in which `*` stands for any text. It takes time in proportion to both, whatever they are.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::{Selector, fits};
    use crate::Object;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("*", "a"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "ac"),
            ("a*b*c", "aXbbYc"),
            ("**", ""),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", "ab"), ("a*a", "a"), ("a*c", "abcd"), ("*b*", "ac"), ("a*b*c", "acb")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn everything_that_is_named_has_to_fit() {
        let web = Object::new(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"tier": "front"}}}))
        .unwrap();
        let selects = |selector: Value| serde_json::from_value::<Selector>(selector).unwrap().selects(&web);
        assert!(selects(json!({})));
        assert!(selects(
            json!({"kinds": ["Service", "Deployment"], "namespaces": ["sh*"], "labels": {"tier": "*"}})
        ));
        assert!(selects(json!({"kinds": ["*.apps"]})));
        assert!(!selects(json!({"kinds": ["Deployment.extensions"]})));
        assert!(!selects(json!({"kinds": ["Deployment"], "names": ["api"]})));
        assert!(!selects(json!({"labels": {"team": "*"}})));
        assert!(!selects(json!({"namespaces": [""]})));
    }
}
