use std::path::Path;

use plumb_conformance::{Plugin, Rendering, cases, cases_folder, differences};

use crate::{KEPT, NATIVE};

#[test]
fn objects_and_errors_are_the_same() {
    let cases = cases(&cases_folder()).expect("the cases can be read");
    let plugin = Plugin::load(&Path::new(KEPT).join("compiled")).expect("the plugin is loaded");
    let mut failures = Vec::new();
    for (case, native) in cases.iter().zip(NATIVE.iter()) {
        assert_eq!(
            (&case.name, &case.path),
            (&native.case, &native.path),
            "the oracle reads the cases otherwise"
        );
        let difference = match plugin.render(case) {
            Ok(rendering) => {
                let own_words = case.own_words.as_ref().map(|words| words.plugin.as_str());
                differences(own_words, &native.rendering(), &rendering)
            }
            Err(error) => Some(format!("the plugin could not be run: {error:#}\n")),
        };
        failures.extend(difference.map(|difference| format!("==== {}\n{difference}", case.name)));
    }
    assert_eq!(cases.len(), NATIVE.len(), "the oracle has other cases");
    assert!(
        failures.is_empty(),
        "{} of {} cases differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// So that nobody takes the suite away by and by.
#[test]
fn there_are_many_cases_of_both_kinds() {
    let errors = NATIVE.iter().filter(|native| matches!(native.rendering(), Rendering::Error(_))).count();
    let rendered = NATIVE.len() - errors;
    assert!(rendered >= 60, "only {rendered} cases render");
    assert!(errors >= 60, "only {errors} cases fail");
}

/// The names say which cases fail, so that no case fails by mistake.
#[test]
fn the_cases_that_fail_are_those_that_say_so() {
    let misnamed: Vec<_> = NATIVE
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
    for case in cases(&cases_folder()).expect("the cases can be read") {
        if let Some(words) = case.own_words {
            assert!(case.name.starts_with("error-"), "{} is not an error", case.name);
            assert!(!words.because.is_empty(), "{} does not say why", case.name);
        }
    }
}
