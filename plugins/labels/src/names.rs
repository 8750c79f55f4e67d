//! What may be the name and the value of a label.
//!
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>

use plumbline_plugin::Error;

/// The labels by which Plumbline and Flux know whose an object is. The host sets them last, so a value of anybody else would not hold.
const OWNERSHIP: [&str; 5] = [
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "helm.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/namespace",
    "plumbline.dev/applier",
];

/// How long the last part of a name, and a value, may be.
const PART: usize = 63;

/// How long the prefix of a name may be.
const PREFIX: usize = 253;

/// Why a label cannot be set, or removed when there is no value.
pub fn wrong_label(name: &str, value: Option<&str>) -> Option<Error> {
    if OWNERSHIP.contains(&name) {
        return Some(
            Error::denied(format!("the label {name:?} tells who owns an object and cannot be changed"))
                .hint("Use a label of your own."),
        );
    }
    let value = value.unwrap_or_default();
    if !value.is_empty() && !is_part(value) {
        return Some(
            Error::invalid(format!("{value:?} cannot be the value of the label {name:?}")).hint(
                "A value has at most 63 letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit.",
            ),
        );
    }
    wrong_name("label", name)
}

/// Why something cannot be the name of a label or annotation, which `what` says.
pub fn wrong_name(what: &str, name: &str) -> Option<Error> {
    let fits = match name.split_once('/') {
        Some((prefix, name)) => {
            prefix.len() <= PREFIX && prefix.split('.').all(is_dns_label) && is_part(name)
        }
        None => is_part(name),
    };
    (!fits).then(|| {
        Error::invalid(
            format!("{name:?} cannot be the name of a {what}").replace("a annotation", "an annotation"),
        )
        .hint("A name is like `team` or `example.com/team`.")
    })
}

fn is_part(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    bytes.len() <= PART
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| is_inner(*byte))
}

fn is_dns_label(text: &str) -> bool {
    is_part(text)
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
