//! What servers and libraries say, made fit for a message.

/// What a server or a library said, as one line of printable text of at most 400 characters. What changes the direction of the text is left out.
pub(crate) fn printable(text: &str) -> String {
    const MOST: usize = 400;
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut printable: String =
        one_line.chars().filter(|char| !char.is_control() && !reorders(*char)).take(MOST).collect();
    if one_line.chars().nth(MOST).is_some() {
        printable.push('…');
    }
    printable
}

/// The controls of Unicode's bidirectional algorithm (Unicode TR 9), which can make text look like other text.
fn reorders(char: char) -> bool {
    matches!(char, '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
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
        assert_eq!(printable("turned \u{202e}round\u{2069}, two\u{2028}lines"), "turned round, two lines");
        assert_eq!(printable(&"x".repeat(500)).chars().count(), 401);
    }
}
