//! Patterns of `${var#pattern}` and `${var%pattern}`: those of Go's `path.Match`, except that `*` matches `/` too.

/// A pattern that is not closed: `[ab`.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPattern;

/// Whether a pattern matches all of a text.
///
/// `*` is any text, `?` any character, `[a-c]` and `[^a-c]` are classes, `\` takes the next character as it is.
pub fn matches(mut pattern: &[u8], mut text: &[u8]) -> Result<bool, BadPattern> {
    'pattern: while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(true);
        }
        if let Some(after) = matches_chunk(chunk, text)?
            && (after.is_empty() || !pattern.is_empty())
        {
            text = after;
            continue;
        }
        if star {
            for skipped in 1..=text.len() {
                if let Some(after) = matches_chunk(chunk, &text[skipped..])? {
                    if pattern.is_empty() && !after.is_empty() {
                        continue;
                    }
                    text = after;
                    continue 'pattern;
                }
            }
        }
        return Ok(false);
    }
    Ok(text.is_empty())
}

/// The next part of a pattern without a star, and whether there is a star before it.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let pattern = &pattern[stars..];
    let mut in_class = false;
    let mut end = 0;
    while end < pattern.len() {
        match pattern[end] {
            b'\\' if end + 1 < pattern.len() => end += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        end += 1;
    }
    (stars > 0, &pattern[..end], &pattern[end..])
}

/// What is left of a text after a part of a pattern, if the text begins with it.
fn matches_chunk<'a>(mut chunk: &[u8], mut text: &'a [u8]) -> Result<Option<&'a [u8]>, BadPattern> {
    while let Some(first) = chunk.first() {
        if text.is_empty() {
            return Ok(None);
        }
        match first {
            b'[' => {
                let (character, width) = decode(text);
                text = &text[width..];
                let (matched, rest) = matches_class(&chunk[1..], character)?;
                chunk = rest;
                if !matched {
                    return Ok(None);
                }
            }
            b'?' => {
                text = &text[decode(text).1..];
                chunk = &chunk[1..];
            }
            _ => {
                if *first == b'\\' {
                    chunk = &chunk[1..];
                }
                let literal = chunk.first().ok_or(BadPattern)?;
                if *literal != text[0] {
                    return Ok(None);
                }
                text = &text[1..];
                chunk = &chunk[1..];
            }
        }
    }
    Ok(Some(text))
}

/// Whether a character is in a class, and what follows the class.
fn matches_class(mut class: &[u8], character: u32) -> Result<(bool, &[u8]), BadPattern> {
    let negated = class.first() == Some(&b'^');
    if negated {
        class = &class[1..];
    }
    let mut matched = false;
    let mut ranges = 0;
    while !(class.first() == Some(&b']') && ranges > 0) {
        let (low, rest) = class_character(class)?;
        class = rest;
        let mut high = low;
        if class.first() == Some(&b'-') {
            (high, class) = class_character(&class[1..])?;
        }
        matched |= low <= character && character <= high;
        ranges += 1;
    }
    Ok((matched != negated, &class[1..]))
}

fn class_character(class: &[u8]) -> Result<(u32, &[u8]), BadPattern> {
    let class = match class {
        [] | [b'-' | b']', ..] => return Err(BadPattern),
        [b'\\', rest @ ..] => rest,
        _ => class,
    };
    if class.is_empty() {
        return Err(BadPattern);
    }
    let (character, width) = decode(class);
    let rest = &class[width..];
    if rest.is_empty() || (character == u32::from(char::REPLACEMENT_CHARACTER) && width == 1) {
        return Err(BadPattern);
    }
    Ok((character, rest))
}

/// The first character and its length; U+FFFD and 1 for a byte that is not UTF-8.
fn decode(bytes: &[u8]) -> (u32, usize) {
    let longest = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(longest) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&longest[..error.valid_up_to()]).unwrap_or_default(),
    };
    valid
        .chars()
        .next()
        .map_or((u32::from(char::REPLACEMENT_CHARACTER), 1), |first| (u32::from(first), first.len_utf8()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        let cases = [
            ("*", "a/b", true),
            ("*.", "bash.", true),
            ("*.", "bash.s", false),
            ("a?c", "abc", true),
            ("a?c", "aüc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b", "xaxxb", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "a", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), Ok(expected), "{pattern} {text}");
        }
        for pattern in ["[", "[]", "[a", "[a-", "\\", "[^"] {
            assert_eq!(matches(pattern.as_bytes(), b"abc"), Err(BadPattern), "{pattern}");
        }
    }
}
