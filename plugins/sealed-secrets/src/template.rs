//! Entries of `spec.template.data`: text into which opened values are put.
//!
//! Upstream runs them as templates of Go's `text/template` with the functions of sprig
//! (<https://github.com/bitnami-labs/sealed-secrets#sealedsecrets-as-templates-for-secrets>). Understood here is what nearly all of them are made of, and means
//! the same there: text, `{{ .name }}`, `{{ index . "name" }}`, the functions `toJson` and `b64enc` before these or behind a `|`, and the `-` that takes away white
//! space. A template with anything else is refused as a whole.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The values that were opened, by their keys.
pub type Values = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Why a template cannot be filled in. It has nothing of the template in it, and nothing of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfilled {
    /// In a line, counted from 1, is an action that needs more of Go's templates.
    Unsupported(usize),
    /// In a line, an action begins and does not end.
    Unclosed(usize),
    /// In a line, the value with this key is used, and there is none.
    NoValue(usize, String),
    /// It makes more than a Secret can hold.
    TooLarge,
}

impl Unfilled {
    /// What is wrong, as the end of a sentence about the entry.
    pub fn what(&self) -> String {
        match self {
            Self::Unsupported(line) => format!(
                "has an action in line {line} that is not supported: it needs more of Go's templates than `.KEY`, `index . \"KEY\"`, `toJson` and `b64enc`"
            ),
            Self::Unclosed(line) => {
                format!("has an action in line {line} that does not end: `}}}}` is missing")
            }
            Self::NoValue(line, key) => {
                format!("uses the value of {key} in line {line}, which spec.encryptedData does not have")
            }
            Self::TooLarge => "makes more than the 1 MiB that a Secret can hold".to_owned(),
        }
    }
}

/// A function of sprig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    /// A text of JSON.
    ToJson,
    /// Base64.
    Base64,
}

/// What stands between `{{` and `}}`.
#[derive(Debug, PartialEq, Eq)]
struct Action<'a> {
    key: &'a str,
    functions: Vec<Function>,
}

/// The largest Secret in bytes, which is `MaxSecretSize` of Kubernetes.
const LARGEST: usize = 1 << 20;
/// What Go's templates call space.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The template with values in the places of its actions.
///
/// # Errors
///
/// With the first action that cannot be carried out.
pub fn fill(template: &str, values: &Values) -> Result<Zeroizing<Vec<u8>>, Unfilled> {
    let mut filled = Zeroizing::new(Vec::new());
    let mut rest = template;
    while let Some((text, from)) = rest.split_once("{{") {
        let line = || template[..template.len() - from.len()].matches('\n').count() + 1;
        let (action, after) = from.split_once("}}").ok_or_else(|| Unfilled::Unclosed(line()))?;
        let (action, text) = match action.strip_prefix('-') {
            Some(trimmed) if trimmed.starts_with(SPACE) => (trimmed, text.trim_end_matches(SPACE)),
            _ => (action, text),
        };
        let (action, after) = match action.strip_suffix('-') {
            Some(trimmed) if trimmed.ends_with(SPACE) => (trimmed, after.trim_start_matches(SPACE)),
            _ => (action, after),
        };
        let Action { key, functions } = Action::parse(action).ok_or_else(|| Unfilled::Unsupported(line()))?;
        let value = values.get(key).ok_or_else(|| Unfilled::NoValue(line(), key.to_owned()))?;
        filled.extend_from_slice(text.as_bytes());
        filled.extend_from_slice(&applied(value, &functions)?);
        if filled.len() > LARGEST {
            return Err(Unfilled::TooLarge);
        }
        rest = after;
    }
    filled.extend_from_slice(rest.as_bytes());
    Ok(filled)
}

fn applied(value: &[u8], functions: &[Function]) -> Result<Zeroizing<Vec<u8>>, Unfilled> {
    let mut value = Zeroizing::new(value.to_vec());
    for function in functions {
        value = function.apply(&value);
        if value.len() > LARGEST {
            return Err(Unfilled::TooLarge);
        }
    }
    Ok(value)
}

impl<'a> Action<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut commands = text.split('|').map(|command| command.trim_matches(SPACE));
        let first = commands.next()?;
        let called = first.split_once(SPACE).map(|(word, operand)| (Function::named(word), operand));
        let (mut functions, operand) = match called {
            Some((Some(function), operand)) => (vec![function], operand),
            _ => (Vec::new(), first),
        };
        let is_argument = !functions.is_empty();
        for command in commands {
            functions.push(Function::named(command)?);
        }
        // As an argument, `index . "key"` is one in parentheses only.
        let operand = operand.trim_matches(SPACE);
        let inner = operand.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
        let key = match inner {
            Some(inner) => field(inner).or_else(|| indexed(inner)),
            None if is_argument => field(operand),
            None => field(operand).or_else(|| indexed(operand)),
        };
        Some(Self { key: key?, functions })
    }
}

/// The key in `.key`, which looks like a name in Go.
fn field(text: &str) -> Option<&str> {
    let name = text.trim_matches(SPACE).strip_prefix('.')?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    is_name.then_some(name)
}

/// The key in `index . "key"`: any that a Secret may have.
fn indexed(text: &str) -> Option<&str> {
    let mut words = text.split(SPACE).filter(|word| !word.is_empty());
    let (Some("index"), Some("."), Some(quoted), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let in_quotes = |mark| quoted.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    let key = in_quotes('"').or_else(|| in_quotes('`'))?;
    key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).then_some(key)
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        match name {
            "toJson" => Some(Self::ToJson),
            "b64enc" => Some(Self::Base64),
            _ => None,
        }
    }

    fn apply(self, value: &[u8]) -> Zeroizing<Vec<u8>> {
        let text = match self {
            Self::ToJson => json(value),
            Self::Base64 => STANDARD.encode(value),
        };
        Zeroizing::new(text.into_bytes())
    }
}

/// A text as Go's `json.Marshal` writes it: fit for HTML, and with U+FFFD for each byte that is not UTF-8.
fn json(value: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    text.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                _ => text.push(c),
            }
        }
        text.push_str(&"\\ufffd".repeat(chunk.invalid().len()));
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn filled(template: &str) -> Result<String, Unfilled> {
        let values = [("user", "bob"), ("tls.key", "a\"<b>"), ("empty", "")];
        let values = values.map(|(key, value)| (key.to_owned(), Zeroizing::new(value.as_bytes().to_vec())));
        fill(template, &Values::from(values)).map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn text_stays_and_values_take_the_places_of_actions() {
        for (template, expected) in [
            ("", ""),
            ("a: {b} }} c", "a: {b} }} c"),
            ("{{.user}}", "bob"),
            ("user={{ .user }}\nkey={{ index . \"tls.key\" }}\n", "user=bob\nkey=a\"<b>\n"),
            ("{{ index . `tls.key` }}{{ .empty }}", "a\"<b>"),
            ("{{ toJson .user }} {{ toJson (index . \"tls.key\") }}", r#""bob" "a\"\u003cb\u003e""#),
            ("{{ .user | b64enc }} {{ (index . \"user\") | b64enc | toJson }}", "Ym9i \"Ym9i\""),
            ("a \n {{- .user -}} \n b", "abobb"),
        ] {
            assert_eq!(filled(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_needs_more_is_refused_with_its_line() {
        for action in [
            "",
            " ",
            ".",
            "user",
            "$",
            ".user.name",
            ".tls.key",
            ".1a",
            "-.user",
            ".user-",
            ".user .user",
            "if .user",
            "toJson",
            "toJson .user .user",
            "toJson index . \"user\"",
            "index .",
            "index . user",
            "index . \"a b\"",
            "index . \"\\x75ser\"",
            "index . \"user\" \"b\"",
            "quote .user",
            ".user | quote",
            ".user | env \"HOME\"",
            "/* why */",
            "\"text\"",
            "printf \"%s\" .user",
            "((.user))",
            "b64enc(.user)",
            "| toJson",
            ".user |",
        ] {
            assert_eq!(filled(&format!("a\n{{{{{action}}}}}")), Err(Unfilled::Unsupported(2)), "{action}");
        }
        assert_eq!(filled("a\n\n{{ .user }"), Err(Unfilled::Unclosed(3)));
        assert_eq!(filled("{{ .password }}"), Err(Unfilled::NoValue(1, "password".to_owned())));
        assert_eq!(filled("{{ index . \"a-b\" }}"), Err(Unfilled::NoValue(1, "a-b".to_owned())));
    }

    #[test]
    fn a_template_makes_no_more_than_a_secret_can_hold() {
        let value = Zeroizing::new(vec![b'"'; 1 << 18]);
        let values = Values::from([("a".to_owned(), value)]);
        assert_eq!(fill(&"{{.a}}".repeat(5), &values), Err(Unfilled::TooLarge));
        assert_eq!(fill("{{ .a | toJson | toJson }}", &values), Err(Unfilled::TooLarge));
        assert_eq!(fill("{{ .a | b64enc }}", &values).map(|text| text.len()), Ok(349_528));
    }

    #[test]
    fn texts_of_json_are_those_of_go() {
        let bytes = [b"\x00\x1f\x7f\n\t".as_slice(), "é\u{2028}&".as_bytes(), b"\xff\xe2\x82z"].concat();
        assert_eq!(json(&bytes), "\"\\u0000\\u001f\u{7f}\\n\\té\\u2028\\u0026\\ufffd\\ufffd\\ufffdz\"");
    }
}
