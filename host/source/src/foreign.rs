//! What servers and libraries say, made fit for a message.

/// What a server or a library said, as one line of printable text of at most 400 characters.
pub(crate) fn printable(text: &str) -> String {
    const MOST: usize = 400;
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut printable: String = one_line.chars().filter(|char| !char.is_control()).take(MOST).collect();
    if one_line.chars().nth(MOST).is_some() {
        printable.push('…');
    }
    printable
}

/// An error and what caused it, each said once.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    said(std::iter::successors(Some(error), |error| error.source()))
}

/// What some errors say, each once.
pub(crate) fn said<'a>(errors: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let mut said: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !text.is_empty() && !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    printable(&said.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_printable_line() {
        assert_eq!(printable("a\r\n\x1b[31mb\tc"), "a [31mb c");
        assert_eq!(printable(&"x".repeat(500)).chars().count(), 401);
    }
}
