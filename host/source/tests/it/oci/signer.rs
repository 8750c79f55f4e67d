//! A Sigstore of a test: an authority for identities, a log of its certificates, a log of signatures, and what cosign does with them.

use std::sync::Arc;

use base64::Engine as _;
use plumb_source::oci::OciDigest;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::oci::fake::{FakeRegistry, MANIFEST};

/// Noon of the day on which certificates are valid.
pub(super) const NOON: i64 = 1_780_315_200;
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Who vouches for what.
#[derive(Clone)]
pub(super) struct Sigstore {
    pub(super) authority: Arc<Authority>,
    pub(super) certificate_log: Arc<KeyPair>,
    pub(super) signature_log: Arc<KeyPair>,
    /// When the log of signatures says that it got one.
    pub(super) time: i64,
}

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    key: Vec<u8>,
    certificate: Vec<u8>,
}

/// Somebody with a key, and, where an authority vouches for them, a certificate in DER.
pub(super) struct Signer {
    key: KeyPair,
    certificate: Option<Vec<u8>>,
}

impl Sigstore {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        let public = key.subject_public_key_info();
        let authority = Authority { issuer: Issuer::new(params, key), key: public, certificate };
        let log = || Arc::new(KeyPair::generate().unwrap());
        Self { authority: Arc::new(authority), certificate_log: log(), signature_log: log(), time: NOON }
    }

    /// As `trusted_root.json` of a Secret has it.
    pub(super) fn trusted_root(&self) -> Vec<u8> {
        let since = json!({"start": "2020-01-01T00:00:00Z"});
        let log = |key: &KeyPair| {
            json!([{
                "baseUrl": "https://log.example.com",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64(&key.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": since,
                },
                "logId": {"keyId": base64(&id(key))},
            }])
        };
        let root = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": log(&self.signature_log),
            "certificateAuthorities": [{
                "subject": {"organization": "test", "commonName": "test"},
                "uri": "https://authority.example.com",
                "certChain": {"certificates": [{"rawBytes": base64(&self.authority.certificate)}]},
                "validFor": since,
            }],
            "ctlogs": log(&self.certificate_log),
        });
        root.to_string().into_bytes()
    }

    /// Gives somebody a certificate for a day.
    pub(super) fn signer(&self, issuer: &str, subject: &str) -> Signer {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2026, 6, 1);
        params.not_after = date_time_ymd(2026, 6, 2);
        params.serial_number = Some(1.into());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.subject_alt_names = vec![match subject.contains("://") {
            true => SanType::URI(subject.try_into().unwrap()),
            false => SanType::Rfc822Name(subject.try_into().unwrap()),
        }];
        let text = [&[0x0c, u8::try_from(issuer.len()).unwrap()], issuer.as_bytes()].concat();
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], text)];
        let unlogged = params.clone().signed_by(&key, &self.authority.issuer).unwrap();
        let logged = self.logged(&unlogged.der()[..]);
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], logged));
        let certificate = params.signed_by(&key, &self.authority.issuer).unwrap().der().to_vec();
        Signer { key, certificate: Some(certificate) }
    }

    /// What the log of certificates promises for one. Source: RFC 6962, section 3.
    fn logged(&self, certificate: &[u8]) -> Vec<u8> {
        let body = first_element(content(certificate));
        let time = 1_780_272_000_000_u64.to_be_bytes();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let signed = [
            &[0, 0],
            &time[..],
            &[0, 1],
            &Sha256::digest(&self.authority.key)[..],
            &length[1..],
            body,
            &[0, 0],
        ]
        .concat();
        let signature = self.certificate_log.sign(&signed).unwrap();
        let id = id(&self.certificate_log);
        let promise = [&[0], &id[..], &time, &[0, 0, 4, 3], &counted(&signature)].concat();
        octets(&counted(&counted(&promise)))
    }

    /// An entry of the log of signatures, as bundles have it.
    fn entry(&self, kind: &str, body: &Value) -> Value {
        let body = body.to_string();
        let log = hex::encode(id(&self.signature_log));
        let time = self.time;
        let promised = format!(
            r#"{{"body":"{}","integratedTime":{time},"logID":"{log}","logIndex":0}}"#,
            base64(body.as_bytes())
        );
        let leaf = Sha256::digest([&[0], body.as_bytes()].concat());
        let checkpoint = format!("log.example.com\n1\n{}\n", base64(&leaf));
        let signature = self.signature_log.sign(checkpoint.as_bytes()).unwrap();
        let signature = base64(&[&[0; 4], &signature[..]].concat());
        json!({
            "logIndex": "0",
            "logId": {"keyId": base64(&id(&self.signature_log))},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": time.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": base64(&self.signature_log.sign(promised.as_bytes()).unwrap())},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": base64(&leaf),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": format!("{checkpoint}\n\u{2014} log.example.com {signature}\n")},
            },
            "canonicalizedBody": base64(body.as_bytes()),
        })
    }

    /// A bundle by somebody with a certificate, as cosign 3 makes it.
    pub(super) fn bundle(&self, signer: &Signer, digest: &OciDigest) -> Value {
        let mut bundle = signer.bundle(digest);
        let certificate = signer.certificate.as_ref().unwrap();
        let envelope = bundle["dsseEnvelope"].clone();
        let payload = unbase64(&envelope["payload"]);
        // In the order in which Rekor hashes it.
        let hashed = format!(
            r#"{{"payload":{},"payloadType":{},"signatures":[{{"sig":{}}}]}}"#,
            envelope["payload"], envelope["payloadType"], envelope["signatures"][0]["sig"]
        );
        let hash = |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex::encode(Sha256::digest(bytes))});
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": hash(hashed.as_bytes()),
            "payloadHash": hash(&payload),
            "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": base64(pem(certificate).as_bytes())}],
        }});
        bundle["verificationMaterial"] = json!({
            "certificate": {"rawBytes": base64(certificate)},
            "tlogEntries": [self.entry("dsse", &body)],
        });
        bundle
    }

    /// The annotations of a signature by somebody with a certificate, as cosign 2 makes it.
    pub(super) fn annotations(&self, signer: &Signer, payload: &[u8]) -> Value {
        let mut annotations = signer.annotations(payload);
        let certificate = pem(signer.certificate.as_ref().unwrap());
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hex::encode(Sha256::digest(payload))}},
            "signature": {
                "content": annotations["dev.cosignproject.cosign/signature"],
                "publicKey": {"content": base64(certificate.as_bytes())},
            },
        }});
        let entry = self.entry("hashedrekord", &body);
        let log_entry = json!({
            "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
            "Payload": {
                "body": entry["canonicalizedBody"], "integratedTime": self.time, "logIndex": 0,
                "logID": hex::encode(id(&self.signature_log)),
            },
        });
        annotations["dev.sigstore.cosign/certificate"] = json!(certificate);
        annotations["dev.sigstore.cosign/bundle"] = json!(log_entry.to_string());
        annotations
    }
}

impl Signer {
    /// Somebody with nothing but a key.
    pub(super) fn with_key() -> Self {
        Self { key: KeyPair::generate().unwrap(), certificate: None }
    }

    /// As `cosign.pub` of a Secret has it.
    pub(super) fn public_key(&self) -> Vec<u8> {
        self.key.public_key_pem().into_bytes()
    }

    /// A bundle, as cosign 3 makes it with a key.
    pub(super) fn bundle(&self, digest: &OciDigest) -> Value {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "", "digest": {"sha256": digest.hex()}}],
            "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "predicate": {},
        });
        let (payload, type_) = (statement.to_string(), "application/vnd.in-toto+json");
        let signed = format!("DSSEv1 {} {type_} {} {payload}", type_.len(), payload.len());
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "key"}},
            "dsseEnvelope": {
                "payload": base64(payload.as_bytes()),
                "payloadType": type_,
                "signatures": [{"sig": base64(&signature)}],
            },
        })
    }

    /// The annotations of a signature, as cosign 2 makes it with a key.
    pub(super) fn annotations(&self, payload: &[u8]) -> Value {
        json!({"dev.cosignproject.cosign/signature": base64(&self.key.sign(payload).unwrap())})
    }
}

/// What cosign 2 signs.
pub(super) fn payload(digest: &OciDigest) -> Vec<u8> {
    let payload = json!({"critical": {
        "identity": {"docker-reference": "registry.example.com/a"},
        "image": {"docker-manifest-digest": digest.to_string()},
        "type": "cosign container image signature",
    }, "optional": null});
    payload.to_string().into_bytes()
}

/// Puts a payload with annotations where cosign 2 does.
pub(super) fn attach_payload(
    registry: &FakeRegistry,
    repository: &str,
    to: &OciDigest,
    payload: Vec<u8>,
    annotations: &Value,
) {
    let mut layer = registry.layer(repository, SIMPLE_SIGNING, payload);
    layer["annotations"] = annotations.clone();
    let manifest = registry.manifest(repository, &[layer], &json!({}));
    let signature = registry.push_manifest(repository, MANIFEST, &manifest);
    registry.tag(repository, &format!("sha256-{}.sig", to.hex()), signature);
}

/// Puts a bundle where cosign 3 does; gives the descriptor of its manifest.
pub(super) fn attach_bundle(
    registry: &FakeRegistry,
    repository: &str,
    to: &OciDigest,
    bundle: &Value,
) -> Value {
    let layer = registry.layer(repository, BUNDLE, bundle.to_string().into_bytes());
    let mut manifest = registry.manifest(repository, &[layer], &json!({}));
    manifest["artifactType"] = json!(BUNDLE);
    manifest["subject"] = json!({"mediaType": MANIFEST, "digest": to.to_string(), "size": 1});
    let digest = registry.push_manifest(repository, MANIFEST, &manifest);
    json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": 1, "artifactType": BUNDLE})
}

pub(super) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn unbase64(text: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
}

fn id(key: &KeyPair) -> [u8; 32] {
    Sha256::digest(key.subject_public_key_info()).into()
}

fn pem(der: &[u8]) -> String {
    let text = base64(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// With two bytes of length in front.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// As an OCTET STRING of DER.
fn octets(bytes: &[u8]) -> Vec<u8> {
    match u8::try_from(bytes.len()).unwrap() {
        length @ 0..=127 => [&[4, length], bytes].concat(),
        length => [&[4, 0x81, length], bytes].concat(),
    }
}

/// How many bytes come before the content of an element of DER, and how many it has.
fn header(der: &[u8]) -> (usize, usize) {
    match der[1] {
        length @ 0..=127 => (2, length.into()),
        more => {
            let size = usize::from(more & 0x7f);
            (2 + size, der[2..2 + size].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        }
    }
}

fn content(der: &[u8]) -> &[u8] {
    let (start, length) = header(der);
    &der[start..start + length]
}

fn first_element(der: &[u8]) -> &[u8] {
    let (start, length) = header(der);
    &der[..start + length]
}
