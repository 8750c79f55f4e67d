use plumb_api::Object;
use plumb_lint::lint_rendered;
use rstest::rstest;
use serde_json::json;

use crate::repository::{lint, rules, told};

const VALUE: &str = "hunter2";

fn secret(body: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\n{body}")
}

const SOPS: &str = "sops:\n  mac: ENC[AES256_GCM,data:a]\n";

#[rstest]
#[case::text("stringData:\n  password: hunter2\n", true)]
#[case::base64("data:\n  password: aHVudGVyMg==\n", true)]
#[case::not_text("stringData:\n  password: 12345678\n", true)]
#[case::encrypted("stringData:\n  password: ENC[AES256_GCM,data:abc]\nsops:\n  mac: x\n", false)]
#[case::empty("stringData:\n  password: ''\n", false)]
#[case::nothing("type: Opaque\n", false)]
#[case::a_variable("stringData:\n  password: ${password}\n", false)]
#[case::none("data:\n", false)]
fn a_secret_in_a_file(#[case] body: &str, #[case] is_plain: bool) {
    let findings = lint(&[("a.yaml", &secret(body))]);
    let expected: &[&str] = if is_plain { &["plain-secret"] } else { &[] };
    assert_eq!(rules(&findings), expected);
    let text = format!("{findings:?}");
    assert!(!text.contains(VALUE) && !text.contains("aHVudGVyMg==") && !text.contains("12345678"), "{text}");
}

#[test]
fn a_secret_that_is_encrypted_in_part_names_the_rest() {
    let text = secret(&format!("stringData:\n  user: hunter2\n  password: ENC[AES256_GCM,data:abc]\n{SOPS}"));
    insta::assert_snapshot!(told(&lint(&[("a.yaml", &text)])), @"a.yaml:5: error: Secret/login: it is encrypted by SOPS, but not all of it: stringData.user can be read by anybody who can read the repository [plain-secret]");
}

#[test]
fn what_a_generator_makes_secrets_of() {
    let kustomization = "\
secretGenerator:
- name: login
  literals:
  - user=
  - password=hunter2
  - token=${token}
  files: [key.pem, sealed=sealed.json]
  envs: [.env]
- name: fine
  files: [sealed.json]
";
    let findings = lint(&[
        ("app/kustomization.yaml", kustomization),
        ("app/key.pem", "-----BEGIN"),
        ("app/sealed.json", r#"{"data": "ENC[AES256_GCM,data:abc]", "sops": {}}"#),
        ("app/.env", "A=ENC[AES256_GCM,data:abc]\nsops_mac=ENC[AES256_GCM,data:abc]\n"),
    ]);
    insta::assert_snapshot!(told(&findings), @"app/kustomization.yaml:1: error: Secret/login: secretGenerator makes it of what is not encrypted: the literal password, the file key.pem can be read by anybody who can read the repository [plain-secret]");
}

#[test]
fn a_secret_that_was_rendered() {
    let secret = |value: &str| {
        let value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "b"}, "data": {"key": value}});
        Object::new(value).unwrap()
    };
    let findings = lint_rendered(&[secret("aHVudGVyMg==")]);
    assert_eq!((rules(&findings), &*findings[0].object), (vec!["plain-secret"], "Secret/b/a"));
    // What a generator makes of a file that SOPS has encrypted: `{"data":"ENC[AES256_GCM,data:x]","sops":{}}`.
    assert!(
        lint_rendered(&[secret("eyJkYXRhIjoiRU5DW0FFUzI1Nl9HQ00sZGF0YTp4XSIsInNvcHMiOnt9fQ==")]).is_empty()
    );
}

#[test]
fn a_password_in_the_wrong_field_is_not_quoted() {
    let text = crate::repository::kustomization("a", "postBuild:\n  substitute:\n    password: 31415926");
    let findings = lint(&[("a.yaml", &text)]);
    insta::assert_snapshot!(told(&findings), @"a.yaml:6: error: Kustomization/flux-system/a: invalid type: integer, expected a string [invalid]");
}
