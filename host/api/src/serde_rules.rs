use serde::{Deserialize, Deserializer};

/// Reads an empty text as none at all. Flux's types cannot tell the two apart, so `namespace: ""` must mean what a missing
/// `namespace` means.
pub(crate) fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// Keeps zero out of what is written, as Flux does.
pub(crate) fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// Keeps `false` out of what is written, as Flux does.
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
