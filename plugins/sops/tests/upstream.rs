//! Files that upstream's `sops` has written are decrypted by this crate, byte for byte as upstream decrypts them, and the reverse. Its programs are built by
//! `cargo xtask servers`; a test that does not find them fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgp::composed::{
    ArmorOptions, EncryptionCaps, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
    SubkeyParamsBuilder,
};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::ser::Serialize as _;
use pgp::types::KeyDetails as _;
use plumb_sops::document::decrypt;
use plumb_sops::document::encrypt::{Options, encrypt};
use plumb_sops::format::Format;
use plumb_sops::keys::Keyring;
use plumbline_plugin::http::{Request, Response};
use plumbline_plugin::testing::Host;
use serde_json::{Value, json};

const YAML: &str = "# why\napiVersion: v1\nkind: Secret\nmetadata:\n    name: db\n    created: 2026-01-01\nstringData:\n    # the password\n    password: hunter2\n    port: 5432\n    big: 12345678901\n    octal: 0644\n    hex: 0x1F\n    tls: true\n    \"no\": \"no\"\n    ratio: 0.50\n    small: 1e-7\n    since: 2026-01-01T10:00:00Z\n    quoted: 'it''s'\n    colon: 'a: b'\n    hash: 'a #b'\n    space: ' a '\n    tab: \"a\\tb\"\n    text: |\n        line one\n          line two\n\n        line three\n    stripped: |-\n        one\n        two\n    kept: |+\n        one\n\n    folded: >\n        one\n        two\n    unicode: grüße ✓\n    lists:\n        - a\n        - \"1\"\n        - |\n            in a list\n            two lines\n        - b: c\n          d: |\n            deep\n            er\n        - - nested\n    map_unencrypted:\n        a: 1\n    empty: \"\"\n    none: null\n    nothing: {}\n---\nsecond: document\n";
const JSON: &str = "{\n\t\"password\": \"hun\\\"ter2\",\n\t\"port\": 5432,\n\t\"ratio\": 0.5,\n\t\"html\": \"\\u003c\\u0026\\u003e\",\n\t\"list\": [\n\t\t\"a\",\n\t\tfalse,\n\t\tnull,\n\t\t{\n\t\t\t\"b\": \"grüße\"\n\t\t}\n\t],\n\t\"empty\": \"\",\n\t\"name_unencrypted\": \"db\"\n}\n";
const DOTENV: &str = "# why\nPASSWORD=hunter2\nTWO=a\\nb\nEMPTY=\nQUOTED=\"a b\"\nEQUALS=a=b\n";
const INI: &str =
    "[db]\n; why\npassword = hunter2\nport = 5432\nquoted = `a;b`\n\n[other section]\nkey = a b\n";
const BINARY: &str = "-----BEGIN THING-----\n\"any\" bytes\\n\n";

const FILES: [(Format, &str, &str); 5] = [
    (Format::Yaml, "yaml", YAML),
    (Format::Json, "json", JSON),
    (Format::Dotenv, "dotenv", DOTENV),
    (Format::Ini, "ini", INI),
    (Format::Binary, "binary", BINARY),
];

fn program(name: &str) -> PathBuf {
    let directory = std::env::var_os("PLUMB_TEST_SOPS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/sops"), PathBuf::from);
    directory.join(name)
}

fn sops(arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> String {
    let mut child = Command::new(program("sops"))
        .args(arguments)
        .arg("/dev/stdin")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("target/sops/sops is missing; run `cargo xtask servers`");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Age {
    file: String,
    recipient: String,
}

impl Age {
    fn generate() -> Self {
        let output = Command::new(program("age-keygen")).output().expect("run `cargo xtask servers`");
        let file = String::from_utf8(output.stdout).unwrap();
        let recipient = file.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
        Self { file, recipient }
    }

    fn keys(&self) -> Keyring {
        Keyring::read([("a.agekey".to_owned(), self.file.clone().into_bytes())]).unwrap()
    }

    fn secret(&self) -> &str {
        self.file.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap()
    }
}

/// Compares line by line, which tells more.
fn same(ours: &str, theirs: &str, what: &str) {
    for (number, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
        assert_eq!(ours, theirs, "{what}, line {}", number + 1);
    }
    assert_eq!(ours, theirs, "{what}");
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_upstream_encrypts_is_decrypted_as_upstream_does() {
    let age = Age::generate();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join(".sops.yaml");
    std::fs::write(
        &config,
        format!("creation_rules:\n  - age: {}\n    mac_only_encrypted: true\n", age.recipient),
    )
    .unwrap();
    let rules: [&[&str]; 6] = [
        &[],
        &["--encrypted-regex", "^(stringData|password|second|key)$"],
        &["--unencrypted-regex", "^(metadata|port)$"],
        &["--encrypted-suffix", "Data"],
        &["--unencrypted-suffix", "_unencrypted"],
        &["--filename-override", "a"],
    ];
    for (format, kind, plain) in FILES {
        for more in rules {
            let types = ["--input-type", kind, "--output-type", kind];
            // What no flag says is in a configuration, which flags for keys would go before.
            let is_configured = more.contains(&"--filename-override");
            let configured = [("SOPS_CONFIG", config.to_str().unwrap())];
            let recipient = ["--age", &age.recipient];
            let (keys, variables) =
                if is_configured { (&[][..], &configured[..]) } else { (&recipient[..], &[][..]) };
            let arguments = [&["encrypt"], keys, &types[..], more].concat();
            let sealed = sops(&arguments, plain, variables);
            assert_eq!(sealed.contains("mac_only_encrypted"), is_configured && format != Format::Binary);
            let expected =
                sops(&[&["decrypt"], &types[..]].concat(), &sealed, &[("SOPS_AGE_KEY", age.secret())]);
            let ours = decrypt(sealed.as_bytes(), format, &age.keys());
            let ours = ours.unwrap_or_else(|error| panic!("{kind} {more:?}: {error}\n{sealed}"));
            same(&text(ours), &expected, &format!("{kind} {more:?}"));
            if sealed.contains("ENC[AES256_GCM,") {
                assert_eq!(Format::of_encrypted(sealed.as_bytes()), Some(format), "{sealed}");
            }
        }
    }
}

#[test]
fn what_this_crate_encrypts_is_decrypted_by_upstream() {
    let age = Age::generate();
    let rules = [
        None,
        Some(("encrypted_regex", "^(stringData|password|key)$")),
        Some(("unencrypted_suffix", "port")),
    ];
    for (format, kind, plain) in FILES {
        for (rule, mac_only_encrypted) in rules.into_iter().zip([false, true, false]) {
            let options = Options {
                recipients: vec![vec![age.recipient.clone()]],
                rule: rule.map(|(name, value)| (name, value.to_owned())),
                mac_only_encrypted,
                last_modified: "2026-01-01T00:00:00Z".to_owned(),
            };
            let sealed = text(encrypt(plain.as_bytes(), format, &options).unwrap());
            let arguments = ["decrypt", "--input-type", kind, "--output-type", kind];
            let upstream = sops(&arguments, &sealed, &[("SOPS_AGE_KEY", age.secret())]);
            let ours = text(decrypt(sealed.as_bytes(), format, &age.keys()).unwrap());
            // Upstream aligns what is in INI, and writes numbers of YAML in one form.
            match format {
                Format::Yaml => {
                    assert!(upstream.contains("password: hunter2") && ours.contains("password: hunter2"));
                }
                Format::Ini => {
                    assert_eq!((upstream.replace(' ', ""), &*ours), (plain.replace(' ', ""), plain))
                }
                _ => assert_eq!((&*upstream, &*ours), (plain, plain)),
            }
        }
    }
}

#[test]
fn key_groups_are_those_of_upstream() {
    let all = [Age::generate(), Age::generate(), Age::generate()];
    let folder = tempfile::tempdir().unwrap();
    let groups: String = all.iter().map(|age| format!("      - age: [{}]\n", age.recipient)).collect();
    let config = folder.path().join(".sops.yaml");
    std::fs::write(&config, format!("creation_rules:\n  - shamir_threshold: 2\n    key_groups:\n{groups}"))
        .unwrap();
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "encrypt",
        "--input-type",
        "json",
        "--output-type",
        "json",
        "--filename-override",
        "a.json",
    ];
    let sealed = sops(&arguments, JSON, &[]);
    let ring = |ages: &[&Age]| {
        let files = ages.iter().enumerate();
        Keyring::read(files.map(|(index, age)| (format!("{index}.agekey"), age.file.clone().into_bytes())))
            .unwrap()
    };
    for pair in [[0, 1], [2, 0], [1, 2]] {
        let keys = ring(&pair.map(|index: usize| &all[index]));
        let plain = text(decrypt(sealed.as_bytes(), Format::Json, &keys).unwrap());
        assert!(plain.contains("hun\\\"ter2"), "{plain}");
    }
    assert!(decrypt(sealed.as_bytes(), Format::Json, &ring(&[&all[1]])).is_err());

    let options = Options {
        recipients: all.iter().map(|age| vec![age.recipient.clone()]).collect(),
        last_modified: "2026-01-01T00:00:00Z".to_owned(),
        ..Options::default()
    };
    let ours = text(encrypt(DOTENV.as_bytes(), Format::Dotenv, &options).unwrap());
    let secrets = all.iter().map(Age::secret).collect::<Vec<_>>().join("\n");
    let arguments = ["decrypt", "--input-type", "dotenv", "--output-type", "dotenv"];
    assert_eq!(sops(&arguments, &ours, &[("SOPS_AGE_KEY", &secrets)]), DOTENV);
}

/// A key of OpenPGP, and the home of GnuPG with it, in the files that upstream reads itself.
fn openpgp(home: &Path) -> SignedSecretKey {
    let subkey = SubkeyParamsBuilder::default()
        .key_type(KeyType::ECDH(ECCCurve::Curve25519Legacy))
        .can_encrypt(EncryptionCaps::All)
        .build()
        .unwrap();
    let parameters = SecretKeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_sign(true)
        .can_certify(true)
        .primary_user_id("Test <test@example.com>".to_owned())
        .subkeys(vec![subkey])
        .build()
        .unwrap();
    let key = parameters.generate(rand::rngs::OsRng).unwrap();
    std::fs::write(home.join("secring.gpg"), key.to_bytes().unwrap()).unwrap();
    std::fs::write(home.join("pubring.gpg"), SignedPublicKey::from(key.clone()).to_bytes().unwrap()).unwrap();
    key
}

#[test]
fn keys_of_openpgp_open_what_upstream_encrypts_and_the_reverse() {
    let home = tempfile::tempdir().unwrap();
    let key = openpgp(home.path());
    let armoured = key.to_armored_string(ArmorOptions::default()).unwrap();
    let keys = Keyring::read([("a.asc".to_owned(), armoured.into_bytes())]).unwrap();
    let fingerprint = format!("{:X}", key.fingerprint());
    // No program of GnuPG is run.
    let variables = [("GNUPGHOME", home.path().to_str().unwrap()), ("SOPS_GPG_EXEC", "/nonexistent")];
    let types = ["--input-type", "json", "--output-type", "json"];
    let sealed = sops(&[&["encrypt", "--pgp", &fingerprint], &types[..]].concat(), JSON, &variables);
    assert!(text(decrypt(sealed.as_bytes(), Format::Json, &keys).unwrap()).contains("hun\\\"ter2"));

    let public = SignedPublicKey::from(key).to_armored_string(ArmorOptions::default()).unwrap();
    let options = Options {
        recipients: vec![vec![public]],
        last_modified: "2026-01-01T00:00:00Z".to_owned(),
        ..Options::default()
    };
    let ours = text(encrypt(DOTENV.as_bytes(), Format::Dotenv, &options).unwrap());
    let arguments = ["decrypt", "--input-type", "dotenv", "--output-type", "dotenv"];
    assert_eq!(sops(&arguments, &ours, &variables), DOTENV);

    let nobody = decrypt(sealed.as_bytes(), Format::Json, &Keyring::default()).unwrap_err().to_string();
    assert!(nobody.contains(&format!("PGP {fingerprint}: no key of OpenPGP was handed over")), "{nobody}");
    let wrong = Keyring::read([("a.asc".to_owned(), b"hunter2".to_vec())]).map(drop).unwrap_err();
    assert!(wrong.as_slice()[0].to_string().contains("it is no armoured private key of OpenPGP"));
}

/// Key services of AWS and Google with one key each: what they encrypt has the name of the key and the context before it.
fn key_service(path: &str, target: &str, body: &Value) -> Option<Value> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    // None and an empty one are the same.
    let context = body.get("EncryptionContext").map_or_else(|| "{}".to_owned(), Value::to_string);
    let text = |field: &str| String::from_utf8(STANDARD.decode(body[field].as_str()?).ok()?).ok();
    let seal = |name: &str, field| {
        let plain = body[field].as_str()?;
        Some(STANDARD.encode(format!("{name}\n{context}\n{plain}")))
    };
    let open = |name: &str, field| {
        let sealed = text(field)?;
        let mut lines = sealed.splitn(3, '\n');
        let is_right = lines.next() == Some(name) && lines.next()? == context;
        lines.next().filter(|_| is_right).map(str::to_owned)
    };
    match (path.rsplit_once(':'), target) {
        (_, "TrentService.Encrypt") => {
            Some(json!({"CiphertextBlob": seal(body["KeyId"].as_str()?, "Plaintext")?}))
        }
        (Some((key, "encrypt")), _) => Some(json!({"ciphertext": seal(key, "plaintext")?})),
        (Some((key, "decrypt")), _) => Some(json!({"plaintext": open(key, "ciphertext")?})),
        _ => Some(json!({"Plaintext": open(body["KeyId"].as_str()?, "CiphertextBlob")?})),
    }
}

/// Serves them to upstream, over HTTP, for as long as the test runs; where.
fn served() -> String {
    fn answer(stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let path = first.split(' ').nth(1)?.split('?').next()?.to_owned();
        let (mut target, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => {
                    target = value.trim().to_owned()
                }
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok()?;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let answer = key_service(&path, &target, &serde_json::from_slice(&body).ok()?)?.to_string();
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
        write!(&stream, "{head} {}\r\n\r\n{answer}", answer.len()).ok()
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().flatten().map(answer).count());
    origin
}

/// Runs with the key services that a guest reaches through the host.
fn with_key_services<T>(run: impl FnOnce() -> T) -> T {
    let answer = |request: &Request| {
        let path = request.url.trim_start_matches("https://cloudkms.googleapis.com");
        let answer = key_service(path, "", &serde_json::from_slice(&request.body).unwrap());
        let status = if answer.is_some() { 200 } else { 400 };
        let body = answer.unwrap_or_default().to_string().into_bytes();
        Ok(Response { status, headers: Vec::new(), body })
    };
    Host::default().http(answer).run(run).result
}

#[test]
fn what_key_services_have_encrypted_for_upstream_is_decrypted() {
    let origin = served();
    let variables = [
        ("AWS_ENDPOINT_URL_KMS", &*origin),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("SOPS_GCP_KMS_ENDPOINT", &origin),
        ("SOPS_GCP_KMS_CLIENT_TYPE", "rest"),
        ("GOOGLE_OAUTH_ACCESS_TOKEN", "token"),
    ];
    let aws =
        ["--kms", "arn:aws:kms:eu-west-1:111122223333:key/1", "--encryption-context", "app:shop,tier:web"];
    let plain_aws = ["--kms", "arn:aws:kms:eu-west-1:111122223333:alias/sops"];
    let google = ["--gcp-kms", "projects/shop/locations/global/keyRings/sops/cryptoKeys/key"];
    for keys in [&aws[..], &plain_aws, &google] {
        for (format, kind, plain) in FILES {
            let types = ["--input-type", kind, "--output-type", kind];
            let sealed = sops(&[&["encrypt"], keys, &types[..]].concat(), plain, &variables);
            let expected = sops(&[&["decrypt"], &types[..]].concat(), &sealed, &variables);
            let ours = with_key_services(|| decrypt(sealed.as_bytes(), format, &Keyring::default()));
            let ours = ours.unwrap_or_else(|error| panic!("{kind} {keys:?}: {error}\n{sealed}"));
            same(&text(ours), &expected, &format!("{kind} {keys:?}"));
            let nobody = decrypt(sealed.as_bytes(), format, &Keyring::default()).unwrap_err().to_string();
            assert!(nobody.contains(keys[1]) && nobody.contains("the request was not sent"), "{nobody}");
        }
    }
}
