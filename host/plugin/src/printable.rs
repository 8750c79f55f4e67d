//! Text that a plugin wrote, made safe to show on a terminal, in a log and in a status.

/// `text` on one line: line breaks, control characters, and characters that change the direction of the text are escaped.
pub(crate) fn one_line(text: &str) -> String {
    escape(text, |c| c.is_control() || reorders(c))
}

/// The same, but line breaks and tabs stay.
pub(crate) fn lines(text: &str) -> String {
    escape(text, |c| (c.is_control() && c != '\n' && c != '\t') || reorders(c))
}

fn escape(text: &str, is_unsafe: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// The line separators and the controls of Unicode's bidirectional algorithm (Unicode TR 9), which can make text look
/// like other text.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case("plain – äöü 漢字", "plain – äöü 漢字", "plain – äöü 漢字")]
    #[case("two\nlines\tand a tab", "two\\nlines\\tand a tab", "two\nlines\tand a tab")]
    #[case("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}", "\\u{1b}[31mred\\u{7}")]
    #[case("over\rwritten", "over\\rwritten", "over\\rwritten")]
    #[case("turned \u{202e}round", "turned \\u{202e}round", "turned \\u{202e}round")]
    fn escapes_what_could_deceive(#[case] text: &str, #[case] one_line: &str, #[case] lines: &str) {
        assert_eq!(super::one_line(text), one_line);
        assert_eq!(super::lines(text), lines);
    }
}
