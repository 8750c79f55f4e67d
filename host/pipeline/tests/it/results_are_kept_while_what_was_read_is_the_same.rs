use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use plumb_api::{Object, Sensitive};
use plumb_pipeline::{Engine, Origin, Step};
use plumb_plugin::{ClusterReader, Grants, ObjectKind, ReadError, Secrets, SystemClock, World};
use serde_json::{Value, json};

use crate::guest::transformer;
use crate::steps::{config, load, making, names, passing, render_as};

/// A cluster with one object, which counts how often it is asked.
struct Cluster {
    object: Mutex<Object>,
    asked: AtomicUsize,
}

impl Cluster {
    fn of(name: &str) -> Arc<Self> {
        let object = Mutex::new(Object::new(config(name)).unwrap());
        Arc::new(Self { object, asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl ClusterReader for Cluster {
    async fn get(&self, _: &ObjectKind, _: Option<&str>, _: &str) -> Result<Option<Object>, ReadError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.object.lock().clone()))
    }

    async fn list(&self, _: &ObjectKind, _: Option<&str>, _: Option<&str>) -> Result<Vec<Object>, ReadError> {
        self.get(&ObjectKind { api_version: String::new(), kind: String::new() }, None, "")
            .await
            .map(Vec::from_iter)
    }
}

/// A transformer that returns what the cluster holds.
fn reading(cluster: &Arc<Cluster>) -> Step {
    let guest = transformer(
        r#"(import "plumbline:plugin/cluster-read@0.1.0" "get"
            (func $get (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
        r#"(data (i32.const 1024) "v1ConfigMapteamsettings")"#,
        "(call $get (i32.const 1024) (i32.const 2) (i32.const 1026) (i32.const 9)
           (i32.const 1) (i32.const 1035) (i32.const 4) (i32.const 1039) (i32.const 8) (i32.const 64))
         (call $one (i32.load (i32.const 72)) (i32.load (i32.const 76)))
         (call $ok (i32.const 32) (i32.const 1))",
    );
    let mut step = Step::new("reader", load("reader", &guest, World::Transformer), Value::Null);
    step.grants = Grants { cluster: Some(cluster.clone()), ..Grants::default() };
    step
}

#[test]
fn an_object_of_the_cluster_that_changes_is_read_again() {
    let (engine, cluster) = (Engine::default(), Cluster::of("before"));
    let steps = [making("a", config("one")), reading(&cluster)];
    let first = render_as(&engine, "me", &steps).unwrap();
    assert_eq!(names(&first), ["before"]);
    assert_eq!(first.asked.len(), 1, "whoever watches it is told what was read");
    let again = render_as(&engine, "me", &steps).unwrap();
    assert_eq!(again.origin, Origin::Cache, "nothing has changed");
    assert_eq!((again.objects, again.asked), (first.objects, first.asked));
    *cluster.object.lock() = Object::new(config("after")).unwrap();
    assert_eq!(names(&render_as(&engine, "me", &steps).unwrap()), ["after"]);
    assert_eq!(
        cluster.asked.load(Ordering::Relaxed),
        4,
        "to render, and before each further use of the result, and to render"
    );
}

// Attack 27 (Plugins): a side channel through shared cache keys.
#[test]
fn results_are_never_shared_between_askers() {
    let engine = Engine::default();
    let steps = [making("a", config("one"))];
    let origin = |scope: &str| render_as(&engine, scope, &steps).unwrap().origin;
    assert_eq!(origin("Pipeline/team-a/shop"), Origin::Plugins);
    assert_eq!(origin("Pipeline/team-b/shop"), Origin::Plugins);
    assert_eq!(origin("Pipeline/team-a/shop"), Origin::Cache);
}

// Attack 28 (Plugins): a grant that was taken away, and a result that was made with it.
#[test]
fn a_result_is_not_used_with_other_grants_and_secrets() {
    let engine = Engine::default();
    let granted = |grants: Grants| {
        let mut pass = passing("pass");
        pass.grants = grants;
        render_as(&engine, "me", &[making("a", config("one")), pass]).unwrap().origin
    };
    let secret = |value: &str| Grants {
        secrets: Some(Secrets::from_iter([("k".to_owned(), Sensitive::new(value.as_bytes().to_vec()))])),
        ..Grants::default()
    };
    assert_eq!(granted(secret("a")), Origin::Plugins);
    assert_eq!(granted(secret("a")), Origin::Cache);
    assert_eq!(granted(secret("b")), Origin::Plugins, "another value");
    assert_eq!(granted(Grants::default()), Origin::Plugins, "no grant");
}

#[test]
fn what_was_made_with_the_clock_is_not_kept() {
    let guest = transformer(
        r#"(import "plumbline:plugin/clock@0.1.0" "now" (func $now (param i32)))"#,
        "",
        "(call $now (i32.const 64)) (call $ok (local.get $objects) (local.get $count))",
    );
    let mut clock = Step::new("clock", load("clock", &guest, World::Transformer), json!({}));
    clock.grants = Grants { clock: Some(Arc::new(SystemClock)), ..Grants::default() };
    let (engine, steps) = (Engine::default(), [making("a", config("one")), clock]);
    let made = [(); 2].map(|()| render_as(&engine, "me", &steps).unwrap().origin);
    assert_eq!(made, [Origin::Plugins; 2]);
}
