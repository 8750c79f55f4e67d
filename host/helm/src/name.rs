//! The name of a release.

use plumb_api::HelmRelease;
use sha2::{Digest as _, Sha256};

/// The longest name that Helm takes, in characters, since it becomes part of the names of objects.
pub const MAX_LENGTH: usize = 53;
/// How many characters of the hash a name has that was shortened.
const HASH: usize = 12;

/// A name that Helm does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a Helm release: it must be made of lower-case letters, digits, '-' and '.', start and end with a letter or a \
     digit, and have no more than 53 characters; set spec.releaseName"
)]
pub struct InvalidName(String);

/// The name of the release of a HelmRelease, as Flux chooses it.
pub fn of(release: &HelmRelease) -> Result<String, InvalidName> {
    let own = release.metadata.name.clone().unwrap_or_default();
    let name = match (&release.spec.release_name, &release.spec.target_namespace) {
        (Some(given), _) => given.clone(),
        (None, Some(namespace)) => format!("{namespace}-{own}"),
        (None, None) => own,
    };
    let name = shortened(&name);
    if is_valid(&name) { Ok(name) } else { Err(InvalidName(name)) }
}

/// A name that is too long, cut, with a part of its hash.
pub fn shortened(name: &str) -> String {
    if name.len() <= MAX_LENGTH {
        return name.to_owned();
    }
    let hash = hex::encode(Sha256::digest(name));
    // Names of objects are ASCII. Of any other the last whole character is kept.
    let kept = name.floor_char_boundary(MAX_LENGTH - HASH - 1);
    format!("{}-{}", &name[..kept], &hash[..HASH])
}

/// Whether Helm takes a name: a DNS subdomain of at most 53 characters.
fn is_valid(name: &str) -> bool {
    name.len() <= MAX_LENGTH && plumb_api::is_object_name(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn release(name: &str, spec: serde_json::Value) -> HelmRelease {
        let mut spec = spec;
        spec["interval"] = json!("5m");
        spec["chartRef"] = json!({"kind": "HelmChart", "name": "web"});
        let metadata = json!({"name": name, "namespace": "shop"});
        serde_json::from_value(json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": metadata, "spec": spec,
        }))
        .unwrap()
    }

    #[rstest]
    #[case("web", json!({}), "web")]
    #[case("web", json!({"targetNamespace": "apps"}), "apps-web")]
    #[case("web", json!({"targetNamespace": "apps", "releaseName": "site"}), "site")]
    fn it_is_composed_as_in_flux(
        #[case] name: &str,
        #[case] spec: serde_json::Value,
        #[case] expected: &str,
    ) {
        assert_eq!(of(&release(name, spec)).unwrap(), expected);
    }

    /// The case of Flux's own tests.
    #[test]
    fn what_is_too_long_is_cut_and_gets_a_hash() {
        let name = "this-is-a-very-long-name-that-is-longer-than-fifty-three-characters";
        let hash = hex::encode(Sha256::digest(name));
        assert_eq!(shortened(name), format!("this-is-a-very-long-name-that-is-longer--{}", &hash[..12]));
        assert_eq!(shortened(&name[..53]), name[..53]);
    }

    #[rstest]
    #[case("Web")]
    #[case("web_app")]
    #[case("-web")]
    #[case("../web")]
    fn what_helm_does_not_take_is_refused(#[case] name: &str) {
        let error = of(&release("web", json!({"releaseName": name}))).unwrap_err();
        assert!(error.to_string().contains("spec.releaseName"), "{error}");
    }
}
