//! Values that share parts, as Go's maps and slices do: what is set in one place is seen in every other that refers to it. Flux's
//! order of values depends on it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};

/// A value that others may refer to.
#[derive(Clone)]
pub(super) enum Node {
    /// Null, a boolean, a number or a text.
    Scalar(Value),
    List(List),
    Table(Table),
}

/// A Go map.
#[derive(Clone, Default)]
pub(super) struct Table(Rc<RefCell<BTreeMap<String, Node>>>);

/// A Go slice.
#[derive(Clone, Default)]
pub(super) struct List(Rc<RefCell<Vec<Node>>>);

impl Table {
    pub(super) fn new(fields: BTreeMap<String, Node>) -> Self {
        Self(Rc::new(RefCell::new(fields)))
    }

    pub(super) fn get(&self, key: &str) -> Option<Node> {
        self.0.borrow().get(key).cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Sets a field. One without a name is not set.
    pub(super) fn set(&self, key: &str, value: Node) {
        if !key.is_empty() {
            self.0.borrow_mut().insert(key.to_owned(), value);
        }
    }

    /// A new table with the fields of both, those of `above` over those of `below`. Tables that both have are merged likewise; all
    /// others are shared with where they come from.
    pub(super) fn merged(below: &Self, above: &Self) -> Self {
        let mut fields = below.0.borrow().clone();
        for (key, value) in above.0.borrow().iter() {
            let value = match (fields.get(key), value) {
                (Some(Node::Table(below)), Node::Table(above)) => Node::Table(Self::merged(below, above)),
                _ => value.clone(),
            };
            fields.insert(key.clone(), value);
        }
        Self::new(fields)
    }

    pub(super) fn into_map(self) -> Map<String, Value> {
        self.0.borrow().iter().map(|(key, node)| (key.clone(), node.to_value())).collect()
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(super) fn get(&self, index: usize) -> Option<Node> {
        self.0.borrow().get(index).cloned()
    }

    /// A list as long as `length`, filled up with nulls: this one, where it is as long already.
    pub(super) fn at_least(self, length: usize) -> Self {
        if self.len() >= length {
            return self;
        }
        let mut items = self.0.borrow().clone();
        items.resize_with(length, || Node::Scalar(Value::Null));
        Self(Rc::new(RefCell::new(items)))
    }

    /// Replaces an item, wherever the list is referred to. There is nothing to do where there is no such item.
    pub(super) fn replace(&self, index: usize, value: Node) {
        if let Some(item) = self.0.borrow_mut().get_mut(index) {
            *item = value;
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(fields) => Self::Table(Table::new(
                fields.into_iter().map(|(key, value)| (key, Self::from(value))).collect(),
            )),
            scalar => Self::Scalar(scalar),
        }
    }
}

impl FromIterator<Node> for List {
    fn from_iter<I: IntoIterator<Item = Node>>(items: I) -> Self {
        Self(Rc::new(RefCell::new(items.into_iter().collect())))
    }
}

impl Node {
    fn to_value(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::List(list) => list.0.borrow().iter().map(Self::to_value).collect(),
            Self::Table(table) => Value::Object(table.clone().into_map()),
        }
    }
}
