use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serde_rules::non_empty;

/// Which commit of a Git repository to take. Of several fields, `commit` goes before `name`, `name` before `semver`, `semver`
/// before `tag`, and `tag` before `branch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryRef {
    /// The branch to follow, for example `main`. It defaults to `master` when no other field is given.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The tag to take, for example `v1.2.0`. It goes before `branch`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The range of versions of which the tag with the highest is taken, for example `>=1.2.0 <2.0.0` or `1.x`. It goes before
    /// `tag`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub semver: Option<String>,
    /// The full name of the reference to follow, for example `refs/heads/main`, `refs/tags/v0.1.0`, `refs/pull/420/head` or
    /// `refs/merge-requests/1/head`. It goes before `branch`, `tag` and `semver`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The commit to take, as its full id of 40 hexadecimal digits. It goes before all other fields. Together with `branch`, the
    /// commit is looked for on that branch, which costs less to fetch from servers that hand out no single commits.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// Which commit to take: the one field of a [`GitRepositoryRef`] that goes before the others, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitReference {
    /// This commit.
    Commit {
        /// The branch that the commit is on, where it was given.
        branch: Option<String>,
        /// The full id, 40 hexadecimal digits in lower case.
        sha: String,
    },
    /// What this full reference points to, for example `refs/pull/420/head`.
    Name(String),
    /// The tag with the highest version of this range. The range is not checked here.
    Semver(String),
    /// What this tag points to.
    Tag(String),
    /// The newest commit of this branch.
    Branch(String),
}

/// The branch `master`, as Flux has it.
impl Default for GitReference {
    fn default() -> Self {
        Self::Branch("master".to_owned())
    }
}

/// A field of `spec.ref` that Git does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// The commit is not a full id; short ids are not unique for ever.
    #[error("spec.ref.commit {0:?} is not the full id of a commit: write all 40 hexadecimal digits")]
    Commit(String),
    /// The name is not a full reference.
    #[error("spec.ref.name {0:?} is not a full reference: write it as, for example, refs/heads/main")]
    NotFull(String),
    /// The text breaks a rule of `git check-ref-format`.
    #[error("spec.ref.{field} {value:?} is not a name that Git allows: {rule}")]
    Name {
        /// The field of `spec.ref`.
        field: &'static str,
        /// Its value.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl GitRepositoryRef {
    /// The field that goes before the others, checked.
    ///
    /// # Errors
    ///
    /// When that field is not what Git allows there. Fields that are not used are not checked, except the branch of a commit.
    pub fn resolve(&self) -> Result<GitReference, InvalidReference> {
        let branch = || self.branch.as_deref().map(|branch| checked("branch", branch)).transpose();
        if let Some(commit) = &self.commit {
            let is_full = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_full {
                return Err(InvalidReference::Commit(commit.clone()));
            }
            return Ok(GitReference::Commit { branch: branch()?, sha: commit.to_ascii_lowercase() });
        }
        if let Some(name) = &self.name {
            if !name.starts_with("refs/") && name != "HEAD" {
                return Err(InvalidReference::NotFull(name.clone()));
            }
            return Ok(GitReference::Name(checked("name", name)?));
        }
        if let Some(range) = &self.semver {
            return Ok(GitReference::Semver(range.clone()));
        }
        if let Some(tag) = &self.tag {
            return Ok(GitReference::Tag(checked("tag", tag)?));
        }
        Ok(branch()?.map_or_else(GitReference::default, GitReference::Branch))
    }
}

fn checked(field: &'static str, value: &str) -> Result<String, InvalidReference> {
    match broken_rule(value) {
        None => Ok(value.to_owned()),
        Some(rule) => Err(InvalidReference::Name { field, value: value.to_owned(), rule }),
    }
}

/// The first rule of <https://git-scm.com/docs/git-check-ref-format> that a name breaks.
fn broken_rule(name: &str) -> Option<&'static str> {
    let mut parts = name.split('/');
    if parts.clone().any(str::is_empty) {
        Some("it has an empty part: a / at its start or end, or two in a row")
    } else if parts.clone().any(|part| part.starts_with('.')) {
        Some("a part of it starts with a dot")
    } else if parts.any(|part| part.ends_with(".lock")) {
        Some("a part of it ends in .lock")
    } else if name.ends_with('.') {
        Some("it ends in a dot")
    } else if name.contains("..") {
        Some("it has two dots in a row")
    } else if name == "@" || name.contains("@{") {
        Some("@ alone and @{ are not allowed")
    } else if name.starts_with('-') {
        Some("it starts with a dash")
    } else if name.contains(|c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c)) {
        Some("spaces, control characters and ~ ^ : ? * [ \\ are not allowed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn reference(yaml: &str) -> GitRepositoryRef {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[rstest]
    #[case::nothing("{}", GitReference::Branch("master".into()))]
    #[case::empty_is_nothing(
        "{branch: '', tag: '', semver: '', name: '', commit: ''}",
        GitReference::default()
    )]
    #[case::branch("{branch: main}", GitReference::Branch("main".into()))]
    #[case::branch_with_slash("{branch: feature/x@y}", GitReference::Branch("feature/x@y".into()))]
    #[case::tag("{branch: main, tag: v1}", GitReference::Tag("v1".into()))]
    #[case::semver("{branch: main, tag: v1, semver: '>=1'}", GitReference::Semver(">=1".into()))]
    #[case::name("{branch: b, tag: t, semver: '1', name: refs/pull/1/head}", GitReference::Name("refs/pull/1/head".into()))]
    #[case::head("{name: HEAD}", GitReference::Name("HEAD".into()))]
    fn the_strongest_field_wins(#[case] yaml: &str, #[case] expected: GitReference) {
        assert_eq!(reference(yaml).resolve().unwrap(), expected);
    }

    #[test]
    fn a_commit_goes_before_everything_and_keeps_its_branch() {
        let all = format!(
            "{{branch: main, tag: t, semver: '1', name: refs/heads/x, commit: {}}}",
            SHA.to_uppercase()
        );
        let expected = GitReference::Commit { branch: Some("main".into()), sha: SHA.into() };
        assert_eq!(reference(&all).resolve().unwrap(), expected);
        let alone = reference(&format!("{{commit: '{SHA}'}}")).resolve().unwrap();
        assert_eq!(alone, GitReference::Commit { branch: None, sha: SHA.into() });
    }

    #[rstest]
    #[case(
        "{commit: abc123}",
        r#"spec.ref.commit "abc123" is not the full id of a commit: write all 40 hexadecimal digits"#
    )]
    #[case(
        "{name: main}",
        r#"spec.ref.name "main" is not a full reference: write it as, for example, refs/heads/main"#
    )]
    #[case(
        "{branch: a..b}",
        r#"spec.ref.branch "a..b" is not a name that Git allows: it has two dots in a row"#
    )]
    #[case("{tag: 'v 1'}", r#"spec.ref.tag "v 1" is not a name that Git allows: spaces, control characters and ~ ^ : ? * [ \ are not allowed"#)]
    #[case("{name: 'refs/tags/v1^{}'}", r#"spec.ref.name "refs/tags/v1^{}" is not a name that Git allows: spaces, control characters and ~ ^ : ? * [ \ are not allowed"#)]
    #[case(
        "{branch: --upload-pack=x}",
        r#"spec.ref.branch "--upload-pack=x" is not a name that Git allows: it starts with a dash"#
    )]
    #[case("{branch: a//b}", r#"spec.ref.branch "a//b" is not a name that Git allows: it has an empty part: a / at its start or end, or two in a row"#)]
    #[case(
        "{branch: a/.b}",
        r#"spec.ref.branch "a/.b" is not a name that Git allows: a part of it starts with a dot"#
    )]
    #[case(
        "{branch: a.lock/b}",
        r#"spec.ref.branch "a.lock/b" is not a name that Git allows: a part of it ends in .lock"#
    )]
    #[case("{branch: a.}", r#"spec.ref.branch "a." is not a name that Git allows: it ends in a dot"#)]
    #[case(
        "{branch: 'a@{1}'}",
        r#"spec.ref.branch "a@{1}" is not a name that Git allows: @ alone and @{ are not allowed"#
    )]
    fn what_git_refuses_is_refused(#[case] yaml: &str, #[case] message: &str) {
        assert_eq!(reference(yaml).resolve().unwrap_err().to_string(), message);
    }

    proptest! {
        #[test]
        fn a_name_that_passes_has_no_way_out(name in r"[-a-z./@{~\\ ]{0,12}") {
            let reference = GitRepositoryRef { branch: Some(name.clone()), ..GitRepositoryRef::default() };
            if reference.resolve().is_ok() {
                prop_assert!(!name.split('/').any(|part| part == ".." || part.is_empty()));
                prop_assert!(!name.starts_with('-'));
            }
        }
    }
}
