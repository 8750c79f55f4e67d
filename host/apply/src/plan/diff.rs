use plumb_api::Object;
use serde_json::{Map, Value};

use crate::managed_fields::{
    Comparison, FieldSet, Place, applied_fields, entries, is_leaf, is_never_owned, names_item, union,
};

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
    let known = Known {
        all: Some(&everybodys),
        ours: applied_fields(live, manager).map_or(Ours::Nothing, Ours::Parts),
    };
    let mut diff = Diff { comparison: Comparison::of(desired), changes: Vec::new() };
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

/// What the managed fields tell of a value.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// The paths that anybody owns, which show what the keys of a list are.
    all: Option<&'a FieldSet>,
    ours: Ours<'a>,
}

/// How much of a value we own.
#[derive(Clone, Copy)]
enum Ours<'a> {
    Nothing,
    Parts(&'a FieldSet),
    Whole,
}

impl<'a> Known<'a> {
    fn child(self, key: &str) -> Self {
        let child = |set: &'a FieldSet| set.get(key).and_then(Value::as_object);
        let ours = match self.ours {
            Ours::Parts(parts) => match child(parts) {
                None => Ours::Nothing,
                Some(parts) if is_leaf(parts) => Ours::Whole,
                Some(parts) => Ours::Parts(parts),
            },
            whole_or_nothing => whole_or_nothing,
        };
        Self { all: self.all.and_then(child), ours }
    }

    fn is_whole(self) -> bool {
        matches!(self.ours, Ours::Whole)
    }

    fn owns(self, key: &str) -> bool {
        match self.ours {
            Ours::Nothing => false,
            Ours::Parts(parts) => parts.contains_key(key),
            Ours::Whole => true,
        }
    }
}

struct Diff {
    comparison: Comparison,
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
        let gone =
            live.keys().filter(|field| !desired.contains_key(*field) && known.owns(&format!("f:{field}")));
        let mut fields: Vec<&String> = desired.keys().chain(gone).collect();
        fields.sort();
        for field in fields {
            let is_ignored = match at.as_str() {
                "" => field == "apiVersion" || field == "kind",
                "/metadata" => is_never_owned(field),
                _ => false,
            };
            if !is_ignored {
                let known = known.child(&format!("f:{field}"));
                self.at(at, field, |diff, at| diff.values(at, desired.get(field), live.get(field), known));
            }
        }
    }

    fn values(&mut self, at: &mut String, desired: Option<&Value>, live: Option<&Value>, known: Known<'_>) {
        match (desired, live) {
            (Some(desired), Some(live)) if self.comparison.same(place(at), desired, live) => {}
            (Some(desired), None) if self.is_left_out(desired, known) => {}
            // An empty map that the server or others have filled.
            (Some(Value::Object(desired)), Some(Value::Object(_)))
                if desired.is_empty() && known.is_whole() => {}
            (None, Some(Value::Object(live))) if !known.is_whole() => self.maps(at, &Map::new(), live, known),
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

    fn is_left_out(&self, desired: &Value, known: Known<'_>) -> bool {
        known.is_whole() && self.comparison.is_left_out(desired)
    }

    fn lists(&mut self, at: &mut String, desired: &[Value], live: &[Value], known: Known<'_>) {
        let keys: Vec<&String> =
            known.all.into_iter().flat_map(FieldSet::keys).filter(|key| *key != ".").collect();
        if keys.is_empty() {
            return self.lists_without_keys(at, desired, live, known);
        }
        let key_of = |item: &Value| keys.iter().find(|key| names_item(key, item));
        let foreign = Known { all: None, ours: Ours::Nothing };
        for (index, wanted) in desired.iter().enumerate() {
            let key = key_of(wanted);
            let found = key.and_then(|key| live.iter().find(|item| names_item(key, item)));
            let known = key.map_or(foreign, |key| known.child(key));
            self.at(at, &index.to_string(), |diff, at| diff.values(at, Some(wanted), found, known));
        }
        for (index, found) in live.iter().enumerate() {
            let Some(key) = key_of(found).filter(|key| known.owns(key)) else { continue };
            if !desired.iter().any(|wanted| names_item(key, wanted)) {
                let whole = Known { all: None, ours: Ours::Whole };
                self.at(at, &index.to_string(), |diff, at| diff.values(at, None, Some(found), whole));
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

/// The names of the last two fields of a pointer, without the numbers of list items.
fn place(pointer: &str) -> Place<'_> {
    let is_name = |step: &&str| !step.bytes().all(|byte| byte.is_ascii_digit());
    let mut fields = pointer.rsplit('/').filter(is_name);
    let field = fields.next().unwrap_or_default();
    Place { parent: fields.next().unwrap_or_default(), field }
}
