//! The syntax of `helm --set`: `a.b=1,list[0].name=x,hosts={a,b}`.

use serde_json::{Map, Value};

use super::tree::{List, Node, Table};

/// Why a line of `--set` cannot be read, or not be carried out. No message has anything of the line in it, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// A key is followed by a comma, or by nothing.
    #[error(
        "a key has no value; a comma in a value is written \\, and literal: true takes the value as it is"
    )]
    NoValue,
    /// What is in brackets is not a number.
    #[error("an index is not a number")]
    NotAnIndex,
    /// The index is negative.
    #[error("an index is negative")]
    NegativeIndex,
    /// The index is above that of Helm.
    #[error("an index is greater than {MAX_INDEX}")]
    IndexTooLarge,
    /// Something stands between `]` and what may follow it.
    #[error("an index is followed by something else than a dot, a bracket or an equals sign")]
    AfterIndex,
    /// A path leads into what is there and is no object, or no list.
    #[error("the path leads through a value that is neither an object nor a list of that kind")]
    NotATable,
    /// A key has more dots than Helm allows.
    #[error("a key has more than {MAX_LEVEL} levels")]
    TooDeep,
    /// A list in braces has no end.
    #[error("a list that starts with a brace has no closing brace")]
    OpenList,
    /// The lists that would be made have more items than anybody needs. Not in Helm.
    #[error("the lists that it would make have more than {MAX_ITEMS} items together")]
    TooManyItems,
}

/// The largest index of a list, as in Helm.
const MAX_INDEX: usize = 65536;
/// How many levels a key may have, as in Helm.
const MAX_LEVEL: usize = 30;
/// How deeply lists may be nested.
const MAX_NESTED_LISTS: usize = 64;
/// How many items may be added to lists.
const MAX_ITEMS: usize = 1 << 20;

/// Sets values in an object as `helm --set` does: numbers, `true`, `false` and `null` are such.
pub fn set(values: &mut Map<String, Value>, line: &str) -> Result<(), SetError> {
    change(values, |table| into(table, line))
}

/// Sets values in an object as `helm --set-string` does: every value is text.
pub fn set_text(values: &mut Map<String, Value>, line: &str) -> Result<(), SetError> {
    change(values, |table| into_as_text(table, line))
}

fn change(
    values: &mut Map<String, Value>,
    act: impl FnOnce(&Table) -> Result<(), SetError>,
) -> Result<(), SetError> {
    let table = Table::from(std::mem::take(values));
    let result = act(&table);
    *values = table.into_map();
    result
}

pub(super) fn into(table: &Table, line: &str) -> Result<(), SetError> {
    Parser { rest: line.chars().collect(), at: 0, value_of: typed, items: 0 }.parse(table)
}

pub(super) fn into_as_text(table: &Table, line: &str) -> Result<(), SetError> {
    Parser { rest: line.chars().collect(), at: 0, value_of: Value::String, items: 0 }.parse(table)
}

/// Why reading stops.
enum Stop {
    /// The line is at its end. That is no error wherever it happens, as in Helm.
    End,
    Error(SetError),
}

impl From<SetError> for Stop {
    fn from(error: SetError) -> Self {
        Self::Error(error)
    }
}

struct Parser {
    rest: Vec<char>,
    at: usize,
    value_of: fn(String) -> Value,
    items: usize,
}

impl Parser {
    fn parse(&mut self, table: &Table) -> Result<(), SetError> {
        loop {
            match self.key(table, 0) {
                Ok(()) => {}
                Err(Stop::End) => return Ok(()),
                Err(Stop::Error(error)) => return Err(error),
            }
        }
    }

    /// Reads a key and its value, and sets it in `table`.
    fn key(&mut self, table: &Table, level: usize) -> Result<(), Stop> {
        let (key, last) = self.until(&['=', '[', ',', '.']);
        match last {
            None if key.is_empty() => Err(Stop::End),
            None => Err(SetError::NoValue.into()),
            Some('[') => {
                let index = self.index()?;
                let list = match table.get(&key) {
                    None => List::default(),
                    Some(Node::List(list)) => list,
                    Some(_) => return Err(SetError::NotATable.into()),
                };
                let (list, result) = self.item(list, index, level, 0);
                table.set(&key, Node::List(list));
                result
            }
            Some('=') => match self.value() {
                Some(value) => {
                    table.set(&key, value?);
                    Ok(())
                }
                None => {
                    table.set(&key, Node::Scalar(Value::String(String::new())));
                    Err(Stop::End)
                }
            },
            Some('.') => self.nested(table, &key, level + 1),
            Some(_) => Err(SetError::NoValue.into()),
        }
    }

    fn nested(&mut self, table: &Table, key: &str, level: usize) -> Result<(), Stop> {
        if level > MAX_LEVEL {
            return Err(SetError::TooDeep.into());
        }
        let inner = match table.get(key) {
            None => Table::default(),
            Some(Node::Table(inner)) => inner,
            Some(_) => return Err(SetError::NotATable.into()),
        };
        let result = self.key(&inner, level);
        if result.is_ok() && inner.is_empty() {
            return Err(SetError::NoValue.into());
        }
        if !inner.is_empty() {
            table.set(key, Node::Table(inner));
        }
        result
    }

    /// Reads what follows an index, and gives the list with the item. It is given also where there is an error.
    fn item(&mut self, list: List, index: i64, level: usize, nesting: usize) -> (List, Result<(), Stop>) {
        let Ok(index) = usize::try_from(index) else { return (list, Err(SetError::NegativeIndex.into())) };
        let (between, last) = self.until(&['[', '.', '=']);
        if !between.is_empty() {
            return (list, Err(SetError::AfterIndex.into()));
        }
        match last {
            None => (list, Err(Stop::End)),
            Some('=') => match self.value() {
                Some(Ok(value)) => self.with_item(list, index, value),
                Some(Err(stop)) => (list, Err(stop)),
                None => self.with_item(list, index, Node::Scalar(Value::String(String::new()))),
            },
            Some('[') => self.nested_item(list, index, level, nesting + 1),
            Some(_) => {
                let inner = match list.get(index) {
                    None => Table::default(),
                    Some(Node::Table(inner)) => inner,
                    Some(_) => {
                        let inner = Table::default();
                        list.replace(index, Node::Table(inner.clone()));
                        inner
                    }
                };
                match self.key(&inner, level) {
                    Ok(()) => self.with_item(list, index, Node::Table(inner)),
                    Err(stop) => (list, Err(stop)),
                }
            }
        }
    }

    fn nested_item(
        &mut self,
        list: List,
        at: usize,
        level: usize,
        nesting: usize,
    ) -> (List, Result<(), Stop>) {
        if nesting > MAX_NESTED_LISTS {
            return (list, Err(SetError::TooDeep.into()));
        }
        let index = match self.index() {
            Ok(index) => index,
            Err(stop) => return (list, Err(stop)),
        };
        let inner = match list.get(at) {
            None | Some(Node::Scalar(Value::Null)) => List::default(),
            Some(Node::List(inner)) => inner,
            Some(_) => return (list, Err(SetError::NotATable.into())),
        };
        match self.item(inner, index, level, nesting) {
            (inner, Ok(())) => self.with_item(list, at, Node::List(inner)),
            (_, Err(stop)) => (list, Err(stop)),
        }
    }

    fn with_item(&mut self, list: List, index: usize, value: Node) -> (List, Result<(), Stop>) {
        if index > MAX_INDEX {
            return (list, Err(SetError::IndexTooLarge.into()));
        }
        // Attack 14 (rendering): `a[65536]=,b[65536]=,…` in a Secret would take all memory.
        self.items += (index + 1).saturating_sub(list.len());
        if self.items > MAX_ITEMS {
            return (list, Err(SetError::TooManyItems.into()));
        }
        let list = list.at_least(index + 1);
        list.replace(index, value);
        (list, Ok(()))
    }

    /// The number up to the closing bracket. One that is not closed ends the line, as in Helm.
    fn index(&mut self) -> Result<i64, Stop> {
        match self.until(&[']']) {
            (_, None) => Err(Stop::End),
            (text, Some(_)) => text.parse().map_err(|_| SetError::NotAnIndex.into()),
        }
    }

    /// A value up to the next comma, or a list in braces; `None` at the end of the line.
    fn value(&mut self) -> Option<Result<Node, Stop>> {
        match self.rest.get(self.at)? {
            '{' => {
                self.at += 1;
                Some(self.list())
            }
            _ => {
                let (text, _) = self.until(&[',']);
                Some(Ok(Node::Scalar((self.value_of)(text))))
            }
        }
    }

    fn list(&mut self) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (text, last) = self.until(&[',', '}']);
            let Some(last) = last else { return Err(SetError::OpenList.into()) };
            items.push(Node::Scalar((self.value_of)(text)));
            if last == '}' {
                if self.rest.get(self.at) == Some(&',') {
                    self.at += 1;
                }
                return Ok(Node::List(items.into_iter().collect()));
            }
        }
    }

    /// The text up to one of `stops`, and that; a backslash takes the meaning from what follows it.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(c) = self.rest.get(self.at).copied() {
            self.at += 1;
            if stops.contains(&c) {
                return (text, Some(c));
            }
            if c != '\\' {
                text.push(c);
            } else if let Some(escaped) = self.rest.get(self.at) {
                text.push(*escaped);
                self.at += 1;
            }
        }
        (text, None)
    }
}

/// What a text stands for: a boolean, null, a whole number that does not start with a zero, or itself.
fn typed(text: String) -> Value {
    if text.eq_ignore_ascii_case("true") {
        return Value::Bool(true);
    }
    if text.eq_ignore_ascii_case("false") {
        return Value::Bool(false);
    }
    if text.eq_ignore_ascii_case("null") {
        return Value::Null;
    }
    if text == "0" {
        return Value::from(0);
    }
    match text.parse::<i64>() {
        Ok(number) if !text.starts_with('0') => Value::from(number),
        _ => Value::String(text),
    }
}
