//! The YAML documents of a file, and where in it they and their fields stand.

use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::Value;

/// A document of a file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// Where a document stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The path of the file.
    pub(crate) file: String,
    /// The lines of the document.
    text: Arc<str>,
    /// The line of the file on which the text begins, counted from 1.
    first_line: usize,
}

/// A document that is not YAML.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) place: Place,
    /// What the parser says.
    pub(crate) why: String,
}

/// Takes a file apart.
pub(crate) fn documents(file: &str, text: &str) -> (Vec<Document>, Vec<Broken>) {
    let (mut documents, mut broken) = (Vec::new(), Vec::new());
    for place in places(file, text) {
        let parsed = Value::deserialize(serde_yaml::Deserializer::from_str(&place.text));
        match parsed {
            Ok(Value::Null) => {}
            Ok(value) => documents.push(Document { value, place }),
            Err(error) => broken.push(Broken { why: error.to_string(), place }),
        }
    }
    (documents, broken)
}

/// A line that begins with `---` always ends a document: no scalar may hold one (YAML 1.2, `c-forbidden`).
fn places(file: &str, text: &str) -> Vec<Place> {
    let is_marker = |line: &str| {
        line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']))
    };
    let mut places = Vec::new();
    let (mut lines, mut first_line) = (Vec::new(), 1);
    let mut end = |lines: &mut Vec<&str>, first_line: usize| {
        if lines.iter().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
            places.push(Place { file: file.to_owned(), text: lines.join("\n").into(), first_line });
        }
        lines.clear();
    };
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        if is_marker(line) {
            end(&mut lines, first_line);
            first_line = number;
        }
        lines.push(line);
    }
    end(&mut lines, first_line);
    places
}

impl Place {
    /// The line of a field of the document, as people write one: a key a line, deeper ones further in. Where it cannot be found, as
    /// in `{a: {b: c}}`, the line of the nearest key above it, or that on which the document begins.
    pub(crate) fn line_of(&self, field: &[&str]) -> usize {
        let mut nearest = (0, self.first_content_line());
        let mut above: Vec<(usize, &str)> = Vec::new();
        for (number, line) in (self.first_line..).zip(self.text.lines()) {
            let content = line.trim_start();
            let indent = line.len() - content.len();
            let Some((key, _)) = content.split_once(':').filter(|_| !content.starts_with(['#', '-'])) else {
                continue;
            };
            above.retain(|(depth, _)| *depth < indent);
            above.push((indent, key.trim_matches(['"', '\''])));
            let matched = above.len();
            let is_on_the_way =
                matched <= field.len() && above.iter().zip(field).all(|((_, key), wanted)| key == wanted);
            if is_on_the_way && matched > nearest.0 {
                nearest = (matched, number);
            }
        }
        nearest.1
    }

    /// Whether variables are put into the document before it is read.
    pub(crate) fn has_variables(&self) -> bool {
        self.text.contains("${")
    }

    /// Whether the document mentions a text.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    fn first_content_line(&self) -> usize {
        let is_content = |line: &str| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#') && !line.starts_with("---")
        };
        let lines = (self.first_line..).zip(self.text.lines());
        lines.into_iter().find(|(_, line)| is_content(line)).map_or(self.first_line, |(number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    const TEXT: &str = "\
# a comment
---
kind: One
metadata:
  name: one
---
# another
kind: Two
metadata:
  annotations:
    note: |
      spec:
        prune: in a text
spec:
  # how often
  interval: 5m
  sourceRef:
    name: x
  prune: false
--- # the last
{kind: Three, spec: {prune: false}}
";

    #[rstest]
    #[case(0, &[], 3)]
    #[case(0, &["metadata", "name"], 5)]
    #[case(1, &[], 8)]
    #[case(1, &["spec", "prune"], 19)]
    #[case(1, &["spec", "sourceRef", "name"], 18)]
    #[case(1, &["spec", "sourceRef", "namespace"], 17)]
    #[case(1, &["spec", "timeout"], 14)]
    #[case(2, &["spec", "prune"], 21)]
    fn a_field_is_found_on_its_line(
        #[case] document: usize,
        #[case] field: &[&str],
        #[case] expected: usize,
    ) {
        let (documents, broken) = documents("a.yaml", TEXT);
        assert_eq!((documents.len(), broken.len()), (3, 0));
        assert_eq!(documents[document].place.line_of(field), expected);
    }

    #[test]
    fn a_broken_document_does_not_hide_the_others() {
        let (documents, broken) = documents("a.yaml", "a: 1\n---\nb: [\n---\nc: 3\n");
        assert_eq!((documents.len(), broken.len()), (2, 1));
        assert_eq!(broken[0].place.line_of(&[]), 3);
    }

    /// Attack 15 (Rendering): anchors that unfold to billions of items.
    #[test]
    fn anchors_that_unfold_to_billions_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let items = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", items.trim_end_matches(", ")));
        }
        assert_eq!(documents("a.yaml", &text).1.len(), 1);
    }
}
