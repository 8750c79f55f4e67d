//! Azure Key Vault (<https://learn.microsoft.com/en-us/rest/api/keyvault/keys/decrypt/decrypt>).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plumbline_plugin::http::Request;
use serde_json::json;
use zeroize::Zeroizing;

use super::service::{Answer, ask, is_name};

/// What the names of vaults end in. The host adds a token for these and for no others; what is not among them is told here with a better reason.
const VAULTS: [&str; 6] = [
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
    "managedhsm.azure.net",
    "managedhsm.azure.cn",
    "managedhsm.usgovcloudapi.net",
];

/// What the service says that a data key is.
pub(super) fn open(vault: &str, name: &str, version: &str, enc: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let host = host(vault).ok_or("that is no vault of Azure, whose address ends in .vault.azure.net")?;
    if !is_name(name, "-") || !(version.is_empty() || is_name(version, "-")) {
        return Err("that is no name of a key and its version".to_owned());
    }
    let url = format!("https://{host}/keys/{name}/{version}/decrypt?api-version=7.4");
    let answer = ask(Request::new("POST", url), &json!({"alg": "RSA-OAEP-256", "value": enc}))?;
    if answer.status != 200 {
        return Err(refusal(&answer));
    }
    let plain = answer.text("/value").and_then(|plain| URL_SAFE_NO_PAD.decode(&*plain).ok());
    plain
        .map(Zeroizing::new)
        .ok_or_else(|| "the answer of Azure Key Vault is not that to a decryption".to_owned())
}

/// `https://NAME.vault.azure.net/`.
fn host(vault: &str) -> Option<String> {
    let host = vault.strip_prefix("https://")?;
    let host = host.strip_suffix('/').unwrap_or(host).to_ascii_lowercase();
    let (name, domain) = host.split_once('.')?;
    (is_name(name, "-") && VAULTS.contains(&domain)).then_some(host)
}

fn refusal(answer: &Answer) -> String {
    let user = &answer.user;
    match answer.status {
        400 => "Azure Key Vault says that this key has not encrypted the data key".to_owned(),
        401 => format!("Azure does not take the credentials of {user}: they are wrong, or over"),
        403 => format!(
            "Azure Key Vault does not let {user} decrypt with this key; give it the role Key Vault Crypto User, or the permission to decrypt"
        ),
        404 => "Azure Key Vault has no such key, or not in this version".to_owned(),
        status => format!("Azure Key Vault answers with the status {status}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::Value;

    use super::super::service::tests::answering;
    use super::*;

    const VAULT: &str = "https://shop.vault.azure.net";

    /// A vault with one key, which turns bytes around.
    fn vault(request: &Request, body: Value) -> (u16, Value) {
        if !request.url.starts_with("https://shop.vault.azure.net/keys/sops/0123abcd/decrypt?api-version=7.4")
        {
            return (404, json!({"error": {"code": "KeyNotFound", "message": "hunter2"}}));
        }
        assert_eq!(body["alg"], "RSA-OAEP-256");
        let sealed = URL_SAFE_NO_PAD.decode(body["value"].as_str().unwrap()).unwrap();
        let status = std::str::from_utf8(&sealed).ok().and_then(|text| text.parse().ok());
        match (status, sealed.as_slice()) {
            (Some(status), _) => (status, json!({"error": {"code": "x", "message": "hunter2"}})),
            (None, b"odd") => (200, json!({"value": "+"})),
            (None, sealed) => (
                200,
                json!({"kid": request.url, "value": URL_SAFE_NO_PAD.encode(sealed.iter().rev().copied().collect::<Vec<_>>())}),
            ),
        }
    }

    fn opened(address: &str, name: &str, version: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let enc = URL_SAFE_NO_PAD.encode(sealed);
        answering(vault, || open(address, name, version, &enc).map(|key| key.to_vec()))
    }

    // Attack 18 (Secrets): a vault that is somebody else's server, or another operation than to decrypt.
    #[test]
    fn a_vault_of_azure_decrypts_and_no_other_host_is_asked() {
        for address in [VAULT, "https://shop.vault.azure.net/", "https://Shop.vault.azure.net"] {
            assert_eq!(opened(address, "sops", "0123abcd", b"yek"), Ok(b"key".to_vec()));
        }
        for address in [
            "",
            "http://shop.vault.azure.net",
            "https://vault.azure.net",
            "https://evil.example",
            "https://evil.example/.vault.azure.net",
            "https://shop.vault.azure.net.evil.example",
            "https://shop.vault.azure.net@evil.example",
            "https://shop.vault.azure.net:8443",
            "https://evil.example#.vault.azure.net",
            "https://169.254.169.254",
        ] {
            let told = opened(address, "sops", "0123abcd", b"yek").unwrap_err();
            assert_eq!(
                told, "that is no vault of Azure, whose address ends in .vault.azure.net",
                "{address}"
            );
        }
        for (name, version) in [("../secrets", "1"), ("sops", "1/sign?x="), ("", "1"), ("sops", "1/../2")] {
            let told = opened(VAULT, name, version, b"yek").unwrap_err();
            assert_eq!(told, "that is no name of a key and its version");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_nothing_of_the_answer() {
        let refused = |sealed: &str| opened(VAULT, "sops", "0123abcd", sealed.as_bytes()).unwrap_err();
        assert_eq!(
            refused("403"),
            "Azure Key Vault does not let the controller decrypt with this key; give it the role Key Vault Crypto User, or the permission to decrypt"
        );
        assert_eq!(
            refused("401"),
            "Azure does not take the credentials of the controller: they are wrong, or over"
        );
        assert_eq!(refused("400"), "Azure Key Vault says that this key has not encrypted the data key");
        assert_eq!(refused("429"), "Azure Key Vault answers with the status 429");
        assert_eq!(refused("odd"), "the answer of Azure Key Vault is not that to a decryption");
        let gone = opened(VAULT, "sops", "4567", b"yek").unwrap_err();
        assert_eq!(gone, "Azure Key Vault has no such key, or not in this version");
    }
}
