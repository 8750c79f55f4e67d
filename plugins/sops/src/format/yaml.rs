//! YAML as SOPS reads and writes it: that of go-yaml, version 3.

mod write;

use granit_parser::{Event, Parser, Placement, ScalarStyle, StrInput};
use serde_json::{Map, Number, Value};

use super::{Content, DEEPEST, Document, Leaf, Unreadable};
use crate::cipher::Scalar;
use crate::metadata::FIELD;

pub(super) use write::spell;
#[cfg(not(target_family = "wasm"))]
pub(super) use write::with_metadata;

/// How far SOPS indents.
const INDENT: usize = 4;

/// Takes a file apart. Of several documents, the first has the metadata of all.
pub(super) fn read(text: &str) -> Result<Document, Unreadable> {
    let mut reader = Reader {
        text,
        events: Parser::new_from_str(text),
        ahead: None,
        line: 1,
        path: Vec::new(),
        comments: Vec::new(),
        first: Vec::new(),
        document: Document::default(),
    };
    loop {
        let at = reader.next()?;
        match at.event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::Comment(text, _) => reader.comment(&text, at.start, at.end),
            Event::StreamEnd => return Ok(reader.document),
            Event::MappingStart(..) => reader.mapping(DEEPEST)?,
            Event::Scalar(text, ScalarStyle::Plain, ..) if matches!(resolve(&text), Resolved::Null) => {}
            _ => return Err(reader.wrong("a document of it is not a mapping")),
        }
    }
}

/// One event, and where it stands.
struct At<'a> {
    event: Event<'a>,
    start: usize,
    end: usize,
    column: usize,
    line: usize,
}

struct Reader<'a> {
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    ahead: Option<At<'a>>,
    line: usize,
    path: Vec<String>,
    /// The comments before the next value, one list a level.
    comments: Vec<Vec<String>>,
    /// The comments before the first key of a document.
    first: Vec<String>,
    document: Document,
}

impl<'a> Reader<'a> {
    fn wrong(&self, problem: &'static str) -> Unreadable {
        Unreadable::at(self.line, problem)
    }

    fn next(&mut self) -> Result<At<'a>, Unreadable> {
        if let Some(at) = self.ahead.take() {
            self.line = at.line;
            return Ok(at);
        }
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                let (line, column) = (span.start.line(), span.start.col());
                self.line = line;
                let range = span.byte_range().ok_or(self.wrong("it is not YAML"))?;
                Ok(At { event, start: range.start, end: range.end, column, line })
            }
            Some(Err(error)) => Err(Unreadable::at(error.marker().line(), "it is not YAML")),
            None => Err(self.wrong("it ends too early")),
        }
    }

    fn peek(&mut self) -> Result<&At<'a>, Unreadable> {
        let at = self.next()?;
        Ok(self.ahead.insert(at))
    }

    fn mapping(&mut self, depth: usize) -> Result<(), Unreadable> {
        let depth = self.enter(depth)?;
        loop {
            let key = self.next()?;
            match key.event {
                Event::MappingEnd => break,
                Event::Comment(text, _) => self.comment(&text, key.start, key.end),
                Event::Scalar(name, ..) if self.path.is_empty() && name == FIELD => {
                    self.metadata(key.start)?;
                }
                Event::Scalar(name, ..) => {
                    self.path.push(name.into_owned());
                    self.value(depth, INDENT * ((key.column + INDENT) / INDENT), self.path.len() - 1)?;
                    self.path.pop();
                }
                Event::Alias(_) => return Err(self.wrong("it has an alias, which SOPS never writes")),
                _ => return Err(self.wrong("a key is not text")),
            }
        }
        self.comments.pop();
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<(), Unreadable> {
        let depth = self.enter(depth)?;
        loop {
            let at = self.next()?;
            match at.event {
                Event::SequenceEnd => break,
                Event::Comment(text, _) => self.comment(&text, at.start, at.end),
                _ => {
                    let column = at.column;
                    self.ahead = Some(at);
                    self.value(depth, column, self.path.len())?;
                }
            }
        }
        self.comments.pop();
        Ok(())
    }

    fn enter(&mut self, depth: usize) -> Result<usize, Unreadable> {
        self.comments.push(std::mem::take(&mut self.first));
        depth.checked_sub(1).ok_or_else(|| self.wrong("it is nested too deeply"))
    }

    /// A value, and the comments before it. `outer` is how many names lead to what the value is in: a comment beside a value is in that, too.
    fn value(&mut self, depth: usize, indent: usize, outer: usize) -> Result<(), Unreadable> {
        let (before, first_leaf) = (self.comments.last().map_or(0, Vec::len), self.document.leaves.len());
        loop {
            let at = self.next()?;
            if matches!(at.event, Event::MappingStart(..) | Event::SequenceStart(..)) {
                // What stands between a key and a list or mapping is about the first thing in that.
                self.first =
                    self.comments.last_mut().map(|active| active.split_off(before)).unwrap_or_default();
            }
            match at.event {
                Event::Comment(text, _) => {
                    self.comment(&text, at.start, at.end);
                    continue;
                }
                Event::MappingStart(..) => self.mapping(depth)?,
                Event::SequenceStart(..) => self.sequence(depth)?,
                Event::Alias(_) => return Err(self.wrong("it has an alias, which SOPS never writes")),
                Event::Scalar(text, style, _, tag) => {
                    // A comment in the same line counts as one before it.
                    let beside =
                        match self.peek()? {
                            At {
                                event: Event::Comment(text, Placement::Right), start, end, line, ..
                            } if *line == at.line => Some((text.clone(), *start, *end)),
                            _ => None,
                        };
                    if let Some((text, start, end)) = beside {
                        self.ahead = None;
                        self.comment(&text, start, end);
                    }
                    for comment in &mut self.document.leaves[first_leaf..] {
                        comment.path.truncate(outer);
                    }
                    let is_text = style != ScalarStyle::Plain
                        || tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
                    let scalar = if is_text { Some(text_of(&text)) } else { resolve(&text).into_scalar() };
                    if let Some(value) = scalar {
                        let (start, end) = self.whole(style, at.start, at.end);
                        self.leaf(Content::Value(value), start, end, indent);
                    }
                }
                _ => return Err(self.wrong("it ends too early")),
            }
            if let Some(active) = self.comments.last_mut() {
                active.clear();
            }
            return Ok(());
        }
    }

    /// Where a scalar stands. The parser gives the lines of a block without its sign, and with the blanks after it.
    fn whole(&self, style: ScalarStyle, start: usize, end: usize) -> (usize, usize) {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return (start, end);
        }
        let start = self.text[..start].rfind(['|', '>']).unwrap_or(start);
        (start, start + self.text[start..end].trim_end().len())
    }

    fn comment(&mut self, text: &str, start: usize, end: usize) {
        // After the number sign.
        self.leaf(Content::Comment(text.to_owned()), (start + 1).min(end), end, 0);
        self.comments.last_mut().unwrap_or(&mut self.first).push(text.to_owned());
    }

    fn leaf(&mut self, content: Content, start: usize, end: usize, indent: usize) {
        self.document.leaves.push(Leaf {
            path: self.path.clone(),
            comments: self.comments.concat(),
            content,
            span: start..end,
            indent,
        });
    }

    /// What SOPS has written, up to the line where something else begins.
    fn metadata(&mut self, start: usize) -> Result<(), Unreadable> {
        let metadata = self.plain(DEEPEST)?;
        self.document.metadata.get_or_insert(metadata);
        let start = self.text[..start].rfind('\n').map_or(0, |before| before + 1);
        let mut end = self.text[start..].find('\n').map_or(self.text.len(), |line| start + line + 1);
        for line in self.text[end..].split_inclusive('\n') {
            if !line.trim().is_empty() && !line.starts_with([' ', '\t']) {
                break;
            }
            end += line.len();
        }
        self.document.cut.push(start..end);
        Ok(())
    }

    /// A value of the metadata. Comments in it mean nothing.
    fn plain(&mut self, depth: usize) -> Result<Value, Unreadable> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.wrong("it is nested too deeply"))?;
        loop {
            let at = self.next()?;
            return Ok(match at.event {
                Event::Comment(..) => continue,
                Event::Scalar(text, ScalarStyle::Plain, ..) => match resolve(&text) {
                    Resolved::Null => Value::Null,
                    Resolved::Scalar(Scalar::Bool(truth)) => Value::Bool(truth),
                    Resolved::Scalar(Scalar::Integer(number)) => Value::Number(Number::from(number)),
                    Resolved::Scalar(_) => Value::String(text.into_owned()),
                },
                Event::Scalar(text, ..) => Value::String(text.into_owned()),
                Event::SequenceStart(..) => {
                    let mut items = Vec::new();
                    loop {
                        match self.peek()?.event {
                            Event::SequenceEnd => break,
                            Event::Comment(..) => drop(self.next()?),
                            _ => items.push(self.plain(depth)?),
                        }
                    }
                    self.next()?;
                    Value::Array(items)
                }
                Event::MappingStart(..) => {
                    let mut fields = Map::new();
                    loop {
                        match self.next()?.event {
                            Event::MappingEnd => break Value::Object(fields),
                            Event::Comment(..) => {}
                            Event::Scalar(name, ..) => {
                                let value = self.plain(depth)?;
                                fields.insert(name.into_owned(), value);
                            }
                            _ => return Err(self.wrong("a key is not text")),
                        }
                    }
                }
                _ => return Err(self.wrong("`sops` is not what SOPS writes")),
            });
        }
    }
}

fn text_of(text: &str) -> Scalar {
    Scalar::Text(text.as_bytes().to_vec())
}

/// What a text without quotes means.
enum Resolved {
    Null,
    Scalar(Scalar),
}

impl Resolved {
    fn into_scalar(self) -> Option<Scalar> {
        match self {
            Self::Null => None,
            Self::Scalar(scalar) => Some(scalar),
        }
    }
}

/// As go-yaml has it when it decodes into any type.
fn resolve(text: &str) -> Resolved {
    Resolved::Scalar(match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        _ => number(text).or_else(|| time(text)).unwrap_or_else(|| text_of(text)),
    })
}

fn number(text: &str) -> Option<Scalar> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(number) = integer(&plain) {
        return Some(Scalar::Integer(number));
    }
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let (mantissa, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        Some((whole, rest)) => {
            (digits(whole) && (rest.is_empty() || digits(rest))) || (whole.is_empty() && digits(rest))
        }
        None => digits(mantissa),
    };
    let is_exponent = exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)));
    (is_mantissa && is_exponent).then(|| plain.parse().ok().map(Scalar::Float))?
}

/// As `strconv.ParseInt` with base 0.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
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
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

/// A time, in the form in which SOPS writes it and which counts for the MAC.
fn time(text: &str) -> Option<Scalar> {
    let date = |text: &str| {
        let parts: Vec<&str> = text.split('-').collect();
        let digits = |part: &str, lengths: &[usize]| {
            lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        matches!(parts[..], [y, m, d] if digits(y, &[4]) && digits(m, &[1, 2]) && digits(d, &[1, 2]))
    };
    if date(text) && text.len() == "2026-01-01".len() {
        return Some(Scalar::Time(format!("{text}T00:00:00Z")));
    }
    let (day, rest) = text.split_once('T')?;
    let is_clock = rest.bytes().all(|byte| byte.is_ascii_digit() || b":.+-Z".contains(&byte));
    (date(day) && is_clock && rest.matches(':').count() >= 2).then(|| Scalar::Time(text.to_owned()))
}
