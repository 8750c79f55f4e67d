//! The built-in plugin helm, with what a step may hand to it. What it makes of charts is compared with Helm in tests/conformance.

use std::sync::Arc;

use async_trait::async_trait;
use plumb_api::Object;
use plumb_plugin::{
    Call, CallError, Capability, ClusterReader, ErrorKind, Grants, ObjectKind, Random, ReadError,
    SystemClock, SystemRandom,
};
use plumb_tree::Memory;
use rstest::rstest;
use serde_json::{Value, json};

use crate::builtin::plugin;
use crate::guest::{path, view_of};

/// A chart of one template.
pub(crate) fn chart(template: &str) -> Memory {
    Memory::new()
        .with_file(&path("web/Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.0.0\n")
        .with_file(&path("web/templates/a.yaml"), template)
}

/// A ConfigMap with one value.
fn telling(expression: &str) -> Memory {
    chart(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: {{{{ {expression} | toString | quote }}}}}}\n"
    ))
}

pub(crate) fn render(files: Memory, call: &Call) -> Result<Vec<Object>, CallError> {
    plugin("helm").render(view_of(files), &json!({"path": "web"}), call)
}

fn told(objects: &[Object]) -> Value {
    objects[0].pointer("/data/a").cloned().unwrap()
}

/// What randomness and the clock are granted with.
fn granting_chance() -> Call {
    let grants = Grants {
        clock: Some(Arc::new(SystemClock)),
        random: Some(Arc::new(SystemRandom)),
        ..Grants::default()
    };
    Call { grants, ..Call::default() }
}

#[test]
fn a_chart_without_chance_uses_nothing_of_what_it_is_granted() {
    let call = granting_chance();
    let objects = render(telling("1"), &call).unwrap();
    assert_eq!(objects[0].id().human(), "ConfigMap/a");
    assert!(call.used.capabilities().is_empty() && call.used.is_steady());
}

#[rstest]
#[case("randAlphaNum 16")]
#[case("randAlpha 16")]
#[case("randAscii 16")]
#[case("randNumeric 16")]
#[case("randBytes 16")]
#[case("randInt 0 1000000000000000000")]
#[case("shuffle \"abcdefghijklmnopqrstuvwxyz\"")]
#[case("uuidv4")]
#[case("bcrypt \"a\"")]
#[case("htpasswd \"a\" \"b\"")]
#[case("encryptAES \"0123456789abcdef\" \"a\"")]
#[case("genPrivateKey \"ecdsa\"")]
#[case("genPrivateKey \"ed25519\"")]
#[case("(genSelfSignedCertWithKey \"a\" nil nil 1 (genPrivateKey \"ed25519\")).Key")]
fn what_is_random_is_another_one_each_time_and_not_kept(#[case] expression: &str) {
    let (one, other) = (granting_chance(), granting_chance());
    let first = told(&render(telling(expression), &one).unwrap());
    assert_ne!(first, told(&render(telling(expression), &other).unwrap()));
    assert!(one.used.capabilities().contains(&Capability::Random));
    assert!(!one.used.is_steady());
}

/// A seed that does not change.
struct Fixed;

impl Random for Fixed {
    fn seed(&self) -> Option<[u8; 32]> {
        Some([7; 32])
    }
}

#[test]
fn nothing_but_the_seed_of_the_host_is_random() {
    let fixed = || {
        let grants = Grants { random: Some(Arc::new(Fixed)), ..Grants::default() };
        let call = Call { grants, ..Call::default() };
        told(&render(telling("printf \"%s %d\" (randAlphaNum 16) (randInt 0 1000000)"), &call).unwrap())
    };
    assert_eq!(fixed(), fixed());
}

#[rstest]
#[case("now | unixEpoch")]
#[case("ago (toDate \"2006-01-02\" \"2020-01-02\")")]
#[case("date \"2006\" nil")]
fn the_time_is_that_of_the_host_and_not_kept(#[case] expression: &str) {
    let call = granting_chance();
    render(telling(expression), &call).unwrap();
    assert_eq!(call.used.capabilities().into_iter().collect::<Vec<_>>(), [Capability::Clock]);
    assert!(!call.used.is_steady());
}

#[test]
fn the_time_is_the_time() {
    let now = told(&render(telling("now | unixEpoch"), &granting_chance()).unwrap());
    let now: u64 = now.as_str().unwrap().parse().unwrap();
    // 2026-01-01, where the clock of a plugin starts that is not told the time.
    assert!(now > 1_767_225_600 + 60, "{now}");
}

#[rstest]
#[case(
    "randAlphaNum 16",
    "the function randAlphaNum needs randomness, which this step is not granted",
    "{random: true}"
)]
#[case(
    "randInt 0 9",
    "the function randInt needs randomness, which this step is not granted",
    "{random: true}"
)]
#[case(
    "now",
    "the function now needs to know what time it is, which this step is not granted",
    "{clock: true}"
)]
#[case(
    "lookup \"v1\" \"ConfigMap\" \"shop\" \"settings\"",
    "this step is not granted `clusterRead`; name ConfigMap (v1) in its capabilities",
    "{clusterRead: [{apiVersion: v1, kind: ConfigMap}]}"
)]
// Attack 14 (Rendering): lookup outside of what was granted is an error, and never an empty answer.
#[case(
    "(lookup \"v1\" \"Secret\" \"\" \"\").items | len",
    "this step is not granted `clusterRead`; name Secret (v1) in its capabilities",
    "{clusterRead: [{apiVersion: v1, kind: Secret}]}"
)]
fn what_is_not_granted_is_refused_by_name(
    #[case] expression: &str,
    #[case] message: &str,
    #[case] grant: &str,
) {
    let call = Call::default();
    let CallError::Reported(errors) = render(telling(expression), &call).unwrap_err() else {
        panic!("it is told as an error")
    };
    assert_eq!(errors[0].kind, ErrorKind::Denied);
    assert!(errors[0].message.contains(message), "{}", errors[0].message);
    assert!(errors[0].hint.as_deref().unwrap().contains(grant), "{:?}", errors[0].hint);
    assert_eq!((errors[0].file.as_deref(), errors[0].line), (Some("web/templates/a.yaml"), Some(4)));
}

/// A cluster that has one object.
struct Cluster;

#[async_trait]
impl ClusterReader for Cluster {
    async fn get(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Object>, ReadError> {
        match (kind.kind.as_str(), namespace, name) {
            ("ConfigMap", Some("shop"), "settings") => Ok(Some(settings())),
            ("ConfigMap", ..) => Ok(None),
            ("Secret", ..) => Err(ReadError::Denied("Secrets are not granted".to_owned())),
            _ => Err(ReadError::UnknownKind),
        }
    }

    async fn list(
        &self,
        _: &ObjectKind,
        namespace: Option<&str>,
        _: Option<&str>,
    ) -> Result<Vec<Object>, ReadError> {
        Ok(if namespace == Some("shop") { vec![settings()] } else { Vec::new() })
    }
}

fn settings() -> Object {
    let metadata = json!({"name": "settings", "namespace": "shop", "generation": 12_345_678});
    Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}))
        .unwrap()
}

fn granting_cluster() -> Call {
    Call { grants: Grants { cluster: Some(Arc::new(Cluster)), ..Grants::default() }, ..Call::default() }
}

#[rstest]
#[case("(lookup \"v1\" \"ConfigMap\" \"shop\" \"settings\").data.a", "b")]
#[case("(lookup \"v1\" \"ConfigMap\" \"shop\" \"settings\").metadata.generation", "12345678")]
#[case("lookup \"v1\" \"ConfigMap\" \"shop\" \"other\" | len", "0")]
#[case("(lookup \"v1\" \"ConfigMap\" \"shop\" \"\").items | len", "1")]
#[case("(lookup \"v1\" \"ConfigMap\" \"shop\" \"\").kind", "ConfigMapList")]
#[case("(lookup \"v1\" \"ConfigMap\" \"other\" \"\").items | len", "0")]
fn lookup_reads_the_cluster(#[case] expression: &str, #[case] expected: &str) {
    let call = granting_cluster();
    assert_eq!(told(&render(telling(expression), &call).unwrap()), expected);
    assert_eq!(call.used.cluster().queries().count(), 1);
    assert!(call.used.is_steady(), "what was read is looked at again before the result is used");
}

#[rstest]
#[case("Secret", "Secrets are not granted")]
#[case("Gadget", "the cluster does not have this kind")]
fn what_lookup_may_not_read_is_never_empty(#[case] kind: &str, #[case] message: &str) {
    let expression = format!("lookup \"v1\" \"{kind}\" \"shop\" \"a\" | len");
    let error = render(telling(&expression), &granting_cluster()).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn a_release_is_one_object_with_all_that_a_record_is_made_of() {
    let files = chart("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: {{ .Values.a | quote }}}\n")
        .with_file(&path("web/values.yaml"), "a: chart\nb: chart\n")
        .with_file(&path("values.yaml"), "a: file\nc: file\n")
        .with_file(
            &path("web/templates/hook.yaml"),
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: h\n  annotations:\n    helm.sh/hook: pre-install,test\n    \
             helm.sh/hook-weight: \"-3\"\n    helm.sh/hook-delete-policy: hook-succeeded\n",
        )
        .with_file(
            &path("web/crds/c.yaml"),
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: cs.example.com}\n",
        )
        .with_file(&path("web/templates/NOTES.txt"), "{{ .Release.Name }} {{ .Release.Revision }} {{ .Release.IsUpgrade }}");
    let parameters = json!({
        "path": "web", "as": "release", "valuesFiles": ["values.yaml", "none.yaml"], "ignoreMissingValuesFiles": true,
        "values": {"c": "given"}, "release": {"name": "shop", "namespace": "team-a", "revision": 3, "isUpgrade": true},
    });
    let objects = plugin("helm").render(view_of(files), &parameters, &Call::default()).unwrap();
    assert_eq!(objects.len(), 1);
    let release = |pointer: &str| objects[0].pointer(pointer).cloned().unwrap();
    assert_eq!(objects[0].id().human(), "RenderedRelease/shop");
    assert_eq!(
        release("/manifest"),
        "---\n# Source: web/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"file\"}\n\n"
    );
    assert_eq!(release("/objects/0/source"), "web/templates/a.yaml");
    assert_eq!(release("/objects/0/object/data"), json!({"a": "file"}));
    assert_eq!(release("/hooks/0/events"), json!(["pre-install", "test"]));
    assert_eq!(release("/hooks/0/weight"), -3);
    assert_eq!(release("/hooks/0/deletePolicies"), json!(["hook-succeeded"]));
    assert_eq!(release("/hooks/0/object/kind"), "Pod");
    assert_eq!(release("/crds/0/objects/0/metadata/name"), "cs.example.com");
    assert_eq!(release("/notes"), "shop 3 true");
    assert_eq!(release("/values"), json!({"a": "file", "b": "chart", "c": "given"}));
    assert_eq!(release("/config"), json!({"a": "file", "c": "given"}));
    assert_eq!(release("/chart/metadata/name"), "web");
    assert_eq!(release("/chart/values"), json!({"a": "chart", "b": "chart"}));
    assert_eq!(release("/chart/templates").as_array().unwrap().len(), 3);
}
