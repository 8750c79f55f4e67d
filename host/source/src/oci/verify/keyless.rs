use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sigstore::bundle::Bundle;
use sigstore::bundle::verify::{ArtifactDigest, PolicyError, VerificationError, Verifier};
use sigstore::rekor::apis::configuration::Configuration;
use sigstore::trust::TrustRoot as _;
use sigstore::trust::sigstore::SigstoreTrustRoot;

use crate::foreign::{printable, with_causes};
use crate::oci::error::OciError;
use crate::oci::verify::InvalidVerification;
use crate::oci::verify::identity::Identities;
use crate::oci::verify::transparency::Logs;

/// How long the public authorities are taken for current: they change a few times a year.
const PUBLIC_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The authorities of the public Sigstore, and since when they are known.
static PUBLIC: Mutex<Option<(Instant, Arc<Authorities>)>> = Mutex::new(None);

/// Which authorities are trusted.
#[derive(Clone)]
pub(super) enum TrustedRoot {
    /// Those of the public Sigstore, which are fetched when they are needed, and kept for a day.
    Public,
    /// Given ones.
    Given(Arc<Authorities>),
}

impl std::fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Public => "Public",
            Self::Given(_) => "Given",
        })
    }
}

impl TrustedRoot {
    /// Those of a file `trusted_root.json` of Sigstore.
    pub(super) fn given(json: &[u8]) -> Result<Self, InvalidVerification> {
        // What serde says may repeat a value.
        let root = SigstoreTrustRoot::from_trusted_root_json_unchecked(json).map_err(|_| {
            InvalidVerification::TrustedRoot("it is not a trusted root of Sigstore in JSON".to_owned())
        })?;
        let authorities = Authorities::new(root).map_err(InvalidVerification::TrustedRoot)?;
        Ok(Self::Given(Arc::new(authorities)))
    }

    pub(super) async fn authorities(&self) -> Result<Arc<Authorities>, OciError> {
        match self {
            Self::Given(authorities) => Ok(Arc::clone(authorities)),
            Self::Public => public().await,
        }
    }
}

/// Fetched by TUF, which proves that they are those of Sigstore. Several that ask at the same time each fetch them.
async fn public() -> Result<Arc<Authorities>, OciError> {
    let known = PUBLIC.lock().as_ref().filter(|(since, _)| since.elapsed() < PUBLIC_LIFETIME).cloned();
    if let Some((_, authorities)) = known {
        return Ok(authorities);
    }
    let failed = |reason: String| OciError::TrustedRoot { reason: printable(&reason) };
    let root = SigstoreTrustRoot::new(None).await.map_err(|error| failed(with_causes(&error)))?;
    let authorities = Arc::new(Authorities::new(root).map_err(failed)?);
    *PUBLIC.lock() = Some((Instant::now(), Arc::clone(&authorities)));
    Ok(authorities)
}

/// Who vouches for identities, and who keeps the logs.
pub(super) struct Authorities {
    verifier: Verifier,
    logs: Logs,
}

impl Authorities {
    fn new(root: SigstoreTrustRoot) -> Result<Self, String> {
        let keys = root.rekor_keys().map_err(|error| error.to_string())?;
        let logs = Logs::new(keys)?;
        let verifier =
            Verifier::new(Configuration::default(), root).map_err(|error| printable(&with_causes(&error)))?;
        Ok(Self { verifier, logs })
    }

    /// Refuses a bundle that is not a signature for this digest by one of the identities.
    ///
    /// The certificate is by a known authority and was logged, the identity in it is one of those that may sign, and its key has signed; all of this is looked
    /// at by Sigstore's own library, as is whether the entry of the transparency log is about this signature, and whether its time is within that of the certificate. That the log has
    /// made the entry is looked at here.
    pub(super) async fn check(
        &self,
        bundle: Bundle,
        digest: [u8; 32],
        identities: &Identities,
    ) -> Result<(), String> {
        self.logs.check(&bundle)?;
        let checked =
            self.verifier.verify_digest_with(ArtifactDigest::Sha256(digest), bundle, identities, true).await;
        checked.map_err(|error| match error {
            VerificationError::Policy(PolicyError::ExtensionCheckFailed { actual, expected, .. }) => {
                format!("it was made by {actual}, who is not {expected}")
            }
            error => with_causes(&error),
        })
    }
}
