use plumb_conformance::{Rendering, differences};

fn objects(texts: &[&str]) -> Rendering {
    Rendering::Objects(texts.iter().map(|&text| text.to_owned()).collect())
}

fn error(text: &str) -> Rendering {
    Rendering::Error(text.to_owned())
}

#[test]
fn equal_renderings_do_not_differ() {
    let same = [(objects(&[r#"{"a":1}"#]), objects(&[r#"{ "a": 1 }"#])), (error("no"), error("no"))];
    for (native, plugin) in same {
        assert_eq!(differences(None, &native, &plugin), None);
    }
}

#[test]
fn others_do() {
    let two = objects(&[r#"{"a":1}"#, r#"{"b":1}"#]);
    let different = [
        (&two, objects(&[r#"{"a":1}"#]), "-  \"b\": 1"),
        (&two, objects(&[r#"{"a":1}"#, r#"{"b":"1"}"#]), "+  \"b\": \"1\""),
        (&two, objects(&[r#"{"a":1}"#, r#"{"b":1.0}"#]), "+  \"b\": 1.0"),
        (&two, objects(&[r#"{"b":1}"#, r#"{"a":1}"#]), "--- upstream"),
        (&two, error("no"), "upstream returns 2 objects, and the plugin fails:\nno"),
        (&error("no"), two.clone(), "upstream fails, and the plugin returns 2 objects:\nno"),
        (&error("no"), error("yes"), "+yes"),
    ];
    for (native, plugin, told) in different {
        let found = differences(None, native, &plugin).expect("they differ");
        assert!(found.contains(told), "{told:?} is not in:\n{found}");
    }
}

#[test]
fn words_of_its_own_are_expected_to_the_letter() {
    assert_eq!(differences(Some("never"), &error("no"), &error("never")), None);
    assert!(differences(Some("never"), &error("no"), &error("no")).is_some());
}

#[test]
fn addresses_in_memory_do_not_matter_but_other_numbers_do() {
    let at = |number: &str| error(&format!("generator &{{{number} <nil>}} of 0xFF"));
    assert_eq!(differences(None, &at("0x1cb87fd7b380"), &at("0xc15a66c79a0")), None);
    assert!(differences(None, &at("0x0644"), &at("0x0755")).is_some());
}
