//! `spec.ignore`: fields that others may change. As in Flux 2.9 (`docs/spec/v1/kustomizations.md`, "Ignore Rules"), they are neither put
//! back nor counted as drift, and applying neither changes nor removes what stands in them:
//!
//! - What another manager has applied is *stripped* from what is sent, so that it owns the field alone.
//! - What only we have applied is *adopted*: the value that the cluster holds is sent, so that the field is not removed.
//!
//! An object that does not exist yet is created as it was rendered. Flux takes a pointer as a whole for stripped or adopted; here the
//! fields below it are told apart, so that a map of which another manager has applied one key keeps the others.

mod place;
mod pointer;
mod selector;

use std::sync::Arc;

use plumb_api::annotations::APPLIER;
use plumb_api::{IgnoreRule, Object, OwnerLabels};
use serde_json::{Map, Value};

use crate::managed_fields::{FieldSet, OverrideManagers, Writer, entries, is_applied_by, union};
use place::Place;
pub use pointer::InvalidPointer;
use pointer::Pointer;
use selector::Target;
pub use selector::{InvalidSelector, label_selector, labels_match};

/// The ignore rules of a Kustomization.
#[derive(Clone, Debug, Default)]
pub struct IgnoreRules(Arc<[Rule]>);

#[derive(Clone, Debug)]
struct Rule {
    target: Target,
    pointers: Vec<Pointer>,
}

/// A rule that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreRuleError {
    /// A path is not a JSON Pointer, or leads to what cannot be ignored.
    #[error("spec.ignore[{rule}].paths[{path}]: {error}")]
    Path {
        /// Which rule, counted from 0.
        rule: usize,
        /// Which of its paths, counted from 0.
        path: usize,
        /// What is wrong.
        error: InvalidPointer,
    },
    /// A regular expression or a selector of the target is not one.
    #[error("spec.ignore[{rule}].target.{error}")]
    Target {
        /// Which rule, counted from 0.
        rule: usize,
        /// What is wrong.
        error: InvalidSelector,
    },
}

impl IgnoreRules {
    /// Reads `spec.ignore`. Regular expressions take linear time whatever they are (the `regex` crate), and their size is limited.
    pub fn compile(rules: &[IgnoreRule]) -> Result<Self, IgnoreRuleError> {
        let compile = |(rule, written): (usize, &IgnoreRule)| {
            let target = Target::compile(written.target.as_ref())
                .map_err(|error| IgnoreRuleError::Target { rule, error })?;
            let pointer = |(path, text): (usize, &String)| {
                text.parse().map_err(|error| IgnoreRuleError::Path { rule, path, error })
            };
            let pointers = written.paths.iter().enumerate().map(pointer).collect::<Result<_, _>>()?;
            Ok(Rule { target, pointers })
        };
        rules.iter().enumerate().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a rule is for the object.
    pub(crate) fn are_for(&self, desired: &Object) -> bool {
        self.0.iter().any(|rule| !rule.pointers.is_empty() && rule.target.matches(desired))
    }

    /// What is to be sent to bring the live object to what is desired, but for the ignored fields.
    pub(crate) fn sent(
        &self,
        desired: &Arc<Object>,
        live: &Object,
        manager: &str,
        overridden: &OverrideManagers,
    ) -> Arc<Object> {
        let owned = Owned::of(live, |entry| overridden.writer_of(entry, manager));
        self.resolve(desired, live, &owned).0
    }

    /// What is to be compared: what is desired, and in the ignored fields whatever we own there, with the live object, in which the
    /// ignored fields that we do not own are left out.
    pub(crate) fn compared(
        &self,
        desired: &Arc<Object>,
        live: &Arc<Object>,
        manager: &str,
    ) -> (Arc<Object>, Arc<Object>) {
        // Applying is not due because somebody else has applied an ignored field, or kubectl has written one.
        let writer = |entry: &Map<String, Value>| {
            if is_applied_by(entry, manager) { Writer::Us } else { Writer::Nobody }
        };
        let (desired, live_without) = self.resolve(desired, live, &Owned::of(live, writer));
        (
            desired,
            live_without.and_then(|live| Object::new(live).ok()).map_or_else(|| Arc::clone(live), Arc::new),
        )
    }

    /// The live object without our claim to the ignored fields, for [`projection_digest`](crate::projection_digest).
    pub(crate) fn without(&self, live: &Object, manager: &str) -> Option<Object> {
        if !self.are_for(live) {
            return None;
        }
        let everybodys = everybodys(live);
        let whole = Value::Object(live.fields().clone());
        let mut value = whole.clone();
        let entries = value.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
            if !is_applied_by(entry, manager) {
                continue;
            }
            if let Some(fields) = entry.get_mut("fieldsV1").and_then(Value::as_object_mut) {
                for pointer in self.pointers_for(live) {
                    if let Some(place) = Place::find(pointer, &whole, &whole, &everybodys) {
                        place.disown(fields);
                    }
                }
            }
        }
        Object::new(value).ok()
    }

    /// What is desired, with what is kept in the ignored fields; and, where a rule is for the object, the live one without what is not
    /// kept.
    fn resolve(&self, desired: &Arc<Object>, live: &Object, owned: &Owned) -> (Arc<Object>, Option<Value>) {
        let pointers = self.pointers_for(desired);
        if pointers.is_empty() {
            return (Arc::clone(desired), None);
        }
        let mut value = Value::Object(desired.fields().clone());
        let live = Value::Object(live.fields().clone());
        let mut live_without = live.clone();
        for pointer in pointers {
            if let Some(place) = Place::find(pointer, &value, &live, &owned.everybodys) {
                let kept = place.kept(&value, &live, &owned.ours, &owned.others);
                if kept.is_none() {
                    place.remove(&mut live_without);
                }
                place.put(&mut value, kept, &owned.ours);
            }
        }
        let resolved = match Object::new(value) {
            Ok(mut resolved) => {
                // Whatever is ignored, the object stays recognizable as ours.
                let labels =
                    OwnerLabels::ALL.into_iter().flat_map(|labels| [labels.name(), labels.namespace()]);
                for label in labels.chain([APPLIER]) {
                    if let Some(owner) = desired.label(label) {
                        resolved.set_label(label, owner);
                    }
                }
                if resolved == **desired { Arc::clone(desired) } else { Arc::new(resolved) }
            }
            // No pointer leads to a field that an object needs.
            Err(_) => Arc::clone(desired),
        };
        (resolved, Some(live_without))
    }

    /// The last item of a list first: what is removed must not move what another pointer means.
    fn pointers_for(&self, object: &Object) -> Vec<&Pointer> {
        let rules = self.0.iter().filter(|rule| rule.target.matches(object));
        let mut pointers: Vec<_> = rules.flat_map(|rule| &rule.pointers).collect();
        pointers.sort();
        pointers.dedup();
        pointers.reverse();
        pointers
    }
}

/// Who owns which fields of an object by server-side apply.
struct Owned {
    ours: FieldSet,
    others: FieldSet,
    /// Also those of who updates: they show what the keys of lists are.
    everybodys: FieldSet,
}

impl Owned {
    fn of(live: &Object, writer: impl Fn(&Map<String, Value>) -> Writer) -> Self {
        let of = |wanted: Writer| {
            let theirs = entries(live).filter(|entry| writer(entry) == wanted);
            theirs.filter_map(|entry| entry.get("fieldsV1")?.as_object()).fold(
                FieldSet::new(),
                |all, fields| {
                    if all.is_empty() { fields.clone() } else { union(all, fields.clone()) }
                },
            )
        };
        Self { ours: of(Writer::Us), others: of(Writer::OtherApplier), everybodys: everybodys(live) }
    }
}

fn everybodys(live: &Object) -> FieldSet {
    let fields = entries(live).filter_map(|entry| entry.get("fieldsV1")?.as_object());
    fields.fold(
        FieldSet::new(),
        |all, fields| if all.is_empty() { fields.clone() } else { union(all, fields.clone()) },
    )
}
