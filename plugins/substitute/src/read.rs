//! Reads YAML as Flux does, which is by the rules of YAML 1.1 as go-yaml has them: `yes` is true, `0644` is 420, `2026-01-01` is text.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

/// How deeply values may be nested.
const DEEPEST: usize = 128;
/// How many values an object may have, those that aliases stand for included.
const MOST_VALUES: usize = 200_000;

/// Why a text is not the YAML of an object.
#[derive(Debug, PartialEq, Eq)]
pub struct NotYaml {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong. It has nothing of the text in it.
    pub problem: &'static str,
}

/// The first document of a text.
pub fn read(text: &str) -> Result<Value, NotYaml> {
    let mut reader =
        Reader { events: Parser::new_from_str(text), line: 1, anchors: HashMap::new(), values: 0 };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(Value::Null),
            event => return reader.value(event, DEEPEST),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
    line: usize,
    anchors: HashMap<usize, Value>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, problem: &'static str) -> NotYaml {
        NotYaml { line: self.line, problem }
    }

    fn next(&mut self) -> Result<Event<'a>, NotYaml> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(NotYaml { line: error.marker().line(), problem: "it is not YAML" }),
            None => Err(self.wrong("it ends too early")),
        }
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, NotYaml> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.wrong("it is nested too deeply"))?;
        self.count(1)?;
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or_else(|| self.wrong("an alias stands for a value around it"))?;
                self.count(size(&value))?;
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => (anchor, self.scalar(&text, style, tag.as_deref())?),
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping(depth)?),
            _ => return Err(self.wrong("it ends too early")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn count(&mut self, values: usize) -> Result<(), NotYaml> {
        self.values += values;
        if self.values > MOST_VALUES { Err(self.wrong("it has too many values")) } else { Ok(()) }
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, NotYaml> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.value(event, depth)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, NotYaml> {
        let mut fields = Map::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(Value::Object(fields)),
                Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<" => {
                    return Err(self.wrong("it merges mappings with <<"));
                }
                event => self.value(event, depth)?,
            };
            let key = match key {
                Value::String(key) => key,
                Value::Number(key) => key.to_string(),
                Value::Bool(key) => key.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(self.wrong("a key is not text"));
                }
            };
            let event = self.next()?;
            let value = self.value(event, depth)?;
            fields.insert(key, value);
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, NotYaml> {
        let kind = tag.and_then(Tag::core_suffix);
        match (kind, tag) {
            (Some("str"), _) => Ok(Value::String(text.to_owned())),
            // A tag that is not of YAML itself makes it text.
            (None, Some(_)) => Ok(Value::String(text.to_owned())),
            (None, None) if style != ScalarStyle::Plain => Ok(Value::String(text.to_owned())),
            _ => resolve(text).ok_or_else(|| self.wrong("a number is infinite or not a number")),
        }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 1,
        Value::Object(fields) => fields.values().map(size).sum::<usize>() + 1,
        _ => 1,
    }
}

/// Whether a text without quotes is read as text.
pub fn resolves_to_text(text: &str) -> bool {
    text != "<<" && !is_sexagesimal(text) && !is_date(text) && matches!(resolve(text), Some(Value::String(_)))
}

/// What a text without quotes means; none if JSON has no such number.
fn resolve(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => {
            return None;
        }
        _ => match number(text) {
            Some(number) => Value::Number(number),
            None => Value::String(text.to_owned()),
        },
    })
}

fn number(text: &str) -> Option<Number> {
    match text.as_bytes().first()? {
        b'.' => float(text),
        b'+' | b'-' | b'0'..=b'9' => {
            let plain = text.replace('_', "");
            integer(&plain).or_else(|| float(&plain))
        }
        _ => None,
    }
}

/// As `strconv.ParseInt` with base 0.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // `from_str_radix` takes another sign.
    if !digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let size = u64::from_str_radix(digits, base).ok()?;
    if !negative {
        // Only an unsigned number without a sign may be larger than the largest signed one.
        return (i64::try_from(size).is_ok() || !text.starts_with('+')).then(|| Number::from(size));
    }
    match i64::try_from(size) {
        Ok(size) => Some(Number::from(-size)),
        Err(_) => (size == i64::MIN.unsigned_abs()).then(|| Number::from(i64::MIN)),
    }
}

/// The form of a float in YAML. A whole one becomes an integer, as in the JSON of Go.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let is_float = mantissa.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && mantissa.bytes().any(|byte| byte.is_ascii_digit());
    if !is_float {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    /// Below this, every whole float is a signed number.
    const WHOLE: f64 = 9.2e18;
    if value.fract() == 0.0 && value.abs() < WHOLE {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// `1:30`, which YAML 1.1 takes for 90: written with quotes, and read as text.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    unsigned.contains(':')
        && unsigned.starts_with(|first: char| first.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'_' | b'.'))
}

/// Four digits and a dash may be a date, which is written with quotes, and read as text.
fn is_date(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, c, d, b'-', ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()))
}
