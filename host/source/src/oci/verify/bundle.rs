use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Deserialize;
use sigstore::bundle::Bundle;

use crate::foreign::printable;
use crate::oci::digest::OciDigest;
use crate::oci::verify::keys::PublicKeys;

const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Reads a bundle with all that Sigstore puts into one.
pub(super) fn parse(json: &[u8]) -> Result<Bundle, String> {
    serde_json::from_slice(json).map_err(|error| format!("it is not a bundle of Sigstore: {error}"))
}

/// What a bundle states, which somebody known has signed.
#[derive(Debug, Deserialize)]
pub(super) struct Statement {
    subject: Vec<Subject>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

/// The parts of a bundle that a key signs. Where it was logged and when means nothing to who knows the key, as in Flux.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

impl Statement {
    /// The statement of a bundle that one of the keys has signed.
    pub(super) fn signed_by(bundle: &[u8], keys: &PublicKeys) -> Result<Self, String> {
        let signed: Signed = serde_json::from_slice(bundle)
            .map_err(|error| format!("it is not a bundle of Sigstore: {error}"))?;
        let envelope = signed.dsse_envelope.ok_or("its bundle has no statement")?;
        if envelope.payload_type != IN_TOTO {
            return Err(format!(
                "its bundle states something of the type {}",
                printable(&envelope.payload_type)
            ));
        }
        let payload = decoded(&envelope.payload)?;
        let message = encoded_for_signing(&envelope.payload_type, &payload);
        let [signature] = &envelope.signatures[..] else {
            return Err(format!("its bundle has {} signatures, not 1", envelope.signatures.len()));
        };
        if !keys.have_signed(&message, &decoded(&signature.sig)?) {
            return Err("it was not made with any of the keys".to_owned());
        }
        serde_json::from_slice(&payload).map_err(|error| format!("its statement cannot be read: {error}"))
    }

    /// Refuses a statement about something else.
    pub(super) fn is_about(&self, digest: &OciDigest) -> Result<(), String> {
        let hex = digest.hex();
        let is_it = |subject: &Subject| subject.digest.get("sha256") == Some(&hex);
        if self.subject.iter().any(is_it) { Ok(()) } else { Err("it is for another artifact".to_owned()) }
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| "its bundle is not in Base64".to_owned())
}

/// What is signed of an envelope. Source: DSSE, "Protocol", `PAE`.
fn encoded_for_signing(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let start = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [start.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_and_the_lengths_are_signed_too() {
        let signed = encoded_for_signing("http://example.com/HelloWorld", b"hello world");
        assert_eq!(signed, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
