//! Plain lines on standard error that say what is done and how long it took. What the tools print is
//! kept in a file, and shown when they fail.

use std::fs::{self, File};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How many of a failed command's last lines are shown.
const SHOWN_LINES: usize = 150;
/// How often a command that prints nothing is said to be still at work.
const REMINDER: Duration = Duration::from_secs(60);

/// The clock of one run of this program.
pub(crate) struct Progress {
    start: Instant,
}

impl Progress {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Prints a line with the time since the start.
    pub(crate) fn say(&self, line: &str) {
        eprintln!("[{:6.1} s] {line}", self.start.elapsed().as_secs_f64());
    }

    /// Runs a command whose output matters only if it fails. `log` receives all of it.
    ///
    /// Fails when the command cannot be started or does not succeed; the error ends with the last lines
    /// of its output.
    pub(crate) fn run_quietly(&self, what: &str, log: &Path, command: &mut Command) -> anyhow::Result<()> {
        self.say(what);
        let started = Instant::now();
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", shown(command)))?;
        let status = self.wait(&mut child, what, started)?;
        if status.success() {
            return Ok(());
        }
        bail!(
            "{what}: failed with {status}\n  {}\n{}\n(all of it is in {})",
            shown(command),
            last_lines(log),
            log.display()
        )
    }

    /// Runs a build: at a terminal with cargo's own progress bar, otherwise quietly.
    ///
    /// Fails as [`Self::run_quietly`] does.
    pub(crate) fn run_build(&self, what: &str, log: &Path, command: &mut Command) -> anyhow::Result<()> {
        if std::io::stderr().is_terminal() {
            return self.run_openly(what, command);
        }
        self.run_quietly(what, log, command)
    }

    /// Runs a command whose output is for the user.
    ///
    /// Fails when the command cannot be started or does not succeed.
    pub(crate) fn run_openly(&self, what: &str, command: &mut Command) -> anyhow::Result<()> {
        self.say(what);
        let status = command
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot start {}", shown(command)))?;
        if !status.success() {
            bail!("{what}: failed with {status}\n  {}", shown(command));
        }
        Ok(())
    }

    fn wait(&self, child: &mut Child, what: &str, started: Instant) -> anyhow::Result<ExitStatus> {
        let mut reminders = 0;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() >= REMINDER * (reminders + 1) {
                reminders += 1;
                self.say(&format!("{what}: at work for {} min", started.elapsed().as_secs() / 60));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Where the output of a quiet command goes.
pub(crate) fn log_file(cache: &Path, name: &str) -> PathBuf {
    cache.join("logs").join(format!("{name}.log"))
}

/// The command as one would type it, for an error message. Its environment is left out.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn last_lines(log: &Path) -> String {
    let content = match fs::read(log) {
        Ok(content) => content,
        Err(error) => return format!("(cannot read its output: {error})"),
    };
    let text = String::from_utf8_lossy(&content);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
