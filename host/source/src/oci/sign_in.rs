use plumb_api::CloudProvider;

use crate::identity::{Acr, ECR_USER, Ecr, IdentityError, Tokens, Workload};
use crate::oci::error::OciError;
use crate::oci::fetch::OciFetch;
use crate::oci::login::OciLogin;
use crate::transport::Transport;

/// Who it is that a token of Google Cloud is the password of.
const GOOGLE_USER: &str = "oauth2accesstoken";

impl OciFetch {
    /// Signs in as `spec.provider` asks for: with the identity that `workload` has towards the cloud. The provider `generic` leaves the login as it is.
    ///
    /// The proxy is the way to the endpoints of the cloud, too; the certificates are for the registry only. Tokens of a cloud are given to registries of that cloud
    /// and to no others: who may write a URL would otherwise get hold of the identity of the controller. Nor would a server in between get hold of it: with the identity of the
    /// controller, the registry has to prove who it is to the authorities of the system.
    pub async fn sign_in(
        self,
        provider: CloudProvider,
        workload: &Workload,
        tokens: &Tokens,
    ) -> Result<Self, OciError> {
        let misconfigured = |reason| OciError::Provider { url: self.url.to_string(), reason };
        let failed = |error: IdentityError| OciError::Identity { url: self.url.to_string(), error };
        let is_ours = matches!(workload, Workload::Controller(_));
        let is_proven = self.transport.ca.is_none() && !self.insecure;
        if provider != CloudProvider::Generic && is_ours && !is_proven {
            return Err(misconfigured(
                "the identity of the controller is shown only to registries that prove who they are to the authorities of the system; \
                 set spec.serviceAccountName, or remove spec.insecure and the ca.crt of spec.certSecretRef",
            ));
        }
        let cloud = Transport { ca: None, client_certificate: None, ..self.transport.clone() };
        let host = self.url.registry();
        let login = match provider {
            CloudProvider::Generic => return Ok(self),
            CloudProvider::Aws => {
                let registry = Ecr::of_host(host).ok_or_else(|| {
                    misconfigured(
                        "the provider aws is for oci://ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY and oci://public.ecr.aws/REPOSITORY",
                    )
                })?;
                let token = tokens.ecr(workload, &registry, &cloud).await.map_err(failed)?;
                OciLogin::Basic { username: ECR_USER.to_owned(), password: token.secret }
            }
            CloudProvider::Azure => {
                let registry = Acr::of_host(host).ok_or_else(|| {
                    misconfigured("the provider azure is for oci://REGISTRY.azurecr.io/REPOSITORY")
                })?;
                let token = tokens.acr(workload, &registry, &cloud).await.map_err(failed)?;
                OciLogin::Identity(token.secret)
            }
            CloudProvider::Gcp => {
                if !is_google_registry(host) {
                    return Err(misconfigured(
                        "the provider gcp is for oci://LOCATION-docker.pkg.dev/PROJECT/REPOSITORY and oci://gcr.io/PROJECT",
                    ));
                }
                let token = tokens.gcp(workload, &cloud).await.map_err(failed)?;
                OciLogin::Basic { username: GOOGLE_USER.to_owned(), password: token.secret }
            }
        };
        Ok(Self { login, ..self })
    }
}

/// Artifact Registry, or what was Container Registry before.
fn is_google_registry(host: &str) -> bool {
    host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with("-docker.pkg.dev")
}
