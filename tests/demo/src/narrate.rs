//! What the demo prints.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

/// The steps of the story, with the time that each took.
pub(crate) struct Narrator {
    started: Instant,
    step: u32,
    colored: bool,
}

impl Narrator {
    pub(crate) fn new() -> Self {
        let colored = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { started: Instant::now(), step: 0, colored }
    }

    /// Begins a step; the result is the time from which [`saw`](Self::saw) counts.
    pub(crate) fn step(&mut self, title: impl Display) -> Instant {
        self.step += 1;
        say(format_args!("\n{}", self.paint(1, format_args!("{}. {title}", self.step))));
        Instant::now()
    }

    /// Something happened that the step was about.
    pub(crate) fn saw(&self, since: Instant, what: impl Display) {
        let took = format!("{:>8.3} s", since.elapsed().as_secs_f64());
        say(format_args!("   {} {what}", self.paint(32, took)));
    }

    /// Something that helps to understand.
    pub(crate) fn aside(&self, what: impl Display) {
        for line in what.to_string().lines() {
            say(format_args!("            {}", self.paint(2, line)));
        }
    }

    /// The end.
    pub(crate) fn end(&self, what: impl Display) {
        let took = self.started.elapsed().as_secs_f64();
        say(format_args!("\n{} ({took:.1} s)", self.paint(1, what)));
    }

    fn paint(&self, code: u8, text: impl Display) -> String {
        if self.colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Prints a line. A reader that has gone away does not matter to the story.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

pub(crate) fn failed(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "\nThe demo failed: {error:#}");
}
