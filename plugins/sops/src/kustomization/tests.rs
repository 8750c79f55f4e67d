#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use ::age::secrecy::ExposeSecret as _;
use ::age::x25519::Identity;
use plumbline_plugin::{Errors, Tree};

use super::{Overlay, Parameters, decrypt};
use crate::document::encrypt::{Options, encrypt};
use crate::format::Format;
use crate::keys::Keyring;

struct Repository {
    identity: Identity,
    files: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    fn new() -> Self {
        Self { identity: Identity::generate(), files: BTreeMap::new() }
    }

    fn plain(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.as_bytes().to_vec());
        self
    }

    fn encrypted(mut self, path: &str, format: Format, text: &str) -> Self {
        let options = Options {
            recipients: vec![vec![self.identity.to_public().to_string()]],
            last_modified: "2026-01-01T00:00:00Z".to_owned(),
            ..Options::default()
        };
        self.files.insert(path.to_owned(), encrypt(text.as_bytes(), format, &options).unwrap());
        self
    }

    fn keys(&self) -> Keyring {
        let file = self.identity.to_string().expose_secret().as_bytes().to_vec();
        Keyring::read([("a.agekey".to_owned(), file)]).unwrap()
    }

    fn decrypt(&self, path: &str, components: &[&str]) -> Result<BTreeMap<String, String>, Errors> {
        let tree = Tree::in_memory(self.files.clone());
        let overlay = Overlay { components: components.iter().map(|path| (*path).to_owned()).collect() };
        let parameters = Parameters { path: path.to_owned(), overlay };
        let files = decrypt(&tree, &parameters, || Ok(self.keys()))?;
        Ok(files.into_iter().map(|file| (file.path, String::from_utf8(file.content).unwrap())).collect())
    }
}

#[test]
fn what_generators_and_patches_name_is_decrypted_and_nothing_else() {
    let repository = Repository::new()
        .plain(
            "app/kustomization.yaml",
            "resources: [../base, secret.yaml, https://example.com/x]\ncomponents: [../part]\nsecretGenerator:\n- name: a\n  envs: [.env, plain.env]\n  files: [config.json, .dockerconfigjson=docker.enc, key.pem=key.enc]\npatches:\n- path: patch.yaml\n- patch: '{}'\n",
        )
        .encrypted("app/.env", Format::Dotenv, "A=1\n")
        .plain("app/plain.env", "B=2\n")
        .encrypted("app/config.json", Format::Json, "{\n\t\"a\": \"b\"\n}\n")
        .encrypted("app/docker.enc", Format::Json, "{\n\t\"data\": \"auths\"\n}\n")
        .encrypted("app/key.enc", Format::Binary, "-----BEGIN-----\n")
        .encrypted("app/patch.yaml", Format::Yaml, "spec:\n    a: b\n")
        .encrypted("app/secret.yaml", Format::Yaml, "kind: Secret\n")
        .plain("base/kustomization.yml", "configMapGenerator: [{name: c, env: base.env}]\n")
        .encrypted("base/base.env", Format::Dotenv, "C=3\n")
        .plain("part/Kustomization", "secretGenerator: [{name: d, files: [d.ini]}]\n")
        .encrypted("part/d.ini", Format::Ini, "[a]\nb = c\n")
        .encrypted("other.env", Format::Dotenv, "D=4\n");
    let expected = BTreeMap::from(
        [
            ("app/.env", "A=1\n"),
            ("app/config.json", "{\n\t\"a\": \"b\"\n}\n"),
            ("app/docker.enc", "{\n\t\"data\": \"auths\"\n}\n"),
            ("app/key.enc", "-----BEGIN-----\n"),
            ("app/patch.yaml", "spec:\n    a: b\n"),
            ("base/base.env", "C=3\n"),
            ("part/d.ini", "[a]\nb = c\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned())),
    );
    assert_eq!(repository.decrypt("./app", &[]), Ok(expected));
    assert_eq!(repository.decrypt("nowhere", &[]), Ok(BTreeMap::new()));
}

#[test]
fn a_directory_without_a_kustomization_has_those_below_it() {
    let repository = Repository::new()
        .plain("apps/a/kustomization.yaml", "secretGenerator: [{name: a, envs: [a.env]}]\n")
        .encrypted("apps/a/a.env", Format::Dotenv, "A=1\n")
        .plain("parts/kustomization.yaml", "secretGenerator: [{name: b, envs: [b.env]}]\n")
        .encrypted("parts/b.env", Format::Dotenv, "B=2\n");
    let paths =
        |components: &[&str]| repository.decrypt("apps", components).unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(paths(&[]), ["apps/a/a.env"]);
    assert_eq!(paths(&["../parts", "../none"]), ["apps/a/a.env", "parts/b.env"]);
}

// Attack 18 (Secrets): the MAC of a file is not that of its values.
#[test]
fn every_file_that_cannot_be_decrypted_is_told_without_a_value() {
    let mut repository = Repository::new()
        .plain("kustomization.yaml", "secretGenerator: [{name: a, envs: [a.env, b.env]}]\n")
        .encrypted("a.env", Format::Dotenv, "A=hunter2\nB=3\n")
        .encrypted("b.env", Format::Dotenv, "A=hunter2\n");
    let text = String::from_utf8(repository.files["a.env"].clone()).unwrap();
    let without: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    repository.files.insert("a.env".to_owned(), without.into_bytes());
    repository.identity = Identity::generate();
    let told = |repository: &Repository| {
        let errors = repository.decrypt("", &[]).unwrap_err();
        errors.into_iter().map(|error| error.to_string()).collect::<Vec<_>>()
    };
    let both = told(&repository);
    assert!(
        both.len() == 2
            && both[0].starts_with(
                "a.env: it cannot be decrypted: no key that was handed over decrypts it: age age1"
            ),
        "{both:?}"
    );

    let mut repository = Repository::new()
        .plain("kustomization.yaml", "secretGenerator: [{name: a, envs: [a.env]}]\n")
        .encrypted("a.env", Format::Dotenv, "A=hunter2\nB=3\n");
    let text = String::from_utf8(repository.files["a.env"].clone()).unwrap();
    let without: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    repository.files.insert("a.env".to_owned(), without.into_bytes());
    assert_eq!(
        told(&repository),
        [
            "a.env: it cannot be decrypted: its MAC is not that of its values: somebody has changed, added, removed or moved some after SOPS wrote it"
        ]
    );
}
