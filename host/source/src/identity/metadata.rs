use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use url::Url;

use crate::identity::Token;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::gcp::AccessToken;
use crate::identity::workload::Environment;

/// Where Google's own libraries ask. No name that somebody could have lead elsewhere.
const HOST: &str = "169.254.169.254";

/// The metadata server of Google Cloud, which tells a machine who it is. Source: Google, "About VM metadata".
///
/// It is at an address that no source may lead to. Only what is asked for here is ever asked for, so that nobody else decides about it.
pub(super) struct Metadata {
    root: Url,
}

/// A cluster of GKE.
pub(super) struct Cluster {
    /// The pool that its service accounts are in.
    pub(super) pool: String,
    /// What it is called as the one who vouches for them.
    pub(super) url: String,
}

impl Metadata {
    /// The one of this machine; `GCE_METADATA_HOST` tells of another one, as in Google's libraries.
    pub(super) fn of(environment: &Environment) -> Result<Self, IdentityError> {
        let host = environment.get("GCE_METADATA_HOST").unwrap_or(HOST);
        let url = Url::parse(&format!("http://{host}/computeMetadata/v1/"));
        let root = url.map_err(|_| IdentityError::Malformed { what: "the host in GCE_METADATA_HOST" })?;
        Ok(Self { root })
    }

    pub(super) fn origin(&self) -> &str {
        self.root.as_str()
    }

    /// A token of the service account of Google that this machine, or this pod, has.
    pub(super) async fn token(&self) -> Result<Token, IdentityError> {
        let now = Timestamp::now();
        let answer: AccessToken = Endpoint::of_this_machine()?
            .ask(
                Method::GET,
                self.at("instance/service-accounts/default/token")?,
                "a token of Google Cloud",
                flavor,
            )
            .await
            .map_err(not_there)?;
        Ok(answer.token(now))
    }

    /// The cluster of GKE that this machine is a part of.
    pub(super) async fn cluster(&self) -> Result<Cluster, IdentityError> {
        let project = self.text("project/project-id").await?;
        let location = self.text("instance/attributes/cluster-location").await?;
        let name = self.text("instance/attributes/cluster-name").await?;
        Ok(Cluster {
            pool: format!("{project}.svc.id.goog"),
            url: format!(
                "https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{name}"
            ),
        })
    }

    async fn text(&self, path: &str) -> Result<String, IdentityError> {
        let (url, what) = (self.at(path)?, "the name of the cluster");
        let text =
            Endpoint::of_this_machine()?.send(Method::GET, url, what, flavor).await.map_err(not_there)?;
        let unusable =
            || IdentityError::Answer { endpoint: self.root.host_str().unwrap_or_default().to_owned(), what };
        let text = std::str::from_utf8(text.expose()).map_err(|_| unusable())?.trim();
        let is_name = !text.is_empty()
            && text.chars().all(|char| char.is_ascii_alphanumeric() || "-_.:".contains(char));
        if is_name { Ok(text.to_owned()) } else { Err(unusable()) }
    }

    fn at(&self, path: &str) -> Result<Url, IdentityError> {
        self.root.join(path).map_err(|_| IdentityError::Malformed { what: "the host in GCE_METADATA_HOST" })
    }
}

/// Without the header it answers nobody: who can be made to fetch a URL cannot be made to send it.
fn flavor(request: RequestBuilder) -> RequestBuilder {
    request.header("metadata-flavor", "Google")
}

fn not_there(error: IdentityError) -> IdentityError {
    match error {
        IdentityError::Unreachable { reason, .. } => IdentityError::NoMetadata {
            of: "Google Cloud",
            reason,
            hint: "elsewhere set GOOGLE_APPLICATION_CREDENTIALS for the controller, or the annotation gcp.auth.fluxcd.io/workload-identity-provider for a service account",
        },
        other => other,
    }
}
