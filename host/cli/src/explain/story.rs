//! What was read, told as a paragraph. Pure.

use plumb_api::{Object, ObjectId};
use plumb_apply::HealthStatus;

use super::objects::{
    Condition, Dependency, condition, dependencies_of, finalizers, health_checks_of, inventory_of,
    is_applier, is_being_deleted, is_ready, is_source, is_true, source_of, text,
};
use super::situation::Situation;
use crate::reader::Read;

/// How many objects a sentence names.
const NAMED: usize = 3;

/// Why an object is not ready: what completes the sentence "it …", and what to do.
struct Why {
    is: String,
    advice: String,
}

impl Why {
    fn new(is: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { is: is.into(), advice: advice.into() }
    }
}

/// Explains.
pub(super) fn tell(situation: &Situation) -> String {
    let subject = &situation.subject;
    let name = human(&subject.id());
    let why = why(situation, subject, &mut Vec::new());
    let mut sentences = match why {
        Some(Why { is, advice }) if is_being_deleted(subject) => {
            vec![format!("{name} {}.", ended(&is)), advice]
        }
        Some(Why { is, advice }) => vec![format!("{name} is not ready: it {}.", ended(&is)), advice],
        None => vec![ready(situation, subject)],
    };
    sentences.extend(remarks(situation, subject));
    sentences.retain(|sentence| !sentence.is_empty());
    sentences.join(" ")
}

/// Why an object is not ready; `None` when it is. `way` holds those that wait for it.
fn why(situation: &Situation, object: &Object, way: &mut Vec<ObjectId>) -> Option<Why> {
    if is_being_deleted(object) {
        return Some(deletion(situation, object));
    }
    if is_true(object, "/spec/suspend") {
        let is = "is suspended, so that nothing is fetched, applied or put back";
        return Some(Why::new(is, format!("Resume it with `plumb resume {}`.", named(object))));
    }
    if is_applier(object) {
        applier(situation, object, way)
    } else if is_source(object) {
        source(situation, object)
    } else {
        other(situation, object)
    }
}

/// An object, as `plumb reconcile` and `plumb resume` take it.
fn named(object: &Object) -> String {
    let id = object.id();
    let kind = match id.group_kind.kind.as_str() {
        "GitRepository" => "source".to_owned(),
        kind => kind.to_lowercase(),
    };
    format!("{kind} {} -n {}", id.name, id.namespace)
}

fn deletion(situation: &Situation, object: &Object) -> Why {
    let since = text(object, "/metadata/deletionTimestamp").unwrap_or_default();
    let (ours, others) = finalizers(object);
    if !others.is_empty() {
        let is =
            format!("is being deleted since {since}, and is held by the finalizer {}", others.join(", "));
        return Why::new(
            is,
            "Whoever put it there has to remove it: the controller that it names may no longer run.",
        );
    }
    if !ours {
        return Why::new(format!("is being deleted since {since}"), "");
    }
    let left: Vec<ObjectId> = inventory_of(object);
    let held: Vec<String> = situation
        .unwell(&left)
        .into_iter()
        .filter(|(_, health)| health.status == HealthStatus::Terminating)
        .map(|(id, health)| format!("{} ({})", human(id), health.message))
        .collect();
    let held = match held.is_empty() {
        true => String::new(),
        false => format!(" These are not gone yet: {}.", listed(&held)),
    };
    let is = format!(
        "is being deleted since {since}, and keeps its finalizer finalizers.fluxcd.io until its objects are gone"
    );
    let said = condition(object, "Ready").filter(|ready| ready.status != "True" && !ready.message.is_empty());
    let said =
        said.map(|ready| format!(" The controller says: {}.", ended(ready.message))).unwrap_or_default();
    let advice = match (held.is_empty(), is_true(object, "/spec/suspend")) {
        (_, true) => " It is suspended, so that its objects stay.".to_owned(),
        (true, _) => " If that goes on, see whether the controller runs.".to_owned(),
        (false, _) => " Whoever put the finalizers there has to remove them.".to_owned(),
    };
    Why::new(is, format!("{held}{said}{advice}").trim().to_owned())
}

fn applier(situation: &Situation, object: &Object, way: &mut Vec<ObjectId>) -> Option<Why> {
    if is_ready(object) {
        return None;
    }
    if let Some(why) = blocking_source(situation, object) {
        return Some(why);
    }
    if let Some(why) = blocking_dependency(situation, object, way) {
        return Some(why);
    }
    let Some(ready) = condition(object, "Ready") else { return Some(unseen(object)) };
    Some(by_reason(situation, object, &ready))
}

fn unseen(object: &Object) -> Why {
    Why::new(
        format!("has no status: no controller has looked at this {} yet", object.kind()),
        "See whether the controller runs, and whether it reconciles this namespace and this kind: `kubectl get pods -n plumbline-system`.",
    )
}

fn blocking_source(situation: &Situation, object: &Object) -> Option<Why> {
    let id = source_of(object)?;
    match situation.others.get(&id)? {
        Read::Missing => {
            let is = format!("takes its files from {}, which does not exist", human(&id));
            Some(Why::new(is, "Create it, or correct spec.sourceRef."))
        }
        Read::Refused(why) => {
            Some(Why::new(format!("takes its files from {}, which cannot be read: {why}", human(&id)), ""))
        }
        Read::Found(source)
            if source.pointer("/status/artifact").is_none_or(serde_json::Value::is_null)
                && !is_registry(source) =>
        {
            let why = why_source(situation, source);
            Some(Why::new(format!("waits for {}, which {}", human(&id), why.is), why.advice))
        }
        Read::Found(_) => None,
    }
}

/// Whether it only says where charts are: it has no index, and no status.
fn is_registry(object: &Object) -> bool {
    object.kind() == "HelmRepository" && text(object, "/spec/type") == Some("oci")
}

/// Why a source has nothing to give.
fn why_source(situation: &Situation, object: &Object) -> Why {
    why(situation, object, &mut Vec::new())
        .unwrap_or_else(|| Why::new("has fetched nothing yet", "It may be at it right now."))
}

fn source(situation: &Situation, object: &Object) -> Option<Why> {
    if is_ready(object) || is_registry(object) {
        return None;
    }
    if object.kind() == "HelmChart"
        && let Some(why) = blocking_source(situation, object)
    {
        return Some(why);
    }
    let failure = condition(object, "FetchFailed").filter(|failed| failed.status == "True");
    let Some(ready) = failure.or_else(|| condition(object, "Ready")) else { return Some(unseen(object)) };
    let advice = match ready.reason {
        "AuthenticationFailed" => match text(object, "/spec/secretRef/name") {
            Some(secret) => format!(
                "Put credentials that work into Secret {}/{secret}.",
                object.namespace().unwrap_or_default()
            ),
            None => "Name a Secret with credentials in spec.secretRef.".to_owned(),
        },
        "URLInvalid" | "InvalidURL" => "Correct spec.url.".to_owned(),
        "InvalidChartReference" => "Correct spec.chart and spec.version.".to_owned(),
        "ValuesFilesError" => "Correct spec.valuesFiles, or the files.".to_owned(),
        "VerificationError" | "InvalidCommitSignature" | "InvalidTagSignature" => {
            "Sign the commit with a key of spec.verify.secretRef, or add the key there.".to_owned()
        }
        "UnsupportedField" => {
            "Remove the field, or let Flux's source-controller reconcile this object.".to_owned()
        }
        "Progressing" => String::new(),
        _ => format!(
            "See whether {} are right, and then try again with `plumb reconcile {}`.",
            if object.kind() == "HelmChart" {
                "spec.chart and spec.sourceRef"
            } else {
                "spec.url and spec.ref"
            },
            named(object)
        ),
    };
    let advice = match situation.warnings.get(&object.id()) {
        Some((_, warning)) if !ready.message.contains(warning.as_str()) && ready.message.is_empty() => {
            format!("The last warning about it: {}. {advice}", ended(warning))
        }
        _ => advice,
    };
    Some(Why::new(format!("cannot be fetched: {}", ready.message), advice))
}

/// The dependency that is in the way, with what it waits for itself.
fn blocking_dependency(situation: &Situation, object: &Object, way: &mut Vec<ObjectId>) -> Option<Why> {
    way.push(object.id());
    let dependencies = dependencies_of(object);
    let unmet: Vec<&Dependency> =
        dependencies.iter().filter(|dependency| !is_met(situation, object, dependency)).collect();
    let why = unmet.split_first().map(|(first, rest)| {
        let mut why = edge(situation, object, first, way);
        if !rest.is_empty() {
            let others: Vec<String> = rest.iter().map(|other| human(&other.id)).collect();
            let also = format!("{} also waits for {}.", human(&object.id()), listed(&others));
            why.advice =
                [why.advice, also].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        }
        why
    });
    way.pop();
    why
}

/// The edge from an object to an unmet dependency.
fn edge(situation: &Situation, object: &Object, dependency: &Dependency, way: &mut Vec<ObjectId>) -> Why {
    let id = &dependency.id;
    if let Some(start) = way.iter().position(|waiting| waiting == id) {
        let circle: Vec<String> =
            way.iter().skip(start).chain([id]).map(|id| format!("{}/{}", id.namespace, id.name)).collect();
        return Why::new(
            format!("waits for {}, which waits for itself: {}", human(id), circle.join(" → ")),
            "None of them will ever be applied: take one of these edges out of spec.dependsOn.",
        );
    }
    match situation.others.get(id) {
        Some(Read::Missing) => Why::new(
            format!("depends on {}, which does not exist", human(id)),
            format!("Create it, or correct spec.dependsOn of {}.", human(&object.id())),
        ),
        Some(Read::Refused(why)) => {
            Why::new(format!("depends on {}, which cannot be read: {why}", human(id)), "")
        }
        Some(Read::Found(found)) => match why(situation, found, way) {
            Some(why) => Why::new(format!("waits for {}, which {}", human(id), why.is), why.advice),
            None if dependency.has_expression => Why::new(
                format!(
                    "waits for {}, which is ready, but not as spec.dependsOn[].readyExpr asks",
                    human(id)
                ),
                "See whether the expression is what is meant.",
            ),
            None => Why::new(
                format!(
                    "waits for {}, which is ready but has not applied the newest revision of their source yet",
                    human(id)
                ),
                "That is usually a matter of moments.",
            ),
        },
        None => Why::new(format!("waits for {}, which was not looked at", human(id)), ""),
    }
}

fn is_met(situation: &Situation, object: &Object, dependency: &Dependency) -> bool {
    let named_by_controller = || {
        let name = format!("{}/{}", dependency.id.namespace, dependency.id.name);
        condition(object, "Ready")
            .is_some_and(|ready| ready.reason == "DependencyNotReady" && ready.message.contains(&name))
    };
    let Some(found) = situation.find(&dependency.id) else { return false };
    if dependency.has_expression {
        return !named_by_controller();
    }
    if *found == situation.subject || !is_ready(found) {
        return false;
    }
    let revision =
        || situation.find(&source_of(object)?).and_then(|source| text(source, "/status/artifact/revision"));
    !is_applier(found)
        || source_of(found) != source_of(object)
        || revision().is_none_or(|revision| text(found, "/status/lastAppliedRevision") == Some(revision))
}

fn by_reason(situation: &Situation, object: &Object, ready: &Condition<'_>) -> Why {
    let revision = text(object, "/status/lastAttemptedRevision").unwrap_or("the revision");
    let message = ready.message;
    let path = text(object, "/spec/path").unwrap_or("./");
    match ready.reason {
        "BuildFailed" => Why::new(
            format!("cannot be rendered at {revision}: {message}"),
            format!(
                "Mend the files below {path} and push; `plumb render {}` shows the same on a laptop.",
                path.trim_start_matches("./")
            ),
        ),
        "AccessDenied" => Why::new(
            format!("asks for what it may not have: {message}"),
            "Refer to objects of its own namespace, or have an administrator allow it.",
        ),
        "PruneFailed" => Why::new(
            format!("has applied {revision}, but did not delete what is no longer in the source: {message}"),
            "If so much is meant to go, confirm it as the message says; otherwise bring the files back.",
        ),
        "InvalidCELExpression" => {
            Why::new(format!("has an expression that is wrong: {message}"), "Correct it in the spec.")
        }
        "DependencyNotReady" => Why::new(format!("waits for what it depends on: {message}"), ""),
        "ArtifactFailed" => Why::new(format!("cannot have its files: {message}"), ""),
        "HealthCheckFailed" | "HealthCheckCanceled" | "Progressing" | "ProgressingWithRetry" => {
            unhealthy(situation, object, ready)
        }
        _ if is_about_kinds(message) => Why::new(
            format!("cannot be applied at {revision}, because the cluster lacks a kind: {message}"),
            "Have the CustomResourceDefinition applied first: put it into the same source, or depend on the Kustomization or HelmRelease that brings it.",
        ),
        _ => Why::new(format!("cannot be applied at {revision}: {message}"), ""),
    }
}

/// Flux's words, and ours.
fn is_about_kinds(message: &str) -> bool {
    ["does not know the kind", "no matches for kind", "CustomResourceDefinition may be missing"]
        .iter()
        .any(|words| message.contains(words))
}

/// The objects that health is waited for, and those that keep it waiting.
fn unhealthy(situation: &Situation, object: &Object, ready: &Condition<'_>) -> Why {
    let waits = ["/spec/wait", "/spec/health/wait"].into_iter().any(|at| is_true(object, at));
    let checked = match waits {
        true => inventory_of(object),
        false => health_checks_of(object),
    };
    let revision = text(object, "/status/lastAttemptedRevision").unwrap_or("the revision");
    let unwell = situation.unwell(&checked);
    if unwell.is_empty() {
        return Why::new(format!("is at work on {revision}: {}", ready.message), "");
    }
    let told: Vec<String> = unwell
        .iter()
        .map(|(id, health)| format!("{} is {}: {}", human(id), health.status, ended(&health.message)))
        .collect();
    let verb = match ready.reason {
        "HealthCheckFailed" => "waited in vain for",
        _ => "waits for",
    };
    let count = match unwell.len() {
        1 => "an object that is not well".to_owned(),
        count => format!("{count} objects that are not well"),
    };
    let is = format!(
        "has applied {revision} and {verb} {count}: {}",
        told.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ")
    );
    let advice: Vec<String> =
        unwell.iter().take(NAMED).filter_map(|(id, _)| warning(situation, id)).collect();
    let mut there = unwell.iter().filter(|(_, health)| health.status != HealthStatus::NotFound);
    let first = there.next().map(|(id, _)| look_at(id)).unwrap_or_default();
    Why::new(is, format!("{} {first}", advice.join(" ")).trim().to_owned())
}

fn other(situation: &Situation, object: &Object) -> Option<Why> {
    let health = situation.health(object);
    (health.status != HealthStatus::Current).then(|| {
        let advice = warning(situation, &object.id()).unwrap_or_default();
        Why::new(format!("is {}: {}", health.status, health.message), advice)
    })
}

fn warning(situation: &Situation, id: &ObjectId) -> Option<String> {
    let (reason, message) = situation.warnings.get(id)?;
    Some(format!("The last warning about {}: {reason}: {}.", human(id), ended(message)))
}

fn look_at(id: &ObjectId) -> String {
    let place = if id.namespace.is_empty() { String::new() } else { format!(" -n {}", id.namespace) };
    format!("Look at it with `kubectl describe {} {}{place}`.", id.group_kind.kind.to_lowercase(), id.name)
}

/// What is said of an object that is ready.
fn ready(situation: &Situation, object: &Object) -> String {
    let name = human(&object.id());
    let revision =
        text(object, "/status/lastAppliedRevision").or_else(|| text(object, "/status/artifact/revision"));
    match revision {
        Some(revision) if is_applier(object) => format!("{name} is ready: it has applied {revision}."),
        Some(revision) => format!("{name} is ready: it has fetched {revision}."),
        None if is_registry(object) => {
            format!("{name} is a registry, which is asked when a chart is wanted.")
        }
        None => format!("{name} is well: {}.", ended(&situation.health(object).message)),
    }
}

/// What else is worth knowing: what works now, but not for long.
fn remarks(situation: &Situation, object: &Object) -> Vec<String> {
    let mut remarks = Vec::new();
    if !is_applier(object) {
        return remarks;
    }
    if let Some(healthy) =
        condition(object, "Healthy").filter(|healthy| is_ready(object) && healthy.status == "False")
    {
        remarks.push(format!(
            "Not all of its objects are well, though it does not wait for them: {}.",
            ended(healthy.message)
        ));
    }
    let Some(source) = source_of(object).and_then(|id| situation.find(&id)) else { return remarks };
    let has_artifact = source.pointer("/status/artifact").is_some_and(|artifact| !artifact.is_null());
    if let (true, Some(why)) = (has_artifact, why(situation, source, &mut Vec::new())) {
        remarks.push(
            format!(
                "No newer commit will arrive, because {} {}. {}",
                human(&source.id()),
                ended(&why.is),
                why.advice
            )
            .trim()
            .to_owned(),
        );
    }
    let newest = text(source, "/status/artifact/revision");
    let applied = text(object, "/status/lastAppliedRevision");
    if let (true, Some(newest), Some(applied)) = (is_ready(object), newest, applied)
        && newest != applied
    {
        remarks.push(format!("Its source has {newest}, which it has not applied yet."));
    }
    remarks
}

fn human(id: &ObjectId) -> String {
    match id.namespace.as_str() {
        "" => format!("{} {}", id.group_kind.kind, id.name),
        namespace => format!("{} {namespace}/{}", id.group_kind.kind, id.name),
    }
}

fn listed(names: &[String]) -> String {
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// A text that a full stop can follow.
fn ended(text: &str) -> String {
    text.trim().trim_end_matches('.').replace('\n', "; ")
}
