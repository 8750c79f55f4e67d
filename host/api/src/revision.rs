use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A revision of a source in Flux's form, `REF@ALGORITHM:HEX`: `main@sha1:9f2c…`, `v1.2.0@sha1:…`, or `sha1:…` alone where a commit
/// was asked for by its id. That of a Helm chart is its version alone, `1.2.0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    name: Option<String>,
    /// Both are empty for a version.
    algorithm: String,
    hex: String,
}

/// Text that is not a [`Revision`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a revision of the form REF@ALGORITHM:HEX, nor a version")]
pub struct InvalidRevision(String);

impl Revision {
    /// A revision that a Git commit makes; `name` is the branch, tag or full reference that led to it.
    pub fn git(name: Option<&str>, commit: impl fmt::Display) -> Self {
        Self { name: name.map(str::to_owned), algorithm: "sha1".to_owned(), hex: commit.to_string() }
    }

    /// A revision that a hash of this algorithm names, for example `sha256`; `name` is the tag or version that led to it, if one did. It is refused when it would not
    /// read back: an empty name, or a hash that is not hexadecimal.
    pub fn new(name: Option<&str>, algorithm: &str, hex: &str) -> Result<Self, InvalidRevision> {
        let text = match name {
            Some(name) => format!("{name}@{algorithm}:{hex}"),
            None => format!("{algorithm}:{hex}"),
        };
        let revision: Self = text.parse()?;
        let is_same = revision.name() == name && revision.algorithm == algorithm && revision.hex == hex;
        if is_same { Ok(revision) } else { Err(InvalidRevision(text)) }
    }

    /// The version of a Helm chart. It is refused when it does not begin with a digit, after a `v` if need be, or has other characters than a version can have.
    pub fn version(version: &str) -> Result<Self, InvalidRevision> {
        if !is_version(version) {
            return Err(InvalidRevision(version.to_owned()));
        }
        Ok(Self { name: Some(version.to_owned()), algorithm: String::new(), hex: String::new() })
    }

    /// The branch, tag or reference, where one was followed, or the version of a chart.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The algorithm of the hash, for example `sha1`; empty for a version.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The hash in hexadecimal, without its algorithm; empty for a version.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(version) if self.hex.is_empty() => f.write_str(version),
            Some(name) => write!(f, "{name}@{}:{}", self.algorithm, self.hex),
            None => write!(f, "{}:{}", self.algorithm, self.hex),
        }
    }
}

impl FromStr for Revision {
    type Err = InvalidRevision;

    fn from_str(text: &str) -> Result<Self, InvalidRevision> {
        let invalid = || InvalidRevision(text.to_owned());
        if is_version(text) {
            return Self::version(text);
        }
        // A branch may hold an @ itself; the hash cannot.
        let (name, hash) = match text.rsplit_once('@') {
            Some((name, hash)) => (Some(name.to_owned()), hash),
            None => (None, text),
        };
        let (algorithm, hex) = hash.split_once(':').ok_or_else(invalid)?;
        let is_hex = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if algorithm.is_empty() || !is_hex || name.as_deref() == Some("") {
            return Err(invalid());
        }
        Ok(Self { name, algorithm: algorithm.to_owned(), hex: hex.to_owned() })
    }
}

/// Whether a text could be the version of a chart. Helm takes less than all three numbers, too.
fn is_version(text: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
    let number = text.strip_prefix('v').unwrap_or(text);
    number.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(is_inside)
}

impl Serialize for Revision {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("main@sha1:9f2c", Some("main"), "9f2c")]
    #[case("v1.2.0@sha1:9f2c", Some("v1.2.0"), "9f2c")]
    #[case("sha1:9f2c", None, "9f2c")]
    #[case("feature/a@b@sha1:9f2c", Some("feature/a@b"), "9f2c")]
    #[case("latest@sha256:00ff", Some("latest"), "00ff")]
    fn it_is_read_and_written(#[case] text: &str, #[case] name: Option<&str>, #[case] hex: &str) {
        let revision: Revision = text.parse().unwrap();
        assert_eq!((revision.name(), revision.hex()), (name, hex));
        assert_eq!(revision.to_string(), text);
    }

    #[rstest]
    #[case("1.2.3")]
    #[case("v1.2")]
    #[case("1.2.3-rc.1+05074534925b.2")]
    fn that_of_a_chart_is_its_version(#[case] text: &str) {
        let revision: Revision = text.parse().unwrap();
        assert_eq!((revision.name(), revision.algorithm(), revision.hex()), (Some(text), "", ""));
        assert_eq!(revision.to_string(), text);
        assert_eq!(Revision::version(text), Ok(revision));
    }

    #[rstest]
    #[case("")]
    #[case("v")]
    #[case("main")]
    #[case("main@9f2c")]
    #[case("@sha1:9f2c")]
    #[case("main@:9f2c")]
    #[case("main@sha1:")]
    #[case("main@sha1:xyz")]
    #[case("main@sha1:9f2c ")]
    fn anything_else_is_refused(#[case] text: &str) {
        let message = format!("{text:?} is not a revision of the form REF@ALGORITHM:HEX, nor a version");
        assert_eq!(text.parse::<Revision>().unwrap_err().to_string(), message);
    }

    #[rstest]
    #[case(Some("1.2.0"), "sha256", "00ff", "1.2.0@sha256:00ff")]
    #[case(None, "sha256", "00ff", "sha256:00ff")]
    fn it_is_made_of_its_parts(
        #[case] name: Option<&str>,
        #[case] algorithm: &str,
        #[case] hex: &str,
        #[case] text: &str,
    ) {
        let revision = Revision::new(name, algorithm, hex).unwrap();
        assert_eq!(revision.to_string(), text);
        assert_eq!((revision.name(), revision.algorithm(), revision.hex()), (name, algorithm, hex));
    }

    #[rstest]
    #[case(Some(""), "sha256", "00")]
    #[case(None, "", "00")]
    #[case(None, "sha256", "")]
    #[case(None, "sha256", "xy")]
    #[case(None, "a@sha256", "00")]
    #[case(None, "sha256:00", "00")]
    fn parts_that_do_not_read_back_are_refused(
        #[case] name: Option<&str>,
        #[case] algorithm: &str,
        #[case] hex: &str,
    ) {
        Revision::new(name, algorithm, hex).unwrap_err();
    }

    proptest! {
        #[test]
        fn it_reads_back(name in proptest::option::of("[-a-z0-9/.@:]{1,20}"), hex in "[0-9a-f]{1,64}") {
            let revision = Revision::git(name.as_deref(), &hex);
            prop_assert_eq!(&revision.to_string().parse::<Revision>().unwrap(), &revision);
            let json = serde_json::to_string(&revision).unwrap();
            prop_assert_eq!(serde_json::from_str::<Revision>(&json).unwrap(), revision);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a@:0]{0,12}|\\PC{0,20}") {
            if let Ok(revision) = text.parse::<Revision>() {
                prop_assert_eq!(revision.to_string(), text);
            }
        }
    }
}
