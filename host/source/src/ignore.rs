//! What Flux leaves out of an artifact: its default exclusions, `.sourceignore` files and `spec.ignore`.
//!
//! In goes a tree, out comes a tree without the files that are left out. Nothing is walked: the `.sourceignore` of a directory is read when something in that
//! directory is looked at.
//!
//! The rules are in the format of `.gitignore`. Of all rules that match a file, or a directory that it is in, the last one decides: the default exclusions
//! come first, then `.sourceignore` files from the root downwards, then `spec.ignore`. So, unlike in Git, `!/deploy/app.yaml` takes one file back out of a directory that `/*` has left
//! out. Source: Flux, "Git Repositories", Excluding files; `fluxcd/pkg`, `sourceignore`.
//!
//! Three things differ from Flux. Symbolic links are kept (Flux drops them all). A `.sourceignore` in a subdirectory puts the default exclusions out of force for that directory and what is below; in
//! Flux it does so for the whole tree. And a `.sourceignore` in a directory that is left out is not looked for.

use std::num::NonZeroUsize;
use std::sync::Arc;

use gix_ignore::glob::pattern::{Case, Mode};
use gix_ignore::glob::{Pattern, wildmatch};
use lru::LruCache;
use parking_lot::Mutex;
use plumb_tree::{EntryKind, Filter, Selected, Tree, TreeError, TreePath};

/// The name of the files with rules.
const FILE: &str = ".sourceignore";
/// What Flux always leaves out, unless a rule takes it back.
const VCS: &str = ".git/\n.gitignore\n.gitmodules\n.gitattributes";
/// What Flux leaves out where nobody says anything else.
const DEFAULTS: &str = "*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip\n\
    .github/\n.circleci/\n.travis.yml\n.gitlab-ci.yml\nappveyor.yml\n.drone.yml\ncloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n\
    **/.goreleaser.yml\n**/.sops.yaml\n**/.flux.yaml";
/// Of one `.sourceignore`, in bytes; and of `spec.ignore`.
const MAX_BYTES: u64 = 64 * 1024;
/// In force in one directory: every name in it is compared with every rule.
const MAX_RULES: usize = 1000;
/// Directories whose rules are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// What is left out where neither a `.sourceignore` nor `spec.ignore` says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// As in a GitRepository and an OCIRepository: what belongs to Git, pictures, archives and the files of CI systems.
    /// A `.sourceignore` may be in any directory.
    Repository,
    /// As in a Bucket: nothing. A `.sourceignore` counts at the root only. (Flux's page speaks of default exclusions for buckets; its code has none.)
    Bucket,
}

/// Rules that are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIgnore {
    /// `spec.ignore` is longer than anybody writes by hand.
    #[error(
        "spec.ignore has {0} bytes, more than the limit of {MAX_BYTES}; name directories instead of single files"
    )]
    TooLong(usize),
    /// `spec.ignore` has too many rules.
    #[error(
        "spec.ignore has {0} rules, more than the limit of {MAX_RULES}; name directories instead of single files"
    )]
    TooMany(usize),
}

/// The tree without what `spec.ignore`, the `.sourceignore` files and the convention leave out.
///
/// A `spec_ignore` without a rule in it, such as an empty text, changes nothing: that is what Flux does with it.
///
/// # Errors
///
/// When `spec_ignore` is too large. A `.sourceignore` that is too large, or that cannot be read, shows when something it might concern is looked at.
pub fn select(
    tree: Arc<dyn Tree>,
    convention: Convention,
    spec_ignore: Option<&str>,
) -> Result<Arc<dyn Tree>, InvalidIgnore> {
    let text = spec_ignore.unwrap_or_default();
    if text.len() as u64 > MAX_BYTES {
        return Err(InvalidIgnore::TooLong(text.len()));
    }
    let spec = List::new(Priority::Spec, TreePath::root(), text.as_bytes());
    if spec.rules.len() > MAX_RULES {
        return Err(InvalidIgnore::TooMany(spec.rules.len()));
    }
    let default = |priority, text: &str| List::new(priority, TreePath::root(), text.as_bytes());
    let lists = match convention {
        Convention::Repository if spec.rules.is_empty() => {
            vec![default(Priority::Vcs, VCS), default(Priority::Default, DEFAULTS), spec]
        }
        Convention::Repository => vec![default(Priority::Vcs, VCS), spec],
        Convention::Bucket => vec![spec],
    };
    let above = Rules { lists: lists.into_iter().map(Arc::new).collect(), decided: None };
    let known = Mutex::new(LruCache::new(REMEMBERED));
    Ok(Arc::new(Selected::new(tree, Ignore { convention, above, known })))
}

/// Hides what the rules leave out.
#[derive(Debug)]
struct Ignore {
    convention: Convention,
    /// The rules in force before any `.sourceignore` was read.
    above: Rules,
    /// By directory; `None` for one that is not shown.
    known: Mutex<LruCache<TreePath, Option<Arc<Rules>>>>,
}

/// The rules in force in a directory.
#[derive(Clone, Debug)]
struct Rules {
    /// The ones that go before others come last.
    lists: Vec<Arc<List>>,
    /// What was decided about the directory itself. It holds for what is in it as long as no rule that goes before matches.
    decided: Option<Decision>,
}

/// Rules that were written in one place.
#[derive(Debug)]
struct List {
    priority: Priority,
    /// The directory that they speak of.
    directory: TreePath,
    rules: Vec<Pattern>,
}

/// Which list goes before which: the later one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    Vcs,
    Default,
    /// A `.sourceignore` so many directories below the root.
    File(usize),
    Spec,
}

#[derive(Clone, Copy, Debug)]
struct Decision {
    /// The rule that made it: which list, and which one in it.
    rule: (Priority, usize),
    is_shown: bool,
}

impl List {
    fn new(priority: Priority, directory: TreePath, text: &[u8]) -> Self {
        let rules = gix_ignore::parse(text, false).map(|(pattern, _line, _kind)| pattern).collect();
        Self { priority, directory, rules }
    }

    /// The rules from the one that goes before all others.
    fn strongest_first(&self) -> impl Iterator<Item = ((Priority, usize), &Pattern)> {
        self.rules.iter().enumerate().rev().map(|(index, rule)| ((self.priority, index), rule))
    }
}

impl Rules {
    /// Each rule with its rank, and the part of `path` that it speaks of, from the one that goes before all others.
    fn strongest_first<'a>(
        &'a self,
        path: &'a TreePath,
    ) -> impl Iterator<Item = ((Priority, usize), &'a Pattern, &'a str)> {
        self.lists.iter().rev().flat_map(move |list| {
            // All of them speak of directories that `path` is in.
            let rest = path.below(&list.directory).unwrap_or_default();
            list.strongest_first().map(move |(rank, rule)| (rank, rule, rest))
        })
    }

    /// What the rules say of a path in the directory.
    fn decide(&self, path: &TreePath, is_directory: bool) -> Option<Decision> {
        let stronger = |rank| self.decided.is_none_or(|decided| rank > decided.rule);
        self.strongest_first(path)
            .take_while(|(rank, ..)| stronger(*rank))
            .find(|(_, rule, rest)| matches(rule, rest, is_directory))
            .map(|(rank, rule, _)| Decision { rule: rank, is_shown: rule.is_negative() })
            .or(self.decided)
    }

    /// Whether a directory that `decision` was made about is shown: always when a rule might take back something in it.
    fn shows_directory(&self, path: &TreePath, decision: Option<Decision>) -> bool {
        decision.is_none_or(|decision| {
            decision.is_shown
                || self
                    .strongest_first(path)
                    .take_while(|(rank, ..)| *rank > decision.rule)
                    .any(|(_, rule, rest)| rule.is_negative() && might_match_below(rule, rest))
        })
    }

    /// With the rules of a `.sourceignore`, where nothing goes before `spec.ignore`.
    fn with(&self, list: List, decided: Option<Decision>) -> Self {
        let mut lists = self.lists.clone();
        if !list.rules.is_empty() {
            lists.retain(|list| list.priority != Priority::Default);
            let at = lists.partition_point(|other| other.priority < list.priority);
            lists.insert(at, Arc::new(list));
        }
        Self { lists, decided }
    }
}

/// Whether a rule speaks of this path itself. `rest` is seen from the directory of the rule.
fn matches(rule: &Pattern, rest: &str, is_directory: bool) -> bool {
    let name_at = rest.rfind('/').map(|at| at + 1);
    rule.matches_repo_relative_path(
        rest.into(),
        name_at,
        Some(is_directory),
        Case::Sensitive,
        wildmatch::Mode::NO_MATCH_SLASH_LITERAL,
    )
}

/// Whether a rule could match something below the directory `rest`: whether its parts agree with those of the directory as far as both go.
fn might_match_below(rule: &Pattern, rest: &str) -> bool {
    if rule.mode.contains(Mode::NO_SUB_DIR) && !rule.mode.contains(Mode::ABSOLUTE) {
        return true;
    }
    let mut parts = rule.text.split(|byte| *byte == b'/');
    for name in rest.split('/') {
        match parts.next() {
            Some(part) if part.starts_with(b"**") => return true,
            Some(part) if !wildmatch(part.into(), name.into(), wildmatch::Mode::NO_MATCH_SLASH_LITERAL) => {
                return false;
            }
            Some(_) => {}
            None => return true,
        }
    }
    true
}

impl Ignore {
    /// The rules in force in a directory; `None` when it is not shown.
    fn rules(&self, tree: &dyn Tree, directory: &TreePath) -> Result<Option<Arc<Rules>>, TreeError> {
        let (mut ahead, mut at) = (Vec::new(), Some(directory.clone()));
        let mut rules = Some(Arc::new(self.above.clone()));
        while let Some(next) = at {
            if let Some(known) = self.known.lock().get(&next) {
                rules = known.clone();
                break;
            }
            at = next.parent();
            ahead.push(next);
        }
        while let Some(next) = ahead.pop() {
            rules = match &rules {
                Some(above) => self.enter(tree, above, &next)?.map(Arc::new),
                None => None,
            };
            self.known.lock().put(next, rules.clone());
        }
        Ok(rules)
    }

    /// The rules in force in a directory, given those of the one it is in.
    fn enter(
        &self,
        tree: &dyn Tree,
        above: &Rules,
        directory: &TreePath,
    ) -> Result<Option<Rules>, TreeError> {
        let decided = if directory.is_root() { None } else { above.decide(directory, true) };
        if !above.shows_directory(directory, decided) {
            return Ok(None);
        }
        if self.convention == Convention::Bucket && !directory.is_root() {
            return Ok(Some(Rules { decided, ..above.clone() }));
        }
        let file = directory.join(FILE)?;
        let text = match tree.kind(&file)? {
            Some(EntryKind::File) => tree.read(&file, MAX_BYTES)?,
            _ => Vec::new(),
        };
        let list = List::new(Priority::File(directory.parts().count()), directory.clone(), &text);
        let rules = above.with(list, decided);
        let count: usize = rules.lists.iter().map(|list| list.rules.len()).sum();
        if count > 2 * MAX_RULES {
            let reason = format!("with it {count} rules are in force there, more than {}", 2 * MAX_RULES);
            return Err(TreeError::Failed { path: file.to_string(), reason });
        }
        Ok(Some(rules))
    }
}

impl Filter for Ignore {
    fn shows(&self, tree: &dyn Tree, path: &TreePath, kind: EntryKind) -> Result<bool, TreeError> {
        let Some(directory) = path.parent() else { return Ok(true) };
        let Some(rules) = self.rules(tree, &directory)? else { return Ok(false) };
        // A submodule that was not fetched is an empty directory to Flux.
        let is_directory = matches!(kind, EntryKind::Directory | EntryKind::Opaque);
        let decision = rules.decide(path, is_directory);
        Ok(match kind {
            EntryKind::Directory => rules.shows_directory(path, decision),
            _ => decision.is_none_or(|decision| decision.is_shown),
        })
    }
}
