use std::collections::BTreeMap;

use pgp::composed::{Deserializable as _, SignedPublicKey};
use ssh_key::PublicKey;
use ssh_key::authorized_keys::Entry;

/// The keys of those who may sign.
#[derive(Clone)]
pub struct TrustedKeys {
    pgp: Vec<SignedPublicKey>,
    ssh: Vec<PublicKey>,
}

/// A Secret without a single key that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// There are none.
    #[error(
        "the secret of spec.verify has no keys; put PGP keys under names that end in .asc, SSH keys under names that end in .sshpub"
    )]
    None,
    /// There are some, but none can be read.
    #[error("no key in the secret of spec.verify can be read: {0:?} {1}")]
    Unreadable(String, &'static str),
}

impl TrustedKeys {
    /// Reads the data of a Secret as Flux does: SSH keys, in the format of `authorized_keys`, under names that end in `.sshpub`; armored PGP keys under all others.
    /// An entry that cannot be read is left out, as long as there is one that can. Source: Flux, "Git Repositories", `verify`.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, InvalidKeys> {
        let (mut keys, mut unreadable) = (Self { pgp: Vec::new(), ssh: Vec::new() }, None);
        for (name, value) in data {
            let read = if name.ends_with(".sshpub") {
                ssh_keys(value).map(|mut read| keys.ssh.append(&mut read))
            } else {
                pgp_keys(value).map(|mut read| keys.pgp.append(&mut read))
            };
            if let Err(what) = read {
                tracing::warn!(entry = name, "a key to verify signatures with is left out: the entry {what}");
                unreadable.get_or_insert_with(|| InvalidKeys::Unreadable(name.clone(), what));
            }
        }
        match unreadable {
            _ if !keys.pgp.is_empty() || !keys.ssh.is_empty() => Ok(keys),
            Some(error) => Err(error),
            None => Err(InvalidKeys::None),
        }
    }

    pub(crate) fn pgp(&self) -> &[SignedPublicKey] {
        &self.pgp
    }

    pub(crate) fn ssh(&self) -> &[PublicKey] {
        &self.ssh
    }
}

impl std::fmt::Debug for TrustedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrustedKeys({} of PGP, {} of SSH)", self.pgp.len(), self.ssh.len())
    }
}

/// All keys of an armor. Several armors in one entry are read one after the other.
fn pgp_keys(value: &[u8]) -> Result<Vec<SignedPublicKey>, &'static str> {
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    let unreadable = "is not an armored PGP public key";
    let text = std::str::from_utf8(value).map_err(|_| unreadable)?;
    let mut keys = Vec::new();
    for armor in text.split(BEGIN).skip(1) {
        let armor = format!("{BEGIN}{armor}");
        let (read, _) = SignedPublicKey::from_string_many(&armor).map_err(|_| unreadable)?;
        for key in read {
            keys.push(key.map_err(|_| unreadable)?);
        }
    }
    if keys.is_empty() { Err(unreadable) } else { Ok(keys) }
}

/// A key a line.
fn ssh_keys(value: &[u8]) -> Result<Vec<PublicKey>, &'static str> {
    let unreadable = "is not a list of SSH public keys";
    let text = std::str::from_utf8(value).map_err(|_| unreadable)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    // A comment of several words is taken for options by the one, options are not known to the other.
    let key =
        |line: &str| PublicKey::from_openssh(line).or_else(|_| line.parse::<Entry>().map(PublicKey::from));
    let keys: Vec<PublicKey> = lines.map(key).collect::<Result<_, _>>().map_err(|_| unreadable)?;
    if keys.is_empty() { Err(unreadable) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    const PGP: &str = include_str!("fixtures/ada.asc");
    const SSH: &str = include_str!("fixtures/ada.sshpub");

    fn read(entries: &[(&str, &str)]) -> Result<String, String> {
        let data =
            entries.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        TrustedKeys::from_secret(&data).map(|keys| format!("{keys:?}")).map_err(|error| error.to_string())
    }

    #[rstest]
    #[case(&[("ada.asc", PGP)], "TrustedKeys(1 of PGP, 0 of SSH)")]
    #[case(&[("ada", PGP)], "TrustedKeys(1 of PGP, 0 of SSH)")]
    #[case(&[("ada.sshpub", SSH)], "TrustedKeys(0 of PGP, 1 of SSH)")]
    #[case(&[("a.asc", PGP), ("b.sshpub", SSH), ("c.asc", "nonsense"), ("d.sshpub", "nonsense")], "TrustedKeys(1 of PGP, 1 of SSH)")]
    fn keys_are_told_apart_by_their_names(#[case] entries: &[(&str, &str)], #[case] keys: &str) {
        assert_eq!(read(entries).unwrap(), keys);
    }

    #[test]
    fn an_entry_may_hold_several_keys() {
        let with_comment = SSH.replace(" ada", " Ada Lovelace # ada@example.com\r");
        let ssh = format!("# people\n\n{SSH}{with_comment}no-pty,from=\"10.0.0.0/8\" {SSH}");
        let pgp = format!("{PGP}\n{PGP}");
        assert_eq!(
            read(&[("all.asc", &pgp), ("all.sshpub", &ssh)]).unwrap(),
            "TrustedKeys(2 of PGP, 3 of SSH)"
        );
    }

    #[rstest]
    #[case(&[], "the secret of spec.verify has no keys; put PGP keys under names that end in .asc, SSH keys under names that end in .sshpub")]
    #[case(&[("ada.asc", "nonsense")], "no key in the secret of spec.verify can be read: \"ada.asc\" is not an armored PGP public key")]
    #[case(&[("ada.sshpub", "nonsense")], "no key in the secret of spec.verify can be read: \"ada.sshpub\" is not a list of SSH public keys")]
    #[case(&[("ada.sshpub", "# nobody")], "no key in the secret of spec.verify can be read: \"ada.sshpub\" is not a list of SSH public keys")]
    fn a_secret_without_keys_is_refused(#[case] entries: &[(&str, &str)], #[case] message: &str) {
        assert_eq!(read(entries).unwrap_err(), message);
    }
}
