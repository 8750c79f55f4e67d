//! `NAME=value` in lines, in which `\n` stands for a line break.

use super::{Content, Document, Leaf, Unreadable, flat, text_of};
use crate::cipher::Scalar;

/// What the names of the metadata begin with.
const PREFIX: &str = "sops_";

/// Takes a file apart.
pub(super) fn read(text: &str) -> Result<Document, Unreadable> {
    let (mut document, mut metadata) = (Document::default(), Vec::new());
    let mut start = 0;
    for (index, whole) in text.split_inclusive('\n').enumerate() {
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let end = start + line.len();
        let leaf = |path: Vec<String>, content, from| Leaf {
            path,
            comments: Vec::new(),
            content,
            span: start + from..end,
            indent: 0,
        };
        if let Some(comment) = line.strip_prefix('#') {
            document.leaves.push(leaf(Vec::new(), Content::Comment(comment.to_owned()), 1));
        } else if !line.is_empty() {
            let (name, value) = line
                .split_once('=')
                .ok_or(Unreadable::at(index + 1, "a line is neither NAME=value nor a comment"))?;
            let value = value.replace("\\n", "\n");
            if let Some(field) = name.strip_prefix(PREFIX) {
                metadata.push((field, value));
                document.cut.push(start..start + whole.len());
            } else {
                let content = Content::Value(Scalar::Text(value.into_bytes()));
                document.leaves.push(leaf(vec![name.to_owned()], content, name.len() + 1));
            }
        }
        start += whole.len();
    }
    if !metadata.is_empty() {
        document.metadata = Some(flat::unflatten(metadata)?);
    }
    Ok(document)
}

/// The value in one line.
pub(super) fn spell(value: &Scalar) -> Option<String> {
    Some(text_of(value)?.replace('\n', "\\n"))
}

/// What SOPS writes at the end of a file.
#[cfg(not(target_family = "wasm"))]
pub(super) fn metadata(metadata: &serde_json::Value) -> String {
    let line = |(name, value): (String, String)| format!("{PREFIX}{name}={}\n", value.replace('\n', "\\n"));
    flat::flatten(metadata).into_iter().map(line).collect()
}
