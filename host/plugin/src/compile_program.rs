//! Compiling in a process of its own, which gives back the memory that a compiler takes, and can be ended.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::compiler::NotCompiled;
use crate::content::Bytes;
use crate::failure::bounded;

/// How often it is looked whether the program has ended.
const PAUSE: Duration = Duration::from_millis(20);
/// How much is read of what it says.
const SAID: u64 = 64 << 10;

/// A program that compiles a plugin into the cache of a host.
///
/// It is started with its arguments and the path of the cache directory as the last one, has the plugin on its standard input, and calls
/// [`crate::Host::compile`] of a host that is set up like this one. When the plugin is not valid it says on standard error why, and ends with status 1.
#[derive(Clone, Debug)]
pub struct CompileProgram {
    /// Where it is.
    pub path: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
}

impl CompileProgram {
    /// Runs it to its end, or until the deadline.
    ///
    /// # Errors
    ///
    /// What it said of a plugin that is not valid, or why it could not be run to its end.
    pub(crate) fn run(&self, cache: &Path, plugin: Bytes<'_>, deadline: Instant) -> Result<(), NotCompiled> {
        let not_run =
            |error: io::Error| NotCompiled::Broken(format!("{} cannot run: {error}", self.path.display()));
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).arg(cache).stdout(Stdio::null()).stderr(Stdio::piped());
        let given = match plugin {
            Bytes::File(file, _) => {
                command.stdin(Stdio::from(file));
                None
            }
            Bytes::Memory(bytes) => {
                command.stdin(Stdio::piped());
                Some(bytes)
            }
        };
        let mut child = command.spawn().map_err(not_run)?;
        let stdin = child.stdin.take();
        let status = thread::scope(|scope| {
            if let (Some(mut stdin), Some(bytes)) = (stdin, given) {
                // When it does not read all, it has an error to tell, or is killed at the deadline: then this ends, too.
                let write = move || stdin.write_all(&bytes);
                thread::Builder::new().spawn_scoped(scope, write)?;
            }
            wait(&mut child, deadline)
        });
        let status = status.map_err(not_run)?.ok_or(NotCompiled::Killed)?;
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            // What cannot be read is not told.
            let _ = stderr.take(SAID).read_to_string(&mut said);
        }
        match (status.code(), said.trim()) {
            (Some(0), _) => Ok(()),
            (Some(1), said) if !said.is_empty() => Err(NotCompiled::Invalid(bounded(said))),
            (_, said) => {
                Err(NotCompiled::Broken(bounded(&format!("the compiler ended with {status} {said}"))))
            }
        }
    }
}

/// Waits until the program has ended. At the deadline it is killed, and there is no status.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}
