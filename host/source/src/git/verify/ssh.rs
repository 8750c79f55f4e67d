use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey, SshSig};

use crate::foreign::printable;
use crate::git::verify::error::Flaw;

/// What Git tells `ssh-keygen` that its signatures are for.
const NAMESPACE: &str = "git";
/// `ssh-keygen` takes no shorter ones.
const MIN_RSA_BITS: usize = 2048;

/// The fingerprint of the trusted key that signed. Source: OpenSSH, PROTOCOL.sshsig.
pub(crate) fn signer(payload: &[u8], armor: &[u8], trusted: &[PublicKey]) -> Result<String, Flaw> {
    let signature = SshSig::from_pem(armor)
        .map_err(|error| Flaw::Malformed(format!("its signature: {}", printable(&error.to_string()))))?;
    let fingerprint = signature.public_key().fingerprint(HashAlg::Sha256).to_string();
    let Some(key) = trusted.iter().find(|key| key.key_data() == signature.public_key()) else {
        return Err(Flaw::UnknownKey(fingerprint));
    };
    if signature.namespace() != NAMESPACE {
        return Err(Flaw::Namespace(printable(signature.namespace())));
    }
    if let KeyData::Rsa(rsa) = key.key_data()
        && rsa.n.as_positive_bytes().is_none_or(|modulus| modulus.len() * 8 < MIN_RSA_BITS)
    {
        return Err(Flaw::NotForSigning(fingerprint));
    }
    // Only SHA-256 and SHA-512 can be written there, and RSA with SHA-1 is not among what the library verifies.
    match key.verify(NAMESPACE, payload, &signature) {
        Ok(()) => Ok(fingerprint),
        Err(_) => Err(Flaw::NotSigned(fingerprint)),
    }
}
