use std::collections::BTreeMap;

/// A Secret that does not hold what is needed to reach a server. The messages name keys, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// A key that must be there, alone or with others, is not.
    #[error("the secret has no key {missing:?}, which is needed {because}")]
    Missing {
        /// The key that is missing.
        missing: &'static str,
        /// Why it is needed.
        because: &'static str,
    },
    /// A value is not text.
    #[error("the value of {0:?} in the secret is not UTF-8 text")]
    NotText(&'static str),
    /// A value is text, but not what belongs there.
    #[error("the value of {key:?} in the secret cannot be used: {reason}")]
    Unusable {
        /// The key.
        key: &'static str,
        /// What is wrong with the value, without repeating it.
        reason: String,
    },
}

/// The value of a key, as text.
pub(crate) fn text(
    data: &BTreeMap<String, Vec<u8>>,
    key: &'static str,
) -> Result<Option<String>, InvalidSecret> {
    data.get(key)
        .map(|value| String::from_utf8(value.clone()).map_err(|_| InvalidSecret::NotText(key)))
        .transpose()
}
