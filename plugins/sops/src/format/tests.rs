#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn leaves(format: Format, text: &str) -> Vec<(String, String)> {
    let shown = |leaf: &Leaf| {
        let content = match &leaf.content {
            Content::Value(value) => format!("{value:?}").replace(")", ""),
            Content::Comment(text) => format!("#{text}"),
        };
        let content = match &leaf.content {
            Content::Value(Scalar::Text(text)) => String::from_utf8(text.clone()).unwrap(),
            _ => content,
        };
        assert!(text.get(leaf.span.clone()).is_some());
        (leaf.path.join("/"), content)
    };
    format.read(text).unwrap().leaves.iter().map(shown).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn yaml_is_taken_apart_in_its_order() {
    let text = "# top\nb: one # beside\na:\n    - 1\n    - x: true\n      y: 1.5\n    # last\nd: null\nt: 2026-01-01\ne: \"1\"\nl: |-\n    two\n    lines\n---\nnext: 0x10\n";
    assert_eq!(
        leaves(Format::Yaml, text),
        pairs(&[
            ("", "# top"),
            ("", "# beside"),
            ("b", "one"),
            ("a", "Integer(1"),
            ("a/x", "Bool(true"),
            ("a/y", "Float(1.5"),
            ("a", "# last"),
            ("t", "Time(\"2026-01-01T00:00:00Z\""),
            ("e", "1"),
            ("l", "two\nlines"),
            ("next", "Integer(16"),
        ])
    );
}

#[test]
fn json_is_taken_apart_in_its_order() {
    let text = r#"{"b": "o\u00e9\"ne", "a": [1, {"x": true}, null, 1e3, 12345678901234567890], "sops": {"mac": "m"}, "z": ""}"#;
    let document = Format::Json.read(text).unwrap();
    assert_eq!(document.metadata.unwrap()["mac"], "m");
    assert_eq!(&text[document.cut[0].clone()], r#", "sops": {"mac": "m"}"#);
    assert_eq!(
        leaves(Format::Json, text),
        pairs(&[
            ("b", "oé\"ne"),
            ("a", "Integer(1"),
            ("a/x", "Bool(true"),
            ("a", "Float(1000.0"),
            ("a", "Float(1.2345678901234567e19"),
            ("z", ""),
        ])
    );
    let first = r#"{"sops": {"mac": "m"}, "a": 1}"#;
    assert_eq!(&first[Format::Json.read(first).unwrap().cut[0].clone()], r#""sops": {"mac": "m"}, "#);
}

#[test]
fn flat_formats_are_taken_apart() {
    let text = "# note\nA=one=1\\ntwo\n\nB=\nsops_mac=m\nsops_age__list_0__map_enc=a\\nb\nsops_age__list_1__map_enc=c\nC=3";
    let document = Format::Dotenv.read(text).unwrap();
    let metadata = document.metadata.unwrap();
    assert_eq!(
        (&metadata["mac"], &metadata["age"][0]["enc"], &metadata["age"][1]["enc"]),
        (&"m".into(), &"a\nb".into(), &"c".into())
    );
    assert_eq!(
        leaves(Format::Dotenv, text),
        pairs(&[("", "# note"), ("A", "one=1\ntwo"), ("B", ""), ("C", "3")])
    );

    let text = "; about a\n[a]\nx = 1 ; no\n; about y\ny = `a;b`\nz = \"\"\"two\nlines\"\"\"\nq = \" p \"\n\n[sops]\nmac                      = m\nage__list_0__map_enc     = a\\nb\n\n[b]\nk=\n";
    let document = Format::Ini.read(text).unwrap();
    assert_eq!(document.metadata.unwrap()["age"][0]["enc"], "a\nb");
    assert!(
        text[document.cut[0].clone()].starts_with("[sops]")
            && text[document.cut[0].clone()].ends_with("a\\nb\n\n")
    );
    assert_eq!(
        leaves(Format::Ini, text),
        pairs(&[
            ("a", "#about a"),
            ("a/x", "1"),
            ("a", "#about y"),
            ("a/y", "a;b"),
            ("a/z", "two\nlines"),
            ("a/q", " p "),
            ("b/k", ""),
        ])
    );
    // A space is behind the `=` of one without a value.
    let text = "[a]\nk = \nl = \"\" \nm = b\n";
    let leaves = Format::Ini.read(text).unwrap().leaves;
    assert_eq!(leaves.iter().map(|leaf| &text[leaf.span.clone()]).collect::<Vec<_>>(), ["", "\"\"", "b"]);
}

/// What go-yaml writes for a text below a key of the first level.
#[test]
fn texts_are_written_as_sops_does() {
    let spelled = |text: &str| {
        let value = Scalar::Text(text.as_bytes().to_vec());
        yaml::spell(&value, 4).unwrap()
    };
    for (text, expected) in [
        ("plain text", "plain text"),
        ("", "\"\""),
        ("true", "\"true\""),
        ("yes", "\"yes\""),
        ("0644", "\"0644\""),
        ("1:30", "\"1:30\""),
        ("null", "\"null\""),
        ("a: b", "'a: b'"),
        ("it's 1", "it's 1"),
        ("it's #1", "'it''s #1'"),
        ("#1", "'#1'"),
        ("- a", "'- a'"),
        (" edge", "' edge'"),
        ("tab\there", "\"tab\\there\""),
        ("two\nlines\n", "|\n    two\n    lines"),
        ("two\nlines", "|-\n    two\n    lines"),
        ("two\n\nlines\n\n", "|+\n    two\n\n    lines\n"),
        ("space \nbefore", "\"space \\nbefore\""),
        ("\nfirst", "|4-\n\n    first"),
        ("bell\u{7}", "\"bell\\a\""),
    ] {
        assert_eq!(spelled(text), expected, "{text:?}");
        let file = format!("a: {}\n", spelled(text));
        assert_eq!(leaves(Format::Yaml, &file), pairs(&[("a", text)]), "{file}");
    }
}

#[test]
fn what_is_no_file_of_a_format_is_told_with_its_line() {
    let told = |format: Format, text: &str| {
        let Unreadable { line, problem } = format.read(text).unwrap_err();
        format!("{}: {problem}", line.unwrap_or_default())
    };
    assert_eq!(told(Format::Yaml, "a: [\n"), "1: it is not YAML");
    assert_eq!(told(Format::Yaml, "a: &x 1\nb: *x\n"), "2: it has an alias, which SOPS never writes");
    assert_eq!(told(Format::Yaml, "- a\n"), "1: a document of it is not a mapping");
    assert_eq!(told(Format::Json, "{\n\"a\": tru\n}"), "2: it is not JSON");
    assert_eq!(told(Format::Json, "[1]"), "0: it is not a JSON object");
    assert_eq!(told(Format::Json, "{} {}"), "1: there is more after the JSON object");
    assert_eq!(told(Format::Json, &format!("{{\"a\": {}", "[".repeat(1000))), "1: it is nested too deeply");
    assert_eq!(told(Format::Dotenv, "A=1\nhunter2\n"), "2: a line is neither NAME=value nor a comment");
    assert_eq!(told(Format::Ini, "[a\n"), "1: the name of a section does not end");
    assert_eq!(
        told(Format::Dotenv, "sops_a__list_99999999=1"),
        "0: a name of the metadata is not one that SOPS writes"
    );
    assert_eq!(
        told(Format::Dotenv, "sops_a=1\nsops_a__map_b=1"),
        "0: two names of the metadata contradict each other"
    );
}

#[test]
fn formats_are_told_by_name_and_by_content() {
    assert_eq!(Format::of_path("a/.dockerconfigjson"), Format::Json);
    assert_eq!(Format::of_path("a.yml"), Format::Yaml);
    assert_eq!(Format::of_path("secret.env"), Format::Dotenv);
    assert_eq!(Format::of_path("key.pem"), Format::Binary);
    assert_eq!(Format::of_encrypted(b"a: ENC[AES256_GCM,x]\n"), None);
    assert_eq!(Format::of_encrypted(b"a: 1\nsops:\n    mac: ENC[AES256_GCM,x]\n"), Some(Format::Yaml));
    assert_eq!(
        Format::of_encrypted(br#"{"data": "ENC[AES256_GCM,x]", "sops": {"mac": "ENC["}}"#),
        Some(Format::Binary)
    );
    assert_eq!(
        Format::of_encrypted(br#"{"b": "ENC[AES256_GCM,x]", "sops": {"mac": "ENC["}}"#),
        Some(Format::Json)
    );
    assert_eq!(Format::of_encrypted(b"A=ENC[AES256_GCM,x]\nsops_mac=ENC[x]\n"), Some(Format::Dotenv));
    assert_eq!(Format::of_encrypted(b"[a]\nk = ENC[AES256_GCM,x]\n[sops]\n"), Some(Format::Ini));
}
