use plumb_api::Object;
use serde_json::{Map, Value};

use crate::managed_fields::{FieldSet, applied_fields, entries, is_never_owned, names_item, union};

/// What stands for a value of a Secret.
const MASK: &str = "***";

/// One field that is not as desired.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// JSON Pointer (RFC 6901) to the field in the desired object, or to what is to go in the live one.
    pub pointer: String,
    /// What the cluster holds; `None` when there is nothing.
    pub from: Option<Value>,
    /// What is desired; `None` when the field is to go.
    pub to: Option<Value>,
}

/// What applying `desired` would change, for messages and `plumb diff`. Fields that `manager` owns and that are not desired are to
/// go; what others have added stays, and is not mentioned. Values of Secrets are `***`.
pub fn diff_fields(live: &Object, desired: &Object, manager: &str) -> Vec<FieldChange> {
    let everybodys = entries(live)
        .filter_map(|entry| entry.get("fieldsV1")?.as_object())
        .fold(FieldSet::new(), |all, fields| union(all, fields.clone()));
    let nobodys = FieldSet::new();
    let known = Known { all: &everybodys, ours: applied_fields(live, manager).unwrap_or(&nobodys) };
    let mut diff = Diff::default();
    diff.maps(&mut String::new(), desired.fields(), live.fields(), known);
    let mut changes = diff.changes;
    let is_secret = desired.gvk().group.is_empty() && desired.kind() == "Secret";
    for change in changes.iter_mut().filter(|change| is_secret && is_secret_field(&change.pointer)) {
        [&mut change.from, &mut change.to].into_iter().flatten().for_each(mask);
    }
    changes
}

/// The content of a Secret, and the annotations, in which kubectl keeps a copy of it.
fn is_secret_field(pointer: &str) -> bool {
    ["/data", "/stringData", "/metadata/annotations"].iter().any(|field| pointer.starts_with(field))
        || pointer == "/metadata"
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null => {}
        value => *value = MASK.into(),
    }
}

/// What the managed fields tell of a value: the paths that anybody owns, which show what the keys of a list are, and those that we own.
#[derive(Clone, Copy)]
struct Known<'a> {
    all: &'a FieldSet,
    ours: &'a FieldSet,
}

#[derive(Default)]
struct Diff {
    changes: Vec<FieldChange>,
}

impl Diff {
    fn maps(
        &mut self,
        at: &mut String,
        desired: &Map<String, Value>,
        live: &Map<String, Value>,
        known: Known<'_>,
    ) {
        let is_ours = |field: &str| known.ours.contains_key(&format!("f:{field}"));
        let gone = live.keys().filter(|field| !desired.contains_key(*field) && is_ours(field));
        let mut fields: Vec<&String> = desired.keys().chain(gone).collect();
        fields.sort();
        for field in fields {
            let is_ignored = match at.as_str() {
                "" => field == "apiVersion" || field == "kind",
                "/metadata" => is_never_owned(field),
                _ => false,
            };
            if !is_ignored {
                let nothing = FieldSet::new();
                let known = known.child(&format!("f:{field}"), &nothing);
                self.at(at, field, |diff, at| diff.values(at, desired.get(field), live.get(field), known));
            }
        }
    }

    fn values(&mut self, at: &mut String, desired: Option<&Value>, live: Option<&Value>, known: Known<'_>) {
        match (desired, live) {
            (desired, live) if desired == live => {}
            (None, Some(Value::Object(live))) if known.ours.keys().any(|key| key.starts_with("f:")) => {
                self.maps(at, &Map::new(), live, known);
            }
            (Some(Value::Object(desired)), Some(Value::Object(live))) => self.maps(at, desired, live, known),
            (Some(Value::Array(desired)), Some(Value::Array(live))) => self.lists(at, desired, live, known),
            (desired, live) => {
                self.changes.push(FieldChange {
                    pointer: at.clone(),
                    from: live.cloned(),
                    to: desired.cloned(),
                });
            }
        }
    }

    fn lists(&mut self, at: &mut String, desired: &[Value], live: &[Value], known: Known<'_>) {
        let keys: Vec<&String> =
            known.all.keys().filter(|key| key.starts_with("k:") || key.starts_with("v:")).collect();
        if keys.is_empty() {
            return self.lists_without_keys(at, desired, live, known);
        }
        let key_of = |item: &Value| keys.iter().find(|key| names_item(key, item));
        let nothing = FieldSet::new();
        for (index, wanted) in desired.iter().enumerate() {
            let key = key_of(wanted);
            let found = key.and_then(|key| live.iter().find(|item| names_item(key, item)));
            let known = key.map_or(Known { all: &nothing, ours: &nothing }, |key| known.child(key, &nothing));
            self.at(at, &index.to_string(), |diff, at| diff.values(at, Some(wanted), found, known));
        }
        for (index, found) in live.iter().enumerate() {
            let Some(key) = key_of(found).filter(|key| known.ours.contains_key(**key)) else { continue };
            if !desired.iter().any(|wanted| names_item(key, wanted)) {
                self.at(at, &index.to_string(), |diff, at| {
                    diff.values(at, None, Some(found), Known { all: &nothing, ours: &nothing })
                });
            }
        }
    }

    /// A list that is replaced as a whole. Item by item is easier to read when there are as many as before.
    fn lists_without_keys(&mut self, at: &mut String, desired: &[Value], live: &[Value], known: Known<'_>) {
        if desired.len() != live.len() {
            let whole = |items: &[Value]| Some(Value::Array(items.to_vec()));
            self.changes.push(FieldChange { pointer: at.clone(), from: whole(live), to: whole(desired) });
            return;
        }
        for (index, (wanted, found)) in desired.iter().zip(live).enumerate() {
            self.at(at, &index.to_string(), |diff, at| diff.values(at, Some(wanted), Some(found), known));
        }
    }

    /// Goes down one step of the pointer, and back.
    fn at(&mut self, at: &mut String, step: &str, go: impl FnOnce(&mut Self, &mut String)) {
        let length = at.len();
        at.push('/');
        at.push_str(&step.replace('~', "~0").replace('/', "~1"));
        go(self, at);
        at.truncate(length);
    }
}

impl<'a> Known<'a> {
    fn child(self, key: &str, nothing: &'a FieldSet) -> Self {
        let child = |set: &'a FieldSet| set.get(key).and_then(Value::as_object).unwrap_or(nothing);
        Self { all: child(self.all), ours: child(self.ours) }
    }
}
