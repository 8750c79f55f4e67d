use std::collections::BTreeMap;

use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor,
};
use serde::Deserialize;

use crate::oci::digest::OciDigest;

/// The manifests that are asked for.
pub(crate) const ACCEPTED: &[&str] = &[
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
];

/// A manifest of either kind.
#[derive(Debug)]
pub(crate) enum Manifest {
    /// That of an artifact.
    Artifact(Artifact),
    /// A list of others.
    Index(Vec<ImageIndexEntry>),
}

/// What an artifact is made of.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub(crate) layers: Vec<OciDescriptor>,
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<OciDescriptor>,
    layers: Option<Vec<OciDescriptor>>,
    manifests: Option<Vec<ImageIndexEntry>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads a manifest. The media type that it was sent with, the one in it, and what it holds have to agree, so that nobody else can take it for something
    /// else than it is taken for here (CVE-2021-41190).
    pub(crate) fn parse(bytes: &[u8], sent_as: Option<&str>) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| format!("it is not a manifest of OCI: {error}"))?;
        if document.schema_version != 2 {
            return Err(format!("its schemaVersion is {}, not 2", document.schema_version));
        }
        let is_index = match (&document.layers, &document.config, &document.manifests) {
            (Some(_), Some(_), None) => false,
            (None, None, Some(_)) => true,
            (None, None, None) => return Err("it has neither layers nor manifests".to_owned()),
            (_, _, None) => return Err("it has no config, or no layers".to_owned()),
            (_, _, Some(_)) => return Err("it has both layers and manifests".to_owned()),
        };
        for media_type in [document.media_type.as_deref(), sent_as].into_iter().flatten() {
            if ACCEPTED.contains(&media_type) && is_index_type(media_type) != is_index {
                return Err(format!("it is not of the media type {media_type} that it says it is"));
            }
        }
        Ok(match document.manifests {
            Some(manifests) => Self::Index(manifests),
            None => Self::Artifact(Artifact {
                layers: document.layers.unwrap_or_default(),
                annotations: document.annotations.unwrap_or_default(),
            }),
        })
    }
}

fn is_index_type(media_type: &str) -> bool {
    matches!(media_type, OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE)
}

/// The entry of a list that Flux takes: the first for `linux/amd64`, or for no platform in particular.
pub(crate) fn entry_of(entries: &[ImageIndexEntry]) -> Result<OciDigest, String> {
    let fits = |entry: &&ImageIndexEntry| {
        ACCEPTED.contains(&entry.media_type.as_str())
            && entry.platform.as_ref().is_none_or(|platform| {
                platform.os.to_string() == "linux" && platform.architecture.to_string() == "amd64"
            })
    };
    let entry = entries.iter().find(fits).ok_or("it is a list that has nothing for linux/amd64")?;
    entry.digest.parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn descriptor() -> Value {
        json!({"mediaType": "application/x", "digest": DIGEST, "size": 3})
    }

    fn parse(document: &Value, sent_as: Option<&str>) -> Result<&'static str, String> {
        Manifest::parse(document.to_string().as_bytes(), sent_as).map(|manifest| match manifest {
            Manifest::Artifact(_) => "artifact",
            Manifest::Index(_) => "index",
        })
    }

    #[rstest]
    #[case(json!({"schemaVersion": 2, "config": descriptor(), "layers": [descriptor()]}), None, "artifact")]
    #[case(json!({"schemaVersion": 2, "config": descriptor(), "layers": [], "mediaType": OCI_IMAGE_MEDIA_TYPE}), Some(OCI_IMAGE_MEDIA_TYPE), "artifact")]
    #[case(json!({"schemaVersion": 2, "config": descriptor(), "layers": []}), Some("application/json"), "artifact")]
    #[case(json!({"schemaVersion": 2, "manifests": []}), None, "index")]
    #[case(json!({"schemaVersion": 2, "manifests": [], "mediaType": IMAGE_MANIFEST_LIST_MEDIA_TYPE}), None, "index")]
    fn a_manifest_is_what_it_holds(
        #[case] document: Value,
        #[case] sent_as: Option<&str>,
        #[case] kind: &str,
    ) {
        assert_eq!(parse(&document, sent_as), Ok(kind));
    }

    // Attack 9 (sources): media type confusion. What two programs could take for two things is taken for nothing.
    #[rstest]
    #[case(json!({"schemaVersion": 2, "config": descriptor(), "layers": [], "manifests": []}), None, "it has both layers and manifests")]
    #[case(json!({"schemaVersion": 2, "config": descriptor(), "layers": [], "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE}), None, "it is not of the media type application/vnd.oci.image.index.v1+json that it says it is")]
    #[case(json!({"schemaVersion": 2, "config": descriptor(), "layers": []}), Some(OCI_IMAGE_INDEX_MEDIA_TYPE), "it is not of the media type application/vnd.oci.image.index.v1+json that it says it is")]
    #[case(json!({"schemaVersion": 2, "manifests": []}), Some(OCI_IMAGE_MEDIA_TYPE), "it is not of the media type application/vnd.oci.image.manifest.v1+json that it says it is")]
    #[case(json!({"schemaVersion": 1, "fsLayers": []}), None, "its schemaVersion is 1, not 2")]
    #[case(json!({"schemaVersion": 2}), None, "it has neither layers nor manifests")]
    #[case(json!({"schemaVersion": 2, "layers": []}), None, "it has no config, or no layers")]
    fn a_manifest_that_contradicts_itself_is_refused(
        #[case] document: Value,
        #[case] sent_as: Option<&str>,
        #[case] message: &str,
    ) {
        assert_eq!(parse(&document, sent_as).unwrap_err(), message);
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        let document = format!(r#"{{"schemaVersion": 2, "manifests": [], "manifests": [{}]}}"#, descriptor());
        assert!(Manifest::parse(document.as_bytes(), None).unwrap_err().contains("duplicate field"));
    }

    fn entry(digest: &str, platform: Value) -> Value {
        json!({"mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": digest, "size": 3, "platform": platform})
    }

    #[rstest]
    #[case(vec![entry(OTHER, json!({"os": "linux", "architecture": "arm64"})), entry(DIGEST, json!({"os": "linux", "architecture": "amd64"}))], Ok(DIGEST))]
    #[case(vec![entry(DIGEST, Value::Null), entry(OTHER, json!({"os": "linux", "architecture": "amd64"}))], Ok(DIGEST))]
    #[case(vec![entry(OTHER, json!({"os": "windows", "architecture": "amd64"}))], Err("it is a list that has nothing for linux/amd64"))]
    #[case(vec![], Err("it is a list that has nothing for linux/amd64"))]
    #[case(vec![entry("../x", Value::Null)], Err("\"../x\" is not a digest; write it as sha256: and 64 digits from 0 to f"))]
    fn the_entry_for_linux_is_taken(#[case] entries: Vec<Value>, #[case] expected: Result<&str, &str>) {
        let entries: Vec<ImageIndexEntry> = serde_json::from_value(json!(entries)).unwrap();
        let found = entry_of(&entries).map(|digest| digest.to_string());
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned));
    }
}
