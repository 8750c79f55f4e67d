use std::path::Path;

use plumb_conformance::{Helm, Rendering, charts, charts_folder, differences};

use crate::{KEPT, RELEASES};

#[test]
fn releases_and_errors_are_the_same() {
    let cases = charts(&charts_folder()).expect("the cases can be read");
    let plugin = Helm::load(&Path::new(KEPT).join("compiled")).expect("the plugin is loaded");
    let mut failures = Vec::new();
    assert_eq!(cases.len(), RELEASES.len(), "the oracle has other cases");
    for (case, native) in cases.iter().zip(RELEASES.iter()) {
        assert_eq!(case.name, native.case, "the oracle reads the cases otherwise");
        let difference = match plugin.render(case) {
            Ok(rendering) => {
                let own_words = case.own_words.as_ref().map(|words| words.plugin.as_str());
                differences(own_words, &native.rendering(), &rendering)
            }
            Err(error) => Some(format!("the plugin could not be run: {error:#}\n")),
        };
        failures.extend(difference.map(|difference| format!("==== {}\n{difference}", case.name)));
    }
    assert!(
        failures.is_empty(),
        "{} of {} charts differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// So that nobody takes the suite away by and by.
#[test]
fn there_are_many_charts_of_both_kinds() {
    let errors = RELEASES.iter().filter(|native| matches!(native.rendering(), Rendering::Error(_))).count();
    let rendered = RELEASES.len() - errors;
    assert!(rendered >= 45, "only {rendered} charts render");
    assert!(errors >= 45, "only {errors} charts fail");
}

/// The names say which charts fail, so that none fails by mistake.
#[test]
fn the_charts_that_fail_are_those_that_say_so() {
    let misnamed: Vec<_> = RELEASES
        .iter()
        .filter(|native| {
            matches!(native.rendering(), Rendering::Error(_)) != native.case.starts_with("error-")
        })
        .map(|native| format!("{}: {:?}", native.case, native.rendering()))
        .collect();
    assert!(misnamed.is_empty(), "{}", misnamed.join("\n"));
}

#[test]
fn only_errors_have_words_of_their_own_and_a_reason() {
    for case in charts(&charts_folder()).expect("the cases can be read") {
        if let Some(words) = case.own_words {
            assert!(case.name.starts_with("error-"), "{} is not an error", case.name);
            assert!(!words.because.is_empty(), "{} does not say why", case.name);
        }
    }
}
