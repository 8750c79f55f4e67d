//! What can be said of one source.

use std::time::Duration;

use plumb_api::GitRepository;
use serde_json::Value;

use crate::finding::{Finding, Problem, object_name};
use crate::kustomization::switches_off;
use crate::{LINT_IGNORE, Rule};

/// The kinds that Kustomizations take their files from and that are fetched by interval.
const FETCHED: [&str; 3] = ["GitRepository", "OCIRepository", "Bucket"];
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// What can be said of one GitRepository without looking at anything else. Cheap and pure.
pub fn lint_git_repository(object: &GitRepository) -> Vec<Finding> {
    let Some(source) = serde_json::to_value(object).ok().as_ref().and_then(Source::of) else {
        return Vec::new();
    };
    let name = source.full_name();
    source.problems(false).into_iter().map(|problem| problem.of(name.clone(), None)).collect()
}

/// A source of any kind, as far as rules look at it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) url: Option<String>,
    pub(crate) follows: Follows,
    /// Whether files of elsewhere are put into its tree.
    pub(crate) is_composed: bool,
    interval: Option<Duration>,
    is_suspended: bool,
    ignored: Option<String>,
}

/// What decides when a source has a new revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// Whoever pushes to this branch, or moves this tag.
    Branch(String),
    /// Whoever makes a new version.
    Versions,
    /// Whoever changes the source.
    Nobody,
    /// It cannot be told.
    Unknown,
}

impl Source {
    /// Reads a source of any kind; `None` when the object has no kind or name.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let is_true = |pointer: &str| object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false);
        let kind = text("/kind")?;
        let interval = text("/spec/interval").and_then(|text| text.parse::<plumb_api::Duration>().ok());
        let annotations = object.pointer("/metadata/annotations");
        let ignored = annotations.and_then(|annotations| annotations.get(LINT_IGNORE)?.as_str());
        Some(Self {
            follows: follows(&kind, object.pointer("/spec/ref").unwrap_or(&Value::Null)),
            kind,
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name")?,
            url: text("/spec/url"),
            is_composed: is_true("/spec/recurseSubmodules") || object.pointer("/spec/include").is_some(),
            interval: interval.map(|interval| interval.to_std()),
            is_suspended: is_true("/spec/suspend"),
            ignored: ignored.map(str::to_owned),
        })
    }

    /// Its problems, without those that its annotation switches off. `is_pushed`: a webhook tells when there is something new.
    pub(crate) fn problems(&self, is_pushed: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let field = &["spec", "interval"];
        let Some(interval) = self.interval.filter(|_| FETCHED.contains(&self.kind.as_str())) else {
            return problems;
        };
        let shown = plumb_api::Duration::from(interval);
        if interval < SECOND {
            let message = format!("spec.interval is {shown}: the server is asked without a pause");
            problems.push(Problem::new(Rule::SourceIntervalShort, field, message));
        }
        let waits = !is_pushed && !self.is_suspended && self.follows != Follows::Nobody;
        if interval > MINUTE && waits {
            let message =
                format!("spec.interval is {shown}: so long may pass before a change is even looked at");
            problems.push(Problem::new(Rule::SourceIntervalLong, field, message));
        }
        problems.retain(|problem| !self.is_ignored(problem.rule));
        problems
    }

    pub(crate) fn is_ignored(&self, rule: Rule) -> bool {
        switches_off(self.ignored.as_deref(), rule)
    }

    pub(crate) fn full_name(&self) -> String {
        object_name(&self.kind, self.namespace.as_deref(), &self.name)
    }
}

fn follows(kind: &str, reference: &Value) -> Follows {
    let text = |field: &str| reference.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let is_version = |tag: &str| tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    match kind {
        "GitRepository" => {
            match (text("commit"), text("name"), text("semver"), text("tag"), text("branch")) {
                (Some(_), ..) => Follows::Nobody,
                (_, Some(name), ..) if name.starts_with("refs/tags/") => Follows::Nobody,
                (_, Some(name), ..) => {
                    Follows::Branch(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned())
                }
                (_, _, Some(_), ..) => Follows::Versions,
                (_, _, _, Some(_), _) => Follows::Nobody,
                (.., branch) => Follows::Branch(branch.unwrap_or("master").to_owned()),
            }
        }
        "OCIRepository" => match (text("digest"), text("semver"), text("tag")) {
            (Some(_), ..) => Follows::Nobody,
            (_, Some(_), _) => Follows::Versions,
            (.., Some(tag)) if is_version(tag) => Follows::Nobody,
            (.., tag) => Follows::Branch(tag.unwrap_or("latest").to_owned()),
        },
        _ => Follows::Unknown,
    }
}
