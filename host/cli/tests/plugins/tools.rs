//! What npm and pip have to fetch, once for all tests and for the runs that follow.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::plumb::checkout;

/// Puts what a project in this language needs into its folder.
pub(crate) fn install(language: &str, project: &Path) {
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, project.join(name)).unwrap();
    match language {
        "js" => link(&NODE_MODULES, "node_modules"),
        "python" => link(&VENV, ".venv"),
        "rust" => {
            // What all crates depend on is compiled once. The names of the crates differ, so their files do.
            fs::create_dir_all(project.join("target")).unwrap();
            for name in ["release", "wasm32-unknown-unknown"] {
                let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-tools/rust").join(name);
                fs::create_dir_all(&shared).unwrap();
                link(&shared, &format!("target/{name}"));
            }
        }
        _ => {}
    }
}

static NODE_MODULES: LazyLock<PathBuf> = LazyLock::new(|| {
    let modules = fetched("js", "package-lock.json", "node_modules", |folder| {
        fs::copy(example("js/package.json"), folder.join("package.json")).unwrap();
        // `npm ci` refuses this lock: npm leaves optional packages out of it that were never published.
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund"]).current_dir(folder);
        run(npm, "Node.js 20 with npm, from https://nodejs.org or as the package nodejs");
    });
    assert!(modules.join("@bytecodealliance/componentize-js").is_dir());
    modules
});

static VENV: LazyLock<PathBuf> = LazyLock::new(|| {
    fetched("python", "requirements.txt", "venv", |folder| {
        let mut python = Command::new("python3");
        python.args(["-m", "venv", "venv"]).current_dir(folder);
        run(python, "Python 3.10 with venv, as the packages python3 and python3-venv");
        let mut pip = Command::new(folder.join("venv/bin/pip"));
        pip.args(["install", "--quiet", "--requirement", "requirements.txt"]).current_dir(folder);
        run(pip, "Python 3.10 with pip, as the package python3-venv");
    })
});

/// `result` in a folder that is made anew when the file `pins` of the example is another one.
fn fetched(language: &str, pins: &str, result: &str, fetch: impl Fn(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-tools").join(language);
    let wanted = fs::read(example(&format!("{language}/{pins}"))).unwrap();
    let done = folder.join("done");
    if fs::read(&done).ok().as_ref() != Some(&wanted) {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(pins), &wanted).unwrap();
        fetch(&folder);
        fs::write(done, wanted).unwrap();
    }
    folder.join(result)
}

fn run(mut command: Command, what_to_install: &str) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("cannot run {:?} ({error}): this test needs {what_to_install}", command.get_program())
    });
    assert!(
        output.status.success(),
        "{:?} failed; this test needs {what_to_install}:\n{}",
        command.get_program(),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn example(path: &str) -> PathBuf {
    checkout().join("examples/plugins").join(path)
}
