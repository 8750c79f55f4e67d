//! How go-yaml writes a value: in which style, and with which escapes.

#[cfg(not(target_family = "wasm"))]
use serde_json::Value;

use super::{INDENT, Resolved, resolve};
use crate::cipher::Scalar;
#[cfg(not(target_family = "wasm"))]
use crate::metadata::FIELD;

/// The value as go-yaml writes it. A text of several lines is indented so far.
pub(in crate::format) fn spell(value: &Scalar, indent: usize) -> Option<String> {
    Some(match value {
        Scalar::Text(text) => spell_text(std::str::from_utf8(text).ok()?, indent),
        Scalar::Bool(truth) => truth.to_string(),
        Scalar::Float(number) if number.is_nan() => ".nan".to_owned(),
        Scalar::Float(number) if number.is_infinite() => {
            (if *number > 0.0 { ".inf" } else { "-.inf" }).to_owned()
        }
        Scalar::Float(number) => crate::format::float(*number, -4..6, 2),
        Scalar::Integer(_) | Scalar::Time(_) => crate::format::text_of(value)?,
    })
}

fn spell_text(text: &str, indent: usize) -> String {
    let analysis = Analysis::of(text);
    if text.contains('\n') && analysis.block_allowed && indent > 0 {
        return literal(text, indent);
    }
    let resolves = !matches!(resolve(text), Resolved::Scalar(Scalar::Text(_))) || is_of_yaml_1_1(text);
    if text.contains('\n') || resolves {
        return quoted(text);
    }
    if analysis.plain_allowed && !text.is_empty() {
        return text.to_owned();
    }
    match analysis.single_allowed {
        true => format!("'{}'", text.replace('\'', "''")),
        false => quoted(text),
    }
}

/// What older YAML takes for a truth value or a number in base 60, or what is a merge.
fn is_of_yaml_1_1(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_sexagesimal = unsigned.contains(':')
        && unsigned.starts_with(|first: char| first.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'_' | b'.'));
    let is_special = matches!(lower.trim_start_matches(['+', '-']), ".inf" | ".nan");
    matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "<<") || is_sexagesimal || is_special
}

fn literal(text: &str, indent: usize) -> String {
    let mut out = "|".to_owned();
    if text.starts_with([' ', '\n']) {
        out.push_str(&INDENT.to_string());
    }
    // The lines of SOPS' own digit would not be told apart otherwise.
    let indent = if text.starts_with([' ', '\n']) { indent.next_multiple_of(INDENT) } else { indent };
    match text.strip_suffix('\n') {
        None => out.push('-'),
        Some(before) if before.is_empty() || before.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
    }
    out
}

fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for character in text.chars() {
        let code = u32::from(character);
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            _ if is_printable(character) => out.push(character),
            _ if code <= 0xff => out.push_str(&format!("\\x{code:02X}")),
            _ if code <= 0xffff => out.push_str(&format!("\\u{code:04X}")),
            _ => out.push_str(&format!("\\U{code:08X}")),
        }
    }
    out.push('"');
    out
}

/// What the emitter looks at before it chooses a style.
struct Analysis {
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut tabs, mut breaks) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        let mut previous: Option<char> = None;
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let followed_by_blank = rest.clone().next().is_none_or(|next| next.is_ascii_whitespace());
            indicators |= match (previous, character) {
                (
                    None,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                    | '`',
                ) => true,
                (None, '?' | '-') | (_, ':') => followed_by_blank,
                (Some(before), '#') => before.is_ascii_whitespace(),
                _ => false,
            };
            tabs |= character == '\t';
            special |= !is_printable(character) && !matches!(character, '\n' | '\t');
            breaks |= is_break(character);
            break_space |= character == ' ' && previous.is_some_and(is_break);
            space_break |= is_break(character) && previous == Some(' ');
            previous = Some(character);
        }
        let is_edge = |edge: Option<char>| edge.is_some_and(|edge| edge == ' ' || is_break(edge));
        let blank_edge = is_edge(text.chars().next()) || is_edge(previous);
        let broken = space_break || tabs || special;
        Self {
            plain_allowed: !blank_edge && !break_space && !broken && !breaks && !indicators,
            single_allowed: !break_space && !broken,
            block_allowed: previous != Some(' ') && !space_break && !special && !text.contains('\r'),
        }
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What is written without an escape.
fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// What SOPS writes at the end of a document.
#[cfg(not(target_family = "wasm"))]
fn metadata(metadata: &Value) -> String {
    fn add(out: &mut String, value: &Value, indent: usize) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    out.push_str(&format!("\n{}{name}:", " ".repeat(indent)));
                    add(out, value, indent + INDENT);
                }
            }
            Value::Array(items) => {
                for item in items {
                    // Each is a mapping.
                    let mut one = String::new();
                    add(&mut one, item, indent + 2);
                    let body = one.trim_start();
                    out.push_str(&format!("\n{}- {body}", " ".repeat(indent)));
                }
            }
            Value::String(text) => out.push_str(&format!(" {}", spell_text(text, indent))),
            other => out.push_str(&format!(" {other}")),
        }
    }
    let mut out = format!("{FIELD}:");
    add(&mut out, metadata, INDENT);
    out.push('\n');
    out
}

/// The text with the metadata at the end of each document.
#[cfg(not(target_family = "wasm"))]
pub(in crate::format) fn with_metadata(text: &str, metadata: &Value) -> String {
    let metadata = self::metadata(metadata);
    let mut out = String::new();
    let mut has_content = false;
    for line in crate::format::ended(text).split_inclusive('\n') {
        if line.starts_with("---") && has_content {
            out.push_str(&metadata);
            has_content = false;
        } else if !line.starts_with(['-', '#']) && !line.trim().is_empty() {
            has_content = true;
        }
        out.push_str(line);
    }
    out + &metadata
}
