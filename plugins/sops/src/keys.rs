//! The keys that were handed over, and what they open.

mod age;
mod aws;
mod azure;
mod gcp;
mod pgp;
mod service;
mod shamir;
mod vault;

use std::fmt;

use plumbline_plugin::{Error, Errors};
use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::metadata::{MasterKey, Metadata};

/// What a token of Vault is called.
const VAULT_TOKEN: &str = "sops.vault-token";

/// The keys that a step hands over, by the names that Flux gives them (<https://fluxcd.io/flux/components/kustomize/kustomizations/#decryption>).
/// Credentials for key services of clouds are not among them: the host keeps those for itself.
#[derive(Default)]
pub struct Keyring {
    age: age::Identities,
    pgp: pgp::Keys,
    vault: vault::Vault,
}

/// Why nobody can decrypt a file: every key that it names, with a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// What each key is, and why it does not help.
    keys: Vec<String>,
    /// How many groups could be opened, and how many are needed, if there are several.
    groups: Option<(usize, usize)>,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.groups {
            None => write!(f, "no key that was handed over decrypts it: {}", self.keys.join("; ")),
            Some((opened, needed)) => write!(
                f,
                "{needed} of its key groups are needed and the keys that were handed over open {opened}: {}",
                self.keys.join("; ")
            ),
        }
    }
}

impl Keyring {
    /// Takes the keys out of values: `*.agekey` are identities of age or SSH, `*.asc` keys of OpenPGP, and
    /// `sops.vault-token` is a token of Vault. What has another name is left alone.
    ///
    /// # Errors
    ///
    /// Every value that is called like a key and is none.
    pub fn read(values: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, Errors> {
        let (mut ring, mut errors) = (Self::default(), Errors::default());
        for (name, value) in values {
            let value = Zeroizing::new(value);
            let read = match (name.as_str(), name.rsplit_once('.').map(|(_, ending)| ending)) {
                (VAULT_TOKEN, _) => ring.vault.add(&value),
                (_, Some("agekey")) => ring.age.add(&value),
                (_, Some("asc")) => ring.pgp.add(&value),
                _ => Ok(()),
            };
            if let Err(why) = read {
                errors.push(Error::invalid(format!("the key {name:?} cannot be used: {why}")));
            }
        }
        errors.or(ring)
    }

    /// The data key of a file.
    ///
    /// # Errors
    ///
    /// When none of the keys is among those that it is encrypted for, or too few of its groups can be opened.
    pub fn open(&self, metadata: &Metadata) -> Result<DataKey, Locked> {
        let (mut parts, mut keys) = (Vec::new(), Vec::new());
        for group in &metadata.groups {
            let mut opened = None;
            for key in group {
                match self.open_one(key) {
                    Ok(part) => {
                        opened = Some(part);
                        break;
                    }
                    Err(why) => keys.push(why),
                }
            }
            parts.extend(opened);
        }
        let (groups, is_enough) = match metadata.groups.len() {
            1 => (None, parts.len() == 1),
            _ => (Some((parts.len(), metadata.threshold)), parts.len() >= metadata.threshold),
        };
        let whole = match parts.pop() {
            Some(part) if is_enough && groups.is_none() => Some(part),
            Some(part) if is_enough => {
                parts.push(part);
                shamir::combine(&parts)
            }
            _ => None,
        };
        let key = whole.and_then(|bytes| DataKey::new(&bytes));
        key.ok_or_else(|| {
            if is_enough {
                keys.push("what they open is no data key of SOPS".to_owned());
            }
            Locked { keys, groups }
        })
    }

    /// What a key opens, or what it is and why it does not.
    fn open_one(&self, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        match key {
            MasterKey::Age { recipient, enc } => {
                self.age.open(enc).map_err(|why| format!("age {}: {why}", shown(recipient)))
            }
            MasterKey::Pgp { fingerprint, enc } => {
                self.pgp.open(enc).map_err(|why| format!("PGP {}: {why}", shown(fingerprint)))
            }
            MasterKey::Vault { address, engine, name, enc } => {
                let told = |why| {
                    format!("Vault {}/v1/{}/keys/{}: {why}", shown(address), shown(engine), shown(name))
                };
                self.vault.open(address, engine, name, enc).map_err(told)
            }
            MasterKey::Aws { arn, role, context, enc } => {
                aws::open(arn, role, context, enc).map_err(|why| format!("AWS KMS {}: {why}", shown(arn)))
            }
            MasterKey::Google { resource, enc } => {
                gcp::open(resource, enc).map_err(|why| format!("Google Cloud KMS {}: {why}", shown(resource)))
            }
            MasterKey::Azure { vault, name, version, enc } => {
                let told = |why| {
                    format!(
                        "Azure Key Vault {}/keys/{}/{}: {why}",
                        shown(vault.trim_end_matches('/')),
                        shown(name),
                        shown(version)
                    )
                };
                azure::open(vault, name, version, enc).map_err(told)
            }
            MasterKey::Unsupported { service, name } => {
                Err(format!("{service} {}: {service} is not supported", shown(name)))
            }
        }
    }
}

/// The name of a key, which the author of the file has chosen, as far as it is shown.
fn shown(name: &str) -> String {
    const LONGEST: usize = 200;
    let end = name.floor_char_boundary(LONGEST);
    if end < name.len() { format!("{}…", &name[..end]) } else { name.to_owned() }
}

/// The data key, encrypted for groups of recipients: as metadata has it. A recipient is one of age or SSH, or an armoured public key of OpenPGP.
///
/// # Errors
///
/// With the recipient that is none.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn sealed(groups: &[Vec<String>], key: &DataKey) -> Result<Vec<serde_json::Value>, String> {
    use serde_json::json;
    let whole = key.expose().to_vec();
    let count = u8::try_from(groups.len()).unwrap_or(u8::MAX);
    let parts = if count > 1 { shamir::split(&whole, count, count) } else { vec![whole] };
    let mut sealed = Vec::new();
    for (part, recipients) in parts.iter().zip(groups) {
        let (mut age, mut pgp) = (Vec::new(), Vec::new());
        for recipient in recipients {
            if let Some(enc) = age::seal(part, recipient) {
                age.push(json!({"recipient": recipient, "enc": enc}));
            } else if let Some((fingerprint, enc)) = pgp::seal(part, recipient) {
                pgp.push(json!({"fp": fingerprint, "enc": enc, "created_at": "2026-01-01T00:00:00Z"}));
            } else {
                return Err(recipient.clone());
            }
        }
        sealed.push(json!({"age": age, "pgp": pgp}));
    }
    Ok(sealed)
}
