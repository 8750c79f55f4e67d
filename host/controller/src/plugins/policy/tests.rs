#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use insta::assert_snapshot;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::plugins::image::Image;

const LABELS: &str = "oci://r.example/plugins/labels:1";

/// A policy for the namespace `team-a`, with these rules in YAML.
fn policy(name: &str, rules: &str) -> Arc<PluginPolicy> {
    selecting(name, "namespaces: [team-a]", rules)
}

fn selecting(name: &str, selection: &str, rules: &str) -> Arc<PluginPolicy> {
    let spec: serde_json::Value =
        serde_yaml::from_str(&format!("{{{selection}, plugins: [{rules}]}}")).unwrap();
    let object = json!({
        "apiVersion": "plumbline.dev/v1alpha1", "kind": "PluginPolicy", "metadata": {"name": name}, "spec": spec,
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn asks(yaml: &str) -> Capabilities {
    serde_yaml::from_str(&format!("{{{yaml}}}")).unwrap()
}

fn verify(secret: &str) -> OciRepositoryVerification {
    serde_yaml::from_str(&format!("{{provider: cosign, secretRef: {{name: {secret}}}}}")).unwrap()
}

struct Case {
    policies: Vec<Arc<PluginPolicy>>,
    labels: BTreeMap<String, String>,
    of_plugin: bool,
    of_rules: Vec<OciRepositoryVerification>,
}

impl Case {
    fn of(policies: Vec<Arc<PluginPolicy>>) -> Self {
        Self { policies, labels: BTreeMap::new(), of_plugin: true, of_rules: Vec::new() }
    }

    fn decide(&self, namespace: &str, plugin: &str, asks: &Capabilities) -> Result<Grant, String> {
        let image = plugin.starts_with("oci:").then(|| Image::parse(plugin).unwrap().repository());
        let subject = match &image {
            Some(repository) => Subject::Image(repository),
            None if plugin == KRM => Subject::Krm,
            None => Subject::Builtin(plugin),
        };
        let place = Place { namespace, labels: &self.labels };
        let signatures = Signatures { of_plugin: self.of_plugin, of_rules: &self.of_rules };
        decide(&self.policies, place, subject, signatures, asks).map_err(|denied| denied.to_string())
    }

    fn allows(&self, plugin: &str) -> bool {
        self.decide("team-a", plugin, &Capabilities::default()).is_ok()
    }
}

#[rstest]
#[case::builtin("kustomize", true, true)]
#[case::krm("krm", true, true)]
#[case::signed(LABELS, true, true)]
#[case::unsigned(LABELS, false, false)]
fn without_policies_what_is_built_in_or_signed_may_run(
    #[case] plugin: &str,
    #[case] is_signed: bool,
    #[case] allowed: bool,
) {
    let case = Case { of_plugin: is_signed, ..Case::of(Vec::new()) };
    assert_eq!(case.allows(plugin), allowed);
    assert!(case.decide("team-a", plugin, &asks("clock: true")).is_err(), "and it is handed nothing");
}

#[rstest]
#[case::nothing("", "kustomize", false)]
#[case::builtin("{builtin: kustomize}", "kustomize", true)]
#[case::other("{builtin: kustomize}", "labels", false)]
#[case::all("{builtin: '*'}", "labels", true)]
#[case::krm("{builtin: krm}", "krm", true)]
#[case::krm_is_not_listed("{builtin: kustomize}", "krm", false)]
#[case::image("{image: 'oci://r.example/plugins/*'}", LABELS, true)]
#[case::other_image("{image: 'oci://r.example/others/*'}", LABELS, false)]
#[case::images_are_not_built_in("{builtin: '*'}", LABELS, false)]
#[case::built_in_is_no_image("{image: 'oci://r.example/*'}", "kustomize", false)]
fn where_a_policy_is_only_what_it_lists_may_run(
    #[case] rules: &str,
    #[case] plugin: &str,
    #[case] allowed: bool,
) {
    let case = Case::of(vec![policy("tenants", rules)]);
    assert_eq!(case.allows(plugin), allowed);
    let elsewhere = case.decide("team-b", plugin, &Capabilities::default());
    assert!(elsewhere.is_ok(), "the policy is not for this namespace: {elsewhere:?}");
}

#[rstest]
#[case::all("namespaceSelector: {}", true)]
#[case::label("namespaceSelector: {matchLabels: {tenant: 'true'}}", true)]
#[case::other_label("namespaceSelector: {matchLabels: {tenant: 'false'}}", false)]
#[case::name("namespaces: [team-b, team-a]", true)]
#[case::other_name("namespaces: [team-b]", false)]
#[case::either("namespaces: [team-a], namespaceSelector: {matchLabels: {x: y}}", true)]
#[case::expression("namespaceSelector: {matchExpressions: [{key: tenant, operator: Exists}]}", true)]
#[case::no_expression(
    "namespaceSelector: {matchExpressions: [{key: tenant, operator: DoesNotExist}]}",
    false
)]
fn a_policy_selects_by_name_or_label(#[case] selection: &str, #[case] selects: bool) {
    let labels = BTreeMap::from([("tenant".to_owned(), "true".to_owned())]);
    let case = Case { labels, ..Case::of(vec![selecting("p", selection, "")]) };
    assert_eq!(case.allows("kustomize"), !selects);
}

// Attack 27 (plugins): an unsigned plugin, or one that somebody else signed.
#[rstest]
#[case::nobody("{image: 'oci://r.example/*'}", false, &[], false)]
#[case::allowed("{image: 'oci://r.example/*', unsigned: true}", false, &[], true)]
#[case::by_the_plugin("{image: 'oci://r.example/*'}", true, &[], true)]
#[case::by_the_rule("{image: 'oci://r.example/*', verify: {secretRef: {name: ops}}}", false, &["ops"], true)]
#[case::not_by_the_rule("{image: 'oci://r.example/*', verify: {secretRef: {name: ops}}}", true, &[], false)]
#[case::another_key("{image: 'oci://r.example/*', verify: {secretRef: {name: ops}}}", true, &["dev"], false)]
#[case::both_rules(
    "{image: 'oci://r.example/*', verify: {secretRef: {name: ops}}}, {image: 'oci://r.example/plugins/*', verify: {secretRef: {name: dev}}}",
    true, &["ops", "dev"], true
)]
#[case::one_of_both_rules(
    "{image: 'oci://r.example/*', verify: {secretRef: {name: ops}}}, {image: 'oci://r.example/plugins/*', verify: {secretRef: {name: dev}}}",
    true, &["ops"], false
)]
#[case::unsigned_does_not_lift_another_rule(
    "{image: 'oci://r.example/*', unsigned: true}, {image: 'oci://r.example/plugins/*', verify: {secretRef: {name: dev}}}",
    false, &[], false
)]
fn every_signature_that_is_asked_for_has_to_be_there(
    #[case] rules: &str,
    #[case] of_plugin: bool,
    #[case] of_rules: &[&str],
    #[case] allowed: bool,
) {
    let of_rules = of_rules.iter().map(|secret| verify(secret)).collect();
    let case = Case { of_plugin, of_rules, ..Case::of(vec![policy("tenants", rules)]) };
    assert_eq!(case.allows(LABELS), allowed);
}

#[rstest]
#[case::nothing("", "", true)]
#[case::secrets("secrets: true", "secrets: [{name: t, secretRef: {name: s}}]", true)]
#[case::no_secrets("clock: true", "secrets: [{name: t, secretRef: {name: s}}]", false)]
#[case::clock("clock: true", "clock: true", true)]
#[case::random("random: true", "random: true", true)]
#[case::no_random("clock: true", "random: true", false)]
#[case::no_clock("secrets: true", "clock: true", false)]
#[case::own_namespace(
    "clusterRead: [{apiVersion: v1, kind: ConfigMap}]",
    "clusterRead: [{apiVersion: v1, kind: ConfigMap}]",
    true
)]
#[case::own_namespace_by_name(
    "clusterRead: [{apiVersion: v1, kind: ConfigMap}]",
    "clusterRead: [{apiVersion: v1, kind: ConfigMap, namespaces: [team-a]}]",
    true
)]
#[case::other_namespace(
    "clusterRead: [{apiVersion: v1, kind: ConfigMap}]",
    "clusterRead: [{apiVersion: v1, kind: ConfigMap, namespaces: [team-a, team-b]}]",
    false
)]
#[case::all_namespaces(
    "clusterRead: [{apiVersion: v1, kind: ConfigMap, namespaces: [team-a, team-b]}]",
    "clusterRead: [{apiVersion: v1, kind: ConfigMap, namespaces: ['*']}]",
    false
)]
#[case::any_namespace(
    "clusterRead: [{apiVersion: v1, kind: ConfigMap, namespaces: ['*']}]",
    "clusterRead: [{apiVersion: v1, kind: ConfigMap, namespaces: [kube-system]}]",
    true
)]
#[case::other_kind(
    "clusterRead: [{apiVersion: v1, kind: ConfigMap}]",
    "clusterRead: [{apiVersion: v1, kind: Secret}]",
    false
)]
#[case::other_group(
    "clusterRead: [{apiVersion: v1, kind: ConfigMap}]",
    "clusterRead: [{apiVersion: x.example/v1, kind: ConfigMap}]",
    false
)]
#[case::any_kind(
    "clusterRead: [{apiVersion: v1, kind: '*'}]",
    "clusterRead: [{apiVersion: v1, kind: Service}]",
    true
)]
#[case::asks_for_any_kind(
    "clusterRead: [{apiVersion: v1, kind: ConfigMap}]",
    "clusterRead: [{apiVersion: v1, kind: '*'}]",
    false
)]
#[case::host("http: [{host: a.example}]", "http: [{host: A.example}]", true)]
#[case::other_host("http: [{host: a.example}]", "http: [{host: a.example.evil}]", false)]
#[case::below("http: [{host: '*.a.example'}]", "http: [{host: x.y.a.example}]", true)]
#[case::itself("http: [{host: '*.a.example'}]", "http: [{host: a.example}]", false)]
#[case::looks_like_below("http: [{host: '*.a.example'}]", "http: [{host: evil-a.example}]", false)]
#[case::below_below("http: [{host: '*.a.example'}]", "http: [{host: '*.x.a.example'}]", true)]
#[case::above("http: [{host: '*.x.a.example'}]", "http: [{host: '*.a.example'}]", false)]
#[case::address("http: [{host: '*.0.0.1'}]", "http: [{host: 127.0.0.1}]", false)]
#[case::port("http: [{host: a.example}]", "http: [{host: a.example, port: 443}]", true)]
#[case::other_port("http: [{host: a.example}]", "http: [{host: a.example, port: 22}]", false)]
#[case::plain(
    "http: [{host: a.example, port: 443}]",
    "http: [{host: a.example, port: 443, insecure: true}]",
    false
)]
#[case::private("http: [{host: a.example}]", "http: [{host: a.example, allowPrivateAddresses: true}]", false)]
#[case::not_private(
    "http: [{host: a.example, allowPrivateAddresses: true}]",
    "http: [{host: a.example}]",
    true
)]
fn a_step_hands_over_what_a_rule_allows(#[case] allows: &str, #[case] asked: &str, #[case] allowed: bool) {
    let rules = format!("{{image: '{}', capabilities: {{{allows}}}}}", LABELS.trim_end_matches(":1"));
    let case = Case::of(vec![policy("tenants", &rules)]);
    let decided = case.decide("team-a", LABELS, &asks(asked));
    assert_eq!(decided.is_ok(), allowed, "{decided:?}");
}

#[test]
fn what_rules_allow_adds_up_and_the_lowest_limit_counts() {
    let case = Case::of(vec![
        policy("one", "{builtin: '*', capabilities: {clock: true}, limits: {memory: 128Mi, wallTime: 1m}}"),
        policy(
            "two",
            "{builtin: labels, capabilities: {secrets: true}, limits: {memory: 1Gi, wallTime: 10s}}",
        ),
    ]);
    let asked = asks("clock: true, secrets: [{name: t, secretRef: {name: s}}]");
    let grant = case.decide("team-a", "labels", &asked).unwrap();
    assert_eq!(grant.capabilities, asked);
    assert_eq!(grant.limits, serde_yaml::from_str("{memory: 128Mi, wallTime: 10s}").unwrap());
    assert!(case.decide("team-a", "kustomize", &asked).is_err(), "the rule for labels is for labels");
}

#[test]
fn a_grant_is_what_the_step_asks_for() {
    let case = Case::of(vec![policy(
        "tenants",
        "{builtin: labels, capabilities: {secrets: true, clock: true, clusterRead: [{apiVersion: '*', kind: '*', namespaces: ['*']}]}}",
    )]);
    let asked = asks("clusterRead: [{apiVersion: v1, kind: ConfigMap}]");
    let grant = case.decide("team-a", "labels", &asked).unwrap();
    assert_eq!(
        grant.capabilities,
        asks("clusterRead: [{apiVersion: v1, kind: ConfigMap, namespaces: [team-a]}]")
    );
}

// Attack 28 (plugins): the grant of one tenant, used by another.
#[test]
fn a_grant_is_of_its_namespaces() {
    let rules = "{image: 'oci://r.example/plugins/*', capabilities: {secrets: true}}";
    let case = Case::of(vec![
        policy("team-a", rules),
        selecting("all", "namespaceSelector: {}", "{image: 'oci://r.example/*'}"),
    ]);
    let asked = asks("secrets: [{name: token, secretRef: {name: api}}]");
    assert!(case.decide("team-a", LABELS, &asked).is_ok());
    assert!(case.decide("team-b", LABELS, &Capabilities::default()).is_ok());
    assert_snapshot!(case.decide("team-b", LABELS, &asked).unwrap_err(), @"no PluginPolicy allows steps of the namespace 'team-b' to hand values of Secrets to the plugin oci://r.example/plugins/labels; add `secrets: true` to capabilities of spec.plugins[0] of PluginPolicy 'all', or remove it from the step");
}

#[rstest]
#[case::secrets("secrets: [{name: t, secretRef: {name: s}}]")]
#[case::cluster("clusterRead: [{apiVersion: v1, kind: ConfigMap}]")]
#[case::http("http: [{host: a.example}]")]
#[case::clock("clock: true")]
fn a_krm_function_is_never_handed_anything(#[case] asked: &str) {
    let all = "{secrets: true, clock: true, http: [{host: a.example}], clusterRead: [{apiVersion: v1, kind: ConfigMap}]}";
    let case = Case::of(vec![policy("tenants", &format!("{{builtin: krm, capabilities: {all}}}"))]);
    let denied = case.decide("team-a", KRM, &asks(asked)).unwrap_err();
    assert!(denied.starts_with("a KRM function of a source is never handed anything"), "{denied}");
}

#[test]
fn a_policy_that_cannot_be_understood_denies() {
    let selection = "namespaceSelector: {matchExpressions: [{key: a, operator: Near}]}";
    let case = Case::of(vec![selecting("odd", selection, "{builtin: '*'}")]);
    let denied = case.decide("team-a", "kustomize", &Capabilities::default()).unwrap_err();
    assert!(
        denied.starts_with("spec.namespaceSelector of PluginPolicy 'odd' cannot be understood"),
        "{denied}"
    );
}

#[test]
fn a_message_names_what_to_change() {
    let message = |rules: &[&str], plugin: &str, of_plugin: bool, asked: &str| {
        let policies =
            rules.iter().enumerate().map(|(index, rules)| policy(&format!("p{index}"), rules)).collect();
        let case = Case { of_plugin, ..Case::of(policies) };
        case.decide("team-a", plugin, &asks(asked)).unwrap_err()
    };
    let rule = "{image: 'oci://r.example/plugins/*'}";
    let read = "clusterRead: [{apiVersion: apps/v1, kind: Deployment, namespaces: [web]}]";
    assert_snapshot!(message(&[rule, ""], "kustomize", true, ""), @"the built-in plugin kustomize may not run in the namespace 'team-a': no rule of PluginPolicy 'p0', 'p1' is for it; add `builtin: kustomize` to spec.plugins of one");
    assert_snapshot!(message(&[], LABELS, false, ""), @"nobody says who must have signed the plugin oci://r.example/plugins/labels; set spec.verify of the Plugin, or make a PluginPolicy for the namespace 'team-a' with the rule `image: oci://r.example/plugins/labels` and `unsigned: true`");
    assert_snapshot!(message(&[rule], LABELS, false, ""), @"nobody says who must have signed the plugin oci://r.example/plugins/labels; set spec.verify of the Plugin, or set verify or unsigned in spec.plugins[0] of PluginPolicy 'p0'");
    assert_snapshot!(message(&["{image: 'oci://r.example/*', verify: {secretRef: {name: ops}}}"], LABELS, true, ""), @"the plugin oci://r.example/plugins/labels has not been found to be signed as verify of spec.plugins[0] of PluginPolicy 'p0' asks");
    assert_snapshot!(message(&[], "labels", true, "clock: true"), @"no PluginPolicy allows steps of the namespace 'team-a' to hand the clock to the built-in plugin labels; make a PluginPolicy for the namespace with the rule `builtin: labels` and `clock: true` in its capabilities, or remove it from the step");
    assert_snapshot!(message(&["{builtin: kustomize}, {builtin: labels}"], "labels", true, "secrets: [{name: t, secretRef: {name: s}}]"), @"no PluginPolicy allows steps of the namespace 'team-a' to hand values of Secrets to the built-in plugin labels; add `secrets: true` to capabilities of spec.plugins[1] of PluginPolicy 'p0', or remove it from the step");
    assert_snapshot!(message(&[rule], LABELS, true, read), @r#"no PluginPolicy allows steps of the namespace 'team-a' to hand apps/v1 Deployment of the namespace 'web' to the plugin oci://r.example/plugins/labels; add `clusterRead: [{"apiVersion":"apps/v1","kind":"Deployment","namespaces":["web"]}]` to capabilities of spec.plugins[0] of PluginPolicy 'p0', or remove it from the step"#);
    assert_snapshot!(message(&[rule], LABELS, true, "http: [{host: vault.example, port: 8200}]"), @r#"no PluginPolicy allows steps of the namespace 'team-a' to hand requests to vault.example on port 8200 to the plugin oci://r.example/plugins/labels; add `http: [{"host":"vault.example","port":8200}]` to capabilities of spec.plugins[0] of PluginPolicy 'p0', or remove it from the step"#);
}
