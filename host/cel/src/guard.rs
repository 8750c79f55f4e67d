//! Puts the guards of [`functions`](crate::functions) around the parts of an expression, and refuses what cannot be evaluated.

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, ListExpr, LiteralValue, MapEntryExpr,
    MapExpr, SelectExpr, operators,
};

use crate::functions::{CALL, DIFFERENT, EQUAL, FIELDS, OPERAND, TURN, expression, is_known};

/// How deep an expression may be nested. It is evaluated by recursion.
const DEPTH: usize = 64;

/// Why an expression that is well formed cannot be evaluated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It calls a function that there is none of.
    Function(String),
    /// It is nested too deeply.
    Deep,
    /// It builds a message of protobuf: there are no such types here.
    Message(String),
}

/// The same expression, with guards that pay from the budget for every value that is copied or compared.
pub(crate) fn guard(expr: &IdedExpr) -> Result<IdedExpr, Refusal> {
    guard_below(expr, DEPTH)
}

fn guard_below(expr: &IdedExpr, depth: usize) -> Result<IdedExpr, Refusal> {
    let depth = depth.checked_sub(1).ok_or(Refusal::Deep)?;
    let guarded = match &expr.expr {
        Expr::Unspecified => return Err(Refusal::Message(String::new())),
        Expr::Literal(_) | Expr::Ident(_) => return Ok(expr.clone()),
        Expr::Struct(message) => return Err(Refusal::Message(message.type_name.clone())),
        Expr::Select(select) => Expr::Select(SelectExpr {
            operand: Box::new(wrap(FIELDS, guard_below(&select.operand, depth)?)),
            field: select.field.clone(),
            test: select.test,
        }),
        Expr::List(list) => Expr::List(ListExpr::new_with_optionals(
            list.elements.iter().map(|element| paid(element, depth)).collect::<Result<_, _>>()?,
            list.optional_indices.clone(),
        )),
        Expr::Map(map) => Expr::Map(MapExpr {
            entries: map.entries.iter().map(|entry| guard_entry(entry, depth)).collect::<Result<_, _>>()?,
        }),
        Expr::Comprehension(comprehension) => {
            Expr::Comprehension(Box::new(guard_macro(comprehension, depth)?))
        }
        Expr::Call(call) => Expr::Call(guard_call(call, depth)?),
    };
    Ok(IdedExpr { id: expr.id, expr: guarded })
}

fn guard_entry(entry: &IdedEntryExpr, depth: usize) -> Result<IdedEntryExpr, Refusal> {
    let EntryExpr::MapEntry(pair) = &entry.expr else {
        return Err(Refusal::Message(String::new()));
    };
    let pair = MapEntryExpr {
        key: paid(&pair.key, depth)?,
        value: paid(&pair.value, depth)?,
        optional: pair.optional,
    };
    Ok(IdedEntryExpr { id: entry.id, expr: EntryExpr::MapEntry(pair) })
}

fn guard_macro(comprehension: &ComprehensionExpr, depth: usize) -> Result<ComprehensionExpr, Refusal> {
    Ok(ComprehensionExpr {
        iter_range: paid(&comprehension.iter_range, depth)?,
        iter_var: comprehension.iter_var.clone(),
        iter_var2: comprehension.iter_var2.clone(),
        accu_var: comprehension.accu_var.clone(),
        accu_init: guard_below(&comprehension.accu_init, depth)?,
        loop_cond: wrap(TURN, guard_below(&comprehension.loop_cond, depth)?),
        loop_step: paid(&comprehension.loop_step, depth)?,
        result: guard_below(&comprehension.result, depth)?,
    })
}

fn guard_call(call: &CallExpr, depth: usize) -> Result<CallExpr, Refusal> {
    match call.func_name.as_str() {
        operators::EQUALS => Ok(plain(EQUAL, guard_all(&call.args, depth)?)),
        operators::NOT_EQUALS => Ok(plain(DIFFERENT, guard_all(&call.args, depth)?)),
        operators::CONDITIONAL
        | operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::NOT_STRICTLY_FALSE
        | operators::INDEX
        | operators::OPT_INDEX => Ok(plain(&call.func_name, guard_all(&call.args, depth)?)),
        operators::ADD
        | operators::SUBSTRACT
        | operators::MULTIPLY
        | operators::DIVIDE
        | operators::MODULO
        | operators::NEGATE
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS
        | operators::IN => Ok(plain(&call.func_name, paid_all(&call.args, depth)?)),
        // `a.?b` is `a[?"b"]`, which the interpreter does right: of a field that is missing it makes no error, but `optional.none()`.
        operators::OPT_SELECT => Ok(plain(operators::OPT_INDEX, paid_all(&call.args, depth)?)),
        name => guard_function(name, call, depth),
    }
}

fn paid_all(operands: &[IdedExpr], depth: usize) -> Result<Vec<IdedExpr>, Refusal> {
    operands.iter().map(|operand| paid(operand, depth)).collect()
}

fn guard_function(name: &str, call: &CallExpr, depth: usize) -> Result<CallExpr, Refusal> {
    let (name, target) = match &call.target {
        Some(target) => match library(target, name) {
            Some(qualified) => (qualified, None),
            None => (name.to_owned(), Some(target)),
        },
        None => (name.to_owned(), None),
    };
    if !is_known(&name) {
        return Err(Refusal::Function(name));
    }
    let mut operands = vec![
        expression(Expr::Literal(LiteralValue::String(name.as_str().into()))),
        expression(Expr::Literal(LiteralValue::Boolean(target.is_some().into()))),
    ];
    if let Some(target) = target {
        operands.push(guard_below(target, depth)?);
    }
    operands.extend(guard_all(&call.args, depth)?);
    Ok(plain(CALL, operands))
}

/// `sets.contains`, when `target.name` is a function of a library and not of a value.
pub(crate) fn library(target: &IdedExpr, name: &str) -> Option<String> {
    let Expr::Ident(library) = &target.expr else {
        return None;
    };
    let qualified = format!("{library}.{name}");
    is_known(&qualified).then_some(qualified)
}

fn guard_all(operands: &[IdedExpr], depth: usize) -> Result<Vec<IdedExpr>, Refusal> {
    operands.iter().map(|operand| guard_below(operand, depth)).collect()
}

/// An operand that is paid for. Literals are as short as the text of the expression.
fn paid(operand: &IdedExpr, depth: usize) -> Result<IdedExpr, Refusal> {
    let guarded = guard_below(operand, depth)?;
    Ok(match guarded.expr {
        Expr::Literal(_) => guarded,
        _ => wrap(OPERAND, guarded),
    })
}

fn wrap(function: &str, operand: IdedExpr) -> IdedExpr {
    expression(Expr::Call(plain(function, vec![operand])))
}

fn plain(function: &str, args: Vec<IdedExpr>) -> CallExpr {
    CallExpr { func_name: function.to_owned(), target: None, args }
}
