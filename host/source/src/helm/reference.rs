use plumb_api::OciReference;
use semver::Version;

use crate::helm::ChartError;
use crate::versions::{Range, version_of_tag as version};

/// Whether a repository can have a chart of this name, as Flux decides: lower-case letters, digits and `-`, joined by `.` and `/`. The name is never part of
/// the path of a file here; in a registry it is part of the name of a repository.
pub fn is_chart_name(name: &str) -> bool {
    let mut before = None;
    for byte in name.bytes() {
        let joins = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => true,
            b'/' => before.is_some_and(|before| before != b'/' && before != b'.'),
            b'.' => before.is_some_and(|before| before != b'.'),
            _ => false,
        };
        if !joins {
            return false;
        }
        before = Some(byte);
    }
    before.is_some()
}

/// The reference by which a version, or the newest one of a range, is found among the tags of a registry. A tag has `_` for the `+` of a version.
pub fn chart_reference(range: &str) -> Result<OciReference, ChartError> {
    if Version::parse(range).is_ok() {
        return Ok(OciReference::Tag(range.replace('+', "_")));
    }
    Range::parse(range).ok_or_else(|| ChartError::InvalidRange(range.to_owned()))?;
    Ok(OciReference::Semver { range: range.to_owned(), filter: None })
}

/// The version that a tag of a registry stands for; `None` when it stands for none.
pub fn version_of_tag(tag: &str) -> Option<String> {
    let text = tag.replace('_', "+");
    version(&text).map(|_| text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web", true)]
    #[case("kube-state-metrics", true)]
    #[case("a.b/c-1", true)]
    #[case("a/.b", true)]
    #[case("", false)]
    #[case("/a", false)]
    #[case("a//b", false)]
    #[case("..", false)]
    #[case("../../etc/passwd", false)]
    #[case("a/../b", false)]
    #[case("Web", false)]
    #[case("a_b", false)]
    #[case("a\0", false)]
    fn a_chart_has_a_name_as_in_flux(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_chart_name(name), expected);
    }

    #[test]
    fn a_version_is_a_tag_and_a_range_is_looked_for_among_all_tags() {
        assert_eq!(chart_reference("1.2.3+build.1").unwrap(), OciReference::Tag("1.2.3_build.1".to_owned()));
        let range = OciReference::Semver { range: "1.x".to_owned(), filter: None };
        assert_eq!(chart_reference("1.x").unwrap(), range);
        assert_eq!(chart_reference("newest"), Err(ChartError::InvalidRange("newest".to_owned())));
        assert_eq!(version_of_tag("1.2.3_build.1").as_deref(), Some("1.2.3+build.1"));
        assert_eq!(version_of_tag("latest"), None);
    }
}
