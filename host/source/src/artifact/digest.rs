use std::io::Read as _;

use sha2::{Sha384, Sha512};

use crate::artifact::ArtifactError;
use crate::content::{ContentError, Received};

/// The digest that an artifact must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    pub(crate) fn parse(digest: &str) -> Result<Self, ArtifactError> {
        let (algorithm, hex) = digest.split_once(':').unwrap_or((digest, ""));
        let (this, digits) = match algorithm {
            "sha256" => (Self::Sha256, 64),
            "sha384" => (Self::Sha384, 96),
            "sha512" => (Self::Sha512, 128),
            _ => return Err(ArtifactError::InvalidDigest(digest.to_owned())),
        };
        let is_hex = hex.len() == digits && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex { Ok(this) } else { Err(ArtifactError::InvalidDigest(digest.to_owned())) }
    }

    /// The digest of a file, of this algorithm. Blocks on the disk.
    pub(crate) fn of(self, file: &Received) -> Result<String, ContentError> {
        Ok(match self {
            Self::Sha256 => format!("sha256:{}", file.id()),
            Self::Sha384 => format!("sha384:{}", hash::<Sha384>(file)?),
            Self::Sha512 => format!("sha512:{}", hash::<Sha512>(file)?),
        })
    }
}

fn hash<H: sha2::Digest>(file: &Received) -> Result<String, ContentError> {
    let (mut reader, mut hash, mut buffer) = (file.open()?, H::new(), vec![0; 64 * 1024]);
    loop {
        match reader.read(&mut buffer).map_err(ContentError::store)? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sha256", 64, Some(Digest::Sha256))]
    #[case("sha384", 96, Some(Digest::Sha384))]
    #[case("sha512", 128, Some(Digest::Sha512))]
    #[case("sha256", 63, None)]
    #[case("sha512", 64, None)]
    #[case("md5", 32, None)]
    #[case("sha1", 40, None)]
    fn only_strong_hashes_count(
        #[case] algorithm: &str,
        #[case] digits: usize,
        #[case] expected: Option<Digest>,
    ) {
        assert_eq!(Digest::parse(&format!("{algorithm}:{}", "a".repeat(digits))).ok(), expected);
        Digest::parse(&format!("{algorithm}:{}", "A".repeat(digits))).unwrap_err();
        Digest::parse(&format!("{algorithm}:{}", "g".repeat(digits))).unwrap_err();
    }
}
