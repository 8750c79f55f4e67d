use plumb_yaml11::options;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::foreign::printable;
use crate::helm::ChartError;
use crate::versions::loose_version;

/// What a chart says of itself in `Chart.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The name of the chart.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of what it installs.
    pub app_version: Option<String>,
    /// What it needs. A chart of the first API version has that in a file of its own.
    pub(crate) dependencies: Option<Vec<Dependency>>,
}

/// A chart that another one needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) repository: Option<String>,
}

/// `Chart.lock`, and what charts of the first API version have: `requirements.yaml` and `requirements.lock`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Requirements {
    dependencies: Option<Vec<Dependency>>,
}

impl Metadata {
    /// Reads `Chart.yaml`; the error tells what is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        // Flux's charts may be of any age.
        let read: Self = serde_saphyr::from_slice_with_options(bytes, options(DuplicateKeyPolicy::LastWins))
            .map_err(|error| format!("Chart.yaml cannot be read: {}", sentence(&error)))?;
        if !is_directory_name(&read.name) {
            return Err(format!("the name {:?} in Chart.yaml is not that of a chart", printable(&read.name)));
        }
        if loose_version(&read.version).is_none() {
            return Err(format!(
                "the version {:?} in Chart.yaml is not one of semver",
                printable(&read.version)
            ));
        }
        Ok(read)
    }
}

/// The dependencies in a file of nothing else.
pub(crate) fn requirements(file: &str, bytes: &[u8]) -> Result<Vec<Dependency>, String> {
    let requirements = read::<Requirements>(bytes);
    let requirements = requirements.map_err(|why| format!("{file} {why}"))?;
    Ok(requirements.dependencies.unwrap_or_default())
}

/// A document of YAML; the error completes the sentence "it …".
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_saphyr::from_slice_with_options(bytes, options(DuplicateKeyPolicy::Error))
        .map_err(|error| format!("cannot be read: {}", sentence(&error)))
}

/// A file of values. They are read by the rules of YAML 1.1, as Helm does: `yes` is true, `0644` is 420.
pub(crate) fn values(bytes: &[u8]) -> Result<serde_json::Map<String, Value>, String> {
    match read(bytes)? {
        Value::Object(values) => Ok(values),
        Value::Null => Ok(serde_json::Map::new()),
        _ => Err("is not a mapping of values".to_owned()),
    }
}

fn sentence(error: &serde_saphyr::Error) -> String {
    printable(&error.without_snippet().to_string())
}

/// What Helm takes for the name of a chart, which becomes that of a directory.
fn is_directory_name(name: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=250).contains(&name.len()) && name.bytes().all(is_inside) && !matches!(name, "." | "..")
}

/// A version with build metadata, which takes the place of what it has: `1.2.3+5`. As in Flux, what is not given of the version becomes 0.
pub fn with_build_metadata(version: &str, metadata: &str) -> Result<String, ChartError> {
    let failed =
        || ChartError::Version(format!("{version:?} with the build metadata {metadata:?} is not a version"));
    let mut version = loose_version(version).ok_or_else(failed)?;
    version.build = semver::BuildMetadata::new(metadata).map_err(|_| failed())?;
    Ok(version.to_string())
}

/// `Chart.yaml` with another version, and everything else as it was, comments too.
pub(crate) fn with_version(chart_yaml: &[u8], version: &str) -> Result<Vec<u8>, ChartError> {
    let failed = |why: &str| {
        ChartError::Version(format!("{why}; write `version: 1.2.3` on a line of its own in Chart.yaml"))
    };
    let text = std::str::from_utf8(chart_yaml).map_err(|_| failed("it is not text in UTF-8"))?;
    let before = Metadata::parse(chart_yaml).map_err(|why| failed(&why))?;
    let changed = match serde_json::from_str::<Value>(text) {
        Ok(mut json) => {
            json["version"] = Value::from(version);
            json.to_string()
        }
        Err(_) => with_line(text, version),
    };
    let after = Metadata::parse(changed.as_bytes()).map_err(|why| failed(&why))?;
    let expected = Metadata { version: version.to_owned(), ..before };
    if after == expected {
        Ok(changed.into_bytes())
    } else {
        Err(failed("its version is not where it is looked for"))
    }
}

/// At the beginning of a line there is nothing but keys: what goes on is indented.
fn with_line(text: &str, version: &str) -> String {
    let is_key = |line: &str| {
        let keys = ["version", "\"version\"", "'version'"];
        keys.iter().any(|key| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    let mut changed = String::with_capacity(text.len() + 20);
    for line in text.split_inclusive('\n') {
        if is_key(line) {
            changed.push_str(&format!("version: {}\n", Value::from(version)));
        } else {
            changed.push_str(line);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chart_says_what_it_is() {
        let text = b"apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: 1.10\ndependencies:\n- {name: db, version: 1.x, repository: file://../db}\n";
        let read = Metadata::parse(text).unwrap();
        assert_eq!((read.name.as_str(), read.version.as_str()), ("web", "1.2.3"));
        assert_eq!(read.app_version.as_deref(), Some("1.10"), "it is text, not a number");
        assert_eq!(read.dependencies.unwrap()[0].repository.as_deref(), Some("file://../db"));
    }

    // Attack 10 (sources): a chart whose name has a slash is no path.
    #[rstest]
    #[case("name: ../../etc\nversion: 1.0.0")]
    #[case("name: a/b\nversion: 1.0.0")]
    #[case("name: ..\nversion: 1.0.0")]
    #[case("name: ''\nversion: 1.0.0")]
    #[case("version: 1.0.0")]
    #[case("name: web\nversion: newest")]
    #[case("name: web")]
    #[case("- a")]
    fn what_is_no_chart_is_refused(#[case] text: &str) {
        Metadata::parse(text.as_bytes()).unwrap_err();
    }

    #[rstest]
    #[case("1.2.3", "5", "1.2.3+5")]
    #[case("1.2.3+old", "0507453492.2", "1.2.3+0507453492.2")]
    #[case("v1.2", "5", "1.2.0+5")]
    #[case("1.2.3-rc.1", "5", "1.2.3-rc.1+5")]
    fn builds_are_told_apart(#[case] version: &str, #[case] metadata: &str, #[case] expected: &str) {
        assert_eq!(with_build_metadata(version, metadata).unwrap(), expected);
    }

    #[rstest]
    #[case(
        "# c\nname: web # n\nversion:   1.2.3 # v\ndescription: |\n  version: 9\n",
        "# c\nname: web # n\nversion: \"1.2.3+5\"\ndescription: |\n  version: 9\n"
    )]
    #[case("{\"name\":\"web\",\"version\":\"1.2.3\"}", "{\"name\":\"web\",\"version\":\"1.2.3+5\"}")]
    fn only_the_version_changes(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(String::from_utf8(with_version(text.as_bytes(), "1.2.3+5").unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_version_in_an_odd_place_is_not_changed() {
        let error = with_version(b"{name: web, version: 1.2.3}", "1.2.3+5").unwrap_err();
        assert_eq!(error.reason(), plumb_api::Reason::MetadataPatchError);
    }

    #[test]
    fn values_are_read_as_helm_does() {
        let read = values(b"a: yes\nb: 0644\nc: '1'\nd: 1.0\ne: {f: null}\n").unwrap();
        assert_eq!(Value::Object(read), json!({"a": true, "b": 420, "c": "1", "d": 1.0, "e": {"f": null}}));
        assert!(values(b"").unwrap().is_empty());
        assert_eq!(values(b"- a").unwrap_err(), "is not a mapping of values");
    }
}
