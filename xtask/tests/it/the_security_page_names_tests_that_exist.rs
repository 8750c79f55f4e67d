use std::fs;
use std::path::Path;

/// How many attack cases there are.
const ATTACKS: usize = 29;

fn page() -> String {
    fs::read_to_string(docs().join("security.md")).unwrap()
}

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"))
}

/// The tests that a text links to, as ``[`name`](../path)``.
fn tests(text: &str) -> Vec<(&str, &str)> {
    let links = text.split("[`").skip(1);
    links
        .filter_map(|link| {
            let (name, rest) = link.split_once("`](")?;
            let (path, _) = rest.split_once(')')?;
            Some((name, path))
        })
        .collect()
}

/// The rows of the table of attacks, each with its number.
fn rows(page: &str) -> Vec<(usize, &str)> {
    let number = |row: &str| row.strip_prefix("| ")?.split(' ').next()?.parse().ok();
    page.lines().filter_map(|row| Some((number(row)?, row))).collect()
}

#[test]
fn in_the_files_that_it_links_to() {
    let page = page();
    let tests: Vec<_> = rows(&page).into_iter().flat_map(|(_, row)| tests(row)).collect();
    assert!(tests.len() > 60, "only {} tests were found", tests.len());
    for (name, path) in tests {
        let text = fs::read_to_string(docs().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let is_there = [format!("fn {name}("), format!("fn {name}<"), format!("func {name}(")];
        assert!(
            is_there.iter().any(|start| text.contains(start)),
            "docs/security.md: there is no test {name} in {path}"
        );
    }
}

#[test]
fn for_every_attack_or_says_that_there_is_none() {
    let page = page();
    let rows = rows(&page);
    let numbers: Vec<usize> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=ATTACKS).collect::<Vec<_>>(), "each attack has one row");
    for (number, row) in rows {
        let is_told = ["No test", "Not applicable"].iter().any(|words| row.contains(words));
        assert!(is_told || !tests(row).is_empty(), "attack {number} has neither a test nor a reason why not");
    }
}
