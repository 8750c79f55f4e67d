//! How YAML is read wherever kubectl, Helm or Flux read it too: by the rules of YAML 1.1, where `yes` is true and `0644` is 420.
//!
//! In goes what the readers of a text differ in; out come the options of the library. The plugin `yaml` and the host share them, so that
//! nobody reads one text in two ways, and no text makes more of itself than it has bytes for.
#![forbid(unsafe_code)]

use serde_saphyr::Options;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

/// How deeply the values of a document may be nested. CustomResourceDefinitions come to about 60.
const DEEPEST: usize = 100;
/// How many values a text may hold; a Secret can hold about a third of them.
const MOST_NODES: usize = 1_000_000;
/// How many values aliases may stand for in a text.
const MOST_ALIASED: usize = 100_000;

/// The options to read a text with. `duplicates` says what fields of one name mean: an error in an object, the last one in values of Helm.
///
/// Errors have nothing of the text in them: it may hold a secret.
pub fn options(duplicates: DuplicateKeyPolicy) -> Options {
    let mut options = Options::default();
    options.duplicate_keys = duplicates;
    options.merge_keys = MergeKeyPolicy::Merge;
    options.legacy_octal_numbers = true;
    options.strict_booleans = false;
    options.non_finite_float_policy = NonFiniteFloatPolicy::Reject;
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = MOST_ALIASED;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = DEEPEST;
        budget.max_nodes = MOST_NODES;
        budget.max_events = 2 * MOST_NODES;
    }
    options
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str, duplicates: DuplicateKeyPolicy) -> Result<Value, serde_saphyr::Error> {
        serde_saphyr::from_str_with_options(text, options(duplicates))
    }

    #[rstest]
    #[case("a: yes", json!({"a": true}))]
    #[case("a: 0644", json!({"a": 420}))]
    #[case("a: 'yes'", json!({"a": "yes"}))]
    #[case("a: &x {b: 1}\nc: {<<: *x, d: 2}", json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}}))]
    fn the_rules_are_those_of_yaml_1_1(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(read(text, DuplicateKeyPolicy::Error).unwrap(), expected);
    }

    #[test]
    fn fields_of_one_name_mean_what_is_asked_for() {
        assert_eq!(read("a: 1\na: 2", DuplicateKeyPolicy::LastWins).unwrap(), json!({"a": 2}));
        read("a: 1\na: 2", DuplicateKeyPolicy::Error).unwrap_err();
    }

    // Attack 15 (rendering): YAML that is larger than it looks.
    #[rstest]
    #[case::deep(format!("{}{}", "[".repeat(200), "]".repeat(200)))]
    #[case::aliases(format!("a: &a [{}]\nb: &b [{}]\nc: [{}]", "1, ".repeat(100), "*a, ".repeat(100), "*b, ".repeat(100)))]
    #[case::no_number("a: .inf".to_owned())]
    fn what_is_made_to_hurt_is_refused_without_its_text(#[case] text: String) {
        let error = read(&text, DuplicateKeyPolicy::Error).unwrap_err().to_string();
        assert!(!error.contains("[["), "{error}");
    }
}
