//! Fuzz targets: whatever a file in Git holds, the plugins that take it apart end with an answer, and nothing panics, hangs or grows without bound.
//!
//! Each is a function of some bytes, called by a program of its own in `src/bin`, which `cargo xtask fuzz` builds and runs as programs of this machine. What was
//! found to be of interest once lies in `seeds/`.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "what is set up here is the same in every run, and what must hold for every input has to be told when it does not"
)]

use std::sync::LazyLock;

use age::secrecy::ExposeSecret as _;
use plumb_sealed_secrets::keys::Keys;
use plumb_sealed_secrets::sealed::{is_sealed, unseal};
use plumb_sealed_secrets::template::{Values, fill};
use plumb_sops::cipher::{DataKey, is_encrypted};
use plumb_sops::document::decrypt;
use plumb_sops::document::encrypt::{Options, encrypt};
use plumb_sops::format::{Content, Document, Format};
use plumb_sops::keys::Keyring;
use plumb_sops::metadata::Metadata;
use plumb_sops::objects;
use plumbline_plugin::Object;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::rand_core::OsRng;
use zeroize::Zeroizing;

const FORMATS: [Format; 5] = [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini, Format::Binary];

thread_local! {
    /// A key of age for everything, and who it is.
    static AGE: (Keyring, String) = {
        let identity = age::x25519::Identity::generate();
        let file = identity.to_string().expose_secret().as_bytes().to_vec();
        let keys = Keyring::read([("a.agekey".to_owned(), file)]).expect("a key of age");
        (keys, identity.to_public().to_string())
    };
}

/// The first byte, as a digit, chooses the format; the rest is the file.
fn file(bytes: &[u8]) -> Option<(Format, &[u8])> {
    let (format, file) = bytes.split_first()?;
    Some((FORMATS[usize::from(format.wrapping_sub(b'0')) % FORMATS.len()], file))
}

/// Attack 15 (YAML), Attack 18 (Secrets): a file of any of SOPS's formats is taken apart, and its values and metadata are read. Every place that is told lies in
/// the text.
pub fn sops_formats(bytes: &[u8]) {
    let Some((format, bytes)) = file(bytes) else { return };
    let _ = (Format::of_encrypted(bytes), Format::of_file("a.json", bytes));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = is_encrypted(text);
    let Ok(document) = format.read(text) else { return };
    let key = DataKey::new(&[7; 32]).expect("a key");
    for leaf in &document.leaves {
        assert!(text.get(leaf.span.clone()).is_some(), "{:?} is no place in the text", leaf.span);
        if let Content::Value(value) = &leaf.content {
            let _ = format.spell(leaf, value);
            let _ = std::str::from_utf8(&value.to_bytes()).map(|value| key.decrypt(value, "a:").is_ok());
        }
    }
    for cut in &document.cut {
        assert!(text.get(cut.clone()).is_some(), "{cut:?} is no place in the text");
    }
    let _ = document.metadata.as_ref().map(Metadata::read);
}

/// Attack 18 (Secrets): a file is encrypted, and decrypted again; then somebody has changed one of its bytes, which the last three bytes of the input choose.
/// Before that the input is taken for a key, and for a file or an object that is encrypted already.
pub fn sops_decrypt(bytes: &[u8]) {
    let Some((format, bytes)) = file(bytes) else { return };
    for name in ["a.agekey", "a.asc", "sops.vault-token"] {
        let _ = Keyring::read([(name.to_owned(), bytes.to_vec())]);
    }
    AGE.with(|(keys, recipient)| {
        let _ = decrypt(bytes, format, keys);
        let object = std::str::from_utf8(bytes).ok().and_then(|text| Object::from_json(text).ok());
        let _ = object.map(|object| objects::decrypt(vec![object], keys));
        let Some((plain, [high, low, change])) = bytes.split_last_chunk::<3>() else { return };
        let Some(mut sealed) = comes_back(format, plain, keys, recipient) else { return };
        let at = usize::from(u16::from_be_bytes([*high, *low])) % sealed.len();
        sealed[at] ^= change;
        let _ = decrypt(&sealed, format, keys);
    });
}

/// The file, encrypted and decrypted, if it can be. JSON always comes back; of the other formats, what stands in the place of a value may not fit there, as in
/// YAML's `[a, b]`, which SOPS itself never writes.
fn comes_back(format: Format, plain: &[u8], keys: &Keyring, recipient: &str) -> Option<Vec<u8>> {
    let options = Options {
        recipients: vec![vec![recipient.to_owned()]],
        last_modified: "2026-01-01T00:00:00Z".to_owned(),
        ..Options::default()
    };
    let sealed = encrypt(plain, format, &options).ok()?;
    let opened = decrypt(&sealed, format, keys);
    match format {
        Format::Json => {
            let paths = |bytes: &[u8]| {
                let document = std::str::from_utf8(bytes).ok().and_then(|text| format.read(text).ok());
                paths(&document.expect("it is JSON"))
            };
            assert_eq!(paths(plain), paths(&opened.expect("what was encrypted can be decrypted")));
        }
        Format::Binary => assert_eq!(opened, Ok(String::from_utf8_lossy(plain).into_owned().into_bytes())),
        Format::Yaml | Format::Dotenv | Format::Ini => drop(opened.ok()?),
    }
    Some(sealed)
}

/// Where the values of a file are.
fn paths(document: &Document) -> Vec<Vec<String>> {
    let values = document.leaves.iter().filter(|leaf| matches!(leaf.content, Content::Value(_)));
    values.map(|leaf| leaf.path.clone()).collect()
}

/// Attack 18 (Secrets), Attack 15 (YAML): what is in a SealedSecret and beside it. The first byte, as a digit, says what the rest is: an object, a template, a
/// sealed value, or a key.
pub fn sealed_secret(bytes: &[u8]) {
    static VALUES: LazyLock<Values> = LazyLock::new(|| {
        let values = [("user", "bob"), ("tls.key", "\"<\n>\u{2028}"), ("empty", "")];
        Values::from(values.map(|(key, value)| (key.to_owned(), Zeroizing::new(value.as_bytes().to_vec()))))
    });
    static KEYS: LazyLock<Keys> = LazyLock::new(|| {
        let key = RsaPrivateKey::new(&mut OsRng, 1024).and_then(|key| Ok(key.to_pkcs8_pem(LineEnding::LF)?));
        let mut keys = Keys::default();
        keys.add(key.expect("a key of RSA").as_bytes()).expect("a key of RSA");
        keys
    });
    let Some((what, bytes)) = bytes.split_first() else { return };
    match what.wrapping_sub(b'0') % 4 {
        0 => {
            let object = std::str::from_utf8(bytes).ok().and_then(|text| Object::from_json(text).ok());
            let Some(object) = object.filter(is_sealed) else { return };
            let _ = unseal(&object, None, &KEYS);
        }
        1 => {
            let Ok(template) = std::str::from_utf8(bytes) else { return };
            let filled = fill(template, &VALUES);
            if !template.contains("{{") {
                assert_eq!(filled.as_deref().map(Vec::as_slice), Ok(bytes), "text stays as it is");
            }
        }
        2 => {
            let _ = KEYS.open(bytes, "shop/db");
        }
        _ => {
            let _ = Keys::default().add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::fs;
    use std::path::Path;

    use super::*;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        let mut seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        seeds.sort();
        assert!(!seeds.is_empty());
        seeds.iter().map(|seed| fs::read(seed).unwrap()).collect()
    }

    #[test]
    fn the_seeds_do_no_harm() {
        seeds("sops-formats").iter().for_each(|seed| sops_formats(seed));
        seeds("sops-decrypt").iter().for_each(|seed| sops_decrypt(seed));
        seeds("sealed-secret").iter().for_each(|seed| sealed_secret(seed));
    }

    /// A target that never gets far finds nothing.
    #[test]
    fn the_seeds_get_far() {
        for format in FORMATS {
            let reads = |seed: &[u8]| {
                let (of, bytes) = file(seed).unwrap();
                of == format
                    && format
                        .read(std::str::from_utf8(bytes).unwrap())
                        .is_ok_and(|read| read.metadata.is_some())
            };
            assert!(seeds("sops-formats").iter().any(|seed| reads(seed)), "{format:?}");
            let comes_back = |seed: &[u8]| {
                let (of, bytes) = file(seed).unwrap();
                let plain = &bytes[..bytes.len() - 3];
                of == format && AGE.with(|(keys, who)| comes_back(format, plain, keys, who).is_some())
            };
            assert!(seeds("sops-decrypt").iter().any(|seed| comes_back(seed)), "{format:?}");
        }
    }
}
