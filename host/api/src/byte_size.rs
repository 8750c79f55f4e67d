use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes as Kubernetes writes quantities of memory: `128Mi`, `1Gi`, `500M`, `4096`.
///
/// It is written back as it was read: `1024Ki` stays `1024Ki`. Two sizes are equal when they are as many bytes.
#[derive(Clone, Debug)]
pub struct ByteSize {
    bytes: u64,
    text: String,
}

/// Text that is not a [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidByteSize {
    /// It is not a whole number with a unit that is known.
    #[error(
        "{0:?} is not a number of bytes; write a whole number with a unit of Ki, Mi, Gi, k, M or G, for example 128Mi"
    )]
    Format(String),
    /// It is more than can be counted.
    #[error("{0:?} is too large; write less than 17179869184Gi")]
    TooLarge(String),
}

/// What a size may look like in a spec.
const PATTERN: &str = "^[0-9]+(k|M|G|Ki|Mi|Gi)?$";

impl ByteSize {
    /// The number of bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl PartialEq for ByteSize {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for ByteSize {}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor: Option<u64> = match unit {
            "" => Some(1),
            "k" => Some(1000),
            "M" => Some(1000 * 1000),
            "G" => Some(1000 * 1000 * 1000),
            "Ki" => Some(1 << 10),
            "Mi" => Some(1 << 20),
            "Gi" => Some(1 << 30),
            _ => None,
        };
        let factor =
            factor.filter(|_| !number.is_empty()).ok_or_else(|| InvalidByteSize::Format(text.to_owned()))?;
        // Digits alone are a number, however large.
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        let bytes = bytes.ok_or_else(|| InvalidByteSize::TooLarge(text.to_owned()))?;
        Ok(Self { bytes, text: text.to_owned() })
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN, "maxLength": 20})
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", 0)]
    #[case("4096", 4096)]
    #[case("1k", 1000)]
    #[case("1Ki", 1024)]
    #[case("128Mi", 128 << 20)]
    #[case("2Gi", 2 << 30)]
    #[case("500M", 500_000_000)]
    #[case("1G", 1_000_000_000)]
    fn sizes_are_read_as_kubernetes_reads_them(#[case] text: &str, #[case] bytes: u64) {
        let size: ByteSize = text.parse().unwrap();
        assert_eq!(size.bytes(), bytes);
        assert_eq!(size.to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("Mi")]
    #[case("-1Mi")]
    #[case("1.5Gi")]
    #[case("1 Mi")]
    #[case("1MiB")]
    #[case("1e3")]
    fn what_is_no_size_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<ByteSize>(), Err(InvalidByteSize::Format(text.to_owned())));
    }

    #[rstest]
    #[case("18446744073709551616")]
    #[case("99999999999999999999999999999999999999999Gi")]
    #[case("17179869184Gi")]
    fn a_size_that_cannot_be_counted_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<ByteSize>(), Err(InvalidByteSize::TooLarge(text.to_owned())));
    }
}
