//! The files of new plugins. `NAME` and `KIND` in them stand for what was asked for.

use super::super::project::{FILE, Language};
use super::Kind;

/// A path in the project, and a text.
type File = (&'static str, &'static str);

/// A file below the templates.
macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../templates/", $path))
    };
}

/// A file of the SDK for Rust.
macro_rules! sdk {
    ($path:literal) => {
        (concat!("sdk/", $path), include_str!(concat!("../../../../../plugins/sdk/", $path)))
    };
}

/// A file of the contract, as a dependency of the plugin's own world.
macro_rules! contract {
    ($path:literal) => {
        (concat!("wit/deps/plumbline-plugin/", $path), include_str!(concat!("../../../../../wit/", $path)))
    };
}

/// The crate that plugins in Rust are written with: it is nowhere else to be had.
const SDK: &[File] = &[
    sdk!("Cargo.toml"),
    sdk!("README.md"),
    sdk!("src/clock.rs"),
    sdk!("src/cluster.rs"),
    sdk!("src/error.rs"),
    sdk!("src/guest.rs"),
    sdk!("src/health.rs"),
    sdk!("src/host.rs"),
    sdk!("src/http.rs"),
    sdk!("src/lib.rs"),
    sdk!("src/log.rs"),
    sdk!("src/macros.rs"),
    sdk!("src/object.rs"),
    sdk!("src/random.rs"),
    sdk!("src/secrets.rs"),
    sdk!("src/select.rs"),
    sdk!("src/testing.rs"),
    sdk!("src/tree.rs"),
    sdk!("src/validate.rs"),
    sdk!("wit/capabilities.wit"),
    sdk!("wit/tree.wit"),
    sdk!("wit/types.wit"),
    sdk!("wit/worlds.wit"),
];

const CONTRACT: &[File] =
    &[contract!("capabilities.wit"), contract!("tree.wit"), contract!("types.wit"), contract!("worlds.wit")];

const RUST: &[File] = &[("Cargo.toml", template!("rust/common/Cargo.toml")), (".gitignore", "/target/\n")];
const GO: &[File] = &[
    ("go.mod", template!("go/common/go.mod.txt")),
    ("go.sum", template!("go/common/go.sum.txt")),
    ("main.go", template!("go/common/main.go")),
    ("plumbline/plumbline.go", template!("go/common/plumbline.go")),
    (".gitignore", "/target/\n/internal/wit/\n"),
];
const JS: &[File] =
    &[("package.json", template!("js/common/package.json")), (".gitignore", "/target/\n/node_modules/\n")];
const PYTHON: &[File] = &[
    ("requirements.txt", template!("python/common/requirements.txt")),
    (".gitignore", "/target/\n/.venv/\n__pycache__/\n"),
];

/// The files of a new plugin, by their paths in its folder.
pub(super) fn files(name: &str, language: Language, kind: Kind) -> Vec<(&'static str, String)> {
    let language_name = match language {
        Language::Rust => "rust",
        Language::Go => "go",
        Language::Js => "js",
        Language::Python => "python",
    };
    let project = format!(
        "# What `plumb plugin` has to know.\nname: NAME\nlanguage: {language_name}\nversion: 0.1.0\ndescription: A KIND for Plumbline\n"
    );
    let fill = |text: &str| text.replace("NAME", name).replace("KIND", kind.name());
    let fixed: Vec<File> = match language {
        Language::Rust => [RUST, SDK].concat(),
        Language::Go => [GO, CONTRACT].concat(),
        Language::Js => [JS, CONTRACT].concat(),
        Language::Python => [PYTHON, CONTRACT].concat(),
    };
    let mut files = vec![(FILE, fill(&project))];
    files.extend(fixed.into_iter().map(|(path, text)| {
        // What is the same for all is not ours to change.
        let is_copied = path.starts_with("sdk/") || path.starts_with("wit/deps/");
        (path, if is_copied { text.to_owned() } else { fill(text) })
    }));
    files.extend(of_kind(language, kind).into_iter().map(|(path, text)| (path, fill(text))));
    files
}

/// The code, the world where the language needs it, and a first case.
fn of_kind(language: Language, kind: Kind) -> Vec<File> {
    let code = match (language, kind) {
        (Language::Rust, Kind::Transformer) => ("src/lib.rs", template!("rust/transformer/lib.rs")),
        (Language::Rust, Kind::Renderer) => ("src/lib.rs", template!("rust/renderer/lib.rs")),
        (Language::Rust, Kind::Validator) => ("src/lib.rs", template!("rust/validator/lib.rs")),
        (Language::Rust, Kind::HealthCheck) => ("src/lib.rs", template!("rust/health-check/lib.rs")),
        (Language::Go, Kind::Transformer) => ("plugin/plugin.go", template!("go/transformer/plugin.go")),
        (Language::Go, Kind::Renderer) => ("plugin/plugin.go", template!("go/renderer/plugin.go")),
        (Language::Go, Kind::Validator) => ("plugin/plugin.go", template!("go/validator/plugin.go")),
        (Language::Go, Kind::HealthCheck) => ("plugin/plugin.go", template!("go/health-check/plugin.go")),
        (Language::Js, Kind::Transformer) => ("plugin.js", template!("js/transformer/plugin.js")),
        (Language::Js, Kind::Renderer) => ("plugin.js", template!("js/renderer/plugin.js")),
        (Language::Js, Kind::Validator) => ("plugin.js", template!("js/validator/plugin.js")),
        (Language::Js, Kind::HealthCheck) => ("plugin.js", template!("js/health-check/plugin.js")),
        (Language::Python, Kind::Transformer) => ("plugin.py", template!("python/transformer/plugin.py")),
        (Language::Python, Kind::Renderer) => ("plugin.py", template!("python/renderer/plugin.py")),
        (Language::Python, Kind::Validator) => ("plugin.py", template!("python/validator/plugin.py")),
        (Language::Python, Kind::HealthCheck) => ("plugin.py", template!("python/health-check/plugin.py")),
    };
    let (world, case): (&str, &[File]) = match kind {
        Kind::Transformer => (
            template!("wit/transformer.wit"),
            &[
                ("tests/first/input.yaml", template!("cases/transformer/input.yaml")),
                ("tests/first/parameters.yaml", template!("cases/transformer/parameters.yaml")),
                ("tests/first/expected.yaml", template!("cases/transformer/expected.yaml")),
            ],
        ),
        Kind::Renderer => (
            template!("wit/renderer.wit"),
            &[
                ("tests/first/tree/greeting.txt", template!("cases/renderer/greeting.txt")),
                ("tests/first/parameters.yaml", template!("cases/renderer/parameters.yaml")),
                ("tests/first/expected.yaml", template!("cases/renderer/expected.yaml")),
            ],
        ),
        Kind::Validator => (
            template!("wit/validator.wit"),
            &[
                ("tests/first/input.yaml", template!("cases/validator/input.yaml")),
                ("tests/first/parameters.yaml", template!("cases/validator/parameters.yaml")),
                ("tests/first/expected.yaml", template!("cases/validator/expected.yaml")),
            ],
        ),
        Kind::HealthCheck => (
            template!("wit/health-check.wit"),
            &[
                ("tests/first/input.yaml", template!("cases/health-check/input.yaml")),
                ("tests/first/parameters.yaml", template!("cases/health-check/parameters.yaml")),
                ("tests/first/expected.yaml", template!("cases/health-check/expected.yaml")),
            ],
        ),
    };
    let mut files = vec![code];
    if language != Language::Rust {
        files.push(("wit/world.wit", world));
    }
    files.extend(case);
    files
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{CONTRACT, SDK};

    #[test]
    fn no_file_of_the_sdk_or_the_contract_is_forgotten() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let there = |folder: &str| -> BTreeSet<String> {
            let entries = std::fs::read_dir(root.join(folder)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let ours = |files: &[super::File], prefix: &str| -> BTreeSet<String> {
            files.iter().filter_map(|(path, _)| path.strip_prefix(prefix)).map(str::to_owned).collect()
        };
        assert_eq!(ours(SDK, "sdk/src/"), there("plugins/sdk/src"));
        assert_eq!(ours(SDK, "sdk/wit/"), there("wit"));
        assert_eq!(ours(CONTRACT, "wit/deps/plumbline-plugin/"), there("wit"));
    }
}
