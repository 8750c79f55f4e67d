use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gix::ObjectId;
use parking_lot::Mutex;

use crate::deadline::TICK;
use crate::git::error::GitError;
use crate::git::generation::Generation;
use crate::git::remote::Patience;
use crate::git::url::GitUrl;

/// The URLs of the submodules that were fetched with it last, one a line.
const SUBMODULES: &str = "submodules";
/// Commits of which it is remembered that they are on a branch. There are about as many as objects that name one.
const MOST_ON_BRANCH: usize = 1000;

/// What is stored of one URL: a directory with one generation that is used, and perhaps older ones that are still read.
pub(crate) struct Repository {
    dir: PathBuf,
    /// Held by who fetches.
    fetching: Mutex<()>,
    current: Mutex<Option<Arc<Generation>>>,
    /// Branches, and commits that were in their histories.
    on_branch: Mutex<HashSet<(String, ObjectId)>>,
}

impl Repository {
    /// The newest generation that is complete; all others are left from a process that was killed.
    pub(crate) fn open(dir: &Path, url: &GitUrl) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("url"), format!("{url}\n"))?;
        let mut current: Option<Arc<Generation>> = None;
        for (_, path) in generations(dir)?.into_iter().rev() {
            match Generation::open(&path) {
                Ok(generation) if current.is_none() => current = Some(Arc::new(generation)),
                _ => fs::remove_dir_all(path)?,
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            fetching: Mutex::new(()),
            current: Mutex::new(current),
            on_branch: Mutex::default(),
        })
    }

    pub(crate) fn current(&self) -> Option<Arc<Generation>> {
        self.current.lock().clone()
    }

    pub(crate) fn create(&self) -> io::Result<Generation> {
        let next = generations(&self.dir)?.last().map_or(0, |(number, _)| number + 1);
        Generation::create(&self.dir.join(next.to_string()))
    }

    pub(crate) fn replace(&self, generation: &Arc<Generation>) {
        generation.keep();
        if let Some(old) = self.current.lock().replace(Arc::clone(generation)) {
            old.retire();
        }
    }

    /// Gives up what is here. Whether nothing of it is left: snapshots that are still read keep theirs.
    pub(crate) fn retire(&self) -> io::Result<bool> {
        if let Some(generation) = self.current.lock().take() {
            generation.retire();
        }
        Ok(generations(&self.dir)?.is_empty())
    }

    /// Whether a commit was in the history of a branch when that was looked at.
    pub(crate) fn is_on_branch(&self, branch: &str, commit: ObjectId) -> bool {
        self.on_branch.lock().contains(&(branch.to_owned(), commit))
    }

    pub(crate) fn note_on_branch(&self, branch: &str, commit: ObjectId) {
        let mut known = self.on_branch.lock();
        if known.len() >= MOST_ON_BRANCH {
            known.clear();
        }
        known.insert((branch.to_owned(), commit));
    }

    /// Notes what else has to be kept for as long as this is. What cannot be noted is fetched again one day.
    pub(crate) fn note_submodules(&self, urls: &[GitUrl]) {
        let text: String = urls.iter().map(|url| format!("{url}\n")).collect();
        let unfinished = self.dir.join("submodules.new");
        let written =
            fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, self.dir.join(SUBMODULES)));
        if let Err(error) = written {
            tracing::debug!(%error, store = %self.dir.display(), "could not note the submodules");
        }
    }

    pub(crate) fn wait_for_turn(
        &self,
        url: &GitUrl,
        patience: &Patience,
    ) -> Result<parking_lot::MutexGuard<'_, ()>, GitError> {
        loop {
            if let Some(turn) = self.fetching.try_lock_for(TICK) {
                return Ok(turn);
            }
            patience.check(url)?;
        }
    }
}

/// The URLs of the submodules of the repository in this directory.
pub(crate) fn submodules(dir: &Path) -> Vec<GitUrl> {
    let text = fs::read_to_string(dir.join(SUBMODULES)).unwrap_or_default();
    text.lines().filter_map(|line| GitUrl::parse(line).ok()).collect()
}

/// The generations of a repository by their numbers, oldest first.
fn generations(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
