//! Compares what an expression looks at with the OpenAPI schemas of the objects.

use std::collections::BTreeSet;
use std::fmt;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators,
};
use serde_json::Value;

use crate::expression::Expression;
use crate::guard::library;

/// A field that an expression looks at and that the object cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The field, with the way to it: `status.conditions.typ`.
    pub path: String,
    /// Why it cannot be there.
    pub reason: Reason,
}

/// Why an object cannot have a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The schema does not name it. The nearest name that the schema has, if one is near.
    Unknown(Option<String>),
    /// What it would be a field of has no fields. Its type.
    NoFields(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Unknown(Some(nearest)) => {
                write!(f, "there is no field `{}`; is `{nearest}` meant?", self.path)
            }
            Reason::Unknown(None) => write!(f, "there is no field `{}`", self.path),
            Reason::NoFields(found) => {
                write!(f, "there is no field `{}`: what has it is of type {found}", self.path)
            }
        }
    }
}

/// The fields that an expression looks at and that its variables cannot have. `schemas` is all variables, each with its OpenAPI v3 schema; any
/// value that is not an object stands for a variable of which nothing is known.
///
/// What cannot be known is not told: fields below `x-kubernetes-preserve-unknown-fields`, of free-form objects, and of what functions
/// return. A field that the expression asks for by `has()` is one that it knows may be missing.
pub fn check(expression: &Expression, schemas: &[(&str, &Value)]) -> Vec<Finding> {
    let mut walk = Walk { schemas, bound: Vec::new(), asked: BTreeSet::new(), findings: Vec::new() };
    asked_for(expression.parsed(), &mut walk.asked);
    walk.shape(expression.parsed());
    walk.findings.dedup();
    walk.findings
}

/// The variables that an expression takes from outside: not those of its macros, nor the names of libraries.
pub(crate) fn free_variables(expression: &IdedExpr) -> BTreeSet<String> {
    let mut walk = Walk { schemas: &[], bound: Vec::new(), asked: BTreeSet::new(), findings: Vec::new() };
    walk.shape(expression);
    walk.findings.into_iter().map(|finding| finding.path).collect()
}

/// What is known of a value.
#[derive(Clone)]
struct Shape<'a> {
    /// The schema; none when nothing is known.
    schema: Option<&'a Value>,
    /// How the expression came there, for messages.
    path: String,
}

impl Shape<'_> {
    fn unknown() -> Self {
        Self { schema: None, path: String::new() }
    }
}

struct Walk<'a> {
    schemas: &'a [(&'a str, &'a Value)],
    /// The variables of the macros around, the innermost last.
    bound: Vec<(String, Shape<'a>)>,
    /// The paths that the expression asks for by `has()`.
    asked: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn shape(&mut self, expression: &IdedExpr) -> Shape<'a> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Shape::unknown(),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(SelectExpr { operand, field, test }) => {
                let operand = self.shape(operand);
                if *test { Shape::unknown() } else { self.field(&operand, field) }
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => {
                self.all(&list.elements);
                Shape::unknown()
            }
            Expr::Map(map) => {
                self.entries(map.entries.iter().map(|entry| &entry.expr));
                Shape::unknown()
            }
            Expr::Struct(message) => {
                self.entries(message.entries.iter().map(|entry| &entry.expr));
                Shape::unknown()
            }
        }
    }

    fn variable(&mut self, name: &str) -> Shape<'a> {
        if let Some((_, shape)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return shape.clone();
        }
        let path = name.to_owned();
        match self.schemas.iter().find(|(known, _)| *known == name) {
            Some((_, schema)) => Shape { schema: Some(schema), path },
            None => self.unknown_field(path, name, self.schemas.iter().map(|(known, _)| *known)),
        }
    }

    fn field(&mut self, operand: &Shape<'a>, field: &str) -> Shape<'a> {
        let path =
            if operand.path.is_empty() { field.to_owned() } else { format!("{}.{field}", operand.path) };
        let Some(schema) = operand.schema.filter(|schema| !is_open(schema)) else {
            return Shape { schema: None, path };
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        if let Some(known) = properties.and_then(|properties| properties.get(field)) {
            return Shape { schema: Some(known), path };
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) | None => {}
            additional => return Shape { schema: additional, path },
        }
        match (schema.get("type").and_then(Value::as_str), properties) {
            (Some("object") | None, Some(properties)) => {
                self.unknown_field(path, field, properties.keys().map(String::as_str))
            }
            (Some(found @ ("string" | "integer" | "number" | "boolean" | "array")), _) => {
                if !self.asked.contains(&path) {
                    self.findings
                        .push(Finding { path: path.clone(), reason: Reason::NoFields(found.to_owned()) });
                }
                Shape { schema: None, path }
            }
            // An object of which nothing is said.
            _ => Shape { schema: None, path },
        }
    }

    fn unknown_field<'b>(
        &mut self,
        path: String,
        name: &str,
        known: impl Iterator<Item = &'b str>,
    ) -> Shape<'a> {
        if !self.asked.contains(&path) {
            let nearest = nearest(name, known).map(|nearest| match path.rsplit_once('.') {
                Some((before, _)) => format!("{before}.{nearest}"),
                None => nearest.to_owned(),
            });
            self.findings.push(Finding { path: path.clone(), reason: Reason::Unknown(nearest) });
        }
        Shape { schema: None, path }
    }

    fn call(&mut self, call: &CallExpr) -> Shape<'a> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [operand, index]) => {
                let operand = self.shape(operand);
                self.shape(index);
                match &index.expr {
                    Expr::Literal(LiteralValue::String(key)) => self.field(&operand, key.inner()),
                    _ => items(&operand),
                }
            }
            _ => {
                let target = call.target.as_ref().filter(|target| library(target, &call.func_name).is_none());
                if let Some(target) = target {
                    self.shape(target);
                }
                self.all(&call.args);
                Shape::unknown()
            }
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Shape<'a> {
        let range = self.shape(&comprehension.iter_range);
        self.shape(&comprehension.accu_init);
        let before = self.bound.len();
        self.bound.push((comprehension.accu_var.clone(), Shape::unknown()));
        self.bound.push((comprehension.iter_var.clone(), items(&range)));
        self.shape(&comprehension.loop_cond);
        self.shape(&comprehension.loop_step);
        self.shape(&comprehension.result);
        self.bound.truncate(before);
        if is_filter(comprehension) { range } else { Shape::unknown() }
    }

    fn all(&mut self, expressions: &[IdedExpr]) {
        for expression in expressions {
            self.shape(expression);
        }
    }

    fn entries<'b>(&mut self, entries: impl Iterator<Item = &'b EntryExpr>) {
        for entry in entries {
            match entry {
                EntryExpr::StructField(field) => {
                    self.shape(&field.value);
                }
                EntryExpr::MapEntry(pair) => {
                    self.shape(&pair.key);
                    self.shape(&pair.value);
                }
            }
        }
    }
}

/// What a list has in it, or what a map with free keys has.
fn items<'a>(operand: &Shape<'a>) -> Shape<'a> {
    let schema = operand.schema.filter(|schema| schema.get("type").and_then(Value::as_str) == Some("array"));
    Shape { schema: schema.and_then(|schema| schema.get("items")), path: operand.path.clone() }
}

/// Whether an object of this schema may have fields that the schema does not name.
fn is_open(schema: &Value) -> bool {
    ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"]
        .iter()
        .any(|open| schema.get(open) == Some(&Value::Bool(true)))
}

/// Whether a macro is `filter`, which gives back what it was given: its step is `condition ? @result + [item] : @result`.
fn is_filter(comprehension: &ComprehensionExpr) -> bool {
    let Expr::Call(CallExpr { func_name, args, .. }) = &comprehension.loop_step.expr else {
        return false;
    };
    let [_, then, _] = args.as_slice() else {
        return false;
    };
    let Expr::Call(CallExpr { args: added, .. }) = &then.expr else {
        return false;
    };
    let [_, IdedExpr { expr: Expr::List(list), .. }] = added.as_slice() else {
        return false;
    };
    let [element] = list.elements.as_slice() else {
        return false;
    };
    func_name == operators::CONDITIONAL && element.expr == Expr::Ident(comprehension.iter_var.clone())
}

/// The paths that an expression asks for by `has()` as far as they are plain: `status.phase`.
fn asked_for(expression: &IdedExpr, asked: &mut BTreeSet<String>) {
    match &expression.expr {
        Expr::Select(select) => {
            if select.test
                && let Some(operand) = plain_path(&select.operand)
            {
                asked.insert(format!("{operand}.{}", select.field));
            }
            asked_for(&select.operand, asked);
        }
        Expr::Call(call) => {
            call.target.iter().map(Box::as_ref).chain(&call.args).for_each(|part| asked_for(part, asked))
        }
        Expr::Comprehension(comprehension) => {
            asked_for(&comprehension.iter_range, asked);
            asked_for(&comprehension.loop_step, asked);
        }
        Expr::List(list) => list.elements.iter().for_each(|element| asked_for(element, asked)),
        _ => {}
    }
}

fn plain_path(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) => Some(format!("{}.{}", plain_path(&select.operand)?, select.field)),
        _ => None,
    }
}

/// The name that differs least, if it is near enough to be meant.
fn nearest<'b>(name: &str, known: impl Iterator<Item = &'b str>) -> Option<&'b str> {
    let allowed = usize::max(1, (name.chars().count() + 1) / 3);
    let distances =
        known.map(|candidate| (distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate));
    distances.filter(|(distance, _)| *distance <= allowed).min().map(|(_, candidate)| candidate)
}

/// How many characters have to be added, removed or changed to get from one to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
