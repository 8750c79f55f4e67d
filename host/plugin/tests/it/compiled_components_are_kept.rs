use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use plumb_plugin::{Call, Host, HostConfig, World};
use rstest::rstest;
use tempfile::TempDir;

use crate::guest::{echo, hostile, no_files, object};
use crate::heard::Heard;

fn host_with(directory: &Path) -> Host {
    Host::new(HostConfig { cache_dir: Some(directory.to_owned()), ..HostConfig::default() }).unwrap()
}

/// Loads and runs a plugin with a host of its own, as a new process would. Returns how many times it was compiled.
fn run(directory: &Path) -> usize {
    let heard = Heard::default();
    let _listening = heard.listen();
    let plugin = host_with(directory).load_bytes("echo", &echo(), World::Renderer).unwrap();
    let answer = plugin.render(no_files(), &object("app").into_value(), &Call::default()).unwrap();
    assert_eq!(answer, [object("app")]);
    heard.compilations()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

fn only_entry(directory: &Path) -> PathBuf {
    let entries = entries(directory);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().unwrap()
}

#[test]
fn from_one_run_to_the_next_and_for_us_alone() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("made/when/missing");
    assert_eq!(run(&directory), 1);
    assert_eq!(run(&directory), 0);
    assert_eq!(run(&directory), 0);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[rstest]
#[case::changed(|path: &Path| {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
})]
#[case::cut_off(|path: &Path| {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 100]).unwrap();
})]
#[case::emptied(|path: &Path| fs::write(path, b"").unwrap())]
#[case::longer(|path: &Path| {
    let mut bytes = fs::read(path).unwrap();
    bytes.extend_from_slice(b"more");
    fs::write(path, bytes).unwrap();
})]
#[case::open_to_others(|path: &Path| fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap())]
#[case::a_link(|path: &Path| {
    let elsewhere = path.with_extension("elsewhere");
    fs::rename(path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, path).unwrap();
})]
#[case::a_directory(|path: &Path| {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
})]
fn but_not_used_when_tampered_with(#[case] tamper: fn(&Path)) {
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(run(directory.path()), 1);
    tamper(&only_entry(directory.path()));
    assert_eq!(run(directory.path()), 1, "compiled anew");
}

#[test]
fn and_healed_after_damage() {
    let directory = TempDir::new().unwrap();
    run(directory.path());
    fs::write(only_entry(directory.path()), b"damaged").unwrap();
    assert_eq!(run(directory.path()), 1);
    assert_eq!(run(directory.path()), 0);
}

#[test]
fn but_not_under_the_name_of_another_component() {
    let directory = TempDir::new().unwrap();
    let host = host_with(directory.path());
    host.load_bytes("evil", &hostile("", "unreachable"), World::Renderer).unwrap();
    let evil = only_entry(directory.path());
    run(directory.path());
    let good = entries(directory.path()).into_iter().find(|path| *path != evil).unwrap();
    fs::rename(&evil, &good).unwrap();
    assert_eq!(run(directory.path()), 1);
}

#[test]
fn but_not_when_another_cache_made_them() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    run(theirs.path());
    run(ours.path());
    let (mine, foreign) = (only_entry(ours.path()), only_entry(theirs.path()));
    fs::remove_file(&mine).unwrap();
    fs::copy(&foreign, ours.path().join(foreign.file_name().unwrap())).unwrap();
    assert_eq!(run(ours.path()), 1);
}

#[rstest]
#[case::the_directory_is_open_to_others(|directory: &Path| {
    fs::set_permissions(directory, Permissions::from_mode(0o777)).unwrap();
})]
#[case::the_key_can_be_read_by_others(|directory: &Path| {
    fs::set_permissions(directory.join("plumb-key"), Permissions::from_mode(0o644)).unwrap();
})]
#[case::the_key_is_too_short(|directory: &Path| fs::write(directory.join("plumb-key"), b"short").unwrap())]
fn but_not_where_others_could_interfere(#[case] spoil: fn(&Path)) {
    let directory = TempDir::new().unwrap();
    run(directory.path());
    spoil(directory.path());
    assert!(!host_with(directory.path()).is_cached());
    assert_eq!(run(directory.path()), 1, "it works all the same");
}

#[test]
fn but_not_where_there_is_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(!host_with(file.path()).is_cached());
    assert_eq!(run(file.path()), 1, "it works all the same");
}

#[test]
fn up_to_a_number_and_the_oldest_go_first() {
    let directory = TempDir::new().unwrap();
    let config = HostConfig {
        cache_dir: Some(directory.path().to_owned()),
        cache_entries: 2,
        ..HostConfig::default()
    };
    let host = Host::new(config).unwrap();
    let load = |evil: &str| {
        let before = entries(directory.path());
        host.load_bytes("guest", &hostile("", evil), World::Renderer).unwrap();
        let entry = entries(directory.path()).into_iter().find(|path| !before.contains(path)).unwrap();
        // File systems count time coarsely.
        let hour_ago =
            std::time::SystemTime::now() - std::time::Duration::from_secs(3600 - before.len() as u64 * 60);
        fs::File::open(&entry).unwrap().set_modified(hour_ago).unwrap();
        entry
    };
    let (first, second, third) = (load("nop"), load("nop nop"), load("nop nop nop"));
    assert!(!first.exists() && second.exists() && third.exists());
}

#[test]
fn up_to_a_size_but_always_the_newest() {
    let directory = TempDir::new().unwrap();
    let config =
        HostConfig { cache_dir: Some(directory.path().to_owned()), cache_bytes: 1, ..HostConfig::default() };
    let host = Host::new(config).unwrap();
    host.load_bytes("one", &echo(), World::Renderer).unwrap();
    host.load_bytes("two", &hostile("", "nop"), World::Renderer).unwrap();
    assert_eq!(entries(directory.path()).len(), 1);
}
