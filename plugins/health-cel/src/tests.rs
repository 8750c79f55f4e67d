#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use plumbline_plugin::{ErrorKind, Errors, Object, Report, Status};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::judge::Compiled;
use crate::{Parameters, Rule, check};

/// A file of `rules/`.
#[derive(Deserialize)]
struct Pack {
    operator: String,
    rules: Vec<Rule>,
}

/// An entry of a file of `tests/cases`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Cases {
    api_version: String,
    kinds: Vec<String>,
    #[serde(default)]
    current: Vec<Case>,
    #[serde(default)]
    in_progress: Vec<Case>,
    #[serde(default)]
    failed: Vec<Case>,
}

/// An object, in part.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
    #[serde(default)]
    spec: Option<Value>,
    #[serde(default)]
    status: Option<BTreeMap<String, Value>>,
    /// `status.conditions` by their types: the status, the reason and the message, each but the last a word; `-` is none.
    #[serde(default)]
    conditions: BTreeMap<String, String>,
    /// `observedGeneration` of each of these conditions.
    #[serde(default)]
    observed: Option<i64>,
    /// The message.
    #[serde(default)]
    says: Option<String>,
}

impl Case {
    fn object(&self, api_version: &str, kind: &str) -> Object {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": self.metadata});
        object["metadata"]["name"] = json!("a");
        if let Some(spec) = &self.spec {
            object["spec"] = spec.clone();
        }
        if let Some(status) = &self.status {
            object["status"] = json!(status);
        }
        if !self.conditions.is_empty() {
            object["status"]["conditions"] =
                self.conditions.iter().map(|(type_, text)| self.condition(type_, text)).collect();
        }
        Object::new(object).unwrap()
    }

    fn condition(&self, type_: &str, text: &str) -> Value {
        let mut condition = json!({"type": type_});
        for (field, word) in ["status", "reason", "message"].into_iter().zip(text.splitn(3, ' ')) {
            if word != "-" {
                condition[field] = json!(word);
            }
        }
        if let Some(observed) = self.observed {
            condition["observedGeneration"] = json!(observed);
        }
        condition
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn packs() -> Vec<Pack> {
    files("rules").iter().map(|path| read(path)).collect()
}

fn cases() -> Vec<Cases> {
    files("tests/cases").iter().flat_map(|path| read::<Vec<Cases>>(path)).collect()
}

fn report(object: &Object) -> Report {
    check(object, Parameters::default()).unwrap_or_else(|errors| panic!("{errors:?}: {}", object.to_json()))
}

#[test]
fn every_case_is_judged_as_it_says() {
    let mut wrong = Vec::new();
    for Cases { api_version, kinds, current, in_progress, failed } in cases() {
        let expected =
            [(Status::Current, current), (Status::InProgress, in_progress), (Status::Failed, failed)];
        for (kind, (status, case)) in kinds.iter().flat_map(|kind| {
            expected
                .iter()
                .flat_map(move |(status, cases)| cases.iter().map(move |case| (kind, (*status, case))))
        }) {
            let object = case.object(&api_version, kind);
            let report = report(&object);
            let says = case.says.as_deref().unwrap_or(&report.message);
            if report.status != status || report.message != says {
                wrong.push(format!(
                    "{kind}: expected {status:?} {says:?}, found {report:?} of {}",
                    object.to_json()
                ));
            }
            assert_eq!(report.message.is_empty(), report.status == Status::Current, "{kind}: {report:?}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a rule can say, a case shows.
#[test]
fn every_state_of_every_rule_has_a_case() {
    let cases = cases();
    for rule in packs().iter().flat_map(|pack| &pack.rules) {
        let named: Vec<&str> = rule.kinds().collect();
        let kinds: Vec<Option<&str>> =
            if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() };
        for kind in kinds {
            let entry = cases.iter().find(|cases| {
                let group = cases.api_version.split_once('/').unwrap().0;
                cases
                    .kinds
                    .iter()
                    .any(|other| rule.is_for(group, other) && kind.is_none_or(|kind| kind == other))
            });
            let what = format!("{} {kind:?}", rule.api_version);
            let cases = entry.unwrap_or_else(|| panic!("{what} has no cases"));
            assert!(!cases.current.is_empty(), "{what} has no current case");
            assert_eq!(cases.failed.is_empty(), rule.failed.is_none(), "{what}: failed cases");
            assert_eq!(cases.in_progress.is_empty(), rule.current == "true", "{what}: cases in progress");
        }
    }
}

#[test]
fn what_nobody_has_looked_at_is_on_its_way() {
    for cases in cases().iter().filter(|cases| !cases.in_progress.is_empty()) {
        for kind in &cases.kinds {
            let object = json!({"apiVersion": cases.api_version, "kind": kind, "metadata": {"name": "a"}});
            // A kind that is not looked after: `ProviderConfig`, …
            if cases
                .current
                .iter()
                .any(|case| case.status.is_none() && case.conditions.is_empty() && case.spec.is_none())
            {
                continue;
            }
            let report = report(&Object::new(object).unwrap());
            assert_eq!(
                report,
                Report::new(Status::InProgress, "nothing has looked after it yet: it has no status"),
                "{kind}"
            );
        }
    }
}

#[test]
fn an_older_generation_and_a_deletion_count_for_every_kind() {
    for cases in cases() {
        let mut case = cases.current[0].clone();
        case.metadata.insert("generation".to_owned(), json!(8));
        case.status.get_or_insert_default().insert("observedGeneration".to_owned(), json!(7));
        let report = report(&case.object(&cases.api_version, &cases.kinds[0]));
        assert_eq!(report.status, Status::InProgress, "{:?}", cases.kinds);
        case.metadata.insert("deletionTimestamp".to_owned(), json!("2026-01-01T00:00:00Z"));
        let report = self::report(&case.object(&cases.api_version, &cases.kinds[0]));
        assert_eq!(report.status, Status::Terminating, "{:?}", cases.kinds);
    }
}

/// A misspelt variable would never be true.
#[test]
fn the_pack_uses_no_variable_that_there_is_not() {
    for rule in packs().iter().flat_map(|pack| &pack.rules) {
        let object = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "a"}});
        let compiled = Compiled::read(rule).unwrap();
        compiled.check(rule, &Object::new(object).unwrap()).unwrap();
    }
}

#[test]
fn the_documentation_lists_every_kind_of_the_pack() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugins/builtin/health-cel.md");
    let page = fs::read_to_string(page).unwrap();
    let mut expected = String::new();
    for pack in packs() {
        let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for rule in &pack.rules {
            let of_group = kinds.entry(rule.group()).or_default();
            of_group.extend(rule.kinds());
            if rule.kinds().next().is_none() {
                of_group.insert("*");
            }
        }
        let groups = kinds.iter().map(|(group, kinds)| {
            let kinds: Vec<String> = kinds
                .iter()
                .map(|kind| if *kind == "*" { "all kinds".to_owned() } else { format!("`{kind}`") })
                .collect();
            format!("`{group}`: {}", kinds.join(", "))
        });
        expected += &format!("| {} | {} |\n", pack.operator, groups.collect::<Vec<_>>().join("<br>"));
    }
    assert!(
        page.contains(&expected),
        "the table of docs/plugins/builtin/health-cel.md has to be\n{expected}"
    );
}

fn database(status: Value) -> Object {
    Object::new(json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "a"}, "status": status})).unwrap()
}

fn given(rules: Value) -> Parameters {
    serde_json::from_value(json!({ "rules": rules })).unwrap()
}

#[test]
fn a_kind_without_a_rule_is_not_judged() {
    let errors = check(&database(json!({})), Parameters::default()).unwrap_err();
    assert_eq!(errors.as_slice()[0].kind, ErrorKind::Unsupported);
}

#[test]
fn rules_of_ones_own_go_before_the_pack() {
    let rule = json!([{"apiVersion": "example.com/v1", "kind": "Database", "failed": "status.state == 'Broken'",
        "current": "status.state == 'Up'", "message": "'it is ' + status.state"}]);
    let judged = |state: &str| check(&database(json!({"state": state})), given(rule.clone())).unwrap();
    assert_eq!(judged("Up"), Report::current());
    assert_eq!(judged("Starting"), Report::new(Status::InProgress, "it is Starting"));
    assert_eq!(judged("Broken"), Report::new(Status::Failed, "it is Broken"));
    let certificate =
        json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "a"}});
    let always = json!([{"apiVersion": "cert-manager.io/v1", "current": "true"}]);
    assert_eq!(check(&Object::new(certificate).unwrap(), given(always)).unwrap(), Report::current());
}

/// Never current: whether it is well is not known.
#[test]
fn a_rule_that_cannot_be_evaluated_cannot_tell() {
    let rule =
        json!([{"apiVersion": "example.com/v1", "kind": "Database", "current": "status.count + 'a' == 'a'"}]);
    let report = check(&database(json!({"count": 1})), given(rule)).unwrap();
    assert_eq!(report.status, Status::Unknown);
    assert!(report.message.starts_with("the rule cannot be evaluated: "), "{}", report.message);
}

fn refused(rules: Value) -> Vec<String> {
    let errors: Errors = check(&database(json!({})), given(rules)).unwrap_err();
    errors.into_iter().map(|error| error.to_string()).collect()
}

#[test]
fn every_mistake_in_a_rule_is_told() {
    let all = refused(
        json!([{"apiVersion": "example.com/v1", "kind": "Database", "current": "(", "failed": "nothing()"}]),
    );
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0], "failed of the rule for Database of example.com: there is no function `nothing`");
    let misspelt = refused(json!([{"apiVersion": "example.com/v1", "current": "stauts.ready"}]));
    assert!(
        misspelt[0].starts_with("the rule for all kinds of example.com: there is no variable `stauts"),
        "{misspelt:?}"
    );
}

// Attack 16 (rendering): macros inside macros over long lists.
#[test]
fn a_rule_that_takes_too_long_cannot_tell() {
    let list: Vec<u32> = (0..2000).collect();
    let rule = json!([{"apiVersion": "example.com/v1", "current": "status.list.all(a, status.list.all(b, status.list.all(c, a + b + c >= 0)))"}]);
    let report = check(&database(json!({ "list": list })), given(rule)).unwrap();
    assert_eq!(report.status, Status::Unknown);
    assert!(report.message.contains("too many steps"), "{}", report.message);
}
