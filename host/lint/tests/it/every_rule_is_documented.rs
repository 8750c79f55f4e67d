use plumb_lint::Rule;

const PAGE: &str = include_str!("../../../../docs/lint.md");

#[test]
fn with_its_severity_and_in_this_order() {
    let documented: Vec<String> =
        PAGE.lines().filter_map(|line| Some(line.strip_prefix("### ")?.to_owned())).collect();
    let expected = Rule::ALL.map(|rule| format!("`{}` ({})", rule.name(), rule.severity()));
    assert_eq!(documented, expected);
}

#[test]
fn a_name_is_read_back() {
    for rule in Rule::ALL {
        assert_eq!(rule.name().parse(), Ok(rule));
    }
    let error = "prune".parse::<Rule>().unwrap_err().to_string();
    assert!(error.starts_with("there is no rule \"prune\"; the rules are unreadable, invalid,"), "{error}");
}
