//! Which stage a name or a path speaks of.

use plumb_api::Kustomization;

const PRODUCTION: [&str; 3] = ["production", "prod", "prd"];
const BEFORE: [&str; 14] = [
    "staging",
    "stage",
    "stg",
    "preprod",
    "preproduction",
    "nonprod",
    "uat",
    "qa",
    "test",
    "testing",
    "dev",
    "development",
    "canary",
    "sandbox",
];

/// A stage of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Where things are tried.
    Before,
    /// Where they have to work.
    Production,
}

/// The stage that a Kustomization applies, by the words of `spec.path` or, where that names none, of its name.
pub(crate) fn stage_of(object: &Kustomization) -> Option<Stage> {
    let path = object.spec.path.as_deref().and_then(stage_named);
    path.or_else(|| stage_named(object.metadata.name.as_deref()?))
}

/// The stage that a text names in a word of its own: `clusters/prod-eu` does, `products` does not. What is before production, as in
/// `pre-production`, is not production.
pub(crate) fn stage_named(text: &str) -> Option<Stage> {
    let text = text.to_ascii_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_before = words.iter().any(|word| BEFORE.contains(word) || ["pre", "non"].contains(word));
    match (words.iter().any(|word| PRODUCTION.contains(word)), is_before) {
        (_, true) => Some(Stage::Before),
        (true, false) => Some(Stage::Production),
        (false, false) => None,
    }
}

/// Whether a branch is one that production is promoted to.
pub(crate) fn is_promoted_to(branch: &str) -> bool {
    stage_named(branch).is_some()
        || ["release", "releases", "stable", "live"].iter().any(|word| {
            branch.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("./clusters/production", Some(Stage::Production))]
    #[case("apps-prod-eu", Some(Stage::Production))]
    #[case("PROD", Some(Stage::Production))]
    #[case("./apps/products", None)]
    #[case("reproduction", None)]
    #[case("pre-production", Some(Stage::Before))]
    #[case("non-prod", Some(Stage::Before))]
    #[case("preprod", Some(Stage::Before))]
    #[case("./apps/staging", Some(Stage::Before))]
    #[case("device", None)]
    #[case("", None)]
    fn a_stage_is_a_word(#[case] text: &str, #[case] expected: Option<Stage>) {
        assert_eq!(stage_named(text), expected);
    }
}
