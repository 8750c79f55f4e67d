//! Sections of `name = value`, as go-ini reads and writes them.

use std::ops::Range;

use super::{Content, Document, Leaf, Unreadable, flat, text_of};
use crate::cipher::Scalar;
use crate::metadata::FIELD;

/// Where values stand that stand in no section.
const DEFAULT: &str = "DEFAULT";
const LONG: &str = "\"\"\"";

/// Takes a file apart.
pub(super) fn read(text: &str) -> Result<Document, Unreadable> {
    let (mut document, mut metadata) = (Document::default(), Vec::new());
    let (mut section, mut at, mut number) = (DEFAULT.to_owned(), 0, 0);
    // A comment belongs to what comes after it, be it a name or a section.
    let mut comments: Vec<Leaf> = Vec::new();
    while at < text.len() {
        let line = text[at..].split_inclusive('\n').next().unwrap_or_default();
        number += 1;
        let (start, content) = (at, line.trim());
        at += line.len();
        if section == FIELD && !content.starts_with('[') {
            extend(&mut document, start..at);
        }
        if content.is_empty() {
            continue;
        }
        if content.starts_with([';', '#']) {
            let comment = content.trim_start_matches([';', '#', ' ']);
            let end = start + line.trim_end().len();
            comments.push(leaf(Vec::new(), Content::Comment(comment.to_owned()), end - comment.len()..end));
            continue;
        }
        if let Some(name) = content.strip_prefix('[') {
            let name =
                name.strip_suffix(']').ok_or(Unreadable::at(number, "the name of a section does not end"))?;
            section = name.trim().to_owned();
            if section == FIELD {
                document.cut.push(start..at);
            }
            place(&mut comments, &section, &mut document);
            continue;
        }
        let split = line.find(['=', ':']).ok_or(Unreadable::at(number, "a line is not name = value"))?;
        let name = line[..split].trim().trim_matches(['"', '`']).to_owned();
        let line_end = start + line.trim_end().len();
        let rest = &line[split + 1..];
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        // One without a value ends before the space that go-ini writes there.
        let from = (start + split + 1 + blank).min(line_end);
        let (value, end) =
            value(text, from, line_end).ok_or(Unreadable::at(number, "a value in quotes does not end"))?;
        if end > at {
            let rest = text[end..].find('\n').map_or(text.len(), |after| end + after + 1);
            number += text[at..rest].matches('\n').count();
            if section == FIELD {
                extend(&mut document, at..rest);
            }
            at = rest;
        }
        if section == FIELD {
            metadata.push((name, value.replace("\\n", "\n")));
        } else {
            place(&mut comments, &section, &mut document);
            let content = Content::Value(Scalar::Text(value.into_bytes()));
            document.leaves.push(leaf(vec![section.clone(), name], content, from..end));
        }
    }
    if !metadata.is_empty() {
        let fields = metadata.iter().map(|(name, value)| (name.as_str(), value.clone()));
        document.metadata = Some(flat::unflatten(fields)?);
    }
    Ok(document)
}

fn leaf(path: Vec<String>, content: Content, span: Range<usize>) -> Leaf {
    Leaf { path, comments: Vec::new(), content, span, indent: 0 }
}

/// Adds the comments before a section or name of a section.
fn place(comments: &mut Vec<Leaf>, section: &str, document: &mut Document) {
    let placed = comments.drain(..).map(|comment| Leaf { path: vec![section.to_owned()], ..comment });
    document.leaves.extend(placed);
}

/// Makes the last cut longer.
fn extend(document: &mut Document, by: Range<usize>) {
    if let Some(last) = document.cut.last_mut() {
        last.end = by.end;
    }
}

/// The value that begins at a place of a line, and where it ends; none if its quotes do not.
fn value(text: &str, from: usize, line_end: usize) -> Option<(String, usize)> {
    let line = &text[from..line_end];
    for quote in [LONG, "`"] {
        if let Some(rest) = text[from..].strip_prefix(quote).filter(|_| line.starts_with(quote)) {
            let length = rest.find(quote)?;
            return Some((rest[..length].to_owned(), from + 2 * quote.len() + length));
        }
    }
    let comment = line.find(['#', ';']);
    let plain = line[..comment.unwrap_or(line.len())].trim_end();
    let end = from + plain.len();
    for quote in ['"', '\''] {
        if let Some(inner) = plain.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Some((inner.to_owned(), end));
        }
    }
    Some((plain.to_owned(), end))
}

/// The value, in quotes where that is needed.
pub(super) fn spell(value: &Scalar) -> Option<String> {
    let text = text_of(value)?;
    Some(if text.contains(['\n', '`']) {
        format!("{LONG}{text}{LONG}")
    } else if text.contains(['#', ';']) {
        format!("`{text}`")
    } else if text.trim().len() != text.len() {
        format!("\"{text}\"")
    } else {
        text
    })
}

/// What SOPS writes at the end of a file.
#[cfg(not(target_family = "wasm"))]
pub(super) fn metadata(metadata: &serde_json::Value) -> String {
    let line = |(name, value): (String, String)| format!("{name} = {}\n", value.replace('\n', "\\n"));
    let lines: String = flat::flatten(metadata).into_iter().map(line).collect();
    format!("\n[{FIELD}]\n{lines}")
}
