//! The rules that come with the plugin, as the build script has put them together from `rules/*.yaml`.

use crate::rule::Rule;

mod table {
    include!(concat!(env!("OUT_DIR"), "/pack.rs"));
}

/// The rule for a kind, if there is one. One that names the kind goes before one that is for all of a group.
pub(crate) fn rule(group: &str, kind: &str) -> Option<Rule> {
    let named = table::EXACT.binary_search_by(|(a_group, a_kind, _)| (*a_group, *a_kind).cmp(&(group, kind)));
    match named.ok().and_then(|found| table::EXACT.get(found)) {
        Some((_, _, text)) => read(text),
        None => table::PATTERNS.iter().filter_map(|text| read(text)).find(|rule| rule.is_for(group, kind)),
    }
}

/// What the build script has written can be read: a test reads all of it.
fn read(text: &str) -> Option<Rule> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_rule_can_be_read() {
        assert!(table::EXACT.iter().all(|(group, kind, text)| read(text).unwrap().is_for(group, kind)));
        assert!(table::PATTERNS.iter().all(|text| read(text).is_some()));
    }

    #[test]
    fn a_rule_that_names_the_kind_goes_first() {
        let of = |group, kind| rule(group, kind).map(|rule| rule.current);
        assert_ne!(of("pkg.crossplane.io", "Provider"), of("s3.aws.crossplane.io", "Bucket"));
        assert!(of("s3.aws.upbound.io", "Bucket").is_some());
        assert_eq!(of("upbound.io.example.com", "Bucket"), None);
        assert_eq!(of("", "Pod"), None);
    }
}
