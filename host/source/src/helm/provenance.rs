//! Provenance files, as `helm package --sign` makes them: `Chart.yaml` and the digest of the archive, signed by PGP. Source: Helm, "Helm Provenance and Integrity".

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::git::verify::{TrustedKeys, verify_text};
use crate::helm::metadata::{self, Metadata};

/// What ends the first of its two documents.
const SEPARATOR: &str = "\n...\n";

/// The digests of a provenance file, by the names of archives.
#[derive(Deserialize)]
struct Sums {
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// Whether somebody who may has signed that the archive of this name has this digest, and that it is the chart in this version: so nobody can put the signed archive of one
/// version in the place of another. The error tells what is wrong.
pub(crate) fn check(
    file: &[u8],
    name: &str,
    version: &str,
    digest: &str,
    signers: &TrustedKeys,
    now: Timestamp,
) -> Result<(), String> {
    let message = std::str::from_utf8(file).map_err(|_| "its provenance file is not text".to_owned())?;
    let (_, text) =
        verify_text(message, signers, now).map_err(|flaw| format!("its provenance file: {flaw}"))?;
    let text = text.replace("\r\n", "\n");
    let (chart, sums) =
        text.split_once(SEPARATOR).ok_or("its provenance file has no digests after Chart.yaml")?;
    let chart = Metadata::parse(chart.as_bytes()).map_err(|why| format!("its provenance file: {why}"))?;
    if chart.version != version {
        return Err(format!("its provenance file is of version {}, not {version}", chart.version));
    }
    let sums: Sums = metadata::read(sums.as_bytes()).map_err(|why| format!("its provenance file: {why}"))?;
    match sums.files.get(name) {
        Some(signed) if *signed == format!("sha256:{digest}") => Ok(()),
        Some(_) => Err("it is not the archive whose digest is in its provenance file".to_owned()),
        None => Err(format!("its provenance file has no digest of {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::path::PathBuf;

    use rstest::rstest;

    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src/helm/fixtures", name].iter().collect();
        std::fs::read(path).unwrap()
    }

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn checked(prov: &str, key: &str, name: &str, version: &str, digest: &str) -> Result<(), String> {
        let keys = TrustedKeys::from_secret(&BTreeMap::from([(key.to_owned(), fixture(key))])).unwrap();
        check(&fixture(prov), name, version, digest, &keys, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn what_somebody_who_may_has_signed_is_taken() {
        assert_eq!(checked("web.prov", "ada.asc", "web-1.0.0.tgz", "1.0.0", DIGEST), Ok(()));
    }

    // Attack 11 (sources): a signature of somebody else, of something else, by a digest that can be forged, or over something that was changed since.
    #[rstest]
    #[case("web.prov", "eve.asc", "web-1.0.0.tgz", "1.0.0", DIGEST, "which is not in the secret")]
    #[case(
        "web.prov",
        "ada.asc",
        "web-1.0.0.tgz",
        "1.0.0",
        "00",
        "it is not the archive whose digest is in its provenance file"
    )]
    #[case(
        "web.prov",
        "ada.asc",
        "web-2.0.0.tgz",
        "1.0.0",
        DIGEST,
        "its provenance file has no digest of \"web-2.0.0.tgz\""
    )]
    #[case(
        "web.prov",
        "ada.asc",
        "web-1.0.0.tgz",
        "2.0.0",
        DIGEST,
        "its provenance file is of version 1.0.0, not 2.0.0"
    )]
    #[case("changed.prov", "ada.asc", "web-1.0.0.tgz", "1.0.0", DIGEST, "its provenance file: ")]
    #[case("weak.prov", "ada.asc", "web-1.0.0.tgz", "1.0.0", DIGEST, "its provenance file: ")]
    #[case("unsigned.prov", "ada.asc", "web-1.0.0.tgz", "1.0.0", DIGEST, "its provenance file: ")]
    fn everything_else_is_refused(
        #[case] prov: &str,
        #[case] key: &str,
        #[case] name: &str,
        #[case] version: &str,
        #[case] digest: &str,
        #[case] why: &str,
    ) {
        let refused = checked(prov, key, name, version, digest).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}
