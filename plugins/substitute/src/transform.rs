//! Puts variables into objects, and finds everything that is wrong.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::emit::Text;
use crate::functions::{LARGEST, apply, has_default};
use crate::read::read;
use crate::template::{Expression, Malformed, Part, Problem, parse};

/// Objects that have this label or annotation with the value `disabled` stay as they are.
const SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// What is wrong. No message has a value of a variable in it: it may come from a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The host gave something else than the contract says.
    Host(&'static str),
    /// The names of variables that are none.
    Names(Vec<String>),
    /// Something about one object.
    Object {
        /// `Deployment/default/web`.
        object: String,
        /// What.
        what: What,
    },
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It uses a variable that is not given.
    NotSet {
        /// The field.
        field: String,
        /// The variable.
        name: String,
    },
    /// It has an expression that cannot be read.
    Malformed {
        /// The field.
        field: String,
        /// Why.
        problem: Problem,
    },
    /// It becomes larger than 16 MiB.
    TooLarge,
    /// What comes out is not YAML.
    NotYaml {
        /// Why.
        problem: &'static str,
        /// The fields on the line in question, as far as they are known.
        field: String,
    },
    /// What comes out is not a Kubernetes object.
    NotAnObject {
        /// The field that is missing, or is no text.
        lacks: &'static str,
    },
    /// A label or annotation has become a number or a truth value.
    NotText {
        /// The field.
        field: String,
    },
    /// What comes out is there twice.
    Twice,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(problem) => f.write_str(problem),
            Self::Names(names) => {
                write!(
                    f,
                    "{} cannot be the name of a variable",
                    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
                )
            }
            Self::Object { object, what } => write!(f, "{object}: {what}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { field, name } => {
                write!(f, "{field} uses the variable {name:?}, which is not set and has no default")
            }
            Self::Malformed { field, problem } => {
                let problem = match problem {
                    Problem::Name => "has \"${\" without the name of a variable after it",
                    Problem::Operator => "has an expression \"${…}\" that cannot be read",
                    Problem::Unclosed => "has \"${\" without a closing brace",
                    Problem::Deep => "has too many expressions within each other",
                };
                write!(f, "{field} {problem}")
            }
            Self::TooLarge => write!(f, "with its variables it is larger than {} MiB", LARGEST >> 20),
            Self::NotYaml { problem, field } if field.is_empty() => {
                write!(f, "with its variables it cannot be read: {problem}")
            }
            Self::NotYaml { problem, field } => {
                write!(f, "with its variables it cannot be read, near {field}: {problem}")
            }
            Self::NotAnObject { lacks } => {
                write!(f, "with its variables it lacks {lacks}, or has another value than text there")
            }
            Self::NotText { field } => write!(f, "with its variables {field} is not text"),
            Self::Twice => write!(f, "with its variables it is the same object as another one"),
        }
    }
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Host(_) => return None,
            Self::Names(_) => "A name has letters, digits and _ only, and does not begin with a digit.",
            Self::Object { what, .. } => match what {
                What::NotSet { .. } => {
                    "Set it in spec.postBuild, give it a default with ${name:=default}, or write $${name} if no variable is meant."
                }
                What::Malformed { .. } => "Write $${…} if no variable is meant.",
                What::NotYaml { .. } => "A value with special characters has to stand in quotes.",
                What::NotText { .. } => "Set a variable quote: '\"' and write ${quote}${name}${quote}.",
                What::TooLarge | What::NotAnObject { .. } | What::Twice => return None,
            },
        };
        Some(hint.to_owned())
    }
}

/// The objects with the variables put in. `parameters` is `{"variables": {"name": "value"}}`.
///
/// # Errors
///
/// Everything that is wrong with all objects.
pub fn transform(objects: &[String], parameters: &str) -> Result<Vec<String>, Vec<Error>> {
    let variables = variables(parameters).map_err(|error| vec![error])?;
    let mut changed = Vec::with_capacity(objects.len());
    let mut errors = Vec::new();
    for object in objects {
        let Ok(Value::Object(object)) = serde_json::from_str(object) else {
            return Err(vec![Error::Host("an object that was given is not a JSON object")]);
        };
        match substitute(&object, &variables) {
            Ok(None) => changed.push((name_of(&object), object)),
            Ok(Some(with_values)) => changed.push((name_of(&object), with_values)),
            Err(found) => {
                let object = name_of(&object);
                errors.extend(found.into_iter().map(|what| Error::Object { object: object.clone(), what }));
            }
        }
    }
    errors.extend(twice(&changed));
    if errors.is_empty() {
        Ok(changed.into_iter().map(|(_, object)| Value::Object(object).to_string()).collect())
    } else {
        Err(errors)
    }
}

type Variables = BTreeMap<String, String>;

fn variables(parameters: &str) -> Result<Variables, Error> {
    let wrong = Error::Host("the parameters are not {\"variables\": {…}} with texts as values");
    let Ok(Value::Object(mut parameters)) = serde_json::from_str(parameters) else {
        return Err(wrong);
    };
    let Some(Value::Object(given)) = parameters.remove("variables").filter(|_| parameters.is_empty()) else {
        return Err(wrong);
    };
    let mut variables = Variables::new();
    for (name, value) in given {
        let Value::String(value) = value else {
            return Err(wrong);
        };
        variables.insert(name, value);
    }
    let bad: Vec<String> = variables.keys().filter(|name| !is_name(name)).cloned().collect();
    if bad.is_empty() { Ok(variables) } else { Err(Error::Names(bad)) }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// None when the object does not want to be changed.
fn substitute(
    object: &Map<String, Value>,
    variables: &Variables,
) -> Result<Option<Map<String, Value>>, Vec<What>> {
    if is_disabled(object) {
        return Ok(None);
    }
    let text = Text::of(object);
    let malformed = |Malformed { offset, problem }| What::Malformed { field: text.field_at(offset), problem };
    let parts = parse(&text.yaml, |from, to| !text.field_begins_within(from, to))
        .map_err(|error| vec![malformed(error)])?;
    let mut filling = Filling { variables, text: &text, wrong: Vec::new(), size: 0 };
    let filled = filling.fill(&parts);
    if !filling.wrong.is_empty() {
        return Err(filling.wrong);
    }
    let not_yaml = |problem, line: usize| {
        // Values have no line breaks, so the lines of both texts are the same, but for those of long defaults.
        let start: usize = text.yaml.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        vec![What::NotYaml { problem, field: text.field_at(start + leading_spaces(&text.yaml[start..])) }]
    };
    let filled = String::from_utf8(filled)
        .map_err(|_| vec![What::NotYaml { problem: "a character was cut in two", field: String::new() }])?;
    let read = read(&filled).map_err(|error| not_yaml(error.problem, error.line))?;
    let Value::Object(mut read) = read else {
        return Err(vec![What::NotAnObject { lacks: "apiVersion" }]);
    };
    let text_at = |read: &Map<String, Value>, path: &[&str]| {
        let found = path[1..].iter().try_fold(read.get(path[0])?, |value, step| value.get(step));
        found.and_then(Value::as_str).filter(|text| !text.is_empty()).map(drop)
    };
    for (lacks, path) in
        [("apiVersion", &["apiVersion"][..]), ("kind", &["kind"]), ("metadata.name", &["metadata", "name"])]
    {
        text_at(&read, path).ok_or_else(|| vec![What::NotAnObject { lacks }])?;
    }
    let wrong = only_texts(&mut read);
    if wrong.is_empty() { Ok(Some(read)) } else { Err(wrong) }
}

/// Labels and annotations have to be texts. The API server takes `null` for one that is not there, and so it is when a variable is empty.
fn only_texts(object: &mut Map<String, Value>) -> Vec<What> {
    let mut wrong = Vec::new();
    for field in ["labels", "annotations"] {
        let values = object.get_mut("metadata").and_then(|metadata| metadata.get_mut(field));
        if let Some(values) = values.and_then(Value::as_object_mut) {
            values.retain(|_, value| !value.is_null());
            let not_text = values.iter().filter(|(_, value)| !value.is_string());
            wrong.extend(
                not_text.map(|(name, _)| What::NotText { field: format!("metadata.{field}.{name}") }),
            );
        }
    }
    wrong
}

fn leading_spaces(text: &str) -> usize {
    text.bytes().take_while(|byte| matches!(byte, b' ' | b'-')).count()
}

fn is_disabled(object: &Map<String, Value>) -> bool {
    ["labels", "annotations"].iter().any(|field| {
        let value = object
            .get("metadata")
            .and_then(|metadata| metadata.get(field))
            .and_then(|values| values.get(SUBSTITUTE));
        value.and_then(Value::as_str) == Some("disabled")
    })
}

struct Filling<'a> {
    variables: &'a Variables,
    text: &'a Text,
    wrong: Vec<What>,
    /// How many bytes have been written, also to arguments.
    size: usize,
}

impl Filling<'_> {
    fn fill(&mut self, parts: &[Part]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            let written = self.part(part);
            out.extend_from_slice(&written);
            if self.wrong.contains(&What::TooLarge) {
                break;
            }
        }
        out
    }

    fn part(&mut self, part: &Part) -> Vec<u8> {
        let written = match part {
            Part::Text(text) => text.clone().into_bytes(),
            Part::Expression(expression) => self.expression(expression),
        };
        self.size += written.len();
        if self.size > LARGEST && !self.wrong.contains(&What::TooLarge) {
            self.wrong.push(What::TooLarge);
        }
        written
    }

    fn expression(&mut self, expression: &Expression) -> Vec<u8> {
        let mut arguments = Vec::new();
        for argument in &expression.arguments {
            arguments.push(self.part(argument));
        }
        let (operator, name) = (expression.operator.as_str(), &expression.name);
        let value = self.variables.get(name);
        if value.is_none() && !has_default(operator) {
            let what = What::NotSet { field: self.text.field_at(expression.offset), name: name.clone() };
            if !self.wrong.contains(&what) {
                self.wrong.push(what);
            }
            return Vec::new();
        }
        apply(operator, value.map_or("", String::as_str), &arguments)
    }
}

/// `Deployment/default/web`, as Flux writes it.
fn name_of(object: &Map<String, Value>) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let metadata = object.get("metadata");
    let of_metadata = |field| text(metadata.and_then(|metadata| metadata.get(field)));
    [text(object.get("kind")), of_metadata("namespace"), of_metadata("name")]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

/// Objects that have become one: each but the first, by the name that it had.
fn twice(objects: &[(String, Map<String, Value>)]) -> Vec<Error> {
    let mut seen = HashSet::new();
    let mut told = BTreeSet::new();
    for (before, object) in objects {
        let api_version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !seen.insert((api_version, name_of(object))) {
            told.insert(before.clone());
        }
    }
    told.into_iter().map(|object| Error::Object { object, what: What::Twice }).collect()
}

#[cfg(test)]
#[path = "transform_tests.rs"]
mod tests;
