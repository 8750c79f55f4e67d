//! Standard output for results, standard error for everything else.

use std::fmt::Arguments;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use plumb_api::Object;
use serde::Serialize;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
    /// YAML for programs.
    Yaml,
}

/// Writes a line of the result.
pub(crate) fn line(text: Arguments<'_>) -> anyhow::Result<()> {
    write(text).and_then(|()| write(format_args!("\n")))
}

/// Writes a part of the result. A reader that has gone away, such as `head`, is not an error.
pub(crate) fn write(text: Arguments<'_>) -> anyhow::Result<()> {
    match io::stdout().lock().write_fmt(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the result")
        }
        _ => Ok(()),
    }
}

/// Objects as documents of YAML, as kubectl takes them.
pub(crate) fn documents(objects: &[Object]) -> anyhow::Result<String> {
    let mut text = String::new();
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            text.push_str("---\n");
        }
        text.push_str(&yaml(object)?);
    }
    Ok(text)
}

/// Writes a value as JSON or YAML.
pub(crate) fn structured(value: &impl Serialize, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => line(format_args!("{}", serde_json::to_string_pretty(value)?)),
        Format::Table | Format::Yaml => write(format_args!("{}", yaml(value)?)),
    }
}

/// A value as a document of YAML that `kubectl`, Helm and Flux read back as it is: they go by YAML 1.1, where `yes` and `0644` without quotes
/// are no text.
pub(crate) fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    let value = serde_json::to_value(value).context("internal error: the result cannot be written")?;
    Ok(plumb_helm::go_yaml::to_string(&value))
}

/// Tells what goes on.
pub(crate) fn note(text: Arguments<'_>) {
    // Nobody can be told that standard error cannot be written.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells of an error and all that led to it.
pub(crate) fn error(error: &anyhow::Error) {
    note(format_args!("{} {error:#}", paint("error:", Color::Red, io::stderr().is_terminal())));
}

/// What something means, as a colour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Color {
    Red,
    Green,
    Yellow,
}

/// Whether standard output takes colour: a terminal does, unless `NO_COLOR` is set (no-color.org).
pub(crate) fn colored() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The text in a colour, or as it is.
pub(crate) fn paint(text: &str, color: Color, colored: bool) -> String {
    if !colored {
        return text.to_owned();
    }
    let code = match color {
        Color::Red => 31,
        Color::Green => 32,
        Color::Yellow => 33,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// A table with a header, its columns as wide as their widest cell.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_text_stays_text_for_kubectl() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"on": "yes", "mode": "0644"}});
        let text = documents(&[Object::new(object.clone()).unwrap(), Object::new(object).unwrap()]).unwrap();
        insta::assert_snapshot!(text, @r#"
        apiVersion: v1
        data:
          mode: "0644"
          "on": "yes"
        kind: ConfigMap
        metadata:
          name: a
        ---
        apiVersion: v1
        data:
          mode: "0644"
          "on": "yes"
        kind: ConfigMap
        metadata:
          name: a
        "#);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["apps".to_owned(), "True".to_owned()],
            vec!["infrastructure".to_owned(), "False".to_owned()],
        ];
        let expected = "NAME             READY\napps             True\ninfrastructure   False\n";
        assert_eq!(table(&["NAME", "READY"], &rows), expected);
    }
}
