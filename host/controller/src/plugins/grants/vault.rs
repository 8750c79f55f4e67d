//! The servers of Vault that Kustomizations may have decrypt their data keys: those that the operator lists, whatever a file says.

use std::sync::Arc;

use plumb_api::HttpGrant;
use plumb_plugin::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde::Deserialize;
use url::Url;

use super::http::Sender;
use crate::Config;
use crate::context::Context;
use crate::inputs::{Input, InputId};

/// The key of the ConfigMap, as Flux has it.
const KEY: &str = "config.yaml";

/// What the ConfigMap says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Listing {
    instances: Vec<Instance>,
}

/// A server. Flux's `loginPath` is not used: the token comes from the Secret with the keys.
#[derive(Deserialize)]
struct Instance {
    /// `https://vault.example.com:8200`.
    address: String,
}

/// The ConfigMap that lists the servers, if the operator has one.
pub(crate) fn listing(config: &Config) -> Option<InputId> {
    let name = config.sops_vault_config_map.clone()?;
    Some(InputId::config_map(config.namespace.clone(), name))
}

/// Sends requests to the servers that are listed now.
pub(in crate::plugins) async fn client(context: &Context) -> Result<Arc<dyn HttpClient>, String> {
    let Some(id) = listing(&context.config) else {
        let why = "the operator allows no server of Vault (--sops-vault-configmap lists them)";
        return Ok(Arc::new(Listed { sender: None, why: why.to_owned() }));
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
    Ok(Arc::new(match listed {
        Ok(grants) => Listed {
            sender: Some(Sender::new(grants, &context.config.addresses)?),
            why: format!("the server is not among those that the operator lists in {id}"),
        },
        Err(why) => Listed { sender: None, why },
    }))
}

/// The servers. They are in the operator's network, so their addresses may be private.
fn read(text: &str) -> Result<Vec<HttpGrant>, String> {
    let listing: Listing =
        serde_yaml::from_str(text).map_err(|_| format!("{KEY} is not YAML with `instances`"))?;
    let grant = |instance: Instance| {
        let url = Url::parse(&instance.address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url =
            url.ok_or_else(|| format!("the address {:?} is no URL of http or https", instance.address))?;
        let host =
            url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let insecure = url.scheme() == "http";
        Ok(HttpGrant { host, port: url.port(), insecure, allow_private_addresses: true })
    };
    listing.instances.into_iter().map(grant).collect()
}

struct Listed {
    sender: Option<Sender>,
    /// Said of a server that is not listed.
    why: String,
}

#[async_trait::async_trait]
impl HttpClient for Listed {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let denied = || HttpError::Denied(self.why.clone());
        let sender = self.sender.as_ref().ok_or_else(denied)?;
        match sender.send(request).await {
            Err(HttpError::Denied(_)) => Err(denied()),
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn sender(text: &str) -> Listed {
        let sender = Some(Sender::new(read(text).unwrap(), &addresses()).unwrap());
        Listed { sender, why: "not listed".to_owned() }
    }

    fn addresses() -> plumb_source::transport::AddressPolicy {
        plumb_source::transport::AddressPolicy::parse("169.254.0.0/16").unwrap()
    }

    async fn asked(listed: &Listed, url: &str) -> Result<u16, HttpError> {
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        listed.send(request).await.map(|answer| answer.status)
    }

    // Attack 18 (Secrets): a file names a server that the operator has not listed.
    #[tokio::test]
    async fn only_servers_that_are_listed_are_asked() {
        let listed = sender("instances: [{address: 'http://127.0.0.1:1', loginPath: auth/kubernetes/login}]");
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
        let nobody = Listed { sender: None, why: "none".to_owned() };
        assert_eq!(asked(&nobody, "http://127.0.0.1:1/").await, Err(HttpError::Denied("none".to_owned())));
    }

    #[test]
    fn a_listing_that_is_none_is_told() {
        let told = |text: &str| read(text).unwrap_err();
        assert_eq!(told("instances: 1"), "config.yaml is not YAML with `instances`");
        assert_eq!(told("instances: [{address: vault}]"), "the address \"vault\" is no URL of http or https");
        assert!(read("").unwrap().is_empty());
    }
}
