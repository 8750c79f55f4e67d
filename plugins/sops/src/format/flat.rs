//! Metadata of formats that have no structure: `age__list_0__map_enc` stands for `age[0].enc`.

use serde_json::{Map, Value};

use super::Unreadable;

const IN_MAP: &str = "__map_";
const IN_LIST: &str = "__list_";
/// No file has more keys than this.
const LONGEST: usize = 1024;

/// A step of a path.
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

/// The structure that flat names stand for.
pub(super) fn unflatten<'a>(
    fields: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<Value, Unreadable> {
    let mut root = Value::Object(Map::new());
    for (name, value) in fields {
        let steps =
            steps(name).ok_or(Unreadable::new("a name of the metadata is not one that SOPS writes"))?;
        let mut place = &mut root;
        for step in steps {
            place = match step {
                Step::Name(name) => {
                    if place.is_null() {
                        *place = Value::Object(Map::new());
                    }
                    let fields = place.as_object_mut();
                    fields.ok_or(TWICE)?.entry(name).or_insert(Value::Null)
                }
                Step::Index(index) => {
                    if place.is_null() {
                        *place = Value::Array(Vec::new());
                    }
                    let items = place.as_array_mut().ok_or(TWICE)?;
                    if items.len() <= index {
                        items.resize(index + 1, Value::Null);
                    }
                    &mut items[index]
                }
            };
        }
        if !place.is_null() {
            return Err(TWICE);
        }
        *place = Value::String(value);
    }
    Ok(root)
}

const TWICE: Unreadable =
    Unreadable { line: None, problem: "two names of the metadata contradict each other" };

fn steps(name: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = name;
    let mut is_index = false;
    loop {
        let next = [IN_MAP, IN_LIST].map(|separator| rest.find(separator));
        let (end, separator) = match next {
            [Some(map), Some(list)] if list < map => (list, IN_LIST),
            [Some(map), _] => (map, IN_MAP),
            [None, Some(list)] => (list, IN_LIST),
            [None, None] => (rest.len(), ""),
        };
        let step = &rest[..end];
        steps.push(match is_index {
            true => Step::Index(step.parse().ok().filter(|index| *index < LONGEST)?),
            false => Step::Name(step),
        });
        if separator.is_empty() {
            return Some(steps);
        }
        is_index = separator == IN_LIST;
        rest = &rest[end + separator.len()..];
    }
}

/// Flat names for a structure.
#[cfg(not(target_family = "wasm"))]
pub(super) fn flatten(value: &Value) -> Vec<(String, String)> {
    fn add(flat: &mut Vec<(String, String)>, name: String, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    let name = if name.is_empty() { field.clone() } else { format!("{name}{IN_MAP}{field}") };
                    add(flat, name, value);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    add(flat, format!("{name}{IN_LIST}{index}"), value);
                }
            }
            Value::String(text) => flat.push((name, text.clone())),
            other => flat.push((name, other.to_string())),
        }
    }
    let mut flat = Vec::new();
    add(&mut flat, String::new(), value);
    flat
}
