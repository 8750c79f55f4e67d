use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::BStr;
use gix::submodule::File;
use plumb_tree::{EntryKind, Mounted, Tree, TreeError, TreePath};

use crate::git::credentials::{Credentials, Login};
use crate::git::error::{GitError, printable};
use crate::git::tree::GitTree;
use crate::git::url::GitUrl;
use crate::transport::Transport;

/// Where a repository says where its submodules are.
const FILE: &str = ".gitmodules";
const MAX_BYTES: u64 = 1024 * 1024;
/// In one repository and all that is in it. Each costs a connection, and every question to the tree goes through all of them.
const MAX_SUBMODULES: usize = 100;
/// How deep they may be in each other.
const MAX_DEPTH: usize = 8;

/// Where the tree of a commit of a repository comes from.
pub(crate) type FindTree<'a> = dyn FnMut(&GitUrl, ObjectId) -> Result<Arc<GitTree>, GitError> + 'a;

/// A submodule of a commit.
#[derive(Debug)]
struct Submodule {
    name: String,
    path: TreePath,
    url: GitUrl,
    commit: ObjectId,
}

/// Puts the submodules of a tree where they belong, and their own into them.
///
/// Only those are looked for that are in one of the `directories`, or on the way to one; all when there is none. What `.gitmodules` does not tell about stays as it is, and
/// what it tells about but the commit does not have is nothing, as in Git.
pub(crate) struct Recursion<'a> {
    directories: Vec<TreePath>,
    find: &'a mut FindTree<'a>,
    count: usize,
}

impl<'a> Recursion<'a> {
    pub(crate) fn new(directories: Vec<TreePath>, find: &'a mut FindTree<'a>) -> Self {
        Self { directories, find, count: 0 }
    }

    /// The tree of a repository, with its submodules.
    pub(crate) fn mount(&mut self, tree: Arc<GitTree>, url: &GitUrl) -> Result<Arc<dyn Tree>, GitError> {
        self.mount_below(tree, url, &TreePath::root(), 0)
    }

    fn mount_below(
        &mut self,
        tree: Arc<GitTree>,
        url: &GitUrl,
        place: &TreePath,
        depth: usize,
    ) -> Result<Arc<dyn Tree>, GitError> {
        let mut seen: Arc<dyn Tree> = Arc::clone(&tree) as Arc<dyn Tree>;
        for submodule in declared(&tree, url)? {
            let at = place.join(submodule.path.as_str()).unwrap_or_default();
            if !self.is_wanted(&at) {
                continue;
            }
            self.count += 1;
            if self.count > MAX_SUBMODULES || depth >= MAX_DEPTH {
                let reason = format!(
                    "there are more than {MAX_SUBMODULES} of them, or more than {MAX_DEPTH} in each other"
                );
                return Err(refused(url, &submodule.name, reason));
            }
            let inner = (self.find)(&submodule.url, submodule.commit)
                .and_then(|inner| self.mount_below(inner, &submodule.url, &at, depth + 1))
                .map_err(|error| failed(url, &submodule.name, error))?;
            seen = Mounted::new(seen, submodule.path, inner, TreePath::root())
                .map(Arc::new)
                .map_err(|error| unreadable(url, &error))?;
        }
        Ok(seen)
    }

    fn is_wanted(&self, path: &TreePath) -> bool {
        self.directories.is_empty()
            || self
                .directories
                .iter()
                .any(|wanted| path.below(wanted).is_some() || wanted.below(path).is_some())
    }
}

/// What a submodule is fetched with: the credentials of the repository where they belong, which is the host, port and scheme of that repository, and none elsewhere.
///
/// Flux sends them everywhere. A `.gitmodules` is written by whoever may push, and could name a host of theirs.
pub(crate) fn credentials_for(submodule: &GitUrl, repository: &GitUrl, own: &Credentials) -> Credentials {
    if submodule.has_same_origin(repository) {
        return own.clone();
    }
    Credentials {
        login: Login::Anonymous,
        transport: Transport { client_certificate: None, ..own.transport.clone() },
    }
}

/// The submodules that a commit has and that its `.gitmodules` tells about.
///
/// What could make Git do something else, or write somewhere else, is refused even where it would do nothing here: whoever wrote it meant no good.
fn declared(tree: &GitTree, url: &GitUrl) -> Result<Vec<Submodule>, GitError> {
    let file = TreePath::new(FILE).unwrap_or_default();
    let text = match tree.kind(&file).map_err(|error| unreadable(url, &error))? {
        Some(EntryKind::File) => tree.read(&file, MAX_BYTES).map_err(|error| unreadable(url, &error))?,
        Some(EntryKind::Link) => {
            let reason = format!("{FILE} is a symbolic link");
            return Err(refused(url, FILE, reason));
        }
        _ => return Ok(Vec::new()),
    };
    let parsed = File::from_bytes(&text, None, &gix::config::File::default());
    let parsed = parsed.map_err(|error| refused(url, FILE, printable(&error.to_string())))?;
    let mut found = Vec::new();
    for name in parsed.names() {
        let readable = printable(&name.to_string());
        let refused = |reason| refused(url, &readable, reason);
        check_name(name).map_err(refused)?;
        parsed
            .update(name)
            .map_err(|_| refused("its `update` is a command, or nothing that Git knows".to_owned()))?;
        let path = path(&parsed, name).map_err(refused)?;
        let Some(commit) = tree.commit_at(&path).map_err(|error| unreadable(url, &error))? else { continue };
        let url = address(&parsed, name, url).map_err(refused)?;
        found.push(Submodule { name: readable.clone(), path, url, commit });
    }
    Ok(found)
}

/// As `git` checks it (`check_submodule_name`): it becomes the name of a directory there.
fn check_name(name: &BStr) -> Result<(), String> {
    let leaves = name.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..");
    if name.is_empty() || leaves {
        return Err("its name is empty or has `..` in it".to_owned());
    }
    Ok(())
}

fn path(file: &File, name: &BStr) -> Result<TreePath, String> {
    let path = file.path(name).map_err(|error| printable(&error.to_string()))?;
    let unsafe_path = || format!("its path {:?} leads out of its place", printable(&path.to_string()));
    let text = std::str::from_utf8(&path).map_err(|_| unsafe_path())?;
    let is_plain = !text.starts_with(['-', '/'])
        && text
            .split(['/', '\\'])
            .all(|part| !matches!(part, ".." | ".") && !part.eq_ignore_ascii_case(".git"));
    match TreePath::new(text) {
        Ok(path) if is_plain && !path.is_root() => Ok(path),
        _ => Err(unsafe_path()),
    }
}

fn address(file: &File, name: &BStr, parent: &GitUrl) -> Result<GitUrl, String> {
    let written = file.config().string_by("submodule", Some(name), "url");
    let written = written.ok_or("it has no url")?.to_string();
    if written.starts_with("./") || written.starts_with("../") {
        return parent
            .relative(&written)
            .ok_or_else(|| format!("its url {:?} leads out of the host", printable(&written)));
    }
    let text = scp_like(&written).unwrap_or(written);
    GitUrl::parse(&text).map_err(|error| error.to_string())
}

/// `git@HOST:PATH` as a URL. `ext::…` and the like are none.
fn scp_like(text: &str) -> Option<String> {
    let (host, path) = text.split_once(':')?;
    let is_one = !host.is_empty() && !host.contains('/') && !path.starts_with(':') && !path.starts_with("//");
    is_one.then(|| format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

fn refused(url: &GitUrl, name: &str, reason: String) -> GitError {
    GitError::SubmoduleRefused { url: url.to_string(), name: name.to_owned(), reason }
}

fn failed(url: &GitUrl, name: &str, error: GitError) -> GitError {
    match error {
        // It is nobody's fault.
        GitError::Cancelled { .. } => error,
        error => GitError::Submodule { url: url.to_string(), name: name.to_owned(), error: Box::new(error) },
    }
}

fn unreadable(url: &GitUrl, error: &TreeError) -> GitError {
    GitError::Store { url: url.to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn read(section: &str) -> Result<(String, String), String> {
        let file = File::from_bytes(section.as_bytes(), None, &gix::config::File::default()).unwrap();
        let name = file.names().next().unwrap().to_owned();
        let name = name.as_ref();
        check_name(name)?;
        file.update(name).map_err(|_| "its update".to_owned())?;
        let parent = GitUrl::parse("https://user:hunter2@host:8443/org/team/repo.git?x=y").unwrap();
        Ok((path(&file, name)?.to_string(), address(&file, name, &parent)?.to_string()))
    }

    fn with_url(url: &str) -> Result<String, String> {
        read(&format!("[submodule \"lib\"]\n path = vendor/lib\n url = \"{url}\"\n")).map(|(_, url)| url)
    }

    /// `git help gitmodules`: relative URLs begin with `./` or `../`.
    #[rstest]
    #[case("../other.git", "https://host:8443/org/team/other.git")]
    #[case("../../else/other", "https://host:8443/org/else/other")]
    #[case("./nested.git", "https://host:8443/org/team/repo.git/nested.git")]
    #[case("https://elsewhere/x.git", "https://elsewhere/x.git")]
    #[case("git@github.com:org/repo.git", "ssh://github.com/org/repo.git")]
    #[case("ssh://git@github.com/org/repo.git", "ssh://github.com/org/repo.git")]
    fn an_address_is_read_as_git_reads_it(#[case] written: &str, #[case] read: &str) {
        assert_eq!(with_url(written), Ok(read.to_owned()));
    }

    /// Attack 4 (Sources): addresses that run a program, read the disk, or are options of another program.
    #[rstest]
    #[case("file:///etc")]
    #[case("ext::sh -c id")]
    #[case("ext::sh -c touch% /tmp/x")]
    #[case("/etc")]
    #[case("-u./payload")]
    #[case("--upload-pack=id")]
    #[case("-oProxyCommand=id:x")]
    #[case("ssh://-oProxyCommand=id/x")]
    #[case("../../../../../etc")]
    #[case("fd::17/foo")]
    #[case("")]
    fn an_address_that_does_something_else_is_refused(#[case] written: &str) {
        with_url(written).unwrap_err();
    }

    /// Attack 4 (Sources): names, paths and commands that leave the place of the submodule.
    #[rstest]
    #[case("[submodule \"../../.git/hooks\"]\n path = a\n url = ../b\n")]
    #[case("[submodule \"a/../../b\"]\n path = a\n url = ../b\n")]
    #[case("[submodule \"a\\\\..\\\\b\"]\n path = a\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = ../a\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = a/../../b\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = a/../b\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = .git/hooks\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = a/.GIT\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = /etc\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = -x\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = .\n url = ../b\n")]
    #[case("[submodule \"a\"]\n url = ../b\n")]
    #[case("[submodule \"a\"]\n path = a\n")]
    #[case("[submodule \"a\"]\n path = a\n url = ../b\n update = !touch /tmp/x\n")]
    fn a_submodule_that_leaves_its_place_is_refused(#[case] section: &str) {
        read(section).unwrap_err();
    }

    #[test]
    fn credentials_go_to_their_own_host_only() {
        let own = Credentials {
            login: Login::Bearer(plumb_api::Sensitive::new("token".to_owned())),
            transport: Transport { ca: Some(b"ca".to_vec()), ..Transport::default() },
        };
        let url = |text| GitUrl::parse(text).unwrap();
        let parent = url("https://host/repo");
        for (submodule, is_sent) in [
            ("https://host/other", true),
            ("https://HOST:443/other", true),
            ("https://host:8443/other", false),
            ("http://host/other", false),
            ("ssh://host/other", false),
            ("https://host.evil/other", false),
        ] {
            let sent = credentials_for(&url(submodule), &parent, &own);
            assert_eq!(matches!(sent.login, Login::Bearer(_)), is_sent, "{submodule}");
            assert!(sent.transport.ca.is_some(), "whom to trust is no secret");
        }
    }
}
