use std::cmp::Ordering;
use std::str::FromStr;

/// A JSON Pointer (RFC 6901) that leads to a field which can be ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

/// Text that is no such pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// It does not start with a slash.
    #[error("{0:?} is not a JSON Pointer (RFC 6901): it has to start with /")]
    NoSlash(String),
    /// A `~` is not followed by `0` or `1`.
    #[error("{0:?} is not a JSON Pointer (RFC 6901): write ~ as ~0, and / inside a name as ~1")]
    BadEscape(String),
    /// It leads to the whole object.
    #[error(
        "it is empty, which is the whole object; to leave an object alone, annotate it with kustomize.toolkit.fluxcd.io/ssa: Ignore"
    )]
    Whole,
    /// It leads to what names the object.
    #[error("{0} names the object and cannot be ignored")]
    Identity(String),
    /// It is too long for any object.
    #[error("it has more than {0} steps")]
    TooLong(usize),
}

/// Deeper than any schema.
const STEPS: usize = 100;

const IDENTITY: [&str; 6] =
    ["/apiVersion", "/kind", "/metadata", "/metadata/name", "/metadata/namespace", "/metadata/managedFields"];

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, InvalidPointer> {
        if text.is_empty() {
            return Err(InvalidPointer::Whole);
        }
        let rest = text.strip_prefix('/').ok_or_else(|| InvalidPointer::NoSlash(text.to_owned()))?;
        if IDENTITY.contains(&text) {
            return Err(InvalidPointer::Identity(text.to_owned()));
        }
        let steps = rest.split('/').map(unescape).collect::<Option<Vec<_>>>();
        let steps = steps.ok_or_else(|| InvalidPointer::BadEscape(text.to_owned()))?;
        if steps.len() > STEPS {
            return Err(InvalidPointer::TooLong(STEPS));
        }
        Ok(Self(steps))
    }
}

impl Pointer {
    pub(super) fn steps(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn unescape(step: &str) -> Option<String> {
    let mut escapes = step.match_indices('~');
    let is_valid = escapes.all(|(at, _)| matches!(step.as_bytes().get(at + 1), Some(b'0' | b'1')));
    is_valid.then(|| step.replace("~1", "/").replace("~0", "~"))
}

/// Items of a list stand in their order.
impl Ord for Pointer {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |step: &String| match step.parse::<usize>() {
            Ok(index) => (index, String::new()),
            Err(_) => (usize::MAX, step.clone()),
        };
        self.0.iter().map(key).cmp(other.0.iter().map(key)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Pointer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/spec/replicas", Ok("spec|replicas"))]
    #[case("/metadata/annotations/example.com~1a~0b", Ok("metadata|annotations|example.com/a~b"))]
    #[case("/a~01", Ok("a~1"))]
    #[case("/", Ok(""))]
    #[case(
        "",
        Err(
            "it is empty, which is the whole object; to leave an object alone, annotate it with kustomize.toolkit.fluxcd.io/ssa: Ignore"
        )
    )]
    #[case("spec", Err("\"spec\" is not a JSON Pointer (RFC 6901): it has to start with /"))]
    #[case(
        "/a~2",
        Err("\"/a~2\" is not a JSON Pointer (RFC 6901): write ~ as ~0, and / inside a name as ~1")
    )]
    #[case("/metadata/name", Err("/metadata/name names the object and cannot be ignored"))]
    fn a_pointer_is_read(#[case] text: &str, #[case] expected: Result<&str, &str>) {
        let read = text.parse::<Pointer>().map_err(|error| error.to_string());
        let steps = read.as_ref().map(|pointer| pointer.0.join("|"));
        assert_eq!(steps.map_err(String::as_str), expected.map(str::to_owned));
    }

    #[test]
    fn items_stand_in_their_order() {
        let mut pointers: Vec<Pointer> = ["/a/10", "/a/9", "/a/2/b"].map(|text| text.parse().unwrap()).into();
        pointers.sort();
        let second: Vec<_> = pointers.iter().map(|pointer| pointer.0[1].as_str()).collect();
        assert_eq!(second, ["2", "9", "10"]);
    }

    proptest! {
        // Attack 16 (rendering): a pointer is a configuration error at once, or it is followed.
        #[test]
        fn reading_never_panics(text in "[/~01a-]{0,12}|.{0,12}") {
            let _: Result<Pointer, _> = text.parse();
        }
    }
}
