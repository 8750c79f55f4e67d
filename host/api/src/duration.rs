use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time as Flux and Go write it: `30s`, `1m30s`, `1.5h`.
///
/// It is written back as it was read, so that an object that passes through Plumbline does not change: `60s` stays `60s`.
/// Two durations are equal when they are as long: `60s` is `1m`. `Display` gives Go's form, `1m0s`.
#[derive(Clone, Debug)]
pub struct Duration {
    value: StdDuration,
    text: String,
}

/// Text that is not a [`Duration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// The text is empty.
    #[error("a duration is missing; write a number with a unit, for example 5m or 1m30s")]
    Empty,
    /// The text starts with a sign.
    #[error("{0:?} has a sign; a duration is a positive length of time, for example 5m")]
    Signed(String),
    /// There is something where a number was expected.
    #[error(
        "{text:?} is not a duration: expected a number at {rest:?}; write it as, for example, 5m or 1m30s"
    )]
    NotANumber {
        /// The whole text.
        text: String,
        /// The text from where the number was expected.
        rest: String,
    },
    /// A number has no unit, or one that Go does not know, such as `d`.
    #[error("{text:?} is not a duration: {unit:?} is not a unit; use h, m, s or ms, and 24h for a day")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// What was found instead of a unit.
        unit: String,
    },
    /// The duration is longer than Go can count in nanoseconds, which is about 292 years.
    #[error("{0:?} is too long; the longest duration is 2562047h47m16s, about 292 years")]
    TooLong(String),
}

/// What a duration may look like in a spec, as in Flux's CRDs.
pub(crate) const PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";

impl Duration {
    /// Whole seconds, written in seconds: `60s`.
    pub fn seconds(seconds: u32) -> Self {
        Self { value: StdDuration::from_secs(seconds.into()), text: format!("{seconds}s") }
    }

    /// The length of time.
    pub fn to_std(&self) -> StdDuration {
        self.value
    }
}

impl From<StdDuration> for Duration {
    /// The duration, in Go's form.
    fn from(value: StdDuration) -> Self {
        Self { value, text: go_format(value) }
    }
}

impl PartialEq for Duration {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Duration {}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&go_format(self.value))
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    /// Reads what Go's `time.ParseDuration` reads, except signs. The units below a millisecond are not allowed in a spec (the
    /// CRD refuses them), but a status may have them.
    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        if text.is_empty() {
            return Err(InvalidDuration::Empty);
        }
        if text.starts_with(['-', '+']) {
            return Err(InvalidDuration::Signed(text.to_owned()));
        }
        let mut nanos: u128 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (part, after) = leading_part(text, rest)?;
            nanos = nanos.saturating_add(part);
            rest = after;
        }
        let too_long = || InvalidDuration::TooLong(text.to_owned());
        // Go counts nanoseconds in an int64.
        let nanos = i64::try_from(nanos).map_err(|_| too_long())?;
        let value = StdDuration::from_nanos(u64::try_from(nanos).map_err(|_| too_long())?);
        Ok(Self { value, text: text.to_owned() })
    }
}

/// Nanoseconds of the first number and unit of `rest`, and what follows them.
fn leading_part<'a>(text: &str, rest: &'a str) -> Result<(u128, &'a str), InvalidDuration> {
    let not_a_number = || InvalidDuration::NotANumber { text: text.to_owned(), rest: rest.to_owned() };
    let (whole, mut after) = leading_digits(rest).ok_or_else(not_a_number)?;
    let mut fraction = "";
    if let Some(after_point) = after.strip_prefix('.') {
        (fraction, after) = leading_digits(after_point).ok_or_else(not_a_number)?;
    }
    let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
    let (unit, after) = after.split_at(end);
    let unit_nanos = nanos_of(unit)
        .ok_or_else(|| InvalidDuration::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() })?;
    // A whole part that does not fit 128 bits is too long in any unit.
    let whole: u128 = whole.parse().unwrap_or(u128::MAX);
    Ok((whole.saturating_mul(unit_nanos).saturating_add(fraction_of(fraction, unit_nanos)), after))
}

fn leading_digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn nanos_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // Go writes the micro sign and also reads the Greek letter.
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    })
}

/// A decimal fraction of a unit, cut off at whole nanoseconds as Go does. The 18 digits that count are more precise than a
/// nanosecond of an hour.
fn fraction_of(digits: &str, unit_nanos: u128) -> u128 {
    let digits = &digits[..digits.len().min(18)];
    let scale = digits.bytes().fold(1, |scale: u128, _| scale * 10);
    digits.parse::<u128>().unwrap_or(0) * unit_nanos / scale
}

/// The form of Go's `Duration.String`: hours, minutes and seconds, or the one unit below that fits.
fn go_format(value: StdDuration) -> String {
    let nanos = value.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{}µs", decimal(nanos, 1_000));
    }
    if nanos < 1_000_000_000 {
        return format!("{}ms", decimal(nanos, 1_000_000));
    }
    let minutes = value.as_secs() / 60;
    let seconds = decimal(nanos - u128::from(minutes) * 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `nanos` in units of `unit` nanoseconds, a power of ten, without trailing zeros.
fn decimal(nanos: u128, unit: u128) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", nanos / unit, nanos % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0s", 0, "0s")]
    #[case("1m", 60_000_000_000, "1m0s")]
    #[case("60s", 60_000_000_000, "1m0s")]
    #[case("1h30m", 5_400_000_000_000, "1h30m0s")]
    #[case("1.5s", 1_500_000_000, "1.5s")]
    #[case("1.5h", 5_400_000_000_000, "1h30m0s")]
    #[case("90m", 5_400_000_000_000, "1h30m0s")]
    #[case("100ms", 100_000_000, "100ms")]
    #[case("1m0.25s", 60_250_000_000, "1m0.25s")]
    #[case("12.345678ms", 12_345_678, "12.345678ms")]
    #[case("850µs", 850_000, "850µs")]
    #[case("850us", 850_000, "850µs")]
    #[case("7ns", 7, "7ns")]
    #[case("1s1m1h", 3_661_000_000_000, "1h1m1s")]
    #[case("0.00000000000000000000000001h", 0, "0s")]
    #[case("2562047h47m16.854775807s", 9_223_372_036_854_775_807, "2562047h47m16.854775807s")]
    fn is_read_and_shown_as_go_does(#[case] text: &str, #[case] nanos: u64, #[case] shown: &str) {
        let duration: Duration = text.parse().unwrap();
        assert_eq!(duration.to_std(), StdDuration::from_nanos(nanos));
        assert_eq!(duration.to_string(), shown);
        assert_eq!(serde_json::to_value(&duration).unwrap(), text, "it is written back as it was read");
    }

    #[rstest]
    #[case("", "a duration is missing; write a number with a unit, for example 5m or 1m30s")]
    #[case("1d", r#""1d" is not a duration: "d" is not a unit; use h, m, s or ms, and 24h for a day"#)]
    #[case("5", r#""5" is not a duration: "" is not a unit; use h, m, s or ms, and 24h for a day"#)]
    #[case("1m30", r#""1m30" is not a duration: "" is not a unit; use h, m, s or ms, and 24h for a day"#)]
    #[case("5 m", r#""5 m" is not a duration: " m" is not a unit; use h, m, s or ms, and 24h for a day"#)]
    #[case("-1m", r#""-1m" has a sign; a duration is a positive length of time, for example 5m"#)]
    #[case("+1m", r#""+1m" has a sign; a duration is a positive length of time, for example 5m"#)]
    #[case("m", r#""m" is not a duration: expected a number at "m"; write it as, for example, 5m or 1m30s"#)]
    #[case(
        ".5s",
        r#"".5s" is not a duration: expected a number at ".5s"; write it as, for example, 5m or 1m30s"#
    )]
    #[case(
        "1.s",
        r#""1.s" is not a duration: expected a number at "1.s"; write it as, for example, 5m or 1m30s"#
    )]
    #[case(
        "2562047h47m17s",
        r#""2562047h47m17s" is too long; the longest duration is 2562047h47m16s, about 292 years"#
    )]
    #[case(
        "99999999999999999999999999999999999999999h",
        r#""99999999999999999999999999999999999999999h" is too long; the longest duration is 2562047h47m16s, about 292 years"#
    )]
    fn is_refused_with_the_reason(#[case] text: &str, #[case] message: &str) {
        assert_eq!(text.parse::<Duration>().unwrap_err().to_string(), message);
    }

    #[test]
    fn equals_what_is_as_long() {
        assert_eq!("60s".parse::<Duration>().unwrap(), "1m".parse().unwrap());
        assert_ne!("61s".parse::<Duration>().unwrap(), "1m".parse().unwrap());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(nanos in 0..=i64::MAX as u64) {
            let duration = Duration::from(StdDuration::from_nanos(nanos));
            let again: Duration = duration.to_string().parse().unwrap();
            prop_assert_eq!(again.to_std(), duration.to_std());
        }

        #[test]
        fn any_text_is_read_or_refused(text in r"[-+0-9.hmsµnd ]{0,40}|\PC{0,20}") {
            if let Ok(duration) = text.parse::<Duration>() {
                prop_assert_eq!(serde_json::to_value(&duration).unwrap(), text);
            }
        }
    }
}
