use std::fs;
use std::path::Path;
use std::process::Stdio;

use plumb_test_support::{Registry, registry};
use tempfile::TempDir;

use crate::plumb::{Ran, builtin, command, plugin, plugin_with_key, run};

/// The folder of a plugin that was "built".
fn project() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    fs::create_dir(at("target")).unwrap();
    fs::copy(builtin("substitute"), at("target/mine.wasm")).unwrap();
    fs::write(at("plugin.yaml"), "name: mine\nlanguage: rust\nversion: 1.2.0\ndescription: Mine\n").unwrap();
    directory
}

fn keygen(directory: &Path, prefix: &str) {
    plugin_with_key(directory, "pw", &["keygen", "--output-key-prefix", prefix]).result();
}

fn to(registry: &Registry, what: &str) -> String {
    format!("oci://{}/plugins/mine{what}", registry.host())
}

/// Pushes, and returns `oci://…@sha256:…`.
fn push(project: &TempDir, to: &str) -> String {
    plugin(project.path(), &["push", to, "--insecure"]).result().trim_end().to_owned()
}

#[test]
fn a_signature_is_seen_by_whoever_has_the_key() {
    let (registry, project) = (registry(None, None).unwrap(), project());
    let (path, tag) = (project.path(), to(&registry, ":1.2"));
    keygen(path, "ours");
    keygen(path, "theirs");
    let pushed = push(&project, &tag);
    assert!(pushed.starts_with(&to(&registry, "@sha256:")), "{pushed}");
    assert_eq!(push(&project, &tag), pushed, "the same component is the same artifact");

    let unsigned = plugin(path, &["verify", &tag, "--key", "ours.pub", "--insecure"]);
    assert_eq!(unsigned.code, 1);
    assert!(
        unsigned.stdout.ends_with("is not signed with ours.pub: it has no signature\n"),
        "{}",
        unsigned.stdout
    );

    for _ in 0..2 {
        let signed = plugin_with_key(path, "pw", &["sign", &tag, "--key", "ours.key", "--insecure"]).result();
        assert_eq!(signed, format!("{pushed} is signed\n"));
    }
    let verified = plugin(path, &["verify", &pushed, "--key", "ours.pub", "--insecure"]).result();
    assert_eq!(verified, format!("{pushed} is signed with ours.pub\n"));
    let other = plugin(path, &["verify", &tag, "--key", "theirs.pub", "--insecure"]);
    assert_eq!(
        (other.code, other.stdout.contains("it has 1 other signatures")),
        (1, true),
        "{}",
        other.stdout
    );

    plugin_with_key(path, "pw", &["sign", &tag, "--key", "theirs.key", "--insecure"]).result();
    for key in ["ours.pub", "theirs.pub"] {
        plugin(path, &["verify", &tag, "--key", key, "--insecure"]).result();
    }
    let inspected = plugin(path, &["inspect", &tag, "--key", "ours.pub", "--insecure"]).result();
    assert!(inspected.contains("signed by  the key that was given\nsigned by  another key\n"), "{inspected}");
    assert!(inspected.contains("annotation org.opencontainers.image.version=1.2.0\n"), "{inspected}");
}

#[test]
fn who_is_not_let_in_is_told_and_logins_of_docker_are_used() {
    let (registry, project) = (registry(Some(("ada", "p:w")), None).unwrap(), project());
    let (path, tag) = (project.path(), to(&registry, ":1"));
    let refused = plugin(path, &["push", &tag, "--insecure"]).failure();
    assert!(refused.contains(&tag), "{refused}");

    let pushed = push_with_password(path, &tag, "p:w").result();
    let wrong = push_with_password(path, &tag, "hunter2").failure();
    assert!(!wrong.contains("hunter2"), "{wrong}");

    // "ada:p:w" in Base64.
    let config = format!(r#"{{"auths": {{"{}": {{"auth": "YWRhOnA6dw=="}}}}}}"#, registry.host());
    fs::write(path.join("config.json"), config).unwrap();
    assert_eq!(push(&project, &tag), pushed.trim_end());
}

fn push_with_password(path: &Path, tag: &str, password: &str) -> Ran {
    fs::write(path.join("password"), format!("{password}\n")).unwrap();
    let mut push = command(path, &["push", tag, "--insecure", "--username", "ada", "--password-stdin"]);
    push.stdin(Stdio::from(fs::File::open(path.join("password")).unwrap()));
    run(push)
}

#[test]
fn what_is_no_plugin_is_not_pushed() {
    let (registry, project) = (registry(None, None).unwrap(), project());
    fs::write(project.path().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let tag = to(&registry, ":1");
    let told = plugin(project.path(), &["push", &tag, "--component", "core.wasm", "--insecure"]).failure();
    assert!(told.contains("is not a WebAssembly component but a core module"), "{told}");
    for no_tag in ["", "@sha256:0000"] {
        let told = plugin(project.path(), &["push", &to(&registry, no_tag), "--insecure"]).failure();
        assert!(told.contains("names no tag to push to"), "{told}");
    }
}

#[test]
fn a_key_is_never_overwritten_and_opens_with_its_password_only() {
    let (registry, project) = (registry(None, None).unwrap(), project());
    let path = project.path();
    keygen(path, "cosign");
    let key = fs::read(path.join("cosign.key")).unwrap();
    let told = plugin_with_key(path, "pw", &["keygen"]).failure();
    assert!(told.contains("cosign.key, which must not exist yet"), "{told}");
    assert_eq!(fs::read(path.join("cosign.key")).unwrap(), key);

    let pushed = push(&project, &to(&registry, ":1"));
    let told =
        plugin_with_key(path, "hunter2", &["sign", &pushed, "--key", "cosign.key", "--insecure"]).failure();
    assert!(told.contains("COSIGN_PASSWORD is not its password") && !told.contains("hunter2"), "{told}");
    let told = plugin(path, &["sign", &pushed, "--key", "cosign.key", "--insecure"]).failure();
    assert!(told.contains("set COSIGN_PASSWORD as for cosign"), "{told}");
}

#[test]
fn a_key_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    keygen(directory.path(), "mine");
    let mode = fs::metadata(directory.path().join("mine.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(directory.path().join("mine.key")).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED "), "{text}");
}
