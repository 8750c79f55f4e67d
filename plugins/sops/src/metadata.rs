//! What SOPS writes beside the values of a file: who can decrypt it, which values are encrypted, and the MAC.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::rules::{Rule, regex};

/// What the field of a file with the metadata is called.
pub const FIELD: &str = "sops";

/// Values below a name with this ending are not encrypted, unless a file says otherwise.
const UNENCRYPTED_SUFFIX: &str = "_unencrypted";

/// The metadata of a file.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Each holds a part of the data key, or all of it if there is only one.
    pub groups: Vec<Vec<MasterKey>>,
    /// How many groups are needed, if there are several.
    pub threshold: usize,
    /// Which values are encrypted.
    pub rule: Rule,
    /// The MAC over all values, encrypted.
    pub mac: String,
    /// When the file was encrypted, which the MAC is bound to.
    pub last_modified: String,
    /// Whether the MAC is over encrypted values only.
    pub mac_only_encrypted: bool,
}

/// Somebody's key, and the data key that it has encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKey {
    /// age, with an armoured file.
    Age {
        /// The public key.
        recipient: String,
        /// The file.
        enc: String,
    },
    /// OpenPGP, with an armoured message.
    Pgp {
        /// The fingerprint of the key.
        fingerprint: String,
        /// The message.
        enc: String,
    },
    /// The transit engine of Vault or OpenBao.
    Vault {
        /// `https://vault.example.com:8200`.
        address: String,
        /// Where the engine is mounted, for example `transit`.
        engine: String,
        /// The name of the key.
        name: String,
        /// `vault:v1:…`.
        enc: String,
    },
    /// AWS KMS.
    Aws {
        /// The name of the key.
        arn: String,
        /// The name of a role that is assumed first; empty for none.
        role: String,
        /// What the data key was encrypted together with.
        context: BTreeMap<String, String>,
        /// In Base64.
        enc: String,
    },
    /// Google Cloud KMS.
    Google {
        /// `projects/…/locations/…/keyRings/…/cryptoKeys/…`.
        resource: String,
        /// In Base64.
        enc: String,
    },
    /// Azure Key Vault.
    Azure {
        /// `https://NAME.vault.azure.net`.
        vault: String,
        /// The name of the key.
        name: String,
        /// Which one of this name it is.
        version: String,
        /// In Base64 for URLs.
        enc: String,
    },
    /// A key management service that is not asked yet.
    Unsupported {
        /// What it is called, for example `Huawei Cloud KMS`.
        service: &'static str,
        /// The name of the key there.
        name: String,
    },
}

/// Why metadata cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadMetadata {
    /// A field is missing or not what it has to be: its name, and what is wrong, as the end of a sentence.
    Field(&'static str, &'static str),
    /// It is not the structure that SOPS writes.
    Structure,
    /// More than one rule says which values are encrypted.
    Rules,
    /// Nobody can decrypt it.
    NoKeys,
}

impl std::fmt::Display for BadMetadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(field, wrong) => write!(f, "`sops.{field}` {wrong}"),
            Self::Structure => f.write_str("`sops` has not the structure that SOPS writes"),
            Self::Rules => f.write_str(
                "`sops` has more than one of encrypted_suffix, unencrypted_suffix, encrypted_regex, unencrypted_regex, \
                 encrypted_comment_regex and unencrypted_comment_regex",
            ),
            Self::NoKeys => f.write_str("`sops` names no key that could decrypt it"),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    shamir_threshold: Option<Value>,
    key_groups: Option<Vec<Group>>,
    #[serde(flatten)]
    group: Group,
    lastmodified: Option<String>,
    mac: Option<String>,
    unencrypted_suffix: Option<String>,
    encrypted_suffix: Option<String>,
    unencrypted_regex: Option<String>,
    encrypted_regex: Option<String>,
    unencrypted_comment_regex: Option<String>,
    encrypted_comment_regex: Option<String>,
    mac_only_encrypted: Option<Value>,
}

/// The keys of a group. Fields may be null.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Group {
    age: Option<Vec<Key>>,
    pgp: Option<Vec<Key>>,
    hc_vault: Option<Vec<Key>>,
    kms: Option<Vec<Key>>,
    gcp_kms: Option<Vec<Key>>,
    azure_kv: Option<Vec<Key>>,
    hckms: Option<Vec<Key>>,
}

/// The fields of all kinds of keys.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    enc: String,
    recipient: String,
    fp: String,
    vault_address: String,
    engine_path: String,
    key_name: String,
    arn: String,
    role: String,
    context: Option<BTreeMap<String, Option<String>>>,
    resource_id: String,
    vault_url: String,
    name: String,
    version: String,
    key_id: String,
}

impl Metadata {
    /// Reads the metadata of a file.
    pub fn read(value: &Value) -> Result<Self, BadMetadata> {
        let raw = Raw::deserialize(value).map_err(|_| BadMetadata::Structure)?;
        let rule = rule(&raw)?;
        let text = |field, value: Option<String>| {
            value
                .filter(|text| !text.is_empty())
                .ok_or(BadMetadata::Field(field, "is missing: somebody has taken it out"))
        };
        let first = raw.group.keys();
        let groups = match raw.key_groups {
            _ if !first.is_empty() => vec![first],
            Some(groups) => groups.into_iter().map(Group::keys).collect(),
            None => Vec::new(),
        };
        if groups.iter().all(Vec::is_empty) {
            return Err(BadMetadata::NoKeys);
        }
        let threshold = raw.shamir_threshold.as_ref().and_then(number).unwrap_or(groups.len());
        Ok(Self {
            groups,
            threshold,
            rule,
            mac: text("mac", raw.mac)?,
            last_modified: text("lastmodified", raw.lastmodified)?.replace("+00:00", "Z"),
            mac_only_encrypted: raw.mac_only_encrypted.as_ref().is_some_and(is_true),
        })
    }
}

/// In flat files everything is text.
fn number(value: &Value) -> Option<usize> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    usize::try_from(number).ok().filter(|number| *number > 0)
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str() == Some("true"))
}

fn rule(raw: &Raw) -> Result<Rule, BadMetadata> {
    let mut rules = Vec::new();
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    rules.extend(given(&raw.unencrypted_suffix).map(|suffix| Ok(Rule::NotSuffix(suffix))));
    rules.extend(given(&raw.encrypted_suffix).map(|suffix| Ok(Rule::Suffix(suffix))));
    let by_regex = [
        ("unencrypted_regex", &raw.unencrypted_regex, Rule::NotRegex as fn(_) -> _),
        ("encrypted_regex", &raw.encrypted_regex, Rule::Regex),
        ("unencrypted_comment_regex", &raw.unencrypted_comment_regex, Rule::NotComment),
        ("encrypted_comment_regex", &raw.encrypted_comment_regex, Rule::Comment),
    ];
    for (field, text, rule) in by_regex {
        rules.extend(given(text).map(|text| regex(field, &text).map(rule)));
    }
    match (rules.pop(), rules.is_empty()) {
        (None, _) => Ok(Rule::NotSuffix(UNENCRYPTED_SUFFIX.to_owned())),
        (Some(rule), true) => rule,
        (Some(_), false) => Err(BadMetadata::Rules),
    }
}

impl Group {
    /// In the order in which they are tried: first what can be decrypted here.
    fn keys(self) -> Vec<MasterKey> {
        let mut keys = Vec::new();
        let mut add = |all: Option<Vec<Key>>, make: &dyn Fn(Key) -> MasterKey| {
            keys.extend(all.into_iter().flatten().map(make));
        };
        let unsupported = |service, name| MasterKey::Unsupported { service, name };
        add(self.age, &|key| MasterKey::Age { recipient: key.recipient, enc: key.enc });
        add(self.pgp, &|key| MasterKey::Pgp { fingerprint: key.fp, enc: key.enc });
        add(self.hc_vault, &|key| MasterKey::Vault {
            address: key.vault_address,
            engine: key.engine_path,
            name: key.key_name,
            enc: key.enc,
        });
        add(self.kms, &|key| {
            let context = key.context.unwrap_or_default().into_iter();
            let context = context.filter_map(|(name, value)| Some((name, value?))).collect();
            MasterKey::Aws { arn: key.arn, role: key.role, context, enc: key.enc }
        });
        add(self.gcp_kms, &|key| MasterKey::Google { resource: key.resource_id, enc: key.enc });
        add(self.azure_kv, &|key| MasterKey::Azure {
            vault: key.vault_url,
            name: key.name,
            version: key.version,
            enc: key.enc,
        });
        add(self.hckms, &|key| unsupported("Huawei Cloud KMS", key.key_id));
        keys
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn read(more: Value) -> Result<Metadata, String> {
        let mut all = json!({"age": [{"recipient": "age1", "enc": "e"}], "mac": "ENC[x]", "lastmodified": "2026-01-01T00:00:00Z", "pgp": null, "kms": []});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Metadata::read(&all).map_err(|error| error.to_string())
    }

    #[test]
    fn what_older_and_flat_files_have_is_read() {
        let plain = read(json!({})).unwrap();
        assert!(matches!(&plain.rule, Rule::NotSuffix(suffix) if suffix == "_unencrypted"));
        assert_eq!(plain.groups, [[MasterKey::Age { recipient: "age1".into(), enc: "e".into() }]]);
        let flat =
            read(json!({"mac_only_encrypted": "true", "shamir_threshold": "2", "encrypted_regex": "^data$"}))
                .unwrap();
        assert!(flat.mac_only_encrypted && flat.threshold == 2);
        assert!(flat.rule.encrypts(&["data", "a"], []) && !flat.rule.encrypts(&["database"], []));
    }

    #[test]
    fn keys_of_clouds_are_read() {
        let more = json!({
            "age": [],
            "kms": [
                {"arn": "a", "enc": "e", "created_at": "", "aws_profile": ""},
                {"arn": "b", "role": "r", "context": {"app": "shop", "none": null}, "enc": "e"},
            ],
            "gcp_kms": [{"resource_id": "g", "enc": "e", "created_at": ""}],
            "azure_kv": [{"vault_url": "v", "name": "n", "version": "1", "enc": "e", "created_at": ""}],
        });
        let aws = |arn: &str, role: &str, context: &[(&str, &str)]| MasterKey::Aws {
            arn: arn.into(),
            role: role.into(),
            context: context.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            enc: "e".into(),
        };
        let google = MasterKey::Google { resource: "g".into(), enc: "e".into() };
        let azure =
            MasterKey::Azure { vault: "v".into(), name: "n".into(), version: "1".into(), enc: "e".into() };
        assert_eq!(
            read(more).unwrap().groups,
            [[aws("a", "", &[]), aws("b", "r", &[("app", "shop")]), google, azure]]
        );
    }

    // Attack 18 (Secrets): the MAC is taken out.
    #[test]
    fn what_is_missing_is_named() {
        for (more, told) in [
            (json!({"mac": ""}), "`sops.mac` is missing: somebody has taken it out"),
            (json!({"lastmodified": null}), "`sops.lastmodified` is missing: somebody has taken it out"),
            (json!({"age": []}), "`sops` names no key that could decrypt it"),
            (json!({"age": 1}), "`sops` has not the structure that SOPS writes"),
            (
                json!({"encrypted_regex": "("}),
                "`sops.encrypted_regex` is no regular expression that can be used",
            ),
        ] {
            assert_eq!(read(more).unwrap_err(), told);
        }
        let both = read(json!({"encrypted_regex": "a", "encrypted_suffix": "b"})).unwrap_err();
        assert!(both.contains("more than one of"), "{both}");
    }
}
