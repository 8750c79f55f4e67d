use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use plumb_api::{Object, Sensitive};
use plumb_plugin::{
    Call, CallError, Capability, Clock, ClusterReader, Grants, HttpClient, HttpError, HttpRequest,
    HttpResponse, LimitKind, ObjectKind, Plugin, ReadError, Secrets, World,
};
use serde_json::{Value, json};

use crate::guest::{host, identity, object, transformer};
use crate::heard::Heard;

/// Logs the value of `token` as a warning, and fails with it.
fn teller() -> Plugin {
    let guest = transformer(
        r#"(import "plumbline:plugin/secrets@0.1.0" "get" (func $get (param i32 i32 i32)))
           (import "plumbline:plugin/secrets@0.1.0" "names" (func $names (param i32)))"#,
        r#"(data (i32.const 1024) "tokennot founddenied")"#,
        "(call $names (i32.const 64))
         (call $get (i32.const 1024) (i32.const 5) (i32.const 64))
         (if (i32.load8_u (i32.const 64))
           (then
             (if (i32.load8_u (i32.const 68))
               (then (return (call $fail (i32.const 1038) (i32.const 6)))))
             (return (call $fail (i32.const 1029) (i32.const 9)))))
         (call $log (i32.const 3) (i32.load (i32.const 68)) (i32.load (i32.const 72)))
         (call $fail (i32.load (i32.const 68)) (i32.load (i32.const 72)))",
    );
    load(&guest)
}

const GET: &str = r#"(import "plumbline:plugin/cluster-read@0.1.0" "get"
    (func $get (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

/// Returns the ConfigMap `settings` of the namespace `team` as the only object, none when there is none, or fails with the reason.
fn reader() -> Plugin {
    let guest = transformer(
        GET,
        r#"(data (i32.const 1024) "v1ConfigMapteamsettings")"#,
        "(call $get (i32.const 1024) (i32.const 2) (i32.const 1026) (i32.const 9)
           (i32.const 1) (i32.const 1035) (i32.const 4) (i32.const 1039) (i32.const 8) (i32.const 64))
         (if (i32.load8_u (i32.const 64))
           (then (return (call $fail (i32.load (i32.const 72)) (i32.load (i32.const 76))))))
         (if (i32.eqz (i32.load8_u (i32.const 68)))
           (then (return (call $ok (i32.const 0) (i32.const 0)))))
         (call $one (i32.load (i32.const 72)) (i32.load (i32.const 76)))
         (call $ok (i32.const 32) (i32.const 1))",
    );
    load(&guest)
}

/// Returns all ConfigMaps of all namespaces.
fn lister() -> Plugin {
    let guest = transformer(
        r#"(import "plumbline:plugin/cluster-read@0.1.0" "list"
            (func $list (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
        r#"(data (i32.const 1024) "v1ConfigMap")"#,
        "(call $list (i32.const 1024) (i32.const 2) (i32.const 1026) (i32.const 9)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
         (call $ok (i32.load (i32.const 68)) (i32.load (i32.const 72)))",
    );
    load(&guest)
}

/// Gets `https://vault.test/`, and fails with the body, or with the reason why there is none.
fn sender() -> Plugin {
    let guest = transformer(
        r#"(import "plumbline:plugin/http@0.1.0" "send"
            (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
        r#"(data (i32.const 1024) "GEThttps://vault.test/")"#,
        "(call $send (i32.const 1024) (i32.const 3) (i32.const 1027) (i32.const 19)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
         (if (i32.load8_u (i32.const 64))
           (then (return (call $fail (i32.load (i32.const 80)) (i32.load (i32.const 84))))))
         (call $fail (i32.load (i32.const 84)) (i32.load (i32.const 88)))",
    );
    load(&guest)
}

/// Returns its objects when it knows that it is 1000 seconds after the beginning of time, else none.
fn teller_of_time() -> Plugin {
    let guest = transformer(
        r#"(import "plumbline:plugin/clock@0.1.0" "now" (func $now (param i32)))"#,
        "",
        "(call $now (i32.const 64))
         (if (i32.and (i32.load8_u (i32.const 64)) (i64.eq (i64.load (i32.const 72)) (i64.const 1000)))
           (then (return (call $ok (local.get $objects) (local.get $count)))))
         (call $ok (i32.const 0) (i32.const 0))",
    );
    load(&guest)
}

fn load(guest: &[u8]) -> Plugin {
    host().load_bytes("guest", guest, World::Transformer).unwrap()
}

fn run(plugin: &Plugin, call: &Call) -> Result<Vec<Object>, CallError> {
    plugin.transform(&[object("given")], &Value::Null, call)
}

/// What the plugin says is wrong.
fn said(plugin: &Plugin, call: &Call) -> String {
    match run(plugin, call).unwrap_err() {
        CallError::Reported(errors) => errors[0].message.clone(),
        error => panic!("{error}"),
    }
}

fn secret(name: &str, value: &str) -> Grants {
    let value = Sensitive::new(value.as_bytes().to_vec());
    Grants { secrets: Some(Secrets::from_iter([(name.to_owned(), value)])), ..Grants::default() }
}

fn granting(grants: Grants) -> Call {
    Call { grants, ..Call::default() }
}

/// A cluster of objects, or of one answer.
enum Cluster {
    Holds(Vec<Object>),
    Answers(ReadError),
    Hangs,
    Panics,
}

impl Cluster {
    async fn all(&self) -> Result<Vec<Object>, ReadError> {
        match self {
            Self::Holds(objects) => Ok(objects.clone()),
            Self::Answers(error) => Err(error.clone()),
            Self::Hangs => pending().await,
            Self::Panics => panic!("the cluster broke down"),
        }
    }

    fn granted(self) -> Call {
        granting(Grants { cluster: Some(Arc::new(self)), ..Grants::default() })
    }
}

#[async_trait]
impl ClusterReader for Cluster {
    async fn get(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Object>, ReadError> {
        assert_eq!(
            (kind.api_version.as_str(), kind.kind.as_str(), namespace),
            ("v1", "ConfigMap", Some("team"))
        );
        Ok(self.all().await?.into_iter().find(|object| object.name() == name))
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> Result<Vec<Object>, ReadError> {
        assert_eq!((kind.kind.as_str(), namespace, label_selector), ("ConfigMap", None, None));
        self.all().await
    }
}

struct Server(Result<&'static str, HttpError>);

#[async_trait]
impl HttpClient for Server {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        assert_eq!((request.method.as_str(), request.url.as_str()), ("GET", "https://vault.test/"));
        // As a real client does, it needs a runtime with time.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let body = self.0.clone()?.as_bytes().to_vec();
        Ok(HttpResponse { status: 200, headers: vec![("a".to_owned(), b"b".to_vec())], body })
    }
}

struct At(Option<u64>);

impl Clock for At {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.expect("the clock broke down"))
    }
}

#[test]
fn a_plugin_wants_what_it_imports() {
    assert_eq!(teller().wants().iter().collect::<Vec<_>>(), [Capability::Secrets]);
    assert_eq!(reader().wants().missing(&Grants::default()), [Capability::ClusterRead]);
    assert!(teller().wants().missing(&secret("token", "x")).is_empty());
    assert!(load(&identity()).wants().is_empty());
}

// Attack 27 (Plugins): a component that imports more than it is granted.
#[test]
fn what_is_not_granted_is_denied_as_data() {
    let call = Call::default();
    assert_eq!(said(&teller(), &call), "denied");
    assert_eq!(
        said(&reader(), &call),
        "this step is not granted `clusterRead`; name ConfigMap (v1) in its capabilities"
    );
    assert_eq!(said(&sender(), &call), "this step is not granted `http`; name the host in its capabilities");
    assert!(run(&teller_of_time(), &call).unwrap().is_empty());
    assert!(call.used.capabilities().is_empty());
    assert!(call.used.cluster().is_empty());
}

#[test]
fn a_value_that_was_not_handed_over_is_not_found() {
    assert_eq!(said(&teller(), &granting(secret("other", "hunter2"))), "not found");
}

// Attack 27 (Plugins): a plugin prints a secret, in an error and in a log message.
// Attack 18 (secrets): a secret in a log or status.
#[test]
fn the_value_of_a_secret_is_not_shown() {
    let (call, heard) = (granting(secret("token", "hunter2")), Heard::default());
    let listening = heard.listen();
    assert_eq!(said(&teller(), &call), "***");
    drop(listening);
    assert_eq!(call.warnings.take(), ["***"]);
    assert!(heard.text().contains("***") && !heard.text().contains("hunter2"), "{}", heard.text());
    assert_eq!(call.used.capabilities(), BTreeSet::from([Capability::Secrets]));
    assert!(call.used.is_steady());
}

#[test]
fn what_was_read_of_the_cluster_is_recorded() {
    let call = Cluster::Holds(vec![object("settings")]).granted();
    assert_eq!(run(&reader(), &call).unwrap(), [object("settings")]);
    let record = call.used.cluster();
    assert_eq!(record.queries().count(), 1);
    assert!(call.used.is_steady() && record.is_steady());
    let changed = |cluster: Cluster| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(record.first_changed(&cluster)).is_some()
    };
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}});
    assert!(!changed(Cluster::Holds(vec![object("settings"), object("another")])));
    assert!(changed(Cluster::Holds(vec![Object::new(other).unwrap()])));
    assert!(changed(Cluster::Holds(Vec::new())));
    assert!(changed(Cluster::Answers(ReadError::Failed("timeout".to_owned()))));
}

#[test]
fn a_list_does_not_depend_on_the_order_of_the_api_server() {
    let (one, other) = (object("a"), object("b"));
    let call = Cluster::Holds(vec![other.clone(), one.clone()]).granted();
    assert_eq!(run(&lister(), &call).unwrap(), [one.clone(), other.clone()]);
    let again = Cluster::Holds(vec![one, other]).granted();
    run(&lister(), &again).unwrap();
    assert_eq!(call.used.cluster(), again.used.cluster());
}

#[rstest::rstest]
#[case::forbidden(ReadError::Forbidden("configmaps is forbidden".to_owned()), "configmaps is forbidden", true)]
#[case::failed(ReadError::Failed("the API server is gone".to_owned()), "the API server is gone", false)]
fn a_read_that_fails_is_told_and_kept_only_when_it_would_fail_again(
    #[case] error: ReadError,
    #[case] message: &str,
    #[case] steady: bool,
) {
    let call = Cluster::Answers(error).granted();
    assert_eq!(said(&reader(), &call), message);
    assert_eq!(call.used.cluster().is_steady(), steady);
}

#[test]
fn a_request_is_sent_by_the_host() {
    let call = granting(Grants { http: Some(Arc::new(Server(Ok("body")))), ..Grants::default() });
    assert_eq!(said(&sender(), &call), "body");
    assert!(!call.used.is_steady());
    assert_eq!(call.used.usage().answer_bytes, 6);
    let denied = Server(Err(HttpError::Denied("vault.test is not granted".to_owned())));
    let call = granting(Grants { http: Some(Arc::new(denied)), ..Grants::default() });
    assert_eq!(said(&sender(), &call), "vault.test is not granted");
}

#[test]
fn the_time_is_told_by_the_host() {
    let call = granting(Grants { clock: Some(Arc::new(At(Some(1000)))), ..Grants::default() });
    assert_eq!(run(&teller_of_time(), &call).unwrap(), [object("given")]);
    assert!(!call.used.is_steady());
}

// Attack 27 (Plugins): waiting inside a host call, which no epoch ends.
#[test]
fn waiting_for_an_answer_ends_with_the_time_of_the_call() {
    let mut call = Cluster::Hangs.granted();
    call.limits.wall_time = Duration::from_millis(50);
    let error = run(&reader(), &call).unwrap_err();
    assert!(matches!(error, CallError::Limit { which: LimitKind::WallTime, .. }), "{error:?}");
}

#[test]
fn waiting_for_an_answer_ends_when_the_call_is_cancelled() {
    let (call, plugin) = (Cluster::Hangs.granted(), reader());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| run(&plugin, &call));
        call.cancelled.cancel();
        assert!(matches!(waiting.join().unwrap(), Err(CallError::Cancelled)));
    });
}

// Attack 27 (Plugins): a panic in a host function.
#[test]
fn a_panic_of_the_callers_code_stays_there() {
    let call = Cluster::Panics.granted();
    assert_eq!(said(&reader(), &call), "the host could not answer; its log says why");
    assert!(!call.used.cluster().is_steady());
    let call = granting(Grants { clock: Some(Arc::new(At(None))), ..Grants::default() });
    assert!(run(&teller_of_time(), &call).unwrap().is_empty());
    assert_eq!(run(&load(&identity()), &call).unwrap(), [object("given")]);
}

#[test]
fn answers_are_bounded() {
    let mut call = Cluster::Holds(vec![object("settings")]).granted();
    call.limits.answer_bytes = 10;
    let error = run(&reader(), &call).unwrap_err();
    assert!(matches!(error, CallError::Limit { which: LimitKind::AnswerBytes, limit: 10, .. }), "{error:?}");
}

#[tokio::test]
async fn a_caller_with_a_runtime_lends_it() {
    let call = granting(Grants { http: Some(Arc::new(Server(Ok("body")))), ..Grants::default() });
    let plugin = sender();
    let said = tokio::task::spawn_blocking(move || said(&plugin, &call)).await.unwrap();
    assert_eq!(said, "body");
}
