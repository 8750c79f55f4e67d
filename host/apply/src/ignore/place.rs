use serde_json::{Map, Value};

use super::pointer::Pointer;
use crate::managed_fields::{FieldSet, is_leaf, names_item};

/// Where a pointer leads: in what is desired, in what is live, and among the owned fields. An item of a list that has keys is the item with
/// the same keys, wherever it stands: others may have put theirs before it.
pub(super) struct Place {
    desired: Vec<Step>,
    live: Vec<Step>,
    /// The keys of the trie. They end at a list that is owned as a whole.
    owned: Vec<String>,
    /// Whether the place is inside a list that is owned as a whole.
    is_inside_whole: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Item(usize),
}

impl Place {
    /// `None` when there is no such place on either side.
    pub(super) fn find(
        pointer: &Pointer,
        desired: &Value,
        live: &Value,
        everybodys: &FieldSet,
    ) -> Option<Self> {
        let mut place =
            Self { desired: Vec::new(), live: Vec::new(), owned: Vec::new(), is_inside_whole: false };
        let (mut desired, mut live, mut keys) = (Some(desired), Some(live), Some(everybodys));
        for step in pointer.steps() {
            let key = match desired.or(live)? {
                Value::Object(_) => {
                    place.desired.push(Step::Field(step.to_owned()));
                    place.live.push(Step::Field(step.to_owned()));
                    (desired, live) =
                        (desired.and_then(|map| map.get(step)), live.and_then(|map| map.get(step)));
                    Some(format!("f:{step}"))
                }
                Value::Array(_) => {
                    let index: usize = step.parse().ok()?;
                    let (key, found) = find_item(index, items(desired), items(live), keys)?;
                    place.desired.push(Step::Item(index));
                    place.live.push(Step::Item(found.unwrap_or(usize::MAX)));
                    desired = desired.and_then(|list| list.get(index));
                    live = live.and_then(|list| list.get(found?));
                    key
                }
                _ => return None,
            };
            place.is_inside_whole |= key.is_none();
            if let (Some(key), false) = (key, place.is_inside_whole) {
                keys = keys.and_then(|keys| keys.get(&key)?.as_object());
                place.owned.push(key);
            }
        }
        Some(place)
    }

    /// What applying has to send so that nothing changes here: what of the live value is ours, without what `others` have applied too.
    pub(super) fn kept(
        &self,
        desired: &Value,
        live: &Value,
        ours: &FieldSet,
        others: &FieldSet,
    ) -> Option<Value> {
        let live = walk(live, &self.live)?;
        if self.is_inside_whole {
            // Such a list is sent with all its items or not at all.
            return Some(live.clone());
        }
        let mut owned = ours;
        for (depth, key) in self.owned.iter().enumerate() {
            match owned.get(key).and_then(Value::as_object) {
                Some(below) => owned = below,
                // Above is something that is owned as a whole, or an empty map that others have filled.
                None if depth > 0 && is_leaf(owned) => {
                    let above = self.desired.get(..depth).and_then(|steps| walk(desired, steps));
                    return (!above.is_some_and(is_empty_map)).then(|| live.clone());
                }
                None => return None,
            }
        }
        let others = self.owned.iter().try_fold(others, |set, key| set.get(key)?.as_object());
        project(live, owned, others)
    }

    /// Puts a value here, or removes what is here. Maps on the way are made where they are missing, and go when nothing is left in them and
    /// they are not ours themselves; items of lists are neither made nor removed on the way.
    pub(super) fn put(&self, desired: &mut Value, kept: Option<Value>, ours: &FieldSet) {
        let owned = self.owned.iter().scan(ours, |set, key| {
            *set = set.get(key)?.as_object()?;
            Some(())
        });
        let owned = owned.count();
        put_at(desired, &self.desired, kept, owned);
    }

    /// Removes what is here in the live object.
    pub(super) fn remove(&self, live: &mut Value) {
        put_at(live, &self.live, None, usize::MAX);
    }

    /// Removes the place from a set of owned fields.
    pub(super) fn disown(&self, owned: &mut FieldSet) {
        let Some((last, way)) = self.owned.split_last() else { return };
        let way = way.iter().try_fold(owned, |set, key| set.get_mut(key)?.as_object_mut());
        if let Some(set) = way {
            set.remove(last);
        }
    }
}

/// Of the steps that are left, so many maps are ours.
fn put_at(at: &mut Value, steps: &[Step], kept: Option<Value>, owned: usize) {
    let Some((step, rest)) = steps.split_first() else { return };
    match (step, at) {
        (Step::Field(field), Value::Object(fields)) if rest.is_empty() => match kept {
            Some(value) => drop(fields.insert(field.clone(), value)),
            None => drop(fields.remove(field)),
        },
        (Step::Field(field), Value::Object(fields)) => {
            let can_be_made = kept.is_some() && rest.iter().all(|step| matches!(step, Step::Field(_)));
            if can_be_made && !fields.contains_key(field) {
                fields.insert(field.clone(), Value::Object(Map::new()));
            }
            let Some(next) = fields.get_mut(field) else { return };
            let was_empty = is_empty_map(next);
            put_at(next, rest, kept, owned.saturating_sub(1));
            if owned == 0 && !was_empty && is_empty_map(next) {
                fields.remove(field);
            }
        }
        (Step::Item(index), Value::Array(items)) if *index < items.len() => match (rest.is_empty(), kept) {
            (true, None) => drop(items.remove(*index)),
            (_, kept) => {
                if let Some(item) = items.get_mut(*index) {
                    put_item(item, rest, kept, owned);
                }
            }
        },
        _ => {}
    }
}

fn put_item(item: &mut Value, rest: &[Step], kept: Option<Value>, owned: usize) {
    match kept {
        Some(value) if rest.is_empty() => *item = value,
        kept => put_at(item, rest, kept, owned.saturating_sub(1)),
    }
}

fn is_empty_map(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

fn walk<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Field(field) => value.get(field),
        Step::Item(index) => value.get(index),
    })
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The key of an item in the trie, if the list has keys, and where the item stands in the live list. `None` when the list has keys but
/// nobody owns the item: it is not there yet.
fn find_item(
    index: usize,
    desired: &[Value],
    live: &[Value],
    keys: Option<&FieldSet>,
) -> Option<(Option<String>, Option<usize>)> {
    let mut keys = keys.into_iter().flat_map(FieldSet::keys).filter(|key| *key != ".").peekable();
    if keys.peek().is_none() {
        return Some((None, Some(index)));
    }
    let item = desired.get(index).or_else(|| live.get(index))?;
    let key = keys.find(|key| names_item(key, item))?;
    Some((Some(key.clone()), live.iter().position(|item| names_item(key, item))))
}

/// The part of a value that is owned here and not by others.
fn project(live: &Value, ours: &FieldSet, others: Option<&FieldSet>) -> Option<Value> {
    if is_leaf(ours) {
        return match (live, others) {
            (_, None) => Some(live.clone()),
            // We own the empty map, and others what is in it.
            (Value::Object(fields), Some(others)) if !fields.is_empty() && !is_leaf(others) => {
                Some(Value::Object(Map::new()))
            }
            (_, Some(_)) => None,
        };
    }
    match live {
        Value::Object(fields) => {
            let kept: Map<_, _> = ours
                .iter()
                .filter_map(|(key, owned)| {
                    let field = key.strip_prefix("f:")?;
                    let others = others.and_then(|others| others.get(key)?.as_object());
                    Some((field.to_owned(), project(fields.get(field)?, owned.as_object()?, others)?))
                })
                .collect();
            (!kept.is_empty() || ours.contains_key(".")).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let kept: Vec<_> = items.iter().filter_map(|item| project_item(item, ours, others)).collect();
            (!kept.is_empty() || ours.contains_key(".")).then_some(Value::Array(kept))
        }
        _ => None,
    }
}

/// An item of a list that has keys. As long as a part of it is only ours, it keeps its keys.
fn project_item(item: &Value, ours: &FieldSet, others: Option<&FieldSet>) -> Option<Value> {
    let (key, owned) = ours.iter().find(|(key, _)| names_item(key, item))?;
    let others = others.and_then(|others| others.get(key)?.as_object());
    let mut kept = project(item, owned.as_object()?, others)?;
    let keys = key.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok());
    if let (Some(keys), Value::Object(fields)) = (keys, &mut kept) {
        if others.is_some() && fields.keys().all(|field| keys.contains_key(field)) {
            return None;
        }
        for field in keys.keys() {
            if let Some(value) = item.get(field) {
                fields.entry(field).or_insert_with(|| value.clone());
            }
        }
    }
    Some(kept)
}
