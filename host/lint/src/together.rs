//! What can be said of objects only when they are looked at together.

use std::collections::{BTreeMap, HashSet};

use plumb_api::{GitRepository, Kustomization, SourceKind};

use crate::Rule;
use crate::document::Place;
use crate::finding::{Finding, Problem};
use crate::kustomization::{is_ignored, name_of};
use crate::source::{Follows, Source};
use crate::stages::{Stage, is_promoted_to, stage_of};

/// How many Kustomizations a message names.
const NAMED: usize = 3;

/// What can be said of the objects of a cluster together: dependencies that are missing or wait for each other, sources that are missing, and
/// production that no other stage goes before. `git_repositories` and `kustomizations` are all that the cluster has.
pub fn lint_together<'a>(
    kustomizations: impl IntoIterator<Item = &'a Kustomization>,
    git_repositories: impl IntoIterator<Item = &'a GitRepository>,
) -> Vec<Finding> {
    let sources: Vec<(Source, Option<&Place>)> = git_repositories
        .into_iter()
        .filter_map(|object| Some((Source::of(&serde_json::to_value(object).ok()?)?, None)))
        .collect();
    let members = kustomizations.into_iter().map(|object| Member { object, place: None }).collect();
    let together = Together { members, sources: &sources, source_kinds: &[SourceKind::GitRepository] };
    together.findings()
}

/// A Kustomization, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) object: &'a Kustomization,
    /// None for an object of a cluster.
    pub(crate) place: Option<&'a Place>,
}

/// Objects that are looked at together.
pub(crate) struct Together<'a> {
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) sources: &'a [(Source, Option<&'a Place>)],
    /// The kinds of which all objects are known; of others nobody can tell whether one is missing.
    pub(crate) source_kinds: &'a [SourceKind],
}

impl Together<'_> {
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            let problems = [self.missing_source(member)]
                .into_iter()
                .flatten()
                .chain(self.missing_dependencies(member))
                .chain(self.cycle(index));
            let problems = problems.filter(|problem| !is_ignored(member.object, problem.rule));
            findings.extend(problems.map(|problem| problem.of(name_of(member.object), member.place)));
        }
        findings.extend(self.production());
        findings
    }

    fn missing_source(&self, member: &Member<'_>) -> Option<Problem> {
        let reference = &member.object.spec.source_ref;
        if !self.source_kinds.contains(&reference.kind)
            || has_variables(member)
            || self.source(member).is_some()
        {
            return None;
        }
        let message = format!("spec.sourceRef names {reference}, which is nowhere to be found");
        Some(Problem::new(Rule::MissingSource, &["spec", "sourceRef"], message))
    }

    fn missing_dependencies(&self, member: &Member<'_>) -> Vec<Problem> {
        if has_variables(member) {
            return Vec::new();
        }
        let missing = |edge: &Edge<'_>| self.dependency(member, edge).is_none();
        let problem = |edge: Edge<'_>| {
            let message =
                format!("spec.dependsOn names Kustomization {}, which is nowhere to be found", edge.shown());
            Problem::new(Rule::MissingDependency, &["spec", "dependsOn"], message)
        };
        edges(member.object).filter(missing).map(problem).collect()
    }

    /// The cycle that a Kustomization is in, told once: by the first that is in it.
    fn cycle(&self, start: usize) -> Option<Problem> {
        let path = self.way_back(start)?;
        if path.iter().any(|index| *index < start) {
            return None;
        }
        let names: Vec<&str> = path.iter().chain([&start]).filter_map(|index| self.name(*index)).collect();
        let message = format!("these wait for each other for ever: {}", names.join(" → "));
        Some(Problem::new(Rule::DependencyCycle, &["spec", "dependsOn"], message))
    }

    /// The shortest way along dependencies that leads back to its start.
    fn way_back(&self, start: usize) -> Option<Vec<usize>> {
        let mut ways = std::collections::VecDeque::from([vec![start]]);
        let mut seen = HashSet::new();
        while let Some(way) = ways.pop_front() {
            for next in self.dependencies(*way.last()?) {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next) {
                    ways.push_back(way.iter().copied().chain([next]).collect());
                }
            }
        }
        None
    }

    /// One finding for each source of which production gets every change at once.
    fn production(&self) -> Vec<Finding> {
        let mut by_source: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, member) in self.members.iter().enumerate() {
            if stage_of(member.object) == Some(Stage::Production)
                && let Some(source) = self.source(member)
            {
                by_source.entry(source).or_default().push(index);
            }
        }
        by_source.into_iter().flat_map(|(source, members)| self.production_of(source, &members)).collect()
    }

    fn production_of(&self, index: usize, members: &[usize]) -> Vec<Finding> {
        let Some((source, place)) = self.sources.get(index) else { return Vec::new() };
        let Follows::Branch(branch) = &source.follows else { return Vec::new() };
        let mut findings = Vec::new();
        if !source.is_ignored(Rule::FloatingReference) {
            let message = format!("{} takes whatever is pushed to {branch:?}", self.names(members));
            let problem = Problem::new(Rule::FloatingReference, &["spec", "ref"], message);
            findings.push(problem.of(source.full_name(), *place));
        }
        let is_unstaged = |member: &usize| {
            !is_ignored(self.members[*member].object, Rule::NoStaging)
                && !self.is_behind_staging(*member, index)
        };
        let unstaged: Vec<usize> = members.iter().copied().filter(is_unstaged).collect();
        if let (Some(first), false) = (unstaged.first(), is_promoted_to(branch)) {
            let message = format!(
                "{} gets every commit on {branch:?} of {} at once: nothing is tried before production",
                self.names(&unstaged),
                source.full_name()
            );
            let problem = Problem::new(Rule::NoStaging, &["spec", "path"], message);
            let member = &self.members[*first];
            findings.push(problem.of(name_of(member.object), member.place));
        }
        findings
    }

    /// Whether a Kustomization depends, over however many others, on one that applies an earlier stage of the same source.
    fn is_behind_staging(&self, member: usize, source: usize) -> bool {
        let (mut seen, mut ahead) = (HashSet::new(), vec![member]);
        while let Some(at) = ahead.pop() {
            let is_staging = stage_of(self.members[at].object) == Some(Stage::Before)
                && self.source(&self.members[at]) == Some(source);
            if is_staging {
                return true;
            }
            ahead.extend(self.dependencies(at).filter(|next| seen.insert(*next)));
        }
        false
    }

    fn names(&self, members: &[usize]) -> String {
        let names: Vec<&str> = members.iter().take(NAMED).filter_map(|index| self.name(*index)).collect();
        let more = match members.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("Kustomization {}{more}", names.join(", "))
    }

    fn name(&self, index: usize) -> Option<&str> {
        self.members.get(index)?.object.metadata.name.as_deref()
    }

    fn dependencies(&self, index: usize) -> impl Iterator<Item = usize> {
        let member = &self.members[index];
        edges(member.object).filter_map(|edge| self.dependency(member, &edge))
    }

    fn dependency(&self, from: &Member<'_>, edge: &Edge<'_>) -> Option<usize> {
        let candidates = self.members.iter().enumerate().filter(|(_, member)| {
            let metadata = &member.object.metadata;
            metadata.name.as_deref() == Some(edge.name)
                && may_be(metadata.namespace.as_deref(), edge.namespace)
        });
        nearest(from.place, candidates.map(|(index, member)| (index, member.place)))
    }

    fn source(&self, member: &Member<'_>) -> Option<usize> {
        let reference = &member.object.spec.source_ref;
        let own = member.object.metadata.namespace.as_deref();
        let namespace = reference.namespace.as_deref().or(own);
        let candidates = self.sources.iter().enumerate().filter(|(_, (source, _))| {
            source.kind == reference.kind.as_str()
                && source.name == reference.name
                && may_be(source.namespace.as_deref(), namespace)
        });
        nearest(member.place, candidates.map(|(index, (_, place))| (index, *place)))
    }
}

/// A Kustomization that another one depends on.
struct Edge<'a> {
    namespace: Option<&'a str>,
    name: &'a str,
}

impl Edge<'_> {
    fn shown(&self) -> String {
        self.namespace.map_or_else(|| self.name.to_owned(), |namespace| format!("{namespace}/{}", self.name))
    }
}

/// Objects of other kinds need not be in Git.
fn edges(object: &Kustomization) -> impl Iterator<Item = Edge<'_>> {
    let own = object.metadata.namespace.as_deref();
    object
        .spec
        .depends_on
        .iter()
        .filter(|reference| reference.kind.as_deref().is_none_or(|kind| kind == "Kustomization"))
        .map(move |reference| Edge {
            namespace: reference.namespace.as_deref().or(own),
            name: &reference.name,
        })
}

/// In a file a namespace may be left to kustomize: then any will do.
fn may_be(a: Option<&str>, b: Option<&str>) -> bool {
    a.is_none() || b.is_none() || a == b
}

fn has_variables(member: &Member<'_>) -> bool {
    member.place.is_some_and(Place::has_variables)
}

/// Repositories hold an object of one name for each of their clusters: what is meant is that with which most directories are shared.
fn nearest<'a>(
    from: Option<&Place>,
    candidates: impl Iterator<Item = (usize, Option<&'a Place>)>,
) -> Option<usize> {
    let shared = |place: Option<&Place>| match (from, place) {
        (Some(from), Some(place)) => {
            from.file.split('/').zip(place.file.split('/')).take_while(|(a, b)| a == b).count()
        }
        _ => 0,
    };
    // Of equally near ones the first.
    candidates
        .map(|(index, place)| (index, shared(place)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(index, _)| index)
}
