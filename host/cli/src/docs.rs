//! Holds docs/cli.md against the commands.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

const PAGE: &str = include_str!("../../../docs/cli.md");
const README: &str = include_str!("../../../README.md");

/// Every command that can be called, with the words that call it.
fn commands() -> Vec<(String, Command)> {
    fn collect(words: &str, command: &Command, into: &mut Vec<(String, Command)>) {
        let visible: Vec<&Command> = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set() && command.get_name() != "help")
            .collect();
        if visible.is_empty() {
            into.push((words.to_owned(), command.clone()));
        }
        for below in visible {
            collect(&format!("{words} {}", below.get_name()), below, into);
        }
    }
    let mut cli = crate::Cli::command();
    cli.build();
    let mut all = Vec::new();
    collect("plumb", &cli, &mut all);
    all
}

/// The arguments and flags of a command as a table; empty when there are none.
fn table(command: &Command) -> String {
    let is_own = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str()) && !arg.is_hide_set();
    let mut table = String::new();
    for arg in command.get_arguments().filter(is_own) {
        if table.is_empty() {
            table.push_str("| | |\n|---|---|\n");
        }
        let values = arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str());
        let values = values.filter(|_| arg.get_action().takes_values()).collect::<Vec<_>>().join(" ");
        let name = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!("-{short}, --{long} {values}"),
            (_, Some(long)) => format!("--{long} {values}"),
            _ => values,
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        writeln!(table, "| `{}` | {} |", name.trim(), help.trim_end_matches('.')).unwrap();
    }
    table
}

#[test]
fn every_command_is_described_with_its_flags() {
    let mut missing = String::new();
    for (words, command) in commands() {
        let heading = format!("### `{words}`\n");
        let section = PAGE.split_once(&heading).map(|(_, rest)| rest.split("\n### ").next().unwrap());
        let table = table(&command);
        if section.is_none_or(|section| !section.contains(&table)) {
            write!(missing, "{heading}\n{table}\n").unwrap();
        }
    }
    assert!(missing.is_empty(), "docs/cli.md has to hold these headings and tables:\n\n{missing}");
}

#[test]
fn nothing_else_is_described() {
    let commands: Vec<String> = commands().into_iter().map(|(words, _)| format!("### `{words}`")).collect();
    let described: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("### ")).collect();
    assert_eq!(described, commands);
    let flags: Vec<String> = self::commands().iter().map(|(_, command)| table(command)).collect();
    for row in PAGE.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `flux ")) {
        assert!(flags.iter().any(|table| table.contains(row)), "no command has {row}");
    }
}

/// Examples that no longer work are worse than none.
#[test]
fn every_example_is_a_command() {
    for (name, text) in [("docs/cli.md", PAGE), ("README.md", README)] {
        let mut count = 0;
        for line in text.lines().filter_map(|line| line.strip_prefix("    plumb ")) {
            let line = line.split(['#', '|', '>']).next().unwrap();
            let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches('\'')).collect();
            let parsed = crate::Cli::command().try_get_matches_from([&["plumb"][..], &words].concat());
            assert!(parsed.is_ok(), "{name}: plumb {line}: {}", parsed.unwrap_err());
            count += 1;
        }
        assert!(count > 3, "{name} has no examples");
    }
}
