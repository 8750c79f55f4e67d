//! The transit engine of Vault and OpenBao (<https://developer.hashicorp.com/vault/api-docs/secret/transit#decrypt-data>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumbline_plugin::http::{self, Request};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// The token that was handed over, if one was. Else the host may have one for the server.
#[derive(Default)]
pub(super) struct Vault {
    token: Option<Zeroizing<String>>,
}

impl Vault {
    pub(super) fn add(&mut self, token: &[u8]) -> Result<(), &'static str> {
        let token = std::str::from_utf8(token).map_err(|_| "it is not text")?.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it is no token of Vault");
        }
        self.token = Some(Zeroizing::new(token.to_owned()));
        Ok(())
    }

    /// What a server says that a data key is. The host sends requests to those servers only that the operator allows.
    pub(super) fn open(
        &self,
        address: &str,
        engine: &str,
        name: &str,
        enc: &str,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        if !is_path(engine) || !is_path(name) {
            return Err("its path is not one of a transit engine".to_owned());
        }
        let url = format!("{}/v1/{engine}/decrypt/{name}", address.trim_end_matches('/'));
        let mut request = Request::new("POST", url).header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("x-vault-token", token.as_bytes());
        }
        let request = request.body(json!({ "ciphertext": enc }).to_string());
        let response = http::send(request).map_err(|error| error.message)?;
        match response.status {
            200 => {}
            400 => return Err("Vault says that it cannot decrypt the data key".to_owned()),
            403 if self.token.is_none() => {
                return Err("Vault does not let whoever decrypts use this key; no token was handed over under sops.vault-token".to_owned());
            }
            403 => return Err("Vault does not let the token decrypt with this key".to_owned()),
            404 => return Err("Vault has no such transit engine or key".to_owned()),
            status => return Err(format!("Vault answers with the status {status}")),
        }
        let body = Zeroizing::new(response.body);
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        let plain = answer.as_ref().and_then(|answer| answer.pointer("/data/plaintext")?.as_str());
        let plain = plain.and_then(|plain| STANDARD.decode(plain).ok());
        plain.map(Zeroizing::new).ok_or_else(|| "Vault's answer is not that of a transit engine".to_owned())
    }
}

/// Names with slashes between them, which lead nowhere else.
fn is_path(path: &str) -> bool {
    let is_name = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    path.trim_matches('/').split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use plumbline_plugin::http::{Refused, Response};
    use plumbline_plugin::testing::Host;

    use super::*;

    /// A server with a key that turns bytes around.
    fn transit(request: &Request) -> Result<Response, Refused> {
        if !request.url.starts_with("https://vault.example.com:8200/") {
            return Err(Refused::Denied("it is not on the list".to_owned()));
        }
        let says = |status, body: Value| {
            Ok(Response { status, headers: Vec::new(), body: body.to_string().into_bytes() })
        };
        let token = request.headers.iter().find(|(name, _)| name == "x-vault-token");
        if token.is_none_or(|(_, token)| token != b"s.token") {
            return says(403, json!({"errors": ["permission denied"]}));
        }
        if request.url != "https://vault.example.com:8200/v1/team/transit/decrypt/sops"
            || request.method != "POST"
        {
            return says(404, json!({"errors": []}));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        match body["ciphertext"].as_str().unwrap().strip_prefix("vault:v1:") {
            Some(key) => says(200, json!({"data": {"plaintext": key.chars().rev().collect::<String>()}})),
            None => says(400, json!({"errors": ["invalid ciphertext hunter2"]})),
        }
    }

    fn opened(token: &str, address: &str, engine: &str, enc: &str) -> Result<Vec<u8>, String> {
        let mut vault = Vault::default();
        if !token.is_empty() {
            vault.add(token.as_bytes()).unwrap();
        }
        let run = || vault.open(address, engine, "sops", enc).map(|key| key.to_vec());
        Host::default().http(transit).run(run).result
    }

    // Attack 18 (Secrets): an address that the operator has not listed, and paths that lead to other parts of Vault.
    #[test]
    fn a_transit_engine_is_asked_and_nothing_else() {
        const HERE: &str = "https://vault.example.com:8200";
        let enc = format!("vault:v1:{}", STANDARD.encode("a data key!!").chars().rev().collect::<String>());
        assert_eq!(
            opened("s.token\n", &format!("{HERE}/"), "team/transit", &enc),
            Ok(b"a data key!!".to_vec())
        );
        let refused = |token: &str, address: &str, engine: &str, enc: &str| {
            opened(token, address, engine, enc).unwrap_err()
        };
        assert_eq!(
            refused("other", HERE, "team/transit", &enc),
            "Vault does not let the token decrypt with this key"
        );
        assert_eq!(refused("s.token", HERE, "transit", &enc), "Vault has no such transit engine or key");
        assert_eq!(
            refused("s.token", HERE, "team/transit", "x"),
            "Vault says that it cannot decrypt the data key"
        );
        for engine in ["../sys", "transit/../../sys", "a?b", "a%2f", "", "a//b"] {
            assert_eq!(
                refused("s.token", HERE, engine, &enc),
                "its path is not one of a transit engine",
                "{engine}"
            );
        }
        let elsewhere = refused("s.token", "https://evil.example.com", "team/transit", &enc);
        assert_eq!(elsewhere, "the request was not sent: it is not on the list");
        assert_eq!(
            refused("", HERE, "team/transit", &enc),
            "Vault does not let whoever decrypts use this key; no token was handed over under sops.vault-token"
        );
    }
}
