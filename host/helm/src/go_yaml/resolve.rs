//! Which texts `go.yaml.in/yaml/v2` would read back as something else than text, and therefore quotes.

use crate::go::parses_as_float;

/// Whether a text is read as text when it is written without quotes.
pub(super) fn is_plain_text(text: &str) -> bool {
    let is_word = || WORDS.contains(&text);
    let resolves = match text.as_bytes().first() {
        None => true,
        Some(b'+' | b'-' | b'0'..=b'9') => {
            is_word() || is_timestamp(text) || is_number(&text.replace('_', ""))
        }
        Some(b'.') => is_word() || parses_as_float(text),
        Some(_) => is_word(),
    };
    !resolves && !is_base_60(text)
}

const WORDS: &[&str] = &[
    "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No", "NO",
    "false", "False", "FALSE", "off", "Off", "OFF", "~", "null", "Null", "NULL", ".nan", ".NaN", ".NAN",
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// A number of YAML 1.1, without its underscores.
fn is_number(text: &str) -> bool {
    is_integer(text) || (has_form_of_float(text) && parses_as_float(text))
}

/// What fits 64 bits, in Go's notations.
fn is_integer(text: &str) -> bool {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let radix_of = |prefix: &str| match prefix.to_ascii_lowercase().as_str() {
        "0x" => Some(16),
        "0o" => Some(8),
        "0b" => Some(2),
        _ => None,
    };
    let (digits, radix) = match digits.get(..2).and_then(radix_of) {
        Some(radix) => (&digits[2..], radix),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    // A second sign is none of a number.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let signed = text.starts_with(['-', '+']);
    match u64::from_str_radix(digits, radix) {
        Ok(value) if negative => value <= i64::MIN.unsigned_abs(),
        // Go's ParseUint takes no sign.
        Ok(value) => !signed || i64::try_from(value).is_ok(),
        Err(_) => false,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn has_form_of_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
    };
    mantissa && exponent.is_none_or(digits)
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`: `12:30:45`. Nobody reads it as a number any more, but it is quoted.
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let in_number = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let is_sixtieth = |part: &str| match part.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => matches!(ten, b'0'..=b'5') && one.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(in_number)
        && text.contains(':')
        && parts.all(is_sixtieth)
        && fraction.bytes().all(in_number)
}

/// What Go's `time.Parse` takes in one of the four forms that YAML has for times.
fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    if year.len() != 4 || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Ok(year) = year.parse::<i16>() else { return false };
    date_and_time(year, rest).is_some()
}

fn date_and_time(year: i16, rest: &str) -> Option<()> {
    let (month, rest) = one_or_two_digits(rest)?;
    let (day, rest) = one_or_two_digits(rest.strip_prefix('-')?)?;
    // Go looks at the day last, so that an impossible one is no time at all.
    jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    if rest.is_empty() {
        return Some(());
    }
    let has_zone = rest.starts_with(['T', 't']);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (hour, rest) = one_or_two_digits(rest)?;
    let (minute, rest) = one_or_two_digits(rest.strip_prefix(':')?)?;
    let (second, rest) = one_or_two_digits(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = after_fraction(rest);
    match (has_zone, rest) {
        (false, "") | (true, "Z") => Some(()),
        (true, zone) => {
            let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
            let two_digits = |text: &str, most: u8| {
                text.len() == 2
                    && text.bytes().all(|byte| byte.is_ascii_digit())
                    && text.parse().is_ok_and(|n: u8| n <= most)
            };
            (two_digits(hours, 24) && two_digits(minutes, 60)).then_some(())
        }
        (false, _) => None,
    }
}

fn one_or_two_digits(text: &str) -> Option<(u8, &str)> {
    let length = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let value = text.get(..length)?.parse().ok()?;
    Some((value, &text[length..]))
}

/// What follows a fraction of a second, which a comma may start too.
fn after_fraction(text: &str) -> &str {
    let Some(fraction) = text.strip_prefix(['.', ',']) else { return text };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 { text } else { &fraction[digits..] }
}
