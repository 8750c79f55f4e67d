//! What the operators of expressions do with the value of a variable, as Flux's `envsubst` does it.
//!
//! Lengths and positions count bytes. A cut may fall into a character, so texts are bytes here.

use crate::pattern::{BadPattern, matches};

/// How large a text may become, in bytes.
pub const LARGEST: usize = 16 << 20;

/// Whether an operator has an answer for a variable that is not set.
pub fn has_default(operator: &str) -> bool {
    matches!(operator, "-" | "+" | "=" | "?" | ":-" | ":+" | ":=" | ":?")
}

/// What an expression stands for.
pub fn apply(operator: &str, value: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    let bytes = value.as_bytes();
    let first = arguments.first().map(Vec::as_slice);
    match (operator, first) {
        (",", _) => first_character(value, lower),
        (",,", _) => value.chars().map(lower).collect::<String>().into_bytes(),
        ("^", _) => first_character(value, upper),
        ("^^", _) => value.chars().map(upper).collect::<String>().into_bytes(),
        ("#", None) => bytes.len().to_string().into_bytes(),
        ("#", Some(pattern)) => trim_prefix(bytes, pattern, Extent::Shortest),
        ("##", Some(pattern)) => trim_prefix(bytes, pattern, Extent::Longest),
        ("%", Some(pattern)) => trim_suffix(value, pattern, Extent::Shortest),
        ("%%", Some(pattern)) => trim_suffix(value, pattern, Extent::Longest),
        (":", Some(position)) => substring(bytes, position, arguments.get(1).map(Vec::as_slice)),
        ("/" | "//" | "/#" | "/%", Some(from)) => {
            replace(operator, bytes, from, arguments.get(1).map(Vec::as_slice))
        }
        _ if value.is_empty() => arguments.concat(),
        _ => bytes.to_vec(),
    }
}

fn first_character(value: &str, map: fn(char) -> char) -> Vec<u8> {
    let mut characters = value.chars();
    let first = characters.next().map(map);
    first.into_iter().chain(characters).collect::<String>().into_bytes()
}

/// One character for one, as in Go: `ß` stays `ß`.
fn upper(character: char) -> char {
    let mut mapped = character.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        _ => character,
    }
}

fn lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

/// A position or length that cannot be read gives the whole text. A negative one counts from the end.
fn substring(value: &[u8], position: &[u8], length: Option<&[u8]>) -> Vec<u8> {
    let Some(position) = number(position) else {
        return value.to_vec();
    };
    let start = if position < 0 {
        from_end(value, position)
    } else {
        usize::try_from(position).unwrap_or(usize::MAX)
    };
    let end = match length.map(number) {
        None => value.len(),
        Some(None) => return value.to_vec(),
        Some(Some(length)) if length < 0 => from_end(value, length),
        Some(Some(length)) => {
            start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(value.len())
        }
    };
    value.get(start..end).unwrap_or_default().to_vec()
}

fn from_end(value: &[u8], count: i64) -> usize {
    value.len().saturating_sub(usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX))
}

/// As `strconv.Atoi`.
fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn replace(operator: &str, value: &[u8], from: &[u8], to: Option<&[u8]>) -> Vec<u8> {
    match (operator, to) {
        ("//", to) => replace_up_to(value, from, to.unwrap_or_default(), usize::MAX),
        ("/", to) => replace_up_to(value, from, to.unwrap_or_default(), 1),
        ("/#", Some(to)) if value.starts_with(from) => replace_up_to(value, from, to, 1),
        ("/%", Some(to)) if value.ends_with(from) => [&value[..value.len() - from.len()], to].concat(),
        _ => value.to_vec(),
    }
}

/// As `strings.Replace`: an empty `from` stands before every character and at the end. What becomes too large is not finished.
fn replace_up_to(value: &[u8], from: &[u8], to: &[u8], times: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    let mut done = 0;
    while done < times && out.len() <= LARGEST {
        if from.is_empty() {
            out.extend_from_slice(to);
            let width =
                std::str::from_utf8(rest).ok().and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
            if width == 0 {
                break;
            }
            out.extend_from_slice(&rest[..width]);
            rest = &rest[width..];
        } else {
            let Some(found) = rest.windows(from.len()).position(|window| window == from) else {
                break;
            };
            out.extend_from_slice(&rest[..found]);
            out.extend_from_slice(to);
            rest = &rest[found + from.len()..];
        }
        done += 1;
    }
    out.extend_from_slice(rest);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Shortest,
    Longest,
}

/// Takes away the beginning that matches a pattern. An empty beginning is none.
fn trim_prefix(value: &[u8], pattern: &[u8], extent: Extent) -> Vec<u8> {
    let mut found = None;
    for end in (1..=value.len()).rev() {
        match matches(pattern, &value[..end]) {
            Err(BadPattern) => return value.to_vec(),
            Ok(false) => {}
            Ok(true) => {
                found = Some(end);
                if extent == Extent::Longest {
                    break;
                }
            }
        }
    }
    value[found.unwrap_or(0)..].to_vec()
}

/// The same at the end: text and pattern are turned round, as Flux does, so that a class `[ab]` is no class here.
fn trim_suffix(value: &str, pattern: &[u8], extent: Extent) -> Vec<u8> {
    let turn = |text: &str| text.chars().rev().collect::<String>();
    let trimmed =
        trim_prefix(turn(value).as_bytes(), turn(&String::from_utf8_lossy(pattern)).as_bytes(), extent);
    turn(&String::from_utf8_lossy(&trimmed)).into_bytes()
}
