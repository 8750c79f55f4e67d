use std::path::PathBuf;

use plumb_plugin::{CompileProgram, Host, HostConfig, LoadError, World};

use crate::plumb::plugins;

fn host(cache: PathBuf) -> Host {
    let program =
        CompileProgram { path: env!("CARGO_BIN_EXE_plumb").into(), arguments: vec!["compile".into()] };
    let config =
        HostConfig { cache_dir: Some(cache), compile_program: Some(program), ..HostConfig::default() };
    Host::new(config).unwrap()
}

#[test]
fn and_found_where_it_has_left_them() {
    let cache = tempfile::tempdir().unwrap();
    let host = host(cache.path().join("cache"));
    let labels = plugins().join("labels.wasm");
    host.load_file("labels", &labels, World::Transformer).unwrap();
    host.load("yaml", &std::fs::read(plugins().join("yaml.wasm")).unwrap()).unwrap();
    let kept = std::fs::read_dir(cache.path().join("cache")).unwrap();
    let is_compiled = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".cwasm");
    assert_eq!(kept.filter(|entry| is_compiled(entry.as_ref().unwrap().file_name())).count(), 2);
}

#[test]
fn and_refused_in_the_words_of_the_compiler() {
    let cache = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(plugins().join("labels.wasm")).unwrap();
    bytes.truncate(bytes.len() / 2);
    let error = host(cache.path().join("cache")).load_bytes("mine", &bytes, World::Transformer).unwrap_err();
    let LoadError::Invalid { name, reason } = &error else { panic!("{error}") };
    assert_eq!(name, "mine");
    assert!(reason.contains("invalid module section"), "{reason}");
}
