use std::fmt;

/// A path inside a tree: `/` between its parts, none in front, no empty part, `.` or `..`. The empty path is the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreePath(String);

/// A path that no tree has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// `..` goes up more often than there are directories.
    #[error("the path {0:?} leads out of the root of the source")]
    LeavesRoot(String),
    /// The path holds a NUL byte.
    #[error("the path {0:?} holds a NUL byte")]
    Nul(String),
}

impl TreePath {
    /// The root of the tree.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path as people write it: a leading or trailing `/`, empty parts and `.` mean nothing, and `..` goes up.
    pub fn new(path: &str) -> Result<Self, InvalidPath> {
        Self::root().join(path)
    }

    /// The path that `relative` names when one stands in `self`. A leading `/` means nothing.
    pub fn join(&self, relative: &str) -> Result<Self, InvalidPath> {
        if relative.contains('\0') {
            return Err(InvalidPath::Nul(relative.to_owned()));
        }
        let mut parts: Vec<&str> = self.parts().collect();
        for part in relative.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop().ok_or_else(|| InvalidPath::LeavesRoot(relative.to_owned()))?;
                }
                part => parts.push(part),
            }
        }
        Ok(Self(parts.join("/")))
    }

    /// The path of a name, or of a normal path, in the directory `self`.
    pub(crate) fn child(&self, name: &str) -> Self {
        match (self.0.as_str(), name) {
            ("", name) => Self(name.to_owned()),
            (_, "") => self.clone(),
            (directory, name) => Self(format!("{directory}/{name}")),
        }
    }

    /// What leads from `directory` to this path: empty when they are the same, `None` when this path is not in it.
    pub fn below(&self, directory: &Self) -> Option<&str> {
        match self.0.strip_prefix(directory.as_str())? {
            rest if rest.is_empty() || directory.is_root() => Some(rest),
            rest => rest.strip_prefix('/'),
        }
    }

    /// The directory that this path is in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map(|(dir, _)| dir).unwrap_or_default().to_owned()))
    }

    /// The parts of the path, from the root on. The root has none.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The path as text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str(".") } else { f.write_str(&self.0) }
    }
}
