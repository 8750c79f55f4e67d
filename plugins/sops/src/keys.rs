//! The keys that were handed over, and what they open.

mod age;
mod shamir;

use std::fmt;

use plumbline_plugin::{Error, Errors};
use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::metadata::{MasterKey, Metadata};

/// The keys that a step hands over, by the names that Flux gives them (<https://fluxcd.io/flux/components/kustomize/kustomizations/#decryption>).
#[derive(Default)]
pub struct Keyring {
    age: age::Identities,
    /// The names of values that are no keys by their names.
    unknown: Vec<String>,
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
    /// Takes the keys out of values: `*.agekey` are identities of age or SSH. What has another name is left alone.
    ///
    /// # Errors
    ///
    /// Every value that is called like a key and is none.
    pub fn read(values: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, Errors> {
        let (mut ring, mut errors) = (Self::default(), Errors::default());
        for (name, value) in values {
            let value = Zeroizing::new(value);
            let read = match name.rsplit_once('.').map(|(_, ending)| ending) {
                Some("agekey") => ring.age.add(&value),
                _ => {
                    ring.unknown.push(name.clone());
                    Ok(())
                }
            };
            if let Err(why) = read {
                errors.push(Error::invalid(format!("the key {name:?} cannot be used: {why}")));
            }
        }
        errors.or(ring)
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.age.is_empty()
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
            MasterKey::Pgp { fingerprint, .. } => {
                Err(format!("PGP {}: OpenPGP is not supported", shown(fingerprint)))
            }
            MasterKey::Vault { address, engine, name, .. } => Err(format!(
                "Vault {}/v1/{}/keys/{}: Vault is not supported",
                shown(address),
                shown(engine),
                shown(name)
            )),
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

/// The data key, encrypted for groups of recipients of age: as metadata has it.
///
/// # Errors
///
/// With the recipient that is none.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn sealed(groups: &[Vec<String>], key: &DataKey) -> Result<Vec<serde_json::Value>, String> {
    let whole = key.expose().to_vec();
    let count = u8::try_from(groups.len()).unwrap_or(u8::MAX);
    let parts = if count > 1 { shamir::split(&whole, count, count) } else { vec![whole] };
    let one = |part: &[u8], recipient: &String| {
        let enc = age::seal(part, recipient).ok_or_else(|| recipient.clone())?;
        Ok(serde_json::json!({"recipient": recipient, "enc": enc}))
    };
    let group = |(part, recipients): (&Vec<u8>, &Vec<String>)| -> Result<serde_json::Value, String> {
        let keys: Result<Vec<_>, String> = recipients.iter().map(|recipient| one(part, recipient)).collect();
        Ok(serde_json::json!({"age": keys?}))
    };
    parts.iter().zip(groups).map(group).collect()
}
