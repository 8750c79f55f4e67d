use std::collections::BTreeMap;

use plumb_api::{PipelineSpec, PluginLimits, Sensitive, ValuesKind};
use plumb_pipeline::{Code, Data, Plugins, Provided, Situation, Spec, StepSpec, Steps, Unavailable, Values};
use plumb_plugin::{Grants, Secrets, World};

use crate::guest::{identity, transformer};
use crate::steps::load;

/// Provides plugins that change nothing; `wanting` wants secrets.
struct Shelf;

impl Plugins for Shelf {
    fn provide(
        &self,
        step: &StepSpec,
        secrets: BTreeMap<String, Sensitive<Vec<u8>>>,
    ) -> Result<Provided, Unavailable> {
        let wanting = || {
            transformer(
                r#"(import "plumbline:plugin/secrets@0.1.0" "names" (func $names (param i32)))"#,
                "",
                "(call $names (i32.const 64)) (call $ok (local.get $objects) (local.get $count))",
            )
        };
        let bytes = match step.plugin.as_str() {
            "plain" => identity(),
            "wanting" => wanting(),
            "coming" => return Err(Unavailable::NotYet("the Plugin coming is being fetched".to_owned())),
            other => return Err(Unavailable::Refused(format!("there is no plugin {other:?}"))),
        };
        let secrets = (!secrets.is_empty()).then(|| Secrets::from_iter(secrets));
        let plugin = Code::Plugin(load(step.plugin.as_str(), &bytes, World::Transformer));
        let limits: PluginLimits = serde_yaml::from_str("{memory: 64Mi}").unwrap();
        Ok(Provided { plugin, limits, grants: Grants { secrets, ..Grants::default() } })
    }
}

fn spec(steps: &str) -> Spec {
    let text = format!("{{sourceRef: {{kind: GitRepository, name: a}}, interval: 5m, steps: [{steps}]}}");
    Spec::from(&serde_yaml::from_str::<PipelineSpec>(&text).unwrap())
}

fn situation() -> Situation {
    Situation {
        kind: "Pipeline".into(),
        namespace: "team-a".into(),
        name: "shop".into(),
        source_kind: "GitRepository".into(),
        source_namespace: "team-a".into(),
        source_name: "a".into(),
        revision: Some("main@sha1:ab".into()),
        digest: None,
    }
}

fn values() -> Values {
    let data: Data = [("token".to_owned(), Sensitive::new(b"hunter2".to_vec()))].into();
    let mut values = Values::default();
    values.insert(ValuesKind::Secret, "api", data);
    values
}

fn planned(steps: &str) -> Result<Vec<plumb_pipeline::Step>, String> {
    let steps = Steps::read(&spec(steps)).map_err(|error| error.to_string())?;
    steps.plan(&situation(), &values(), &Shelf).map_err(|error| error.to_string())
}

#[test]
fn steps_whose_condition_is_false_are_left_out() {
    let steps = planned(
        "{name: a, plugin: plain, when: \"source.ref == 'main'\"}, {name: b, plugin: plain, when: \"source.ref == 'dev'\"}, \
         {name: c, plugin: nowhere, when: \"pipeline.namespace != 'team-a'\"}",
    );
    let steps = steps.unwrap();
    assert_eq!(steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn the_lower_of_the_limits_of_step_and_plugin_counts() {
    let steps = planned("{plugin: plain, limits: {memory: 1Gi, wallTime: 3s}}").unwrap();
    let limits: PluginLimits = serde_yaml::from_str("{memory: 64Mi, wallTime: 3s}").unwrap();
    assert_eq!(steps[0].limits, limits);
}

#[test]
fn every_mistake_that_needs_no_cluster_is_told_when_the_steps_are_read() {
    let mistakes = planned(
        "{plugin: plain}, {plugin: plain}, {name: b, plugin: plain, when: 'source.revisoin'}, \
         {name: c, plugin: plain, withFrom: [{kind: Secret, name: api, key: token, to: '/a~2'}]}, {plugin: krm}",
    );
    insta::assert_snapshot!(mistakes.err().unwrap(), @r#"
    step "plain": another step has the same name; give each step that uses the same plugin a name of its own
    step "b": when: there is no field `source.revisoin`; is `source.revision` meant?
    step "c": withFrom: "/a~2" is not a JSON Pointer (RFC 6901): it starts with / and writes ~ as ~0 and / as ~1
    step "krm": with.module is missing: it names the file of the KRM function in the source, for example functions/set.wasm
    "#);
}

// Attack 27 (Plugins): a component that imports more than it was granted.
#[test]
fn every_mistake_of_the_rest_is_told_before_anything_runs() {
    let mistakes = planned(
        "{name: a, plugin: plain, when: 'source.digest == \"\"'}, {name: b, plugin: nowhere}, {name: c, plugin: wanting}, \
         {name: d, plugin: plain, withFrom: [{kind: ConfigMap, name: none}], capabilities: {secrets: [{name: x, secretRef: {name: api}}]}}, \
         {name: e, plugin: wanting, capabilities: {secrets: [{name: x, secretRef: {name: api, key: token}}]}}, {plugin: coming}",
    );
    insta::assert_snapshot!(mistakes.err().unwrap(), @r#"
    step "a": when: `source.digest == ""`: there is no `digest`; guard it with has() if it may be missing
    step "b": there is no plugin "nowhere"
    step "c": the plugin wanting asks for secrets, and the step does not hand it over; add for example capabilities: {secrets: [{name: token, secretRef: {name: my-secret, key: token}}]}
    step "d": withFrom: ConfigMap none does not exist; create it, or set optional: true
    step "d": capabilities.secrets: Secret api has no key "x"; add it, or set optional: true
    step "coming": the Plugin coming is being fetched
    "#);
}
