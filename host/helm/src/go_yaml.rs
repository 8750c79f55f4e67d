//! YAML as Go's `go.yaml.in/yaml/v2` writes it, which is what Helm, Flux and `kubectl` read and write: text that YAML 1.1 takes for something
//! else (`yes`, `0644`, `1:30`) is quoted.
//!
//! The digest of values is one of these bytes, so that a release that Flux has made counts as up to date here, and the other way round.

use serde_json::{Map, Number, Value};

use crate::go::float_g;
use resolve::is_plain_text;

mod resolve;

/// How many columns of indentation a level has.
const INDENT: usize = 2;
/// From which column on text is folded at spaces.
const WIDTH: usize = 80;
/// The longest key that is written without a question mark, in bytes.
const LONGEST_SIMPLE_KEY: usize = 128;

/// Writes an object as a YAML document, its keys in the order of their bytes: byte for byte as Go does with its defaults.
pub(crate) fn emit(object: &Map<String, Value>) -> String {
    let mut emitter = Emitter::new(Fidelity::Bytes);
    emitter.mapping(object);
    emitter.end()
}

/// Writes a value as a YAML document, its keys in the order of their bytes. Readers of YAML 1.1 and of YAML 1.2 read it back as it is.
///
/// It is what Go writes, but for what Go folds and what readers do not agree about: long text stays on its line, line breaks other than `\n` are
/// escaped, and the texts `<<` and `=` are quoted.
pub fn to_string(value: &Value) -> String {
    let mut emitter = Emitter::new(Fidelity::Meaning);
    emitter.node(value, Place::Item);
    emitter.end()
}

/// What a text has to agree with Go's in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fidelity {
    /// Every byte: a digest is made of it.
    Bytes,
    /// What readers make of it.
    Meaning,
}

/// Where a node stands, as far as its form depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// An item of a sequence.
    Item,
    /// A value of a mapping, or a key after a question mark.
    Value,
    /// A key that fits one line.
    SimpleKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

struct Emitter {
    fidelity: Fidelity,
    out: String,
    column: usize,
    /// `None` before the first node.
    indent: Option<usize>,
    /// Whether what was written last is white space.
    after_whitespace: bool,
    /// Whether there is nothing but indention and indicators that count as such before the cursor.
    after_indention: bool,
}

impl Emitter {
    fn new(fidelity: Fidelity) -> Self {
        Self {
            fidelity,
            out: String::new(),
            column: 0,
            indent: None,
            after_whitespace: true,
            after_indention: true,
        }
    }

    fn end(mut self) -> String {
        self.write_indent();
        self.out
    }

    /// Whether the line is so long that it is folded here.
    fn is_full(&self) -> bool {
        self.fidelity == Fidelity::Bytes && self.column > WIDTH
    }

    fn preferred_style(&self, text: &str) -> Style {
        if self.fidelity == Fidelity::Meaning && is_read_differently(text) {
            Style::DoubleQuoted
        } else if text.contains('\n') {
            Style::Literal
        } else if is_plain_text(text) {
            Style::Plain
        } else {
            Style::DoubleQuoted
        }
    }

    fn node(&mut self, value: &Value, place: Place) {
        match value {
            Value::Null => self.scalar("null", Style::Plain, place),
            Value::Bool(true) => self.scalar("true", Style::Plain, place),
            Value::Bool(false) => self.scalar("false", Style::Plain, place),
            Value::Number(number) => self.scalar(&self::number(number), Style::Plain, place),
            Value::String(text) => self.scalar(text, self.preferred_style(text), place),
            Value::Array(items) => self.sequence(items, place),
            Value::Object(fields) => self.mapping(fields),
        }
    }

    fn mapping(&mut self, fields: &Map<String, Value>) {
        if fields.is_empty() {
            self.indicator("{", true, true, false);
            return self.indicator("}", false, false, false);
        }
        let outer = self.indent;
        self.indent = Some(outer.map_or(0, |outer| outer + INDENT));
        let mut keys: Vec<(&String, &Value)> = fields.iter().collect();
        keys.sort_by_key(|(key, _)| key.as_bytes());
        for (key, value) in keys {
            self.write_indent();
            if is_simple_key(key) {
                self.scalar(key, self.preferred_style(key), Place::SimpleKey);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.scalar(key, self.preferred_style(key), Place::Value);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.node(value, Place::Value);
        }
        self.indent = outer;
    }

    fn sequence(&mut self, items: &[Value], place: Place) {
        if items.is_empty() {
            self.indicator("[", true, true, false);
            return self.indicator("]", false, false, false);
        }
        let outer = self.indent;
        // A sequence in a mapping is not indented.
        if place != Place::Value || self.after_indention {
            self.indent = Some(outer.map_or(0, |outer| outer + INDENT));
        }
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.node(item, Place::Item);
        }
        self.indent = outer;
    }

    fn scalar(&mut self, text: &str, preferred: Style, place: Place) {
        let style = style(text, preferred, place);
        let outer = self.indent;
        self.indent = Some(outer.map_or(INDENT, |outer| outer + INDENT));
        let may_fold = place != Place::SimpleKey;
        match style {
            Style::Plain => self.plain(text, may_fold),
            Style::SingleQuoted => self.single_quoted(text, may_fold),
            Style::DoubleQuoted => self.double_quoted(text, may_fold),
            Style::Literal => self.literal(text),
        }
        self.indent = outer;
    }

    /// Text without line breaks: whatever has one is not plain.
    fn plain(&mut self, text: &str, may_fold: bool) {
        if !self.after_whitespace {
            self.put(' ');
        }
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' {
                if may_fold && !spaces && self.is_full() && chars.peek() != Some(&' ') {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                self.after_indention = false;
                spaces = false;
            }
        }
        self.after_whitespace = false;
        self.after_indention = false;
    }

    fn single_quoted(&mut self, text: &str, may_fold: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks) = (false, false);
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if c == ' ' {
                let inside = at > 0 && next.is_some_and(|next| next != ' ');
                if may_fold && !spaces && self.is_full() && inside {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.put_break();
                }
                self.write_break(c);
                self.after_indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if c == '\'' {
                    self.put(c);
                }
                self.put(c);
                self.after_indention = false;
                (spaces, breaks) = (false, false);
            }
        }
        self.indicator("'", false, false, false);
        self.after_whitespace = false;
        self.after_indention = false;
    }

    fn double_quoted(&mut self, text: &str, may_fold: bool) {
        self.indicator("\"", true, false, false);
        // Upstream looks for a byte order mark at the start of the text for every character.
        let escapes_all = text.starts_with('\u{feff}');
        let mut spaces = false;
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if escapes_all || !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                self.escape(c);
                spaces = false;
            } else if c == ' ' {
                if may_fold && !spaces && self.is_full() && at > 0 && next.is_some() {
                    self.write_indent();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.after_whitespace = false;
        self.after_indention = false;
    }

    fn escape(&mut self, c: char) {
        let code = u32::from(c);
        let short = match code {
            0x00 => "0".to_owned(),
            0x07 => "a".to_owned(),
            0x08 => "b".to_owned(),
            0x09 => "t".to_owned(),
            0x0a => "n".to_owned(),
            0x0b => "v".to_owned(),
            0x0c => "f".to_owned(),
            0x0d => "r".to_owned(),
            0x1b => "e".to_owned(),
            0x22 => "\"".to_owned(),
            0x5c => "\\".to_owned(),
            0x85 => "N".to_owned(),
            0xa0 => "_".to_owned(),
            0x2028 => "L".to_owned(),
            0x2029 => "P".to_owned(),
            _ if code <= 0xff => format!("x{code:02X}"),
            _ if code <= 0xffff => format!("u{code:04X}"),
            _ => format!("U{code:08X}"),
        };
        self.put('\\');
        short.chars().for_each(|c| self.put(c));
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator(&INDENT.to_string(), false, false, false);
        }
        let mut from_the_end = text.chars().rev();
        let chomping = match (from_the_end.next().filter(|c| is_break(*c)), from_the_end.next()) {
            (None, _) => "-",
            (Some(_), None) => "+",
            (Some(_), Some(before)) if is_break(before) => "+",
            _ => "",
        };
        if !chomping.is_empty() {
            self.indicator(chomping, false, false, false);
        }
        self.put_break();
        self.after_indention = true;
        self.after_whitespace = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.write_break(c);
                self.after_indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(c);
                self.after_indention = false;
                breaks = false;
            }
        }
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn write_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    fn indicator(&mut self, text: &str, needs_whitespace: bool, is_whitespace: bool, is_indention: bool) {
        if needs_whitespace && !self.after_whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.after_whitespace = is_whitespace;
        self.after_indention = self.after_indention && is_indention;
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.after_indention || self.column > indent || (self.column == indent && !self.after_whitespace)
        {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.after_whitespace = true;
        self.after_indention = true;
    }
}

/// Whole numbers as such, also where they are floats.
fn number(number: &Number) -> String {
    if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
        return crate::go::whole(float).unwrap_or_else(|| float_g(float));
    }
    number.to_string()
}

fn is_simple_key(key: &str) -> bool {
    key.len() <= LONGEST_SIMPLE_KEY && !key.contains(is_break)
}

/// Whether readers take a text for another one than Go does, where it is not in double quotes: YAML 1.1 has more line breaks, a merge key and a default key.
fn is_read_differently(text: &str) -> bool {
    matches!(text, "<<" | "=") || text.contains(|c| is_break(c) && c != '\n')
}

/// The style that is possible where another was preferred.
fn style(text: &str, preferred: Style, place: Place) -> Style {
    let allowed = Allowed::of(text);
    let mut style = preferred;
    if place == Place::SimpleKey && text.contains(is_break) {
        style = Style::DoubleQuoted;
    }
    let empty_key = text.is_empty() && place == Place::SimpleKey;
    if style == Style::Plain && (!allowed.plain || empty_key) {
        style = Style::SingleQuoted;
    }
    if style == Style::SingleQuoted && !allowed.single_quoted {
        style = Style::DoubleQuoted;
    }
    if style == Style::Literal && (!allowed.literal || place == Place::SimpleKey) {
        style = Style::DoubleQuoted;
    }
    style
}

/// The styles that a text can be written in.
struct Allowed {
    plain: bool,
    single_quoted: bool,
    literal: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self { plain: true, single_quoted: true, literal: false };
        }
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let mut after_whitespace = true;
        let mut before = None;
        // A space after a line break, and a line break after a space.
        let (mut break_space, mut space_break) = (false, false);
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let before_whitespace = chars.peek().is_none_or(|(_, next)| matches!(next, ' ' | '\t'));
            indicators |= match c {
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                    at == 0
                }
                '?' | '-' => at == 0 && before_whitespace,
                ':' => before_whitespace,
                '#' => after_whitespace,
                _ => false,
            };
            break_space |= c == ' ' && before.is_some_and(is_break);
            space_break |= is_break(c) && before == Some(' ');
            after_whitespace = matches!(c, ' ' | '\t' | '\0') || is_break(c);
            before = Some(c);
        }
        let is_white = |c: char| c == ' ' || is_break(c);
        let breaks = text.contains(is_break);
        let special = !text.chars().all(is_printable);
        let plain =
            !indicators && !breaks && !special && !text.starts_with(is_white) && !text.ends_with(is_white);
        Self {
            plain,
            single_quoted: !break_space && !space_break && !special,
            literal: !text.ends_with(' ') && !space_break && !special,
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What upstream takes for printable: nothing beyond the basic multilingual plane is.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fffd}') && c != '\u{feff}'
}

#[cfg(test)]
mod tests;
