//! Writes an object as the YAML in which Flux looks for expressions.
//!
//! It is the YAML of `sigs.k8s.io/yaml`, which is that of libyaml with lines of 80 columns. The layout matters: whether a value stands in
//! quotes decides whether what is put into it can become a number, and a long line is broken at spaces that an expression may have.

use serde_json::{Map, Value};

use crate::read::resolves_to_text;

/// Where libyaml breaks lines.
const WIDTH: usize = 80;
/// How far a level is moved to the right.
const INDENT: usize = 2;
/// How long a key may be to stand before its colon on one line, in bytes.
const SIMPLE_KEY: usize = 128;

/// The text of an object, and where its fields are in it.
pub struct Text {
    /// The YAML.
    pub yaml: String,
    /// The beginnings of all fields and items, in the order of the text.
    marks: Vec<Mark>,
}

struct Mark {
    offset: usize,
    depth: usize,
    step: Step,
}

enum Step {
    Field(String),
    Item(usize),
}

impl Text {
    /// The YAML of a JSON object.
    pub fn of(object: &Map<String, Value>) -> Self {
        let mut emitter = Emitter::default();
        emitter.mapping(object, 0);
        emitter.line_break();
        Self { yaml: emitter.out, marks: emitter.marks }
    }

    /// The field that a place in the text belongs to: `spec.containers[0].image`.
    pub fn field_at(&self, offset: usize) -> String {
        let mut steps = Vec::new();
        let mut wanted = None;
        let before = self.marks.partition_point(|mark| mark.offset <= offset);
        for mark in self.marks[..before].iter().rev() {
            if wanted.is_none_or(|depth| mark.depth == depth) {
                steps.push(&mark.step);
                match mark.depth.checked_sub(1) {
                    Some(above) => wanted = Some(above),
                    None => break,
                }
            }
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Item(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.push_str(&format!(".{name}")),
            }
        }
        path
    }

    /// Whether a field or item begins between two places in the text.
    pub fn field_begins_within(&self, from: usize, to: usize) -> bool {
        let after = self.marks.partition_point(|mark| mark.offset <= from);
        self.marks.get(after).is_some_and(|mark| mark.offset < to)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// The state of libyaml's emitter, as far as block collections need it.
struct Emitter {
    out: String,
    marks: Vec<Mark>,
    column: usize,
    /// None before the first collection.
    indent: Option<usize>,
    /// Whether the last character was a space or an indicator that needs none after it.
    whitespace: bool,
    /// Whether the line has nothing but indentation and `-` so far.
    indention: bool,
}

impl Default for Emitter {
    fn default() -> Self {
        Self {
            out: String::new(),
            marks: Vec::new(),
            column: 0,
            indent: None,
            whitespace: true,
            indention: true,
        }
    }
}

impl Emitter {
    fn mapping(&mut self, fields: &Map<String, Value>, depth: usize) {
        let outer = self.indent;
        self.indent = Some(outer.map_or(0, |indent| indent + INDENT));
        for (name, value) in fields {
            self.write_indent();
            self.marks.push(Mark { offset: self.out.len(), depth, step: Step::Field(name.clone()) });
            let analysis = Analysis::of(name);
            if !analysis.multiline && name.len() <= SIMPLE_KEY {
                self.scalar(name, &analysis, true);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.scalar(name, &analysis, false);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.value(value, true, depth);
        }
        self.indent = outer;
    }

    fn sequence(&mut self, items: &[Value], in_mapping: bool, depth: usize) {
        let outer = self.indent;
        let indentless = in_mapping && !self.indention;
        self.indent = Some(match outer {
            None => 0,
            Some(indent) if indentless => indent,
            Some(indent) => indent + INDENT,
        });
        for (index, item) in items.iter().enumerate() {
            self.write_indent();
            self.marks.push(Mark { offset: self.out.len(), depth, step: Step::Item(index) });
            self.indicator("-", true, false, true);
            self.value(item, false, depth);
        }
        self.indent = outer;
    }

    fn value(&mut self, value: &Value, in_mapping: bool, depth: usize) {
        match value {
            Value::Object(fields) if fields.is_empty() => self.indicator("{}", true, false, false),
            Value::Array(items) if items.is_empty() => self.indicator("[]", true, false, false),
            Value::Object(fields) => self.mapping(fields, depth + 1),
            Value::Array(items) => self.sequence(items, in_mapping, depth + 1),
            Value::String(text) => self.scalar(text, &Analysis::of(text), false),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.indicator(&value.to_string(), true, false, false)
            }
        }
    }

    fn scalar(&mut self, text: &str, analysis: &Analysis, is_key: bool) {
        let outer = self.indent;
        self.indent = Some(outer.map_or(INDENT, |indent| indent + INDENT));
        match analysis.style(text, is_key) {
            Style::Plain => self.plain(text, !is_key),
            Style::Single => self.single_quoted(text, !is_key),
            Style::Double => self.double_quoted(text, !is_key),
            Style::Literal => self.literal(text),
        }
        self.indent = outer;
    }

    fn plain(&mut self, text: &str, may_break: bool) {
        if !self.whitespace {
            self.put(' ');
        }
        self.folded(text, may_break, |emitter, character| emitter.put(character));
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &str, may_break: bool) {
        self.indicator("'", true, false, false);
        self.folded(text, may_break, |emitter, character| {
            if character == '\'' {
                emitter.put('\'');
            }
            emitter.put(character);
        });
        self.indicator("'", false, false, false);
        self.indention = false;
    }

    /// Writes a text of one line, broken at single spaces where it is too long.
    fn folded(&mut self, text: &str, may_break: bool, mut write: impl FnMut(&mut Self, char)) {
        let mut after_space = false;
        let mut rest = text.chars();
        let mut first = true;
        while let Some(character) = rest.next() {
            let next = rest.clone().next();
            let breaks = character == ' ' && may_break && !after_space && self.column > WIDTH;
            if breaks && !first && next.is_some_and(|next| next != ' ') {
                self.write_indent();
            } else {
                write(self, character);
            }
            if character != ' ' {
                self.indention = false;
            }
            after_space = character == ' ';
            first = false;
        }
    }

    fn double_quoted(&mut self, text: &str, may_break: bool) {
        self.indicator("\"", true, false, false);
        let mut after_space = false;
        let mut rest = text.chars();
        let mut first = true;
        while let Some(character) = rest.next() {
            let next = rest.clone().next();
            if character == ' ' {
                if may_break && !after_space && self.column > WIDTH && !first && next.is_some() {
                    self.write_indent();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
            } else {
                self.escaped(character);
            }
            after_space = character == ' ';
            first = false;
        }
        self.indicator("\"", false, false, false);
        self.indention = false;
    }

    fn escaped(&mut self, character: char) {
        if is_printable(character) && !is_break(character) && character != '"' && character != '\\' {
            return self.put(character);
        }
        let code = u32::from(character);
        let escape = match character {
            '\0' => "0".to_owned(),
            '\u{7}' => "a".to_owned(),
            '\u{8}' => "b".to_owned(),
            '\t' => "t".to_owned(),
            '\n' => "n".to_owned(),
            '\u{b}' => "v".to_owned(),
            '\u{c}' => "f".to_owned(),
            '\r' => "r".to_owned(),
            '\u{1b}' => "e".to_owned(),
            '"' => "\"".to_owned(),
            '\\' => "\\".to_owned(),
            '\u{85}' => "N".to_owned(),
            '\u{2028}' => "L".to_owned(),
            '\u{2029}' => "P".to_owned(),
            _ if code <= 0xff => format!("x{code:02X}"),
            _ if code <= 0xffff => format!("u{code:04X}"),
            _ => format!("U{code:08X}"),
        };
        self.put('\\');
        escape.chars().for_each(|character| self.put(character));
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(|first| first == ' ' || is_break(first)) {
            self.indicator(&INDENT.to_string(), false, false, false);
        }
        let mut from_end = text.chars().rev();
        match (from_end.next().is_some_and(is_break), from_end.next()) {
            (false, _) => self.indicator("-", false, false, false),
            (true, before) if before.is_none_or(is_break) => self.indicator("+", false, false, false),
            (true, _) => {}
        }
        self.line_break();
        self.indention = true;
        self.whitespace = true;
        let mut at_start = true;
        for character in text.chars() {
            if is_break(character) {
                match character {
                    '\n' => self.line_break(),
                    _ => {
                        self.out.push(character);
                        self.column = 0;
                    }
                }
                self.indention = true;
                at_start = true;
            } else {
                if at_start {
                    self.write_indent();
                }
                self.put(character);
                self.indention = false;
                at_start = false;
            }
        }
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, needs_space: bool, is_whitespace: bool, is_indention: bool) {
        if needs_space && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|character| self.put(character));
        self.whitespace = is_whitespace;
        self.indention = self.indention && is_indention;
    }

    fn put(&mut self, character: char) {
        self.out.push(character);
        self.column += 1;
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }
}

/// What libyaml looks at before it chooses a style.
struct Analysis {
    multiline: bool,
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        let (mut indicators, mut line_breaks, mut special) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        indicators |= text.starts_with("---") || text.starts_with("...");
        let mut previous: Option<char> = None;
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let followed_by_blank = rest.clone().next().is_none_or(is_blank);
            indicators |= match (previous, character) {
                (
                    None,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                    | '`',
                ) => true,
                (None, '?' | '-') | (_, ':') => followed_by_blank,
                (Some(before), '#') => is_blank(before) || is_break(before),
                _ => false,
            };
            special |= !is_printable(character);
            if character == ' ' {
                break_space |= previous.is_some_and(is_break);
            } else if is_break(character) {
                line_breaks = true;
                space_break |= previous == Some(' ');
            }
            previous = Some(character);
        }
        let is_edge = |edge: Option<char>| edge.is_some_and(|edge| edge == ' ' || is_break(edge));
        let blank_edge = is_edge(text.chars().next()) || is_edge(previous);
        let broken = space_break || special;
        Self {
            multiline: line_breaks,
            plain_allowed: !blank_edge && !break_space && !broken && !line_breaks && !indicators,
            single_allowed: !break_space && !broken,
            block_allowed: !text.is_empty() && previous != Some(' ') && !broken,
        }
    }

    fn style(&self, text: &str, is_key: bool) -> Style {
        if text.contains('\n') {
            return if self.block_allowed && !is_key { Style::Literal } else { Style::Double };
        }
        if !resolves_to_text(text) || (is_key && self.multiline) {
            return Style::Double;
        }
        if self.plain_allowed {
            return Style::Plain;
        }
        if self.single_allowed { Style::Single } else { Style::Double }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What libyaml writes without an escape.
fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}
