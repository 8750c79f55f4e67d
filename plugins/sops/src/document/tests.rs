#![allow(clippy::unwrap_used, reason = "tests")]

use ::age::secrecy::ExposeSecret as _;
use ::age::x25519::Identity;

use super::encrypt::{Options, encrypt};
use super::{FileError, decrypt};
use crate::cipher::Undecryptable;
use crate::format::Format;
use crate::keys::Keyring;

const YAML: &str = "# why\napiVersion: v1\nkind: Secret\nmetadata:\n    name: db\ntype_unencrypted: Opaque\nstringData:\n    # the password\n    password: hunter2 # beside\n    port: 5432\n    tls: true\n    ratio: 0.5\n    since: 2026-01-01T00:00:00Z\n    pem: |\n        line one\n        line two\n    hosts:\n        - a\n        - \"1\"\n    empty: \"\"\n    none: null\n";
const JSON: &str = "{\n\t\"password\": \"hun\\\"ter2\",\n\t\"port\": 5432,\n\t\"list\": [\n\t\t\"a\",\n\t\tfalse\n\t],\n\t\"name_unencrypted\": \"db\"\n}\n";
const DOTENV: &str = "# why\nPASSWORD=hunter2\nTWO=a\\nb\nEMPTY=\n";
const INI: &str = "[db]\n; why\npassword = hunter2\nport     = 5432\nodd      = `a;b`\n";

fn identity() -> (Identity, Keyring) {
    let identity = Identity::generate();
    let file = identity.to_string().expose_secret().as_bytes().to_vec();
    (identity, Keyring::read([("a.agekey".to_owned(), file)]).unwrap())
}

fn options(identity: &Identity) -> Options {
    Options {
        recipients: vec![vec![identity.to_public().to_string()]],
        last_modified: "2026-01-01T00:00:00Z".to_owned(),
        ..Options::default()
    }
}

fn encrypted(text: &str, format: Format, options: &Options) -> String {
    String::from_utf8(encrypt(text.as_bytes(), format, options).unwrap()).unwrap()
}

#[test]
fn files_of_all_formats_come_back_as_they_were() {
    let (identity, keys) = identity();
    for (format, text) in [
        (Format::Yaml, YAML),
        (Format::Yaml, "a: 1\n---\nb: two\n"),
        (Format::Json, JSON),
        (Format::Dotenv, DOTENV),
        (Format::Ini, INI),
        (Format::Binary, "any\u{0} \"bytes\"\n"),
    ] {
        for mac_only_encrypted in [false, true] {
            let options = Options { mac_only_encrypted, ..options(&identity) };
            let sealed = encrypted(text, format, &options);
            assert!(!sealed.contains("hunter2") && !sealed.contains("5432"), "{sealed}");
            assert_eq!(Format::of_encrypted(sealed.as_bytes()), Some(format), "{sealed}");
            let plain =
                decrypt(sealed.as_bytes(), format, &keys).map_err(|error| format!("{error} {sealed}"));
            assert_eq!(String::from_utf8(plain.unwrap()).unwrap(), text);
        }
    }
}

#[test]
fn rules_say_what_is_encrypted() {
    let (identity, keys) = identity();
    for (rule, value, clear) in [
        ("encrypted_regex", "^stringData$", "name: db"),
        ("unencrypted_regex", "^metadata$", "name: db"),
        ("encrypted_suffix", "Data", "name: db"),
        ("unencrypted_suffix", "data", "name: db"),
        ("encrypted_comment_regex", "the password", "port: 5432"),
        ("unencrypted_comment_regex", "the password", "password: hunter2"),
    ] {
        let options = Options { rule: Some((rule, value.to_owned())), ..options(&identity) };
        let sealed = encrypted(YAML, Format::Yaml, &options);
        assert!(sealed.contains(clear) && sealed.contains("ENC["), "{rule}: {sealed}");
        assert_eq!(decrypt(sealed.as_bytes(), Format::Yaml, &keys).unwrap(), YAML.as_bytes(), "{rule}");
    }
}

#[test]
fn all_groups_are_needed_where_there_are_several() {
    let ((one, first), (two, second)) = (identity(), identity());
    let file = [&one, &two].map(|identity| identity.to_string().expose_secret().to_owned()).join("\n");
    let both = Keyring::read([("a.agekey".to_owned(), file.into_bytes())]).unwrap();
    let recipients = [&one, &two].map(|identity| vec![identity.to_public().to_string()]).to_vec();
    let sealed = encrypted(JSON, Format::Json, &Options { recipients, ..options(&one) });
    assert_eq!(decrypt(sealed.as_bytes(), Format::Json, &both).unwrap(), JSON.as_bytes());
    for alone in [first, second] {
        let told = decrypt(sealed.as_bytes(), Format::Json, &alone).unwrap_err().to_string();
        assert!(
            told.starts_with(
                "2 of its key groups are needed and the keys that were handed over open 1: age age1"
            ),
            "{told}"
        );
    }
}

// Attack 18 (Secrets): the MAC is removed, values are mixed, added, removed or changed.
#[test]
fn what_was_changed_is_refused_without_a_value() {
    let (identity, keys) = identity();
    let sealed = encrypted(YAML, Format::Yaml, &options(&identity));
    let refused = |text: String| {
        assert_ne!(text, sealed);
        let error = decrypt(text.as_bytes(), Format::Yaml, &keys).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        error
    };
    let line = |start: &str| {
        let line = sealed.lines().find(|line| line.trim_start().starts_with(start));
        line.unwrap().to_owned()
    };
    let mac = line("mac: ");
    assert!(matches!(refused(sealed.replace(&mac, "    version_: 1")), FileError::Metadata(_)));
    assert_eq!(refused(sealed.replace(&mac, "    mac: plain")), FileError::Mac);
    assert_eq!(refused(sealed.replace("Opaque", "Other")), FileError::Mac);
    assert_eq!(refused(sealed.replace(&format!("{}\n", line("port: ")), "")), FileError::Mac);
    let value = |start: &str| line(start).split_once(": ").unwrap().1.to_owned();
    assert_eq!(
        refused(sealed.replace(&value("port: "), &value("password: "))),
        FileError::Value("stringData.port".to_owned(), Undecryptable::Changed)
    );
    assert_eq!(
        refused(sealed.replace(&value("port: "), "5432")),
        FileError::Value("stringData.port".to_owned(), Undecryptable::NotEncrypted)
    );
    let other = encrypted(YAML, Format::Yaml, &options(&identity));
    let foreign = other.lines().find(|line| line.trim_start().starts_with("password: ")).unwrap();
    assert!(matches!(
        refused(sealed.replace(&line("password: "), foreign)),
        FileError::Value(_, Undecryptable::Changed)
    ));
}

#[test]
fn keys_of_ssh_open_files() {
    let folder = std::env::temp_dir().join(format!("plumb-sops-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for kind in ["ed25519", "rsa"] {
        let path = folder.join(kind);
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-N", "", "-f"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        let recipient = std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned();
        let keys = Keyring::read([("ssh.agekey".to_owned(), std::fs::read(&path).unwrap())]).unwrap();
        let options = Options {
            recipients: vec![vec![recipient]],
            last_modified: "2026-01-01T00:00:00Z".to_owned(),
            ..Options::default()
        };
        let sealed = encrypted(JSON, Format::Json, &options);
        assert_eq!(decrypt(sealed.as_bytes(), Format::Json, &keys).unwrap(), JSON.as_bytes());
    }
    std::fs::remove_dir_all(folder).unwrap();
}
