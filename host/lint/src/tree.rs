//! What can be said of a repository.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use plumb_api::{GitRepository, Kustomization, SourceKind};
use plumb_tree::{NodeKind, Tree, TreeError, TreePath, View};
use serde_json::Value;

use crate::document::{Document, Place};
use crate::finding::{Finding, Problem, object_name};
use crate::kustomization::{is_ignored, name_of, problems};
use crate::repository::{Repository, beside, is_kustomize};
use crate::source::Source;
use crate::together::{Member, Together};
use crate::{Rule, secret};

const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
const SOURCE: &str = "source.toolkit.fluxcd.io";
const NOTIFICATION: &str = "notification.toolkit.fluxcd.io";
/// A file that a generator of Secrets reads is smaller than this.
const MAX_SECRET_BYTES: u64 = 1 << 20;

/// How to look at a repository.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Rules that are switched off.
    pub disabled: BTreeSet<Rule>,
    /// The addresses that this repository is fetched from, where they are known: a GitRepository with one of them is this repository, and the
    /// paths of its Kustomizations have to be here.
    pub own_urls: Vec<String>,
}

/// What was found in a repository.
#[derive(Clone, Debug)]
pub struct Report {
    /// By file and line.
    pub findings: Vec<Finding>,
    /// How many objects of Flux and Secrets were looked at.
    pub objects: usize,
    /// The Kustomizations that were read and whose `spec.path` is here: those that can be rendered.
    pub renderable: Vec<Kustomization>,
}

/// Looks at all files of a repository.
///
/// # Errors
///
/// When the tree cannot be read. A file that is not YAML is a finding.
pub fn lint_tree(tree: &Arc<dyn Tree>, settings: &Settings) -> Result<Report, TreeError> {
    let repository = Repository::read(tree.as_ref())?;
    let mut lint = Lint { tree, settings, findings: Vec::new(), objects: 0 };
    lint.broken_files(&repository);
    lint.secrets(&repository);
    let sources = lint.sources(&repository);
    let kustomizations = lint.kustomizations(&repository);
    lint.paths(&kustomizations, &sources);
    lint.together(&kustomizations, &sources);
    let Lint { mut findings, objects, .. } = lint;
    findings.retain(|finding| !settings.disabled.contains(&finding.rule));
    findings.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
    let view = View::new(tree.clone(), MAX_SECRET_BYTES);
    let is_here =
        |object: &Kustomization| is_directory(&view, object.spec.path.as_deref().unwrap_or_default());
    let renderable = kustomizations.into_iter().map(|(object, _)| object).filter(is_here).collect();
    Ok(Report { findings, objects, renderable })
}

struct Lint<'a> {
    tree: &'a Arc<dyn Tree>,
    settings: &'a Settings,
    findings: Vec<Finding>,
    objects: usize,
}

type Sources<'a> = Vec<(Source, Option<&'a Place>)>;
type Kustomizations<'a> = Vec<(Kustomization, &'a Place)>;

impl<'a> Lint<'a> {
    /// A file that Flux would have to read. Templates of other tools are none of our business.
    fn broken_files(&mut self, repository: &Repository) {
        for broken in &repository.broken {
            let is_ours = broken.place.mentions(".toolkit.fluxcd.io/") && !broken.place.mentions("{{");
            if is_ours && !broken.place.has_variables() {
                let problem = Problem::new(Rule::Unreadable, &[], format!("it is not YAML: {}", broken.why));
                self.findings.push(problem.of(String::new(), Some(&broken.place)));
            }
        }
    }

    fn secrets(&mut self, repository: &Repository) {
        for document in &repository.documents {
            if group_kind(document) == ("v1", "Secret") {
                self.objects += 1;
                let problem = secret::problem(&document.value);
                self.findings
                    .extend(problem.map(|problem| problem.of(shown(document), Some(&document.place))));
            }
            if is_kustomize(document) {
                let read = |path: &str| {
                    self.tree.read(&TreePath::new(&beside(document, path)?).ok()?, MAX_SECRET_BYTES).ok()
                };
                let made = secret::generators(&document.value, read);
                self.findings
                    .extend(made.into_iter().map(|(name, problem)| problem.of(name, Some(&document.place))));
            }
        }
    }

    fn sources<'r>(&mut self, repository: &'r Repository) -> Sources<'r> {
        let pushed = pushed(repository);
        let mut sources = Vec::new();
        for document in of_group(repository, SOURCE) {
            self.objects += 1;
            let Some(source) = Source::of(&document.value) else { continue };
            let place = Some(&document.place);
            if source.kind == "GitRepository" {
                self.check::<GitRepository>(document);
            }
            self.check_version(document);
            let is_pushed = pushed.contains(&(source.kind.clone(), source.name.clone()));
            let name = source.full_name();
            self.findings.extend(
                source.problems(is_pushed).into_iter().map(|problem| problem.of(name.clone(), place)),
            );
            sources.push((source, place));
        }
        sources
    }

    fn kustomizations<'r>(&mut self, repository: &'r Repository) -> Kustomizations<'r> {
        let mut kustomizations = Vec::new();
        for document in of_group(repository, KUSTOMIZE) {
            self.objects += 1;
            self.check_version(document);
            let Some(object) = self.check::<Kustomization>(document) else { continue };
            let (name, place) = (name_of(&object), &document.place);
            let found = problems(&object).into_iter().map(|problem| problem.of(name.clone(), Some(place)));
            self.findings.extend(found);
            kustomizations.push((object, place));
        }
        kustomizations
    }

    /// Reads an object as its kind; what cannot be read is a finding, unless variables are still to be put in.
    fn check<T: serde::de::DeserializeOwned>(&mut self, document: &Document) -> Option<T> {
        match serde_json::from_value(document.value.clone()) {
            Ok(object) => Some(object),
            Err(_) if document.place.has_variables() => None,
            Err(error) => {
                let problem = Problem::new(Rule::Invalid, &["spec"], without_value(&error.to_string()));
                self.findings.push(problem.of(shown(document), Some(&document.place)));
                None
            }
        }
    }

    fn check_version(&mut self, document: &Document) {
        let (version, _) = group_kind(document);
        let is_old = ["/v1beta1", "/v1beta2"].iter().any(|old| version.ends_with(old));
        if is_old {
            let message = format!("{version} is no longer served by new versions of Flux, nor by Plumbline");
            let problem = Problem::new(Rule::DeprecatedVersion, &["apiVersion"], message);
            self.findings.push(problem.of(shown(document), Some(&document.place)));
        }
    }

    /// Paths that this repository lacks. Whether a source is this repository has to be known for that: by its address, because Flux's
    /// bootstrap made it, or because other paths that are taken from it are here.
    fn paths(&mut self, kustomizations: &Kustomizations<'_>, sources: &Sources<'_>) {
        let view = View::new(self.tree.clone(), MAX_SECRET_BYTES);
        let exists = |path: &str| is_directory(&view, path);
        let mut by_source: BTreeMap<(&str, &str), Vec<&(Kustomization, &Place)>> = BTreeMap::new();
        for member in kustomizations.iter().filter(|(_, place)| !place.has_variables()) {
            let reference = &member.0.spec.source_ref;
            if reference.kind == SourceKind::GitRepository {
                let namespace = reference.namespace.as_deref().or(member.0.metadata.namespace.as_deref());
                by_source.entry((namespace.unwrap_or_default(), &reference.name)).or_default().push(member);
            }
        }
        for ((namespace, name), members) in by_source {
            let mut named = sources.iter().filter(|(source, _)| {
                let is_there =
                    source.namespace.as_deref().is_none_or(|own| namespace.is_empty() || own == namespace);
                source.kind == "GitRepository" && source.name == name && is_there
            });
            let path_of = |member: &(Kustomization, &Place)| member.0.spec.path.clone().unwrap_or_default();
            let any_here =
                members.iter().any(|member| !is_root(&path_of(member)) && exists(&path_of(member)));
            let is_composed = named.clone().any(|(source, _)| source.is_composed);
            if is_composed || !(any_here || named.any(|(source, place)| self.is_own(source, *place))) {
                continue;
            }
            for (object, place) in members.into_iter().filter(|member| !exists(&path_of(member))) {
                let path = object.spec.path.as_deref().unwrap_or_default();
                let message = format!("spec.path is {path:?}, and the repository has no such directory");
                let problem = Problem::new(Rule::MissingPath, &["spec", "path"], message);
                if !is_ignored(object, problem.rule) {
                    self.findings.push(problem.of(name_of(object), Some(place)));
                }
            }
        }
    }

    fn is_own(&self, source: &Source, place: Option<&Place>) -> bool {
        let is_bootstrap = place.is_some_and(|place| place.file.rsplit('/').next() == Some("gotk-sync.yaml"));
        let url = source.url.as_deref().map(normal_url);
        is_bootstrap || url.is_some_and(|url| self.settings.own_urls.iter().any(|own| normal_url(own) == url))
    }

    fn together(&mut self, kustomizations: &Kustomizations<'_>, sources: &Sources<'_>) {
        let members =
            kustomizations.iter().map(|(object, place)| Member { object, place: Some(place) }).collect();
        // A repository without sources gets them from elsewhere.
        let known: &[SourceKind] = match sources.is_empty() {
            true => &[],
            false => &[SourceKind::GitRepository, SourceKind::OciRepository, SourceKind::Bucket],
        };
        self.findings.extend(Together { members, sources, source_kinds: known }.findings());
    }
}

fn of_group<'r>(repository: &'r Repository, group: &'static str) -> impl Iterator<Item = &'r Document> {
    repository.documents.iter().filter(move |document| {
        group_kind(document).0.split_once('/').is_some_and(|(found, _)| found == group)
    })
}

fn group_kind(document: &Document) -> (&str, &str) {
    let text = |field: &str| document.value.get(field).and_then(Value::as_str).unwrap_or_default();
    (text("apiVersion"), text("kind"))
}

fn shown(document: &Document) -> String {
    let text = |pointer: &str| document.value.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    object_name(kind, text("/metadata/namespace"), text("/metadata/name").unwrap_or("(without a name)"))
}

/// The sources that a Receiver has fetched when the server pushes, as kind and name.
fn pushed(repository: &Repository) -> HashSet<(String, String)> {
    let receivers =
        of_group(repository, NOTIFICATION).filter(|document| group_kind(document).1 == "Receiver");
    let named =
        receivers.filter_map(|document| document.value.pointer("/spec/resources")?.as_array()).flatten();
    let text = |resource: &Value, field: &str| resource.get(field).and_then(Value::as_str).map(str::to_owned);
    named.filter_map(|resource| Some((text(resource, "kind")?, text(resource, "name")?))).collect()
}

fn is_directory(view: &View, path: &str) -> bool {
    view.stat(path).is_ok_and(|node| node.kind == NodeKind::Directory)
}

fn is_root(path: &str) -> bool {
    TreePath::new(path).is_ok_and(|path| path.is_root())
}

/// `https://git@host/path.git/`, `ssh://git@host/path` and `git@host:path` are one repository.
fn normal_url(url: &str) -> String {
    let (has_scheme, rest) = match url.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, url),
    };
    let rest = match rest.split_once('@') {
        Some((user, rest)) if !user.contains('/') => rest,
        _ => rest,
    };
    let rest = if has_scheme { rest.to_owned() } else { rest.replacen(':', "/", 1) };
    rest.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase()
}

/// What serde says, without the value that it quotes: that may be a password in the wrong place.
fn without_value(error: &str) -> String {
    for start in ["invalid type: ", "invalid value: "] {
        let Some((_, rest)) = error.split_once(start) else { continue };
        let kind: String = rest.chars().take_while(|c| !matches!(c, '"' | '`' | ',')).collect();
        let expected = rest.rsplit_once(", expected ").map(|(_, expected)| format!(", expected {expected}"));
        return format!("{start}{}{}", kind.trim_end(), expected.unwrap_or_default());
    }
    error.to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://github.com/Org/Repo.git", "github.com/org/repo")]
    #[case("ssh://git@github.com/org/repo", "github.com/org/repo")]
    #[case("git@github.com:org/repo.git", "github.com/org/repo")]
    #[case("https://user:pass@host/a/b/", "host/a/b")]
    fn addresses_of_one_repository_are_the_same(#[case] url: &str, #[case] expected: &str) {
        assert_eq!(normal_url(url), expected);
    }

    #[rstest]
    #[case("missing field `interval`", "missing field `interval`")]
    #[case(
        "invalid type: string \"hunter2, expected a\", expected a boolean",
        "invalid type: string, expected a boolean"
    )]
    #[case("invalid type: integer `123`, expected a string", "invalid type: integer, expected a string")]
    fn values_are_not_quoted(#[case] error: &str, #[case] expected: &str) {
        assert_eq!(without_value(error), expected);
    }
}
