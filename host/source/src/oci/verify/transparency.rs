use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;
use sigstore::bundle::Bundle;
use sigstore::crypto::{CosignVerificationKey, Signature};
use sigstore::rekor::models::InclusionProof;
use sigstore::rekor::models::checkpoint::SignedCheckpoint;

/// The transparency logs that are known, by their ids in hexadecimal.
pub(super) struct Logs(BTreeMap<String, CosignVerificationKey>);

impl Logs {
    /// Of public keys in DER.
    pub(super) fn new(keys: BTreeMap<String, &[u8]>) -> Result<Self, String> {
        let read = keys.into_iter().map(|(id, der)| {
            let key = CosignVerificationKey::try_from_der(der);
            key.map(|key| (id, key)).map_err(|error| format!("the key of a log cannot be read: {error}"))
        });
        let logs: BTreeMap<_, _> = read.collect::<Result<_, _>>()?;
        if logs.is_empty() {
            return Err("it has no transparency log that is current".to_owned());
        }
        Ok(Self(logs))
    }

    /// Refuses a bundle whose entry no known log has made. The time of the entry decides whether a certificate, which lives for minutes, was valid, so it
    /// has to be the log that says it.
    ///
    /// What the entry is about is not looked at.
    pub(super) fn check(&self, bundle: &Bundle) -> Result<(), String> {
        let material = bundle.verification_material.as_ref().ok_or("it has no certificate")?;
        let [entry] = &material.tlog_entries[..] else {
            return Err(format!(
                "it has {} entries of transparency logs, not 1",
                material.tlog_entries.len()
            ));
        };
        let id = entry.log_id.as_ref().map(|id| hex::encode(&id.key_id)).unwrap_or_default();
        let key = self.0.get(&id).ok_or("its transparency log is not a known one")?;
        let promise = entry.inclusion_promise.as_ref().ok_or(
            "its transparency log has not signed the time of its entry, as Rekor 2 does not; sign with Rekor 1 or with a key",
        )?;
        let signed = signed_form(&entry.canonicalized_body, entry.integrated_time, &id, entry.log_index);
        key.verify_signature(Signature::Raw(&promise.signed_entry_timestamp), signed.as_bytes())
            .map_err(|_| "its transparency log has not signed its entry".to_owned())?;
        let Some(proof) = &entry.inclusion_proof else { return Ok(()) };
        let hash = |bytes: &Vec<u8>| {
            bytes
                .as_slice()
                .try_into()
                .map_err(|_| "its proof of inclusion has a hash of another size".to_owned())
        };
        let checkpoint = proof.checkpoint.as_ref().map(|checkpoint| {
            serde_json::from_value::<SignedCheckpoint>(Value::String(checkpoint.envelope.clone()))
                .map_err(|_| "the checkpoint of its transparency log cannot be read".to_owned())
        });
        let size =
            u64::try_from(proof.tree_size).map_err(|_| "its transparency log has no size".to_owned())?;
        let hashes = proof.hashes.iter().map(hash).collect::<Result<_, _>>()?;
        let proof = InclusionProof::new(
            proof.log_index,
            hash(&proof.root_hash)?,
            size,
            hashes,
            checkpoint.transpose()?,
        );
        proof
            .verify(&entry.canonicalized_body, key)
            .map_err(|_| "its entry is not in its transparency log".to_owned())
    }
}

/// What the log signs of an entry: canonical JSON, which this is, since the names are sorted and no value needs an escape.
fn signed_form(body: &[u8], time: i64, id: &str, index: i64) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(body);
    format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{id}","logIndex":{index}}}"#)
}
