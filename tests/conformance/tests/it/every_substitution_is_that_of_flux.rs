use std::path::Path;

use plumb_conformance::{Rendering, Substitute, differences, substitutions, substitutions_file};

use crate::{KEPT, ORACLE};

#[test]
fn objects_are_the_same_and_both_fail_at_the_same() {
    let cases = substitutions(&substitutions_file()).expect("the cases can be read");
    let native = ORACLE.substitute(&substitutions_file()).expect("the oracle puts variables in");
    let plugin = Substitute::load(&Path::new(KEPT).join("compiled")).expect("the plugin is loaded");
    let names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names, native.iter().map(|native| &native.case).collect::<Vec<_>>());
    assert!(cases.len() >= 70, "only {} cases", cases.len());
    let mut failures = Vec::new();
    for (case, native) in cases.iter().zip(&native) {
        let fails = matches!(native.rendering(), Rendering::Error(_));
        assert_eq!(fails, case.name.starts_with("error-"), "{}: {:?}", case.name, native.rendering());
        assert_eq!(
            fails,
            case.own_words.is_some(),
            "{}: what the plugin says of an error, and only of one",
            case.name
        );
        let difference = match plugin.substitute(case, &native.given) {
            Ok(rendering) => differences(case.own_words.as_deref(), &native.rendering(), &rendering),
            Err(error) => Some(format!("the plugin could not be run: {error:#}\n")),
        };
        failures.extend(difference.map(|difference| format!("==== {}\n{difference}", case.name)));
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// Attack 19 (Secrets): the value of a variable may come from a Secret.
#[test]
fn no_message_has_a_value_in_it() {
    let cases = substitutions(&substitutions_file()).expect("the cases can be read");
    let secrets: Vec<_> = cases.iter().filter(|case| case.variables.contains_key("secret")).collect();
    assert!(secrets.len() >= 5, "only {} cases", secrets.len());
    for case in secrets {
        let words = case.own_words.as_deref().expect("it is an error");
        assert!(case.variables["secret"].contains("hunter2") && !words.contains("hunter2"), "{}", case.name);
    }
}
