//! Shell scripts stand for the program; the command line has a test of the real one.

use std::path::Path;
use std::time::{Duration, Instant};

use plumb_plugin::{CompileProgram, Host, HostConfig, LoadError, World};
use rstest::rstest;

use crate::guest::echo;

fn host(cache: &Path, script: &str) -> Host {
    let arguments = ["-c".into(), script.into(), "script".into()];
    let program = CompileProgram { path: "/bin/sh".into(), arguments: arguments.into() };
    let config = HostConfig {
        cache_dir: Some(cache.join("cache")),
        compile_program: Some(program),
        compile_time: Duration::from_secs(3),
        ..HostConfig::default()
    };
    Host::new(config).unwrap()
}

fn load(host: &Host) -> LoadError {
    host.load_bytes("guest", &echo(), World::Renderer).unwrap_err()
}

/// A plugin that no pipe holds: with a section that means nothing, of 2 MiB.
fn large() -> Vec<u8> {
    let (mut plugin, name) = (echo(), b"\x01x");
    plugin.extend([0, 0x82, 0x80, 0x80, 0x01]);
    plugin.extend(name);
    plugin.resize(plugin.len() + (2 << 20), 0);
    plugin
}

#[test]
fn what_it_says_of_a_plugin_that_is_not_valid_is_told_and_it_is_not_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let script =
        format!("echo x >>{}; echo 'type mismatch' >&2; exit 1", directory.path().join("asked").display());
    let host = host(directory.path(), &script);
    for _ in 0..2 {
        let error = load(&host);
        assert_eq!(error.to_string(), "the plugin guest is not a valid component: type mismatch");
    }
    assert_eq!(std::fs::read_to_string(directory.path().join("asked")).unwrap(), "x\n");
}

#[test]
fn it_is_asked_again_after_it_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("echo x >>{}; kill -9 $$", directory.path().join("asked").display());
    let host = host(directory.path(), &script);
    for _ in 0..2 {
        let error = load(&host);
        assert!(
            matches!(&error, LoadError::NotCompiled { reason, .. } if reason.contains("signal: 9")),
            "{error}"
        );
    }
    assert_eq!(std::fs::read_to_string(directory.path().join("asked")).unwrap(), "x\nx\n");
}

#[test]
fn it_has_the_plugin_on_its_input_and_the_cache_as_its_last_argument() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let host = host(directory.path(), &format!("cat >{}; echo \"$1\" >&2; exit 2", seen.display()));
    let error = load(&host).to_string();
    let cache = directory.path().join("cache").canonicalize().unwrap();
    assert!(error.contains(cache.to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read(&seen).unwrap(), echo());

    // A file is handed over as it is.
    let file = directory.path().join("guest.wasm");
    std::fs::write(&file, echo()).unwrap();
    std::fs::remove_file(&seen).unwrap();
    host.load_file("guest", &file, World::Renderer).unwrap_err();
    assert_eq!(std::fs::read(&seen).unwrap(), echo());
}

#[test]
fn what_it_does_not_leave_in_the_cache_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let error = load(&host(directory.path(), "cat >/dev/null"));
    assert!(matches!(error, LoadError::NotCompiled { .. }), "{error}");
}

// Attack 27 (Plugins): a component that takes for ever to compile.
#[rstest]
#[case::after_it_was_handed_the_plugin(echo())]
#[case::and_does_not_even_read_the_plugin(large())]
fn it_is_ended_when_it_takes_too_long(#[case] plugin: Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let host = host(directory.path(), &format!("echo $$ >{}; exec sleep 600", pid.display()));
    let error = host.load_bytes("guest", &plugin, World::Renderer).unwrap_err();
    assert!(matches!(error, LoadError::TooSlow { .. }), "{error}");
    let process = Path::new("/proc").join(std::fs::read_to_string(pid).unwrap().trim());
    // Nobody waits for the end of it.
    let deadline = Instant::now() + Duration::from_secs(60);
    while process.exists() {
        assert!(Instant::now() < deadline, "the program still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}
