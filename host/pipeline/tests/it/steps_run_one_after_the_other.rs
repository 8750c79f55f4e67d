use plumb_api::PluginLimits;
use plumb_pipeline::Step;
use plumb_plugin::{Grants, HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::json;

use crate::steps::{config, judging, making, names, passing, render, telling};

fn error(steps: &[Step]) -> String {
    render(steps).unwrap_err().to_string()
}

#[test]
fn a_later_renderer_adds_its_objects() {
    let rendered =
        render(&[making("a", config("one")), passing("pass"), making("b", config("two"))]).unwrap();
    assert_eq!(names(&rendered), ["one", "two"]);
}

#[test]
fn what_a_step_makes_for_the_others_only_is_not_applied() {
    let for_others = |object| Step { apply: false, ..making("definitions", object) };
    let rendered =
        render(&[for_others(config("one")), making("apps", config("two")), passing("pass")]).unwrap();
    assert_eq!(names(&rendered), ["two"]);
    // The others see it: the judge tells what is first.
    let steps = [for_others(config("one")), making("apps", config("two")), judging("policy", 0)];
    assert!(error(&steps).starts_with("step \"policy\": ConfigMap/one"), "{}", error(&steps));
    let twice = [for_others(config("one")), making("apps", config("one"))];
    assert!(error(&twice).contains("is made by step \"definitions\" already"), "{}", error(&twice));
    let none = Step { apply: false, ..passing("pass") };
    assert_eq!(
        error(&[making("apps", config("one")), none]),
        "step \"pass\" cannot run: its plugin is for the world transformer, and a renderer, because of `apply: false`, is \
         wanted there"
    );
}

// Attack 15 (Rendering): the same key twice, where the keys are objects.
#[test]
fn an_object_that_is_made_twice_names_both_steps() {
    let steps = [making("apps", config("one")), passing("pass"), making("more", config("one"))];
    assert_eq!(
        error(&steps),
        "step \"more\": ConfigMap/one is made by step \"apps\" already; take it out of one of them"
    );
}

#[test]
fn validators_that_follow_each_other_all_have_their_say() {
    let steps = [making("a", config("one")), judging("first", 0), judging("hint", 1), judging("second", 0)];
    insta::assert_snapshot!(error(&steps), @r#"
    step "first": ConfigMap/one /data/a: it is not right (rule log-level)
    step "second": ConfigMap/one /data/a: it is not right (rule log-level)
    "#);
}

#[test]
fn what_must_not_be_applied_goes_to_no_later_step() {
    let steps = [making("a", config("one")), judging("policy", 0), telling("teller", "")];
    assert!(error(&steps).starts_with("step \"policy\""));
}

#[test]
fn a_warning_stops_nothing() {
    let rendered = render(&[making("a", config("one")), judging("policy", 1)]).unwrap();
    assert_eq!(names(&rendered), ["one"]);
    assert_eq!(
        rendered.warnings,
        ["step \"policy\": ConfigMap/one /data/a: it is not right (rule log-level)"]
    );
}

#[test]
fn the_first_step_makes_objects() {
    assert_eq!(
        error(&[passing("pass")]),
        "step \"pass\" cannot run: its plugin is for the world transformer, and a renderer, because it is the first step, \
         is wanted there"
    );
    assert_eq!(error(&[]), "there is nothing to render: no step is left to run");
}

// Attack 27 (Plugins): an output that is larger than the step allows.
#[test]
fn a_step_is_held_to_its_own_limits() {
    let mut large = making(
        "large",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
        "data": {"a": "x".repeat(100_000)}}),
    );
    large.limits = serde_json::from_value::<PluginLimits>(json!({"output": "64Ki"})).unwrap();
    let error = error(&[large]);
    assert!(error.starts_with("step \"large\": the plugin went over its limit of output"), "{error}");
}

const SEND: &str = r#"(import "plumbline:plugin/http@0.1.0" "send"
    (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

struct Nowhere;

#[async_trait::async_trait]
impl HttpClient for Nowhere {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::Failed("nothing is sent".to_owned()))
    }
}

// Attack 18 (Secrets): a decrypted Secret is handed to a later plugin that could send it away.
#[test]
fn a_step_that_may_send_requests_sees_no_values_of_secrets() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hunter2"}});
    let mut teller = telling("teller", SEND);
    teller.grants = Grants { http: Some(std::sync::Arc::new(Nowhere)), ..Grants::default() };
    let told = error(&[making("a", secret.clone()), teller]);
    assert!(told.contains("\"stringData\"") && !told.contains("hunter2"), "{told}");
    let told = error(&[making("a", secret), telling("teller", "")]);
    assert!(told.contains("hunter2"), "this is how the other would have told it: {told}");
}
