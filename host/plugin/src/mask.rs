//! Hides the values of secrets in what a plugin says.

use std::borrow::Cow;
use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use plumb_api::Sensitive;

use crate::Secrets;

const MASK: &str = "***";

/// Values shorter than this are not looked for: they would hide what has nothing to do with them.
const SHORTEST: usize = 4;

/// The texts that must not be shown, the longest first.
#[derive(Clone, Default)]
pub(crate) struct Mask(Vec<Sensitive<String>>);

impl Mask {
    pub(crate) fn of(secrets: Option<&Secrets>) -> Self {
        let mut texts: Vec<_> = secrets.into_iter().flat_map(Secrets::values).flat_map(texts).collect();
        texts.sort_by_key(|text| Reverse(text.expose().len()));
        Self(texts)
    }

    /// `text` with `***` in the place of every value.
    pub(crate) fn hide(&self, text: &str) -> String {
        let hidden = self.0.iter().fold(Cow::Borrowed(text), |text, value| {
            if text.contains(value.expose()) { text.replace(value.expose(), MASK).into() } else { text }
        });
        hidden.into_owned()
    }
}

/// The forms in which a value is likely to be printed: as it is, without the line break at its end, and in Base64.
fn texts(value: &Sensitive<Vec<u8>>) -> Vec<Sensitive<String>> {
    let value = value.expose();
    if value.len() < SHORTEST {
        return Vec::new();
    }
    let plain = std::str::from_utf8(value).ok();
    let trimmed = plain.map(str::trim).filter(|trimmed| Some(*trimmed) != plain);
    let plain = [plain, trimmed].into_iter().flatten().map(str::to_owned);
    let encoded = [STANDARD_NO_PAD.encode(value), URL_SAFE_NO_PAD.encode(value)];
    plain.chain(encoded).filter(|text| text.len() >= SHORTEST).map(Sensitive::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(values: &[&str], text: &str) -> String {
        let secret =
            |(name, value): (usize, &&str)| (name.to_string(), Sensitive::new(value.as_bytes().to_vec()));
        Mask::of(Some(&values.iter().enumerate().map(secret).collect())).hide(text)
    }

    #[rstest::rstest]
    #[case::as_it_is(&["hunter2"], "the password hunter2 is wrong: hunter2", "the password *** is wrong: ***")]
    #[case::without_its_line_break(&["hunter2\n"], "the password hunter2 is wrong", "the password *** is wrong")]
    #[case::in_base64(&["hunter2"], "aHVudGVyMg==", "***==")]
    #[case::the_longer_one_first(&["hunter", "hunter2"], "hunter2 hunter", "*** ***")]
    #[case::short_ones_stay(&["abc"], "abc YWJj", "abc YWJj")]
    #[case::nothing_to_hide(&[], "all is well", "all is well")]
    fn values_are_not_shown(#[case] values: &[&str], #[case] text: &str, #[case] shown: &str) {
        assert_eq!(hide(values, text), shown);
    }
}
