use std::sync::Arc;

use plumb_tree::{Directories, InvalidPath, Mounted, Selected, Tree, TreeError, TreePath};
use sha2::{Digest as _, Sha256};

use crate::ignore::{self, Convention, InvalidIgnore};

/// Every name in a tree is compared with all of them.
const MAX_DIRECTORIES: usize = 1000;
/// Every question to a tree goes through all of them.
const MAX_INCLUDES: usize = 100;

/// What users of a repository see of a commit, and what they see besides. By default, the files of the commit without the default exclusions of Flux.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Flux's `spec.recurseSubmodules`.
    pub submodules: Submodules,
    /// Flux's `spec.sparseCheckout`: nothing is seen but these directories. None at all means everything.
    pub sparse_checkout: Vec<String>,
    /// Flux's `spec.include`, in its order.
    pub include: Vec<Include>,
    /// Flux's `spec.ignore`. See [`ignore`].
    pub ignore: Option<String>,
}

/// What becomes of submodules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Submodules {
    /// They are there as names that cannot be read.
    #[default]
    Opaque,
    /// They are fetched, and their own as well.
    Recurse,
}

/// A directory of another repository that is put into this one.
#[derive(Clone, Debug)]
pub struct Include {
    /// The name of the other GitRepository, for messages.
    pub repository: String,
    /// The files that its users see.
    pub tree: Arc<dyn Tree>,
    /// The digest of its artifact.
    pub digest: String,
    /// Which directory of it. All of it when there is none.
    pub from_path: Option<String>,
    /// Where to put it. It hides what is there.
    pub to_path: String,
}

/// A selection that this commit does not allow. The messages tell of the repository only, never of the disk of this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelection {
    /// A path leads out of the repository.
    #[error("{field} cannot be used: {error}")]
    Path {
        /// The field of the spec.
        field: &'static str,
        /// What is wrong with the path.
        error: InvalidPath,
    },
    /// The commit has no such directory.
    #[error("spec.sparseCheckout names {0:?}, which the repository does not have at this commit")]
    NoSuchDirectory(String),
    /// There are more than anybody writes by hand.
    #[error("{field} has {count} items, more than the limit of {limit}")]
    TooMany {
        /// The field of the spec.
        field: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Another repository does not have the directory that is to be included.
    #[error("{from:?} of the GitRepository {repository} cannot be included at {to:?}: {error}")]
    Include {
        /// The other GitRepository.
        repository: String,
        /// Its directory.
        from: String,
        /// Where it was to be put.
        to: String,
        /// Why not.
        error: TreeError,
    },
    /// The rules of `spec.ignore` are not taken.
    #[error(transparent)]
    Ignore(#[from] InvalidIgnore),
    /// The store is damaged.
    #[error("the files of the repository cannot be read: {0}")]
    Tree(TreeError),
}

impl InvalidSelection {
    /// Whether no commit could allow it.
    pub(crate) fn needs_a_change(&self) -> bool {
        matches!(self, Self::Path { .. } | Self::TooMany { .. } | Self::Ignore(_))
    }
}

impl Selection {
    /// The directories of `spec.sparseCheckout`; none means everything.
    pub(crate) fn directories(&self) -> Result<Vec<TreePath>, InvalidSelection> {
        const FIELD: &str = "spec.sparseCheckout";
        at_most(FIELD, self.sparse_checkout.len(), MAX_DIRECTORIES)?;
        self.sparse_checkout
            .iter()
            .map(|path| TreePath::new(path).map_err(|error| InvalidSelection::Path { field: FIELD, error }))
            .collect()
    }

    /// What users see of a tree in which submodules are where they belong.
    ///
    /// In Flux's order: directories are chosen first, so that a `.sourceignore` beside them does not count, and what is left out is left out of
    /// included files too.
    pub(crate) fn apply(&self, tree: Arc<dyn Tree>) -> Result<Arc<dyn Tree>, InvalidSelection> {
        let tree = self.sparse(tree)?;
        at_most("spec.include", self.include.len(), MAX_INCLUDES)?;
        let tree = self.include.iter().try_fold(tree, |tree, include| include.put_into(tree))?;
        Ok(ignore::select(tree, Convention::Repository, self.ignore.as_deref())?)
    }

    fn sparse(&self, tree: Arc<dyn Tree>) -> Result<Arc<dyn Tree>, InvalidSelection> {
        let directories = self.directories()?;
        for (directory, written) in directories.iter().zip(&self.sparse_checkout) {
            if tree.kind(directory).map_err(InvalidSelection::Tree)?.is_none() {
                return Err(InvalidSelection::NoSuchDirectory(written.clone()));
            }
        }
        Ok(match directories.is_empty() {
            true => tree,
            false => Arc::new(Selected::new(tree, Directories::new(directories))),
        })
    }

    /// Tells apart all that users could see: what this makes of the tree with this id. That is the id itself when nothing is chosen.
    pub fn digest(&self, tree_id: &str) -> String {
        let Self { submodules, sparse_checkout, include, ignore } = self;
        if *submodules == Submodules::Opaque
            && sparse_checkout.is_empty()
            && include.is_empty()
            && ignore.is_none()
        {
            return format!("sha1:{tree_id}");
        }
        let mut hash = Sha256::new();
        // Each part with its length: no two selections write the same text.
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        part(tree_id);
        // Which commits the submodules are at is in the tree.
        part(if *submodules == Submodules::Recurse { "submodules" } else { "" });
        part(&sparse_checkout.len().to_string());
        sparse_checkout.iter().for_each(|path| part(path));
        part(&include.len().to_string());
        for Include { repository: _, tree: _, digest, from_path, to_path } in include {
            part(digest);
            part(from_path.as_deref().unwrap_or_default());
            part(to_path);
        }
        part(if ignore.is_some() { "ignore" } else { "" });
        part(ignore.as_deref().unwrap_or_default());
        format!("sha256:{:x}", hash.finalize())
    }
}

impl Include {
    fn put_into(&self, base: Arc<dyn Tree>) -> Result<Arc<dyn Tree>, InvalidSelection> {
        let from = self.from_path.as_deref().unwrap_or_default();
        let failed = |error| InvalidSelection::Include {
            repository: self.repository.clone(),
            from: from.to_owned(),
            to: self.to_path.clone(),
            error,
        };
        let inside = |path| {
            TreePath::new(path).map_err(|error| InvalidSelection::Path { field: "spec.include", error })
        };
        let mounted = Mounted::new(base, inside(&self.to_path)?, Arc::clone(&self.tree), inside(from)?);
        Ok(Arc::new(mounted.map_err(failed)?))
    }
}

fn at_most(field: &'static str, count: usize, limit: usize) -> Result<(), InvalidSelection> {
    if count > limit {
        return Err(InvalidSelection::TooMany { field, count, limit });
    }
    Ok(())
}
