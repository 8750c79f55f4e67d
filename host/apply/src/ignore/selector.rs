use std::collections::{BTreeMap, BTreeSet};

use kube::core::{Expression, Selector as Labels, SelectorExt as _};
use plumb_api::{Object, Selector};
use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// What a compiled expression may take in memory, in bytes.
const LARGEST: usize = 1 << 20;

/// The objects that a rule is for: all that match everything that is given.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    namespace: Option<Regex>,
    name: Option<Regex>,
    labels: Labels,
    annotations: Labels,
}

/// A part of a selector that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelector {
    /// A regular expression is not one, or is too large.
    #[error("{field}: {text:?} is not a regular expression: {error}")]
    Regex {
        /// The field of the selector.
        field: &'static str,
        /// What it holds.
        text: String,
        /// What is wrong, on one line.
        error: String,
    },
    /// A label selector is not one.
    #[error("{field}: {requirement:?} is not a requirement of a label selector: {expected}")]
    Labels {
        /// The field of the selector.
        field: &'static str,
        /// The part that cannot be read.
        requirement: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl Target {
    pub(super) fn compile(selector: Option<&Selector>) -> Result<Self, InvalidSelector> {
        let Some(selector) = selector else { return Ok(Self::default()) };
        Ok(Self {
            group: anchored("group", selector.group.as_deref())?,
            version: anchored("version", selector.version.as_deref())?,
            kind: anchored("kind", selector.kind.as_deref())?,
            namespace: anchored("namespace", selector.namespace.as_deref())?,
            name: anchored("name", selector.name.as_deref())?,
            labels: requirements("labelSelector", selector.label_selector.as_deref())?,
            annotations: requirements("annotationSelector", selector.annotation_selector.as_deref())?,
        })
    }

    pub(super) fn matches(&self, object: &Object) -> bool {
        let matches =
            |regex: &Option<Regex>, text: &str| regex.as_ref().is_none_or(|regex| regex.is_match(text));
        let gvk = object.gvk();
        matches(&self.kind, &gvk.kind)
            && matches(&self.group, &gvk.group)
            && matches(&self.version, &gvk.version)
            && matches(&self.namespace, object.namespace().unwrap_or_default())
            && matches(&self.name, object.name())
            && labels_match(&self.labels, object)
            && selects(&self.annotations, object, "/metadata/annotations")
    }
}

fn selects(selector: &Labels, object: &Object, pointer: &str) -> bool {
    if selector.selects_all() {
        return true;
    }
    let texts = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    let texts: BTreeMap<String, String> =
        texts.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    selector.matches(&texts)
}

/// Whether the labels of an object are as a selector wants them.
pub fn labels_match(selector: &Labels, object: &Object) -> bool {
    selects(selector, object, "/metadata/labels")
}

/// As in kustomize, the expression has to match the whole text.
fn anchored(field: &'static str, text: Option<&str>) -> Result<Option<Regex>, InvalidSelector> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(LARGEST).build();
    // By itself first: `a)(b` is no expression, and would be one between the brackets.
    build(text).and_then(|_| build(&format!("^(?:{text})$"))).map(Some).map_err(|error| {
        let error = error.to_string();
        let error = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        InvalidSelector::Regex { field, text: text.to_owned(), error }
    })
}

/// Reads a label selector as the API server does: `a=b,c!=d,e in (f, g),h notin (i),j,!k`. An empty text selects everything. `field` is what errors call it.
pub fn label_selector(field: &'static str, text: &str) -> Result<Labels, InvalidSelector> {
    requirements(field, Some(text))
}

/// Reads a label selector as the API server does: `a=b,c!=d,e in (f, g),h notin (i),j,!k`.
fn requirements(field: &'static str, text: Option<&str>) -> Result<Labels, InvalidSelector> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    let parts = text.map(split).unwrap_or_default();
    let read = |part: &str| {
        let part = part.trim();
        requirement(part).map_err(|expected| InvalidSelector::Labels {
            field,
            requirement: part.to_owned(),
            expected,
        })
    };
    parts.into_iter().map(read).collect()
}

/// Splits at the commas that are not inside brackets.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn requirement(text: &str) -> Result<Expression, &'static str> {
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Expression::DoesNotExist(key_of(key)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Expression::NotEqual(key_of(key)?, value_of(value)?));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Expression::Equal(key_of(key)?, value_of(value)?));
    }
    let Some((key, rest)) = text.split_once(char::is_whitespace) else {
        return Ok(Expression::Exists(key_of(text)?));
    };
    let (operator, listed) = rest.split_once('(').ok_or("expected in (…) or notin (…) after the key")?;
    let listed = listed.trim_end().strip_suffix(')').ok_or("a bracket is not closed")?;
    let values: BTreeSet<String> = listed.split(',').map(value_of).collect::<Result<_, _>>()?;
    match operator.trim() {
        "in" => Ok(Expression::In(key_of(key)?, values)),
        "notin" => Ok(Expression::NotIn(key_of(key)?, values)),
        _ => Err("expected in (…) or notin (…) after the key"),
    }
}

fn key_of(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let is_valid =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    is_valid.then(|| text.to_owned()).ok_or("the key of a label has letters, digits, and - _ . / only")
}

fn value_of(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let is_valid =
        text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_valid.then(|| text.to_owned()).ok_or("a value has at most 63 letters, digits, and - _ .")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn web() -> Object {
        Object::new(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web-1", "namespace": "prod",
            "labels": {"app": "web", "tier": "front"}, "annotations": {"team": "a"}}}))
        .unwrap()
    }

    fn target(selector: Value) -> Result<Target, InvalidSelector> {
        Target::compile(Some(&serde_json::from_value(selector).unwrap()))
    }

    #[rstest]
    #[case(json!({}), true)]
    #[case(json!({"kind": "Deployment"}), true)]
    #[case(json!({"kind": "Deploy"}), false)]
    #[case(json!({"kind": "Deploy|Deployment"}), true)]
    #[case(json!({"group": "apps", "version": "v1"}), true)]
    #[case(json!({"group": "batch"}), false)]
    #[case(json!({"version": "v1beta.*"}), false)]
    #[case(json!({"name": "web-.*", "namespace": "pro."}), true)]
    #[case(json!({"name": "web"}), false)]
    #[case(json!({"name": "eb-1"}), false)]
    #[case(json!({"namespace": "dev"}), false)]
    #[case(json!({"labelSelector": "app=web"}), true)]
    #[case(json!({"labelSelector": "app==web, tier in (front, back)"}), true)]
    #[case(json!({"labelSelector": "app!=web"}), false)]
    #[case(json!({"labelSelector": "other!=web"}), true)]
    #[case(json!({"labelSelector": "tier notin (front)"}), false)]
    #[case(json!({"labelSelector": "other notin (front)"}), true)]
    #[case(json!({"labelSelector": "app,!legacy"}), true)]
    #[case(json!({"labelSelector": "!app"}), false)]
    #[case(json!({"annotationSelector": "team in (a)"}), true)]
    #[case(json!({"annotationSelector": "team=b"}), false)]
    #[case(json!({"kind": "Deployment", "name": "other"}), false)]
    fn an_object_is_chosen_when_everything_matches(#[case] selector: Value, #[case] expected: bool) {
        assert_eq!(target(selector).unwrap().matches(&web()), expected);
    }

    #[rstest]
    #[case(json!({"name": "("}), "name: \"(\" is not a regular expression: unclosed group")]
    #[case(json!({"name": "a)(b"}), "name: \"a)(b\" is not a regular expression: unopened group")]
    #[case(json!({"labelSelector": "a in b"}), "labelSelector: \"a in b\" is not a requirement of a label selector: expected in (…) or notin (…) after the key")]
    #[case(json!({"labelSelector": "a in (b"}), "labelSelector: \"a in (b\" is not a requirement of a label selector: a bracket is not closed")]
    #[case(json!({"annotationSelector": "a=b,"}), "annotationSelector: \"\" is not a requirement of a label selector: the key of a label has letters, digits, and - _ . / only")]
    #[case(json!({"labelSelector": "a > 1"}), "labelSelector: \"a > 1\" is not a requirement of a label selector: expected in (…) or notin (…) after the key")]
    fn what_cannot_be_read_is_told_with_its_field(#[case] selector: Value, #[case] expected: &str) {
        assert_eq!(target(selector).unwrap_err().to_string(), expected);
    }

    // Attack 16 (rendering): pathological regular expressions.
    #[test]
    fn an_expression_that_would_take_for_ever_does_not() {
        let evil = target(json!({"name": "(a+)+(a+)+(a+)+b"})).unwrap();
        let mut object = web().into_value();
        object["metadata"]["name"] = json!("a".repeat(100_000));
        assert!(!evil.matches(&Object::new(object).unwrap()));
        assert!(matches!(target(json!({"name": "(a{1000}){1000}"})), Err(InvalidSelector::Regex { .. })));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[a=!,() in]{0,16}|.{0,16}") {
            let _ = requirements("labelSelector", Some(&text));
            let _ = anchored("name", Some(&text));
        }
    }
}
