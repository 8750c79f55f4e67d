use std::cmp::Ordering;

use plumb_api::OciReference;
use regex::RegexBuilder;

use crate::oci::digest::OciDigest;
use crate::versions::{Range, version_of_tag};

/// The media type of the layer of a Helm chart. Helm writes `_` for the `+` of a version, which a tag cannot have.
const HELM_CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// What a filter may take when it is compiled, in bytes.
const MAX_FILTER_BYTES: usize = 1024 * 1024;

/// Which manifest is wanted, all parts of it checked.
#[derive(Debug)]
pub(crate) enum Wanted {
    Digest(OciDigest),
    Tag(Tag),
    Version(Versions),
}

/// The name of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(String);

/// Which versions are wanted.
#[derive(Debug)]
pub(crate) struct Versions {
    range: Range,
    filter: Option<regex::Regex>,
    is_chart: bool,
}

/// Text that is not what a field of the reference should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) text: String,
    pub(crate) what: &'static str,
}

impl Wanted {
    /// Checks a reference. `media_type` is that of the layer that is selected: Helm has its own way to write versions.
    pub(crate) fn new(reference: &OciReference, media_type: Option<&str>) -> Result<Self, Invalid> {
        let invalid = |text: &str, what| Invalid { text: text.to_owned(), what };
        Ok(match reference {
            OciReference::Digest(digest) => {
                Self::Digest(digest.parse().map_err(|_| invalid(digest, "digest of the form sha256:HEX"))?)
            }
            OciReference::Tag(tag) => Self::Tag(Tag::new(tag).ok_or_else(|| invalid(tag, "tag"))?),
            OciReference::Semver { range, filter } => Self::Version(Versions {
                range: Range::parse(range).ok_or_else(|| invalid(range, "range of versions"))?,
                filter: match filter {
                    None => None,
                    Some(filter) => Some(
                        RegexBuilder::new(filter)
                            .size_limit(MAX_FILTER_BYTES)
                            .build()
                            .map_err(|_| invalid(filter, "regular expression, or takes too much memory"))?,
                    ),
                },
                is_chart: media_type == Some(HELM_CHART),
            }),
        })
    }
}

impl Tag {
    /// As the specification has it: up to 128 letters, digits, `_`, `.` and `-`, the first none of the last two.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_tag = (1..=128).contains(&text.len())
            && text.bytes().next().is_some_and(is_word)
            && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
        is_tag.then(|| Self(text.to_owned()))
    }

    /// Where the signatures of a manifest are: `sha256-HEX` and a suffix.
    pub(crate) fn of_digest(digest: &OciDigest, suffix: &str) -> Self {
        Self(format!("sha256-{}{suffix}", digest.hex()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Versions {
    /// The tag with the highest version. Of tags that differ in build metadata only, which has no order, the last one by name.
    pub(crate) fn newest(&self, tags: &[String]) -> Option<Tag> {
        let candidates =
            tags.iter().filter(|tag| self.filter.as_ref().is_none_or(|filter| filter.is_match(tag)));
        let versions = candidates.filter_map(|tag| {
            let version =
                if self.is_chart { version_of_tag(&tag.replace('_', "+")) } else { version_of_tag(tag) };
            Some((version.filter(|version| self.range.holds(version))?, tag))
        });
        let newest = versions.max_by(|(one, tag), (other, other_tag)| match one.cmp_precedence(other) {
            Ordering::Equal => tag.cmp(other_tag),
            order => order,
        });
        newest.and_then(|(_, tag)| Tag::new(tag))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1.x", None, "1.0.0 v1.10.0 1.9.0 2.0.0 latest 1.11.0-rc.1", Some("v1.10.0"))]
    #[case(">=1.0.0-0", Some(".*-rc.*"), "1.0.0 1.1.0-rc.1 1.1.0-rc.2 1.1.0", Some("1.1.0-rc.2"))]
    #[case("*", Some("^v"), "2.0.0 v1.0.0", Some("v1.0.0"))]
    #[case("*", None, "latest main sha256-0000.sig 1.0", None)]
    #[case("*", None, "", None)]
    #[case("1.x", None, "1.0.0 v1.0.0", Some("v1.0.0"))]
    fn the_highest_version_is_taken(
        #[case] range: &str,
        #[case] filter: Option<&str>,
        #[case] tags: &str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(newest(range, filter, None, tags).as_deref(), expected);
    }

    #[rstest]
    #[case(Some(HELM_CHART), Some("1.0.0_2"))]
    #[case(None, None)]
    fn helm_writes_an_underscore_for_a_plus(
        #[case] media_type: Option<&str>,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(newest("1.x", None, media_type, "1.0.0_1 1.0.0_2").as_deref(), expected);
    }

    fn newest(range: &str, filter: Option<&str>, media_type: Option<&str>, tags: &str) -> Option<String> {
        let reference = OciReference::Semver { range: range.to_owned(), filter: filter.map(str::to_owned) };
        let Wanted::Version(versions) = Wanted::new(&reference, media_type).unwrap() else {
            panic!("a range is asked for")
        };
        let tags: Vec<String> = tags.split_whitespace().map(str::to_owned).collect();
        versions.newest(&tags).map(|tag| tag.as_str().to_owned())
    }

    #[rstest]
    #[case(OciReference::Tag("a/b".into()), "a/b", "tag")]
    #[case(OciReference::Tag("..".into()), "..", "tag")]
    #[case(OciReference::Tag("-v1".into()), "-v1", "tag")]
    #[case(OciReference::Tag("a".repeat(129)), &"a".repeat(129), "tag")]
    #[case(OciReference::Digest("sha256:abc".into()), "sha256:abc", "digest of the form sha256:HEX")]
    #[case(OciReference::Semver { range: "one".into(), filter: None }, "one", "range of versions")]
    #[case(OciReference::Semver { range: "1.x".into(), filter: Some("(".into()) }, "(", "regular expression, or takes too much memory")]
    #[case(OciReference::Semver { range: "1.x".into(), filter: Some("a{1000}{1000}".into()) }, "a{1000}{1000}", "regular expression, or takes too much memory")]
    fn what_no_artifact_can_have_is_refused(
        #[case] reference: OciReference,
        #[case] text: &str,
        #[case] what: &'static str,
    ) {
        let refused = Wanted::new(&reference, None).err();
        assert_eq!(refused, Some(Invalid { text: text.to_owned(), what }));
    }
}
