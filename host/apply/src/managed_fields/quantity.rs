//! Quantities of Kubernetes (`resource.Quantity`): `1000m` and `1`, `1024Mi` and `1Gi` are the same.

use serde_json::Value;

/// Whether two values are quantities, and the same. Quantities finer than 10⁻⁹, which the server rounds, are never the same.
pub(super) fn same_quantity(left: &Value, right: &Value) -> bool {
    let read = |value: &Value| match value {
        Value::String(text) => nanos(text),
        Value::Number(number) => nanos(&number.to_string()),
        _ => None,
    };
    read(left).is_some_and(|left| read(right) == Some(left))
}

/// A quantity in units of 10⁻⁹; `None` when the text is not one, or is too large or too fine.
fn nanos(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = scale(suffix)?;
    let exponent = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let scaled = digits.checked_mul(factor)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    let nanos = if exponent >= 0 {
        scaled.checked_mul(power)?
    } else if scaled % power == 0 {
        scaled / power
    } else {
        return None;
    };
    Some(sign * nanos)
}

/// What a suffix multiplies by: a factor, and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    let binary = |power: u32| Some((1_i128 << (10 * power), 0));
    let decimal = |exponent: i32| Some((1, exponent));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (-30..=30).contains(&exponent).then_some((1, exponent))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!("1000m"), json!("1"), true)]
    #[case(json!(1), json!("1"), true)]
    #[case(json!(0.5), json!("500m"), true)]
    #[case(json!("0.1"), json!("100m"), true)]
    #[case(json!("1024Mi"), json!("1Gi"), true)]
    #[case(json!("1e3"), json!("1k"), true)]
    #[case(json!("1E3"), json!("1k"), true)]
    #[case(json!("2E"), json!("2e18"), true)]
    #[case(json!("+5"), json!("5"), true)]
    #[case(json!("-5"), json!("5"), false)]
    #[case(json!("1G"), json!("1Gi"), false)]
    #[case(json!("100m"), json!("101m"), false)]
    #[case(json!("0.0000000001"), json!("0.0000000001"), false)]
    #[case(json!("lots"), json!("lots"), false)]
    #[case(json!(""), json!(""), false)]
    #[case(json!("."), json!("0"), false)]
    #[case(json!("1e99"), json!("1e99"), false)]
    #[case(json!("999999999999999999999999999999999999999999"), json!("1"), false)]
    #[case(json!(true), json!("1"), false)]
    fn quantities(#[case] left: Value, #[case] right: Value, #[case] same: bool) {
        assert_eq!(same_quantity(&left, &right), same);
        assert_eq!(same_quantity(&right, &left), same);
    }
}
