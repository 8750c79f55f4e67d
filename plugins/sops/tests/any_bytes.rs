//! Whatever a file holds, reading it ends with an answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use plumb_sops::cipher::{DataKey, is_encrypted};
use plumb_sops::document::decrypt;
use plumb_sops::document::encrypt::{Options, encrypt};
use plumb_sops::format::{Content, Format};
use plumb_sops::keys::Keyring;
use plumb_sops::metadata::Metadata;
use proptest::prelude::*;

const FORMATS: [Format; 5] = [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini, Format::Binary];

/// Texts in which what means something to the formats is more frequent than by chance.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "sops",
        "sops:\n",
        "[sops]\n",
        "sops_",
        "sops_mac=",
        "mac",
        ": ",
        ":",
        "\n",
        " ",
        "    ",
        "\t",
        "- ",
        "#",
        "=",
        "|",
        ">",
        "|-\n",
        "---\n",
        "...\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "`",
        "\"\"\"",
        "\\",
        "\\n",
        "&a",
        "*a",
        "!!str ",
        "<<",
        "__list_",
        "__map_",
        "0",
        "9999999999",
        "1.5",
        "null",
        "true",
        "2026-01-01",
        "ENC[AES256_GCM,data:",
        ",iv:",
        ",tag:",
        ",type:str]",
        "\u{feff}",
        "é",
        "\0",
        "key",
    ]);
    let piece = prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_breaks_a_format(text in texts()) {
        for format in FORMATS {
            if let Ok(document) = format.read(&text) {
                for leaf in &document.leaves {
                    prop_assert!(text.get(leaf.span.clone()).is_some(), "{format:?} {:?}", leaf.span);
                    if let Content::Value(value) = &leaf.content {
                        let _ = format.spell(leaf, value);
                    }
                }
                for cut in &document.cut {
                    prop_assert!(text.get(cut.clone()).is_some());
                }
                let _ = document.metadata.as_ref().map(Metadata::read);
            }
            prop_assert!(decrypt(text.as_bytes(), format, &Keyring::default()).is_err());
        }
        let _ = (Format::of_encrypted(text.as_bytes()), is_encrypted(&text));
        let _ = DataKey::new(&[7; 32]).unwrap().decrypt(&text, "a:");
    }

    #[test]
    fn no_bytes_break_what_tells_formats_and_keys(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Format::of_encrypted(&bytes);
        for name in ["a.agekey", "a.asc", "sops.vault-token"] {
            let _ = Keyring::read([(name.to_owned(), bytes.clone())]);
        }
    }

    /// What can be encrypted comes back as it was, however odd it is.
    #[test]
    fn what_is_encrypted_comes_back(values in prop::collection::btree_map("[a-z]{1,8}", "\\PC{0,20}(\n\\PC{0,20}){0,3}", 1..5)) {
        use age::secrecy::ExposeSecret as _;
        let identity = age::x25519::Identity::generate();
        let file = identity.to_string().expose_secret().as_bytes().to_vec();
        let keys = Keyring::read([("a.agekey".to_owned(), file)]).unwrap();
        let recipients = vec![vec![identity.to_public().to_string()]];
        let options = Options { recipients, last_modified: "2026-01-01T00:00:00Z".to_owned(), ..Options::default() };
        let json = serde_json::to_string_pretty(&values).unwrap();
        let sealed = encrypt(json.as_bytes(), Format::Json, &options).unwrap();
        let plain = decrypt(&sealed, Format::Json, &keys).unwrap();
        prop_assert_eq!(serde_json::from_slice::<std::collections::BTreeMap<String, String>>(&plain).unwrap(), values.clone());

        let lines: String = values.iter().map(|(name, value)| format!("{name}: {}\n", serde_json::Value::from(value.as_str()))).collect();
        let sealed = encrypt(lines.as_bytes(), Format::Yaml, &options).unwrap();
        let plain = String::from_utf8(decrypt(&sealed, Format::Yaml, &keys).unwrap()).unwrap();
        let read = Format::Yaml.read(&plain).unwrap();
        let again: Vec<_> = read.leaves.iter().map(|leaf| match &leaf.content {
            Content::Value(value) => String::from_utf8_lossy(&value.to_bytes()).into_owned(),
            Content::Comment(_) => panic!("there is no comment in it"),
        }).collect();
        prop_assert_eq!(again, values.into_values().collect::<Vec<_>>(), "{}", plain);
    }
}
