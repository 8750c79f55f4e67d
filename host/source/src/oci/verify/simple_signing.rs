use std::collections::BTreeMap;

use base64::Engine as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sigstore::bundle::Bundle;

use crate::oci::digest::OciDigest;
use crate::oci::verify::keys::PublicKeys;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";

/// A signature in the older form of cosign: a payload that names a digest, and everything else in annotations.
#[derive(Debug)]
pub(super) struct SimpleSigning {
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// In PEM; that of a signature without keys.
    certificate: Option<String>,
    /// What Rekor says of it, as JSON.
    log_entry: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogEntry {
    signed_entry_timestamp: String,
    payload: LogPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

impl SimpleSigning {
    /// `None` for a payload without a signature.
    pub(super) fn new(payload: Vec<u8>, annotations: &BTreeMap<String, String>) -> Option<Self> {
        let signature = base64::engine::general_purpose::STANDARD.decode(annotations.get(SIGNATURE)?).ok()?;
        let [certificate, log_entry] = [CERTIFICATE, LOG_ENTRY].map(|key| annotations.get(key).cloned());
        Some(Self { payload, signature, certificate, log_entry })
    }

    pub(super) fn payload_digest(&self) -> [u8; 32] {
        Sha256::digest(&self.payload).into()
    }

    /// Refuses what none of the keys has signed.
    pub(super) fn is_signed_by(&self, keys: &PublicKeys) -> Result<(), String> {
        let is_signed = keys.have_signed(&self.payload, &self.signature);
        if is_signed { Ok(()) } else { Err("it was not made with any of the keys".to_owned()) }
    }

    /// Refuses a payload that names another digest. It means something only once the signature is known to be good.
    pub(super) fn is_about(&self, digest: &OciDigest) -> Result<(), String> {
        let payload: Payload = serde_json::from_slice(&self.payload)
            .map_err(|error| format!("its payload cannot be read: {error}"))?;
        let is_it = payload.critical.image.digest == digest.to_string();
        if is_it { Ok(()) } else { Err("it is for another artifact".to_owned()) }
    }

    /// The same as a bundle of the first version, of which the payload is what is signed.
    pub(super) fn to_bundle(&self) -> Result<Bundle, String> {
        let certificate = self.certificate.as_ref().ok_or("it was made with a key, and none is given")?;
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| "its certificate is not in PEM".to_owned())?;
        let entry = self.log_entry.as_ref().ok_or("it was not entered into a transparency log")?;
        let entry: LogEntry = serde_json::from_str(entry)
            .map_err(|error| format!("its entry of the transparency log cannot be read: {error}"))?;
        let LogEntry { signed_entry_timestamp, payload } = entry;
        let log_id = hex::decode(&payload.log_id).map_err(|_| "its log has no valid id".to_owned())?;
        let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
            "verificationMaterial": {
                "x509CertificateChain": {"certificates": [{"rawBytes": base64(&certificate)}]},
                "tlogEntries": [{
                    "logIndex": payload.log_index.to_string(),
                    "logId": {"keyId": base64(&log_id)},
                    "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
                    "integratedTime": payload.integrated_time.to_string(),
                    "inclusionPromise": {"signedEntryTimestamp": signed_entry_timestamp},
                    "canonicalizedBody": payload.body,
                }],
            },
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": base64(&self.payload_digest())},
                "signature": base64(&self.signature),
            },
        });
        serde_json::from_value(bundle).map_err(|error| format!("its parts do not fit together: {error}"))
    }
}
