//! The `ResourceList` of KRM functions. Source: Kustomize, "KRM Functions Specification", version `config.kubernetes.io/v1`.

use plumb_api::Object;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::printable::lines;
use crate::{CallError, ErrorKind, PluginError};

const API_VERSION: &str = "config.kubernetes.io/v1";

/// How many characters of what a program wrote to standard error are told when it says nothing else.
const LAST_WORDS: usize = 1000;

/// How deep YAML may nest. Objects nest less; the parser's time grows with the square of it.
const DEEPEST: usize = 500;

/// What the libraries of functions leave on objects to find them again.
const BOOKKEEPING: [&str; 5] = [
    "config.kubernetes.io/index",
    "config.kubernetes.io/path",
    "config.k8s.io/id",
    "internal.config.kubernetes.io/",
    "internal.config.k8s.io/",
];

/// The input of a function.
pub(crate) fn input(objects: &[Object], config: &Value) -> Result<Vec<u8>, CallError> {
    let mut list = json!({"apiVersion": API_VERSION, "kind": "ResourceList", "items": objects});
    match config {
        Value::Null => {}
        Value::Object(fields) if fields.contains_key("kind") => list["functionConfig"] = config.clone(),
        // Without a kind it is the data of a ConfigMap, as on the command line of kpt.
        Value::Object(_) => {
            list["functionConfig"] = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "function-input"},
                "data": config,
            });
        }
        _ => return Err(CallError::InvalidParameters),
    }
    Ok(list.to_string().into_bytes())
}

/// What a function answered.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) objects: Vec<Object>,
    pub(crate) results: Vec<Told>,
}

/// One of its results.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) severity: Severity,
    pub(crate) error: PluginError,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    #[default]
    Error,
    Warning,
    Info,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceList {
    kind: String,
    #[serde(default)]
    items: Option<Vec<Value>>,
    #[serde(default)]
    results: Option<Vec<FunctionResult>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionResult {
    #[serde(default)]
    message: String,
    #[serde(default)]
    severity: Severity,
    resource_ref: Option<ResourceRef>,
    field: Option<Field>,
    file: Option<File>,
}

#[derive(Deserialize)]
struct ResourceRef {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    path: String,
    line: Option<u32>,
}

/// Reads what a function wrote to standard output: JSON, or one document of YAML.
pub(crate) fn output(stdout: &[u8]) -> Result<Output, CallError> {
    let invalid = |reason: String| CallError::InvalidOutput {
        what: "the ResourceList".to_owned(),
        reason: lines(&reason),
    };
    let list: ResourceList = match serde_json::from_slice(stdout) {
        Ok(list) => list,
        // What is not JSON may be YAML, and JSON of another shape is as wrong in YAML.
        Err(_) if nests_too_deep(stdout) => {
            return Err(invalid(format!("it nests more than {DEEPEST} deep")));
        }
        Err(_) => serde_yaml::from_slice(stdout).map_err(|error| invalid(error.to_string()))?,
    };
    if list.kind != "ResourceList" {
        return Err(invalid(format!("its kind is {:?}, not \"ResourceList\"", list.kind)));
    }
    let read = |(index, mut item): (usize, Value)| {
        drop_bookkeeping(&mut item);
        Object::new(item).map_err(|error| CallError::InvalidOutput {
            what: format!("item {index} of the ResourceList"),
            reason: lines(&error.to_string()),
        })
    };
    Ok(Output {
        objects: list
            .items
            .unwrap_or_default()
            .into_iter()
            .enumerate()
            .map(read)
            .collect::<Result<_, _>>()?,
        results: list.results.unwrap_or_default().into_iter().map(Told::from).collect(),
    })
}

/// Why a function that ended with a status other than 0 failed, or with 0 and errors: all its errors, or else its last words.
pub(crate) fn failure(status: i32, results: Vec<Told>, stderr: &[u8]) -> CallError {
    let errors: Vec<_> =
        results.into_iter().filter(|told| told.severity == Severity::Error).map(|told| told.error).collect();
    if !errors.is_empty() {
        return CallError::Reported(errors);
    }
    let stderr = String::from_utf8_lossy(stderr);
    let words = stderr.trim();
    let skipped = words.chars().count().saturating_sub(LAST_WORDS);
    let words: String = words.chars().skip(skipped).collect();
    let message = if words.is_empty() {
        format!("the function ended with status {status} and said nothing")
    } else {
        format!("the function ended with status {status}: {}", lines(&words))
    };
    CallError::Reported(vec![PluginError {
        kind: ErrorKind::InvalidInput,
        message,
        file: None,
        line: None,
        hint: None,
    }])
}

/// Whether more brackets are open, or a line begins with more dashes and question marks, than any object needs. Brackets in strings are counted as
/// well: they come in pairs, nearly always.
fn nests_too_deep(yaml: &[u8]) -> bool {
    let (mut open, mut run, mut at_start) = (0_usize, 0_usize, true);
    for byte in yaml {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b'\n' => (run, at_start) = (0, true),
            b'-' | b'?' if at_start => run += 1,
            _ => {}
        }
        at_start &= matches!(byte, b' ' | b'\t' | b'\n' | b'-' | b'?');
        if open > DEEPEST || run > DEEPEST {
            return true;
        }
    }
    false
}

fn drop_bookkeeping(item: &mut Value) {
    let Some(metadata) = item.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    let kept = |key: &str| !BOOKKEEPING.iter().any(|prefix| key.starts_with(prefix));
    let before = annotations.len();
    annotations.retain(|key, _| kept(key));
    if annotations.is_empty() && before > 0 {
        metadata.remove("annotations");
    }
}

impl From<FunctionResult> for Told {
    fn from(result: FunctionResult) -> Self {
        let FunctionResult { message, severity, resource_ref, field, file } = result;
        let about = resource_ref.map(|of| match of.namespace {
            Some(namespace) => format!("{}/{namespace}/{}: ", of.kind, of.name),
            None => format!("{}/{}: ", of.kind, of.name),
        });
        let field = field.filter(|field| !field.path.is_empty()).map(|field| format!("{}: ", field.path));
        let message = format!("{}{}{message}", about.unwrap_or_default(), field.unwrap_or_default());
        let line = file.as_ref().and_then(|file| file.line).filter(|line| *line > 0);
        let file = file.map(|file| crate::printable::one_line(&file.path)).filter(|path| !path.is_empty());
        Self {
            severity,
            error: PluginError {
                kind: ErrorKind::InvalidInput,
                message: lines(&message),
                file,
                line,
                hint: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn one(item: &str) -> Result<Object, CallError> {
        let text = format!("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- {item}\n");
        output(text.as_bytes()).map(|output| output.objects.into_iter().next().unwrap())
    }

    fn data(value: &str) -> Value {
        let object = one(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {{key: {value}}}}}"
        ));
        object.unwrap().pointer("/data/key").cloned().unwrap()
    }

    // Attack 15 (YAML): what a scalar is taken for.
    #[rstest]
    #[case("\"yes\"", json!("yes"))]
    #[case("yes", json!("yes"))]
    #[case("NO", json!("NO"))]
    #[case("0x1f", json!(31))]
    #[case("9223372036854775807", json!(i64::MAX))]
    #[case("18446744073709551615", json!(u64::MAX))]
    #[case("\"0644\"", json!("0644"))]
    #[case("1.5", json!(1.5))]
    #[case("~", Value::Null)]
    fn scalars_are_read_as_they_were_written(#[case] yaml: &str, #[case] expected: Value) {
        assert_eq!(data(yaml), expected);
    }

    // Attack 15 (YAML): anchors that multiply, nesting, circles, doubled keys, bytes that are no text.
    #[rstest]
    #[case::anchors_that_multiply(laughs())]
    #[case::nesting(format!("kind: ResourceList\nitems: {}", "[".repeat(100_000)).into_bytes())]
    #[case::nesting_without_brackets(format!("kind: ResourceList\nitems:\n{}", "- ".repeat(100_000)).into_bytes())]
    #[case::a_circle(b"kind: ResourceList\nitems: &a [*a]".to_vec())]
    #[case::doubled_keys(b"kind: ResourceList\nkind: ResourceList\nitems: []".to_vec())]
    #[case::several_documents(b"kind: ResourceList\nitems: []\n---\nkind: ResourceList\nitems: []".to_vec())]
    #[case::no_text(b"kind: ResourceList\nitems: [\"\xff\xfe\"]".to_vec())]
    #[case::a_tag(b"kind: ResourceList\nitems: [!!binary aGk=]".to_vec())]
    #[case::something_else(b"hello".to_vec())]
    #[case::nothing(Vec::new())]
    #[case::another_kind(b"{\"kind\": \"List\", \"items\": []}".to_vec())]
    fn yaml_that_is_made_to_hurt_is_refused(#[case] stdout: Vec<u8>) {
        let error = output(&stdout).unwrap_err();
        assert!(matches!(error, CallError::InvalidOutput { .. }), "{error:?}");
    }

    fn laughs() -> Vec<u8> {
        let mut text =
            String::from("kind: ResourceList\na0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for level in 1..12 {
            let again = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{again}]\n"));
        }
        text.push_str("items: [*a11]\n");
        text.into_bytes()
    }

    #[test]
    fn what_libraries_leave_on_objects_is_removed() {
        let object = one(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {config.kubernetes.io/index: '0', internal.config.kubernetes.io/id: '1', mine: x}}}",
        );
        assert_eq!(object.unwrap().pointer("/metadata/annotations"), Some(&json!({"mine": "x"})));
        let object = one(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {config.kubernetes.io/index: '0'}}}",
        );
        assert_eq!(object.unwrap().pointer("/metadata"), Some(&json!({"name": "a"})));
    }

    #[test]
    fn results_name_object_field_and_file() {
        let stdout = json!({"kind": "ResourceList", "results": [{
            "message": "is too large", "severity": "warning", "resourceRef": {"kind": "Deployment", "name": "web", "namespace": "shop"},
            "field": {"path": "spec.replicas"}, "file": {"path": "web.yaml", "index": 2},
        }, {"message": "no"}]});
        let results = output(stdout.to_string().as_bytes()).unwrap().results;
        assert_eq!(results[0].severity, Severity::Warning);
        assert_eq!(
            results[0].error.to_string(),
            "web.yaml: Deployment/shop/web: spec.replicas: is too large"
        );
        assert_eq!((results[1].severity, results[1].error.to_string()), (Severity::Error, "no".to_owned()));
    }

    #[test]
    fn parameters_without_a_kind_are_the_data_of_a_config_map() {
        let read =
            |config: &Value| -> Value { serde_json::from_slice(&input(&[], config).unwrap()).unwrap() };
        assert_eq!(read(&Value::Null).get("functionConfig"), None);
        assert_eq!(read(&json!({"tier": "web"})).pointer("/functionConfig/data/tier"), Some(&json!("web")));
        let own = json!({"apiVersion": "fn.dev/v1", "kind": "SetTier", "metadata": {"name": "a"}});
        assert_eq!(read(&own)["functionConfig"], own);
        assert!(matches!(input(&[], &json!([])), Err(CallError::InvalidParameters)));
    }
}
