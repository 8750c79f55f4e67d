//! The functions of the language, and those that guard them.

use std::sync::LazyLock;

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{CallExpr, Expr};
use kube_cel::cel::extractors::Arguments;
use kube_cel::cel::{Context, ExecutionError, FunctionContext, IdedExpr, Value};

use crate::budget::{STEP, pay};
use crate::value::bytes;

/// Passes a value on that will be copied, and pays for it.
pub(crate) const OPERAND: &str = "@operand";
/// The same for a value whose field is read: the interpreter takes a field of something that has none for `false`.
pub(crate) const FIELDS: &str = "@fields";
/// Passes on whether a macro goes on, and pays for the turn.
pub(crate) const TURN: &str = "@turn";
/// `==` between numbers of all kinds, as Flux has it (`CrossTypeNumericComparisons`).
pub(crate) const EQUAL: &str = "@equal";
/// `!=`.
pub(crate) const DIFFERENT: &str = "@different";
/// Calls a function: its name, whether the next argument is its target, its target, its arguments.
pub(crate) const CALL: &str = "@call";

/// The functions that Flux knows: those of standard CEL, and of cel-go's `ext.Strings`, `ext.Sets` and `ext.Encoders`.
const KNOWN: &[&str] = &[
    "base64.decode",
    "base64.encode",
    "bytes",
    "charAt",
    "contains",
    "double",
    "duration",
    "endsWith",
    "format",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "hasValue",
    "indexOf",
    "int",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "matches",
    "optional.none",
    "optional.of",
    "optional.ofNonZeroValue",
    "or",
    "orValue",
    "replace",
    "reverse",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "size",
    "split",
    "startsWith",
    "string",
    "strings.quote",
    "substring",
    "timestamp",
    "trim",
    "uint",
    "upperAscii",
    "value",
];

/// The functions of Kubernetes' libraries of lists, regular expressions, URLs, addresses, quantities, versions and formats.
/// <https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries>
#[cfg(feature = "kubernetes")]
const KUBERNETES: &[&str] = &[
    "add",
    "asApproximateFloat",
    "asInteger",
    "cidr",
    "compareTo",
    "containsCIDR",
    "containsIP",
    "distinct",
    "family",
    "find",
    "findAll",
    "flatten",
    "format.dns1035Label",
    "format.dns1123Label",
    "format.dns1123Subdomain",
    "format.labelValue",
    "format.named",
    "format.qualifiedName",
    "format.uri",
    "format.uuid",
    "getEscapedPath",
    "getHost",
    "getHostname",
    "getPort",
    "getQuery",
    "getScheme",
    "ip",
    "ip.isCanonical",
    "isCIDR",
    "isGlobalUnicast",
    "isGreaterThan",
    "isIP",
    "isInteger",
    "isLessThan",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isLoopback",
    "isQuantity",
    "isSemver",
    "isSorted",
    "isURL",
    "isUnspecified",
    "major",
    "masked",
    "max",
    "min",
    "minor",
    "patch",
    "prefixLength",
    "quantity",
    "semver",
    "sign",
    "slice",
    "sort",
    "sub",
    "sum",
    "url",
    "validate",
];
#[cfg(not(feature = "kubernetes"))]
const KUBERNETES: &[&str] = &[];

/// Whether there is a function of this name.
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || KUBERNETES.contains(&name)
}

/// What every evaluation starts from.
pub(crate) static CONTEXT: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut context = Context::default().with_all();
    context.add_function(OPERAND, operand);
    context.add_function(FIELDS, fields);
    context.add_function(TURN, turn);
    context.add_function(EQUAL, equal);
    context.add_function(DIFFERENT, different);
    context.add_function(CALL, call);
    context
});

type Answer = Result<Value, ExecutionError>;

fn operand(context: &FunctionContext<'_, '_>, value: Value) -> Answer {
    pay(context, bytes(&value))?;
    Ok(value)
}

fn fields(context: &FunctionContext<'_, '_>, value: Value) -> Answer {
    match value {
        Value::Map(_) => operand(context, value),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

fn turn(context: &FunctionContext<'_, '_>, goes_on: Value) -> Answer {
    pay(context, STEP)?;
    Ok(goes_on)
}

fn equal(context: &FunctionContext<'_, '_>, left: Value, right: Value) -> Answer {
    pay(context, bytes(&left) + bytes(&right))?;
    Ok(Value::Bool(left == right))
}

fn different(context: &FunctionContext<'_, '_>, left: Value, right: Value) -> Answer {
    pay(context, bytes(&left) + bytes(&right))?;
    Ok(Value::Bool(left != right))
}

/// No function does more work, or returns more, than its first operand for each byte of the others: `replace` and `join` multiply,
/// `sets.contains` compares all with all, `matches` tries a pattern at every place. That is paid before the function is called.
fn call(context: &FunctionContext<'_, '_>, Arguments(arguments): Arguments) -> Answer {
    let [Value::String(name), Value::Bool(has_target), operands @ ..] = arguments.as_slice() else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    let (first, others) = operands
        .split_first()
        .map_or((0, 0), |(first, others)| (bytes(first), others.iter().map(bytes).sum()));
    pay(context, first.saturating_mul(u64::max(others, 1)))?;
    if let ("matches" | "find" | "findAll", Some(Value::String(pattern))) = (name.as_str(), operands.last()) {
        pay(context, pattern_cost(pattern))?;
    }

    let mut scope = CONTEXT.new_inner_scope();
    let mut names = Vec::with_capacity(operands.len());
    for (number, operand) in operands.iter().enumerate() {
        let name = format!("@{number}");
        scope.add_variable_from_value(name.as_str(), operand.clone());
        names.push(expression(Expr::Ident(name)));
    }
    let target = (*has_target && !names.is_empty()).then(|| Box::new(names.remove(0)));
    let call = expression(Expr::Call(CallExpr { func_name: String::clone(name), target, args: names }));
    Value::resolve(&call, &scope)
}

/// What it costs to compile a regular expression. Its size is that of its text, multiplied by its repetitions: `(a{99}){99}`.
fn pattern_cost(pattern: &str) -> u64 {
    /// A class of characters such as `\w` is many steps of the automaton.
    const BYTE: u64 = 64;
    let repeated = pattern.split('{').skip(1).filter_map(|after| {
        let counts = after.split_once('}')?.0;
        counts.split(',').filter_map(|count| count.trim().parse::<u64>().ok()).max()
    });
    repeated.fold(BYTE.saturating_mul(pattern.len() as u64), |cost, times| cost.saturating_mul(times.max(1)))
}

/// An expression that no text stands behind.
pub(crate) fn expression(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    /// A name that is known and yet not there would be told when the expression is evaluated, not when it is written.
    #[test]
    fn every_known_function_exists() {
        for name in KNOWN.iter().chain(KUBERNETES) {
            let call = expression(Expr::Call(CallExpr {
                func_name: (*name).to_owned(),
                target: None,
                args: Vec::new(),
            }));
            let answer = Value::resolve(&call, &CONTEXT);
            assert!(!matches!(answer, Err(ExecutionError::UndeclaredReference(_))), "{name}: {answer:?}");
        }
    }
}
