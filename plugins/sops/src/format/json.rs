//! JSON, with the places of its values.

use serde_json::Value;

use super::{Content, DEEPEST, Document, Leaf, Unreadable};
use crate::cipher::Scalar;
use crate::metadata::FIELD;

/// Takes a JSON object apart.
pub(super) fn read(text: &str) -> Result<Document, Unreadable> {
    let mut reader = Reader { text, at: 0, path: Vec::new(), document: Document::default() };
    reader.blanks();
    if reader.peek() != Some(b'{') {
        return Err(Unreadable::new("it is not a JSON object"));
    }
    reader.value(DEEPEST)?;
    reader.blanks();
    match reader.peek() {
        None => Ok(reader.document),
        Some(_) => Err(reader.wrong("there is more after the JSON object")),
    }
}

/// The value as JSON. What is not UTF-8 cannot be a text there.
pub(super) fn spell(value: &Scalar) -> Option<String> {
    Some(match value {
        Scalar::Text(text) => quoted(std::str::from_utf8(text).ok()?),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Float(number) => number.is_finite().then(|| super::float(*number, -6..21, 1))?,
        Scalar::Bool(truth) => truth.to_string(),
        Scalar::Time(time) => quoted(time),
    })
}

/// In quotes, as Go writes it: what means something in HTML is escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for character in Value::from(text).to_string().chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(character)))
            }
            _ => quoted.push(character),
        }
    }
    quoted
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<String>,
    document: Document,
}

impl Reader<'_> {
    fn wrong(&self, problem: &'static str) -> Unreadable {
        let before = self.text.as_bytes().iter().take(self.at);
        Unreadable::at(before.filter(|byte| **byte == b'\n').count() + 1, problem)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Goes past a sign, and the blanks around it.
    fn expect(&mut self, sign: u8) -> Result<(), Unreadable> {
        self.blanks();
        if self.peek() != Some(sign) {
            return Err(self.wrong("it is not JSON"));
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), Unreadable> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.wrong("it is nested too deeply"))?;
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.expect(b'{')?;
        // Where the member before has ended: with it goes the comma after it.
        let mut last_end = None;
        while self.peek() != Some(b'}') {
            if last_end.is_some() {
                self.expect(b',')?;
            }
            let start = self.at;
            let name = self.text()?;
            self.expect(b':')?;
            if self.path.is_empty() && name == FIELD {
                self.metadata(start, last_end)?;
            } else {
                self.path.push(name);
                self.value(depth)?;
                self.path.pop();
            }
            last_end = Some(self.at);
            self.blanks();
        }
        self.at += 1;
        Ok(())
    }

    fn metadata(&mut self, start: usize, last_end: Option<usize>) -> Result<(), Unreadable> {
        let from = self.at;
        let mut ahead = serde_json::Deserializer::from_str(&self.text[from..]).into_iter::<Value>();
        let metadata = ahead.next().and_then(Result::ok).ok_or_else(|| self.wrong("it is not JSON"))?;
        if self.document.metadata.replace(metadata).is_some() {
            return Err(self.wrong("it has `sops` twice"));
        }
        self.at = from + ahead.byte_offset();
        let mut end = self.at;
        let rest = self.text[end..].trim_start();
        // The first member takes the comma after it along, any other the one before it.
        if let (None, Some(after)) = (last_end, rest.strip_prefix(',')) {
            end = self.text.len() - after.trim_start().len();
        }
        self.document.cut.push(last_end.unwrap_or(start)..end);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.expect(b'[')?;
        let mut is_first = true;
        while self.peek() != Some(b']') {
            if !is_first {
                self.expect(b',')?;
            }
            is_first = false;
            self.value(depth)?;
            self.blanks();
        }
        self.at += 1;
        Ok(())
    }

    /// A text in quotes, decoded.
    fn text(&mut self) -> Result<String, Unreadable> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("it is not JSON"));
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.wrong("a text does not end")),
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at);
        quoted
            .and_then(|quoted| serde_json::from_str(quoted).ok())
            .ok_or_else(|| self.wrong("it is not JSON"))
    }

    fn scalar(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        let value = if self.peek() == Some(b'"') {
            Some(Scalar::Text(self.text()?.into_bytes()))
        } else {
            while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                self.at += 1;
            }
            let literal = serde_json::from_str(&self.text[start..self.at]);
            match literal.map_err(|_| self.wrong("it is not JSON"))? {
                Value::Bool(truth) => Some(Scalar::Bool(truth)),
                Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                    (Some(number), _) => Some(Scalar::Integer(number)),
                    (None, Some(number)) => Some(Scalar::Float(number)),
                    (None, None) => return Err(self.wrong("a number is too large")),
                },
                _ => None,
            }
        };
        if let Some(value) = value {
            self.document.leaves.push(Leaf {
                path: self.path.clone(),
                comments: Vec::new(),
                content: Content::Value(value),
                span: start..self.at,
                indent: 0,
            });
        }
        Ok(())
    }
}

/// The object with one more member at its end.
#[cfg(not(target_family = "wasm"))]
pub(super) fn with_metadata(text: &str, metadata: &Value) -> String {
    let before = text.trim_end().strip_suffix('}').unwrap_or(text).trim_end();
    let comma = if before.ends_with('{') { "" } else { "," };
    format!("{before}{comma}\n\t\"{FIELD}\": {metadata:#}\n}}\n")
}
