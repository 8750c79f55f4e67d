use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};
use gix::protocol::handshake::Ref;
use plumb_api::{GitReference, Revision};
use semver::Version;

use crate::git::error::GitError;
use crate::git::url::GitUrl;
use crate::versions::{Range, version_of_tag};

/// What a reference leads to on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As it stands in the revision: the branch or tag without `refs/heads/` or `refs/tags/`, a full reference as it was asked for.
    name: Option<String>,
    pub(crate) commit: ObjectId,
    found: Found,
}

/// How it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// A reference points to it.
    Advertised,
    /// It was asked for by its id.
    Named,
    /// The same, and it has to be in the history of this branch, which is at this commit.
    OnBranch(String, ObjectId),
}

impl Target {
    fn advertised(name: &str, commit: ObjectId) -> Self {
        Self { name: Some(name.to_owned()), commit, found: Found::Advertised }
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision::git(self.name.as_deref(), self.commit)
    }

    /// Whether every server hands it out.
    pub(crate) fn is_advertised(&self) -> bool {
        self.found == Found::Advertised
    }

    /// The branch whose history has to have it, and where that branch is.
    pub(crate) fn has_to_be_on(&self) -> Option<(&str, ObjectId)> {
        match &self.found {
            Found::OnBranch(branch, tip) => Some((branch, *tip)),
            Found::Advertised | Found::Named => None,
        }
    }
}

/// The tag by which a target was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// Without `refs/tags/`.
    pub(crate) name: String,
    /// Its own object, if it is annotated.
    pub(crate) object: Option<ObjectId>,
}

/// The tag of the server's list by which a target was found, if it was by one.
pub(crate) fn tag(reference: &GitReference, target: &Target, refs: &[Ref]) -> Option<Tag> {
    const TAGS: &str = "refs/tags/";
    let name = match reference {
        GitReference::Tag(_) | GitReference::Semver(_) => target.name.as_deref(),
        GitReference::Name(name) => name.strip_prefix(TAGS),
        GitReference::Branch(_) | GitReference::Commit { .. } => None,
    }?;
    let full = format!("{TAGS}{name}");
    let object = refs.iter().find_map(|reference| match reference {
        Ref::Peeled { full_ref_name, tag, .. } if *full_ref_name == full.as_str() => Some(*tag),
        _ => None,
    });
    Some(Tag { name: name.to_owned(), object })
}

/// What the server is to list. It may list more.
pub(crate) fn prefix(reference: &GitReference) -> String {
    match reference {
        GitReference::Branch(branch) | GitReference::Commit { branch: Some(branch), .. } => {
            format!("refs/heads/{branch}")
        }
        GitReference::Tag(tag) => format!("refs/tags/{tag}"),
        GitReference::Semver(_) => "refs/tags/".to_owned(),
        GitReference::Name(name) => name.clone(),
        // A commit is not looked for in the list, but asking shows whether we may read the repository.
        GitReference::Commit { branch: None, .. } => "HEAD".to_owned(),
    }
}

/// Finds what a reference leads to in the server's list.
pub(crate) fn choose(reference: &GitReference, refs: &[Ref], url: &GitUrl) -> Result<Target, GitError> {
    let invalid = |reference: &str, what| GitError::InvalidReference {
        url: url.to_string(),
        reference: reference.to_owned(),
        what,
    };
    let exactly = |full: String, what: String| {
        refs.iter()
            .filter_map(name_and_object)
            .find_map(|(name, object)| (name == full.as_bytes()).then_some(object))
            .ok_or_else(|| GitError::ReferenceNotFound { url: url.to_string(), reference: what })
    };
    let branch_tip = |branch: &str| exactly(format!("refs/heads/{branch}"), format!("branch {branch:?}"));
    match reference {
        GitReference::Branch(branch) => Ok(Target::advertised(branch, branch_tip(branch)?)),
        GitReference::Tag(tag) => {
            let commit = exactly(format!("refs/tags/{tag}"), format!("tag {tag:?}"))?;
            Ok(Target::advertised(tag, commit))
        }
        GitReference::Name(name) => {
            let commit = exactly(name.clone(), format!("reference {name:?}"))?;
            Ok(Target::advertised(name, commit))
        }
        GitReference::Semver(range) => {
            let parsed = Range::parse(range).ok_or_else(|| invalid(range, "range of versions"))?;
            let (tag, commit) = newest_in(&parsed, refs)
                .ok_or_else(|| GitError::NoVersion { url: url.to_string(), range: range.clone() })?;
            Ok(Target::advertised(&tag, commit))
        }
        GitReference::Commit { branch, sha } => {
            let tip = branch.as_deref().map(branch_tip).transpose()?;
            let commit = ObjectId::from_hex(sha.as_bytes())
                .map_err(|_| invalid(sha, "commit id of 40 hexadecimal digits"))?;
            let found = match (branch, tip) {
                (_, Some(tip)) if tip == commit => Found::Advertised,
                (Some(branch), Some(tip)) => Found::OnBranch(branch.clone(), tip),
                _ => Found::Named,
            };
            Ok(Target { name: branch.clone(), commit, found })
        }
    }
}

/// The tag with the highest version in a range. Of versions that differ in their build metadata only, Flux takes the one whose commit is the youngest;
/// the list of the server has no times, so the one that sorts last is taken.
fn newest_in(range: &Range, refs: &[Ref]) -> Option<(String, ObjectId)> {
    let versions = refs.iter().filter_map(|reference| {
        let (name, object) = name_and_object(reference)?;
        let tag = name.strip_prefix(b"refs/tags/")?.to_str().ok()?;
        let version = version_of_tag(tag).filter(|version| range.holds(version))?;
        Some((version, tag, object))
    });
    let by_version = |left: &(Version, &str, ObjectId), right: &(Version, &str, ObjectId)| {
        left.0.cmp(&right.0).then_with(|| left.1.cmp(right.1))
    };
    versions.max_by(by_version).map(|(_, tag, object)| (tag.to_owned(), object))
}

/// Where the branches are, each commit once.
pub(crate) fn branch_tips(refs: &[Ref]) -> Vec<ObjectId> {
    let mut tips: Vec<_> = refs
        .iter()
        .filter_map(name_and_object)
        .filter_map(|(name, object)| name.starts_with(b"refs/heads/").then_some(object))
        .collect();
    tips.sort();
    tips.dedup();
    tips
}

/// The name of a reference, and the object that it leads to; of an annotated tag, what it tags.
fn name_and_object(reference: &Ref) -> Option<(&BStr, ObjectId)> {
    match reference {
        Ref::Direct { full_ref_name, object }
        | Ref::Peeled { full_ref_name, object, .. }
        | Ref::Symbolic { full_ref_name, object, .. } => Some((full_ref_name.as_bstr(), *object)),
        Ref::Unborn { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn id(digit: char) -> ObjectId {
        ObjectId::from_hex(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    fn refs() -> Vec<Ref> {
        let direct = |name: &str, digit| Ref::Direct { full_ref_name: name.into(), object: id(digit) };
        vec![
            direct("HEAD", '0'),
            direct("refs/heads/main", '1'),
            direct("refs/heads/main-old", '2'),
            direct("refs/heads/feature/x@y", '3'),
            direct("refs/pull/1/head", '4'),
            direct("refs/tags/v1.2.0", '5'),
            Ref::Peeled { full_ref_name: "refs/tags/v1.10.0".into(), tag: id('e'), object: id('6') },
            direct("refs/tags/v2.0.0-rc.1", '7'),
            direct("refs/tags/latest", '8'),
            direct("refs/tags/1.10.0+build", '9'),
        ]
    }

    fn find(reference: &GitReference) -> Result<String, String> {
        let url = GitUrl::parse("https://h/r").unwrap();
        choose(reference, &refs(), &url)
            .map(|target| target.revision().to_string())
            .map_err(|error| error.to_string())
    }

    #[rstest]
    #[case(GitReference::Branch("main".into()), "main", '1')]
    #[case(GitReference::Branch("feature/x@y".into()), "feature/x@y", '3')]
    #[case(GitReference::Tag("v1.10.0".into()), "v1.10.0", '6')]
    #[case(GitReference::Tag("latest".into()), "latest", '8')]
    #[case(GitReference::Semver("~1.2".into()), "v1.2.0", '5')]
    #[case(GitReference::Semver(">=1.0.0 <1.10.0".into()), "v1.2.0", '5')]
    #[case(GitReference::Semver("1.x".into()), "1.10.0+build", '9')]
    #[case(GitReference::Semver(">=1.0.0-0".into()), "v2.0.0-rc.1", '7')]
    #[case(GitReference::Name("refs/heads/main".into()), "refs/heads/main", '1')]
    #[case(GitReference::Name("refs/pull/1/head".into()), "refs/pull/1/head", '4')]
    #[case(GitReference::Name("HEAD".into()), "HEAD", '0')]
    #[case(GitReference::Commit { branch: Some("main".into()), sha: "a".repeat(40) }, "main", 'a')]
    fn a_reference_leads_to_a_revision_as_in_flux(
        #[case] reference: GitReference,
        #[case] name: &str,
        #[case] commit: char,
    ) {
        assert_eq!(find(&reference), Ok(format!("{name}@sha1:{}", id(commit))));
    }

    #[rstest]
    #[case(GitReference::Tag("v1.10.0".into()), Some(("v1.10.0", Some('e'))))]
    #[case(GitReference::Semver("1.10.0".into()), Some(("1.10.0+build", None)))]
    #[case(GitReference::Name("refs/tags/v1.10.0".into()), Some(("v1.10.0", Some('e'))))]
    #[case(GitReference::Tag("latest".into()), Some(("latest", None)))]
    #[case(GitReference::Branch("main".into()), None)]
    #[case(GitReference::Name("refs/heads/main".into()), None)]
    #[case(GitReference::Commit { branch: None, sha: "a".repeat(40) }, None)]
    fn the_tag_is_found_with_its_object(
        #[case] reference: GitReference,
        #[case] expected: Option<(&str, Option<char>)>,
    ) {
        let refs = refs();
        let target = choose(&reference, &refs, &GitUrl::parse("https://h/r").unwrap()).unwrap();
        let expected = expected.map(|(name, object)| Tag { name: name.to_owned(), object: object.map(id) });
        assert_eq!(tag(&reference, &target, &refs), expected);
    }

    #[test]
    fn a_commit_alone_is_its_own_revision() {
        let found = find(&GitReference::Commit { branch: None, sha: "a".repeat(40) });
        assert_eq!(found, Ok(format!("sha1:{}", id('a'))));
    }

    #[rstest]
    #[case(GitReference::Branch("mai".into()), r#"https://h/r has no branch "mai"; the revision that was fetched before remains in use"#)]
    #[case(GitReference::Tag("v9".into()), r#"https://h/r has no tag "v9"; the revision that was fetched before remains in use"#)]
    #[case(GitReference::Name("refs/pull/2/head".into()), r#"https://h/r has no reference "refs/pull/2/head"; the revision that was fetched before remains in use"#)]
    #[case(GitReference::Semver(">=3.0.0".into()), r#"https://h/r has no tag that is a version in the range ">=3.0.0""#)]
    #[case(GitReference::Semver("newest".into()), r#"cannot fetch https://h/r: "newest" is not a valid range of versions"#)]
    #[case(GitReference::Commit { branch: Some("gone".into()), sha: "a".repeat(40) }, r#"https://h/r has no branch "gone"; the revision that was fetched before remains in use"#)]
    #[case(GitReference::Commit { branch: None, sha: "abc".into() }, r#"cannot fetch https://h/r: "abc" is not a valid commit id of 40 hexadecimal digits"#)]
    fn what_is_not_there_is_named(#[case] reference: GitReference, #[case] message: &str) {
        assert_eq!(find(&reference), Err(message.to_owned()));
    }
}
