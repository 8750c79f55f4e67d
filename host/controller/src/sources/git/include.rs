//! `spec.include`: the artifacts of other GitRepositories of the same namespace. A reference has no field for another one.

use std::collections::HashSet;

use kube::ResourceExt as _;
use plumb_api::{GitRepository, GitRepositoryInclude, Reason, SourceKind};
use plumb_source::git::Include;
use plumb_tree::TreePath;

use crate::Key;
use crate::artifacts::Artifact;
use crate::context::Context;
use crate::sources::failure::{Failure, Stage};
use crate::sources::{SourceId, Sources};

/// The artifact of a GitRepository that is to be put into another.
#[derive(Clone, Debug)]
pub(crate) struct Included {
    include: GitRepositoryInclude,
    pub(super) source: SourceId,
    pub(super) artifact: Artifact,
}

impl Included {
    pub(super) fn selection(&self) -> Include {
        Include {
            repository: self.include.repository.name.clone(),
            tree: self.artifact.tree.clone(),
            digest: self.artifact.digest.clone(),
            from_path: self.include.from_path.clone(),
            to_path: self.include.to_path().to_owned(),
        }
    }
}

/// The artifacts that `object` includes, in the order of the spec.
pub(super) fn find(object: &GitRepository, context: &Context) -> Result<Vec<Included>, Failure> {
    let namespace = object.namespace().unwrap_or_default();
    let key = |name: &str| Key { namespace: namespace.clone(), name: name.to_owned() };
    let included_by = |name: &str| {
        let object = context.sources.git_repositories.get(&key(name));
        object.map(|object| names(&object)).unwrap_or_default()
    };
    if let Some(cycle) = cycle(&object.name_any(), names(object), included_by) {
        let message = format!(
            "it includes itself: {}; remove one of these from spec.include",
            cycle.join(" includes ")
        );
        return Err(Failure::new(Stage::Include, Reason::IncludeCycle, message));
    }
    let find = |include: &GitRepositoryInclude| {
        let source = SourceId { kind: SourceKind::GitRepository, key: key(&include.repository.name) };
        let unavailable = |reason, why: &str| {
            Failure::new(Stage::Include, reason, format!("{source}, which spec.include names, {why}"))
        };
        if TreePath::new(include.to_path()).is_ok_and(|path| path.is_root()) {
            let message =
                format!("spec.include puts {source} at the root, where it would hide everything else");
            return Err(Failure::stalled(Stage::Include, Reason::IllegalPath, message));
        }
        match context.artifacts.get(&source) {
            Some(artifact) => Ok(Included { include: include.clone(), source, artifact }),
            None if context.sources.exists(&source) => {
                Err(unavailable(Reason::NoArtifact, "has no artifact yet"))
            }
            None => Err(unavailable(Reason::NotFound, "does not exist")),
        }
    };
    object.spec.include.iter().map(find).collect()
}

/// Has every GitRepository looked at that includes the source.
pub(in crate::sources) fn wake_users_of(sources: &Sources, source: &SourceId) {
    if source.kind != SourceKind::GitRepository {
        return;
    }
    for object in sources.git_repositories.store.state() {
        let key = Key::of(object.as_ref());
        if key.namespace == source.key.namespace && names(&object).contains(&source.key.name) {
            sources.git_repositories.wakes.wake(key);
        }
    }
}

fn names(object: &GitRepository) -> Vec<String> {
    object.spec.include.iter().map(|include| include.repository.name.clone()).collect()
}

/// The way from `start` back to itself, if there is one.
fn cycle(
    start: &str,
    includes: Vec<String>,
    included_by: impl Fn(&str) -> Vec<String>,
) -> Option<Vec<String>> {
    let mut seen = HashSet::new();
    let extended = |way: &[String], next: Vec<String>| {
        next.into_iter().map(|name| [way, &[name]].concat()).collect::<Vec<_>>()
    };
    let mut ways = extended(&[start.to_owned()], includes);
    while let Some(way) = ways.pop() {
        let Some(last) = way.last().cloned() else { continue };
        if last == start {
            return Some(way);
        }
        if seen.insert(last.clone()) {
            ways.extend(extended(&way, included_by(&last)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // Attack 21 (multi-tenancy): sources that include each other would change each other for ever.
    #[rstest]
    #[case::none("a: b c; b: c", None)]
    #[case::itself("a: a", Some("a a"))]
    #[case::through_others("a: x b; b: c; c: a", Some("a b c a"))]
    #[case::of_others("a: b; b: c; c: b", None)]
    fn a_cycle_is_found_with_its_members(#[case] includes: &str, #[case] expected: Option<&str>) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let included_by = |name: &str| {
            let lines = includes.split("; ").filter_map(|line| line.split_once(": "));
            lines.filter(|(from, _)| *from == name).flat_map(|(_, to)| words(to)).collect::<Vec<_>>()
        };
        assert_eq!(cycle("a", included_by("a"), included_by), expected.map(words));
    }
}
