//! Numbers and JSON, byte for byte as Go writes them. Digests of Flux are of such bytes.

use serde_json::{Map, Number, Value};

/// A float as `strconv.FormatFloat(_, 'g', -1, 64)` writes it: `1.5`, `1.5e+06`.
pub(crate) fn float_g(float: f64) -> String {
    let (digits, exponent) = shortest(float);
    if (-4..6).contains(&exponent) { float.to_string() } else { scientific(float, &digits, exponent, 2) }
}

/// A float that is whole and fits 64 bits, as such; `None` for every other.
pub(crate) fn whole(float: f64) -> Option<String> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if float.fract() != 0.0 || !(-TWO_TO_63..TWO_TO_63 * 2.0).contains(&float) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
    let text = if float < TWO_TO_63 { (float as i64).to_string() } else { (float as u64).to_string() };
    Some(text)
}

/// The shortest decimal digits that read back as the float, without sign, and the exponent of the first.
fn shortest(float: f64) -> (String, i32) {
    let text = format!("{:e}", float.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

fn scientific(float: f64, digits: &str, exponent: i32, width: usize) -> String {
    let sign = if float.is_sign_negative() { "-" } else { "" };
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{point}{rest}e{exponent_sign}{:0width$}", exponent.unsigned_abs())
}

/// Whether `strconv.ParseFloat(_, 64)` reads a text that starts with a sign, a digit or a point, and it is in range.
pub(crate) fn parses_as_float(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let well_placed =
        |(at, byte): (usize, &u8)| *byte != b'_' || (is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)));
    if !bytes.iter().enumerate().all(well_placed) {
        return false;
    }
    let text = text.replace('_', "");
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    has_digit && !text.contains(['n', 'N']) && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// An object of JSON whose fields keep their order, as a struct of Go writes it: what is empty is left out where the field says so.
#[derive(Default)]
pub(crate) struct Struct(String);

impl Struct {
    /// A field that is always there.
    pub(crate) fn field(mut self, name: &str, json: &str) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&text(name));
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// A field that is left out when it is empty: `""`, `0`, `false`, `null`, or a collection of nothing.
    pub(crate) fn non_empty(self, name: &str, value: Option<&Value>) -> Self {
        match value {
            None => self,
            Some(value) if is_empty(value) => self,
            Some(value) => self.field(name, &json(value)),
        }
    }

    pub(crate) fn finish(self) -> String {
        if self.0.is_empty() { "{}".to_owned() } else { self.0 + "}" }
    }
}

pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// A value as `encoding/json` writes it after it has read it: numbers are floats, keys are sorted, and what HTML minds is escaped.
pub(crate) fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => self::number(number),
        Value::String(value) => text(value),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => object(fields),
    }
}

fn object(fields: &Map<String, Value>) -> String {
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| key.as_bytes());
    let fields: Vec<String> =
        fields.into_iter().map(|(key, value)| format!("{}:{}", text(key), json(value))).collect();
    format!("{{{}}}", fields.join(","))
}

fn number(number: &Number) -> String {
    let float = number.as_f64().unwrap_or_default();
    let (digits, exponent) = shortest(float);
    if float != 0.0 && !(-6..21).contains(&exponent) {
        return scientific(float, &digits, exponent, 1);
    }
    float.to_string()
}

/// A text of JSON, in quotes.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
