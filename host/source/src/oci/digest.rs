use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a manifest or a blob, `sha256:HEX`, by which it is pulled. Flux takes no other algorithm either.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OciDigest([u8; 32]);

/// Text that is not an [`OciDigest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a digest; write it as sha256: and 64 digits from 0 to f")]
pub struct InvalidDigest(String);

impl OciDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl FromStr for OciDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest(text.chars().take(100).collect());
        let hex = text.strip_prefix("sha256:").ok_or_else(invalid)?;
        // A digest has one spelling only.
        if hex.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid());
        }
        let bytes = hex::decode(hex).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(invalid)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for OciDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for OciDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[test]
    fn a_digest_has_one_spelling() {
        let digest = OciDigest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!(format!("sha256:{}", digest.hex().to_uppercase()).parse::<OciDigest>().is_err());
    }

    #[rstest]
    #[case("")]
    #[case("sha256:")]
    #[case("sha256:abcd")]
    #[case("sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    #[case("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    #[case("sha256:../../etc/passwd")]
    fn what_is_not_a_digest_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<OciDigest>(), Err(InvalidDigest(text.to_owned())));
    }
}
