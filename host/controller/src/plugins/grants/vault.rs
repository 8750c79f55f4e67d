//! The servers of Vault that Kustomizations may have decrypt their data keys: those that the operator lists, whatever a file says.

use std::sync::Arc;

use plumb_api::HttpGrant;
use plumb_plugin::{HttpClient, HttpError, HttpRequest, HttpResponse};
use plumb_source::identity::{IdentityError, Tokens, VaultLogin};
use plumb_source::transport::Transport;
use serde::Deserialize;
use url::Url;

use super::http::Sender;
use super::identity::Identity;
use crate::Config;
use crate::context::Context;
use crate::inputs::{Input, InputId};

/// The key of the ConfigMap, as Flux has it.
const KEY: &str = "config.yaml";

/// The header with the token.
const TOKEN: &str = "x-vault-token";

/// What the ConfigMap says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Listing {
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    /// `https://vault.example.com:8200`.
    address: String,
    /// `auth/kubernetes/login`.
    #[serde(default)]
    login_path: String,
}

/// A server, and where service accounts sign in to it, if they do.
struct Server {
    address: Url,
    login: Option<VaultLogin>,
}

/// The ConfigMap that lists the servers, if the operator has one.
pub(crate) fn listing(config: &Config) -> Option<InputId> {
    let name = config.sops_vault_config_map.clone()?;
    Some(InputId::config_map(config.namespace.clone(), name))
}

/// Sends requests to the servers that are listed now.
///
/// `identity` signs in to those where it can, for requests that were given no token.
pub(in crate::plugins) async fn client(
    context: &Context,
    identity: Identity,
) -> Result<Arc<dyn HttpClient>, String> {
    let nobody = |why: String| Arc::new(Listed { reach: None, why });
    let Some(id) = listing(&context.config) else {
        let why = "the operator allows no server of Vault (--sops-vault-configmap lists them)";
        return Ok(nobody(why.to_owned()));
    };
    let listed = match context.inputs.get(&id).await {
        Input::Present { data, .. } => {
            let text = data.get(KEY).and_then(|text| std::str::from_utf8(text.expose()).ok());
            read(text.unwrap_or_default()).map_err(|why| format!("{id}: {why}"))
        }
        Input::Absent => Err(format!("{id}, which lists the servers of Vault, does not exist")),
        Input::Unreadable(reason) => {
            Err(format!("{id}, which lists the servers of Vault, cannot be read: {reason}"))
        }
    };
    // Only what needs Vault has to wait for the operator.
    let servers = match listed {
        Ok(servers) => servers,
        Err(why) => return Ok(nobody(why)),
    };
    let sender = Sender::new(servers.iter().map(Server::grant).collect(), &context.config.addresses)?;
    let transport = Transport { addresses: context.config.addresses.clone(), ..Transport::default() };
    let tokens = context.sources.tokens.clone();
    Ok(Arc::new(Listed {
        reach: Some(Reach { servers, sender, identity, tokens, transport }),
        why: format!("the server is not among those that the operator lists in {id}"),
    }))
}

/// The servers.
fn read(text: &str) -> Result<Vec<Server>, String> {
    let listing: Listing =
        serde_yaml::from_str(text).map_err(|_| format!("{KEY} is not YAML with `instances`"))?;
    let server = |Instance { address, login_path }: Instance| {
        let url = Url::parse(&address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| format!("the address {address:?} is no URL of http or https"))?;
        let login = match login_path.as_str() {
            "" => None,
            path => Some(VaultLogin::new(&address, path).ok_or_else(|| {
                format!("the loginPath {path:?} of {address:?} is no path such as auth/kubernetes/login")
            })?),
        };
        Ok(Server { address: url, login })
    };
    listing.instances.into_iter().map(server).collect()
}

impl Server {
    /// Servers are in the operator's network, so their addresses may be private.
    fn grant(&self) -> HttpGrant {
        let host = self.address.host_str().unwrap_or_default();
        HttpGrant {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: self.address.port(),
            insecure: self.address.scheme() == "http",
            allow_private_addresses: true,
        }
    }

    /// Whether a URL decrypts with a transit engine of this server: `/v1/ENGINE/decrypt/KEY`. Nothing else is done with a token that nobody has handed over.
    fn decrypts(&self, url: &Url) -> bool {
        let path = url.path().strip_prefix(self.address.path().trim_end_matches('/'));
        let parts: Vec<&str> =
            path.and_then(|path| path.strip_prefix("/v1/")).unwrap_or_default().split('/').collect();
        let is_decryption = matches!(parts.as_slice(), [_, .., "decrypt", key] if !key.is_empty());
        url.origin() == self.address.origin() && is_decryption && url.query().is_none()
    }
}

struct Listed {
    /// None when no server is listed.
    reach: Option<Reach>,
    /// Said of a server that is not listed.
    why: String,
}

/// What it takes to reach servers.
struct Reach {
    servers: Vec<Server>,
    sender: Sender,
    identity: Identity,
    tokens: Arc<Tokens>,
    transport: Transport,
}

impl Reach {
    /// Adds a token to a request that has none, if the identity gets one from the server.
    async fn sign_in(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let url = Url::parse(&request.url).ok();
        let server = url.and_then(|url| self.servers.iter().find(|server| server.decrypts(&url)));
        let is_shown = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(TOKEN));
        let Some(server) = server.filter(|_| !is_shown) else { return Ok(()) };
        let nobody = "no token was handed over under sops.vault-token";
        let Some(login) = &server.login else {
            return Err(HttpError::Denied(format!(
                "{nobody}, and the operator names no loginPath of the server"
            )));
        };
        let why = |error: String| format!("{nobody}, and {error}");
        let account = self.identity.service_account().await;
        let account = account.map_err(|error| HttpError::Denied(why(error)))?;
        let token = self.tokens.vault(login, &account, &self.transport).await;
        let token = token.map_err(|error: IdentityError| match error.needs_a_change() {
            true => HttpError::Denied(why(error.to_string())),
            false => HttpError::Failed(why(error.to_string())),
        })?;
        request.headers.push((TOKEN.to_owned(), token.secret.expose().clone().into_bytes()));
        Ok(())
    }
}

#[async_trait::async_trait]
impl HttpClient for Listed {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let denied = || HttpError::Denied(self.why.clone());
        let reach = self.reach.as_ref().ok_or_else(denied)?;
        reach.sign_in(&mut request).await?;
        match reach.sender.send(request).await {
            Err(HttpError::Denied(_)) => Err(denied()),
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn listed(text: &str) -> Listed {
        let addresses = plumb_source::transport::AddressPolicy::parse("169.254.0.0/16").unwrap();
        let servers = read(text).unwrap();
        let sender = Sender::new(servers.iter().map(Server::grant).collect(), &addresses).unwrap();
        let transport = Transport { addresses, ..Transport::default() };
        let (identity, tokens) = (Identity::of_controller(), Arc::default());
        let reach = Some(Reach { servers, sender, identity, tokens, transport });
        Listed { reach, why: "not listed".to_owned() }
    }

    async fn asked(listed: &Listed, url: &str) -> Result<u16, HttpError> {
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: vec![("X-Vault-Token".to_owned(), b"hvs.token".to_vec())],
            body: Vec::new(),
        };
        listed.send(request).await.map(|answer| answer.status)
    }

    // Attack 18 (Secrets): a file names a server that the operator has not listed.
    #[tokio::test]
    async fn only_servers_that_are_listed_are_asked() {
        let listed = listed("instances: [{address: 'http://127.0.0.1:1', loginPath: auth/kubernetes/login}]");
        assert!(matches!(
            asked(&listed, "http://127.0.0.1:1/v1/t/decrypt/k").await,
            Err(HttpError::Failed(_))
        ));
        for elsewhere in [
            "https://127.0.0.1:1/v1/t/decrypt/k",
            "http://127.0.0.1:2/v1/t/decrypt/k",
            "http://evil.example.com:1/v1/t/decrypt/k",
            "http://169.254.169.254/latest",
        ] {
            assert_eq!(asked(&listed, elsewhere).await, Err(HttpError::Denied("not listed".to_owned())));
        }
        let nobody = Listed { reach: None, why: "none".to_owned() };
        assert_eq!(asked(&nobody, "http://127.0.0.1:1/").await, Err(HttpError::Denied("none".to_owned())));
    }

    #[test]
    fn a_listing_that_is_none_is_told() {
        let told = |text: &str| read(text).err().unwrap();
        assert_eq!(told("instances: 1"), "config.yaml is not YAML with `instances`");
        assert_eq!(told("instances: [{address: vault}]"), "the address \"vault\" is no URL of http or https");
        assert_eq!(
            told("instances: [{address: 'https://vault', loginPath: ../sys}]"),
            "the loginPath \"../sys\" of \"https://vault\" is no path such as auth/kubernetes/login"
        );
        assert!(read("").unwrap().is_empty());
    }

    #[tokio::test]
    async fn nobody_signs_in_where_nobody_can() {
        let request = |url: &str| HttpRequest {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let told = async |instance: &str| {
            let listed = listed(&format!("instances: [{{address: 'http://127.0.0.1:1'{instance}}}]"));
            listed.send(request("http://127.0.0.1:1/v1/t/decrypt/k")).await.err().unwrap().to_string()
        };
        assert_eq!(
            told("").await,
            "no token was handed over under sops.vault-token, and the operator names no loginPath of the server"
        );
        assert_eq!(
            told(", loginPath: auth/kubernetes/login").await,
            "no token was handed over under sops.vault-token, and the controller does not run as a service account; name one in spec.decryption"
        );
    }

    // Attack 18 (Secrets): a path that does something else than to decrypt, with a token that nobody has handed over.
    #[test]
    fn a_token_of_a_service_account_is_for_decryption_only() {
        let servers = read("instances: [{address: 'https://vault.example.com/a/'}]").unwrap();
        let decrypts = |url: &str| servers[0].decrypts(&Url::parse(url).unwrap());
        assert!(decrypts("https://vault.example.com/a/v1/transit/decrypt/sops"));
        assert!(decrypts("https://vault.example.com:443/a/v1/team/transit/decrypt/sops"));
        for other in [
            "https://vault.example.com/v1/transit/decrypt/sops",
            "https://evil.example.com/a/v1/transit/decrypt/sops",
            "http://vault.example.com/a/v1/transit/decrypt/sops",
            "https://vault.example.com/a/v1/transit/encrypt/sops",
            "https://vault.example.com/a/v1/decrypt/sops",
            "https://vault.example.com/a/v1/transit/decrypt/",
            "https://vault.example.com/a/v1/transit/decrypt/../keys/sops",
            "https://vault.example.com/a/v1/transit/decrypt/sops?x=y",
        ] {
            assert!(!decrypts(other), "{other}");
        }
    }
}
