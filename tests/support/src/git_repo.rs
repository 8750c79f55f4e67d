use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

/// A work tree, and the bare repository that it is pushed to and that a server serves. Both are deleted with it.
///
/// The real `git` program does the work, with no configuration but its own.
#[derive(Debug)]
pub struct GitRepo {
    dir: TempDir,
    branch: String,
}

impl GitRepo {
    /// An empty repository whose branch is `main`.
    pub fn new() -> anyhow::Result<Self> {
        let repo = Self { dir: TempDir::new()?, branch: "main".to_owned() };
        fs::create_dir_all(repo.work_tree())?;
        fs::create_dir_all(repo.root())?;
        let bare = repo.bare();
        repo.git(&["init", "-q", "--bare", "-b", "main", path_text(&bare)?])?;
        repo.git(&["init", "-q", "-b", "main"])?;
        repo.git(&["remote", "add", "origin", path_text(&bare)?])?;
        Ok(repo)
    }

    /// The directory that a server is to serve. The repository is `repo.git` in it.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("served")
    }

    /// The bare repository.
    pub fn bare(&self) -> PathBuf {
        self.root().join("repo.git")
    }

    /// The directory whose files the next commit takes.
    pub fn work_tree(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Puts a file there, with the directories above it.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> anyhow::Result<&Self> {
        let path = self.work_tree().join(path);
        fs::create_dir_all(path.parent().context("a file is in a directory")?)?;
        fs::write(path, bytes)?;
        Ok(self)
    }

    /// Puts a symbolic link there.
    pub fn link(&self, path: &str, target: &str) -> anyhow::Result<&Self> {
        let path = self.work_tree().join(path);
        fs::create_dir_all(path.parent().context("a link is in a directory")?)?;
        symlink(target, path)?;
        Ok(self)
    }

    /// Takes a file or a directory away.
    pub fn remove(&self, path: &str) -> anyhow::Result<&Self> {
        let path = self.work_tree().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path)?
        } else {
            fs::remove_file(path)?
        }
        Ok(self)
    }

    /// Copies a directory of the disk into the work tree.
    pub fn copy_from(&self, directory: &Path) -> anyhow::Result<&Self> {
        let from = directory.join(".");
        let status = Command::new("cp").arg("-R").arg(from).arg(self.work_tree()).status()?;
        ensure!(status.success(), "{} could not be copied", directory.display());
        Ok(self)
    }

    /// Commits the work tree as it is and pushes the branch. Answers the id of the commit.
    pub fn commit(&self, message: &str) -> anyhow::Result<String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "--allow-empty", "-m", message])?;
        self.push()
    }

    /// Puts another commit in the place of the last one, and pushes with force.
    pub fn amend(&self, message: &str) -> anyhow::Result<String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "--amend", "--allow-empty", "-m", message])?;
        self.push()
    }

    /// Starts a branch at the commit where one is, and pushes it.
    pub fn branch(&mut self, name: &str) -> anyhow::Result<String> {
        self.git(&["switch", "-q", "-C", name])?;
        name.clone_into(&mut self.branch);
        self.push()
    }

    /// Goes to a branch that is there.
    pub fn switch(&mut self, name: &str) -> anyhow::Result<()> {
        self.git(&["switch", "-q", name])?;
        name.clone_into(&mut self.branch);
        Ok(())
    }

    /// Deletes a branch on the server.
    pub fn delete_branch(&self, name: &str) -> anyhow::Result<()> {
        self.set_ref(&format!("refs/heads/{name}"), None)
    }

    /// Tags the commit where one is, and pushes the tag.
    pub fn tag(&self, name: &str) -> anyhow::Result<()> {
        self.git(&["tag", "-f", name])?;
        self.git(&["push", "-q", "-f", "origin", &format!("refs/tags/{name}")]).map(drop)
    }

    /// As [`tag`](Self::tag), with an object of its own.
    pub fn annotated_tag(&self, name: &str) -> anyhow::Result<()> {
        self.git(&["tag", "-f", "-a", "-m", name, name])?;
        self.git(&["push", "-q", "-f", "origin", &format!("refs/tags/{name}")]).map(drop)
    }

    /// Lets a reference of the server point to a commit that it has, or deletes it.
    pub fn set_ref(&self, name: &str, commit: Option<&str>) -> anyhow::Result<()> {
        let bare = self.bare();
        let bare = path_text(&bare)?;
        match commit {
            Some(commit) => self.git(&["--git-dir", bare, "update-ref", name, commit])?,
            None => self.git(&["--git-dir", bare, "update-ref", "-d", name])?,
        };
        Ok(())
    }

    /// The id of the commit where one is.
    pub fn head(&self) -> anyhow::Result<String> {
        self.git(&["rev-parse", "HEAD"])
    }

    fn push(&self) -> anyhow::Result<String> {
        self.git(&["push", "-q", "-f", "origin", &self.branch])?;
        self.head()
    }

    /// Runs `git` in the work tree and answers what it printed.
    pub fn git(&self, args: &[&str]) -> anyhow::Result<String> {
        self.git_with_input(args, b"")
    }

    /// As [`git`](Self::git), with bytes to read.
    pub fn git_with_input(&self, args: &[&str], input: &[u8]) -> anyhow::Result<String> {
        let mut child = isolated_git(self.dir.path())
            .current_dir(self.work_tree())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the program `git` cannot be started")?;
        child.stdin.take().context("git was started with a pipe")?.write_all(input)?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "git {args:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }
}

/// `git` without the configuration of the user and of the system.
pub(crate) fn isolated_git(home: &Path) -> Command {
    let mut git = Command::new("git");
    git.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    git.env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C");
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_NAME"), "Ada Lovelace").env(format!("GIT_{who}_EMAIL"), "ada@example.com");
    }
    git
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the temporary directory is not UTF-8")
}
