use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::conditions_schema;
use crate::serde_rules::{is_false, non_empty};
use crate::{Artifact, Duration, LocalObjectReference};

/// Where an OCI artifact is, and which of its versions to follow.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "OCIRepository",
    root = "OciRepository",
    plural = "ocirepositories",
    singular = "ocirepository",
    shortname = "ocirepo",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    namespaced,
    status = "OciRepositoryStatus",
    derive = "PartialEq",
    doc = "An OCIRepository follows a tag, a range of versions or a digest of an OCI artifact, for Kustomizations to apply.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".spec.url"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct OciRepositorySpec {
    /// The address of the artifact without tag and digest, for example `oci://ghcr.io/myorg/manifests`.
    #[schemars(regex(pattern = "^oci://.*$"))]
    pub url: String,
    /// Which version to take. It defaults to the tag `latest`.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<OciRepositoryRef>,
    /// Which layer of the artifact to take, and whether to unpack it. By default the first layer is unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_selector: Option<OciLayerSelector>,
    /// How to sign in: `generic` (the default) uses the Secret of `secretRef`, and the image pull secrets of `serviceAccountName`; `aws`,
    /// `azure` and `gcp` use a workload identity.
    #[serde(default)]
    pub provider: CloudProvider,
    /// The Secret with the credentials, of type `kubernetes.io/dockerconfigjson`, as `kubectl create secret docker-registry` makes it.
    /// Without it the registry is read without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Whose signature the artifact must carry. Without it signatures are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<OciRepositoryVerification>,
    /// The service account of this namespace whose image pull secrets are used to sign in; with another provider than `generic`,
    /// whose identity is used.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The Secret with the certificates for the connection: `ca.crt` is the certificate of the registry's authority, `tls.crt` and `tls.key`
    /// are a client certificate and its key. It may have either or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// The Secret with the proxy to use: its `address`, and where the proxy asks for them `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// How often to look for a new version, for example `5m`. The controller spreads the repositories out a little, so that they are
    /// not all asked at once.
    pub interval: Duration,
    /// How long one look may take, with all that is downloaded. It defaults to `60s`.
    #[serde(default = "default_timeout")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"))]
    pub timeout: Duration,
    /// Which files to leave out, in the format of `.gitignore`: for example `/*` and then `!/deploy` to take nothing but `deploy`. It
    /// takes the place of the defaults, which leave out the files of Git, of CI services and images. The file `.sourceignore` in
    /// the artifact is heeded too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// Whether the registry may be asked over plain HTTP. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Whether to stop looking for new versions. What was fetched stays available. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// Written as Flux's CRD has it, since the API server writes this text into the objects.
fn default_timeout() -> Duration {
    Duration::seconds(60)
}

/// Which version of an OCI artifact to take. Of several fields, `digest` goes before `semver`, and `semver` before `tag`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciRepositoryRef {
    /// The digest of the manifest to take, as `sha256:HEX`. It goes before all other fields.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The range of versions of which the tag with the highest is taken, for example `>=1.2.0 <2.0.0` or `1.x`. It goes before `tag`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub semver: Option<String>,
    /// A regular expression that a tag must match to be considered for `semver`, for example `.*-rc.*`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub semver_filter: Option<String>,
    /// The tag to follow. It defaults to `latest` when no other field is given.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// Which version of an OCI artifact to take: the one field of an [`OciRepositoryRef`] that goes before the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OciReference {
    /// The manifest with this digest, `sha256:HEX`. It is not checked here.
    Digest(String),
    /// The tag with the highest version of this range.
    Semver {
        /// The range. It is not checked here.
        range: String,
        /// The regular expression that a tag must match to be considered. It is not checked here.
        filter: Option<String>,
    },
    /// The manifest that this tag points to.
    Tag(String),
}

/// The tag `latest`, as Flux has it.
impl Default for OciReference {
    fn default() -> Self {
        Self::Tag("latest".to_owned())
    }
}

impl OciRepositoryRef {
    /// The field that goes before the others.
    pub fn resolve(&self) -> OciReference {
        match (&self.digest, &self.semver, &self.tag) {
            (Some(digest), _, _) => OciReference::Digest(digest.clone()),
            (None, Some(range), _) => {
                OciReference::Semver { range: range.clone(), filter: self.semver_filter.clone() }
            }
            (None, None, Some(tag)) => OciReference::Tag(tag.clone()),
            (None, None, None) => OciReference::default(),
        }
    }
}

/// Which layer of an OCI artifact to take, and what to do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciLayerSelector {
    /// The media type of the layer, for example `application/vnd.cncf.helm.chart.content.v1.tar+gzip`. The first layer of this type is
    /// taken; without it, the first layer.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What to do with the layer: `extract` (the default) unpacks it, `copy` takes it as it is, as one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OciLayerOperation")]
    pub operation: Option<OciLayerOperation>,
}

impl OciLayerSelector {
    /// What to do with the layer.
    pub fn operation(&self) -> OciLayerOperation {
        self.operation.unwrap_or_default()
    }
}

/// What to do with a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OciLayerOperation {
    /// Unpack it.
    #[default]
    Extract,
    /// Take it as it is.
    Copy,
}

/// How to sign in to a registry or an object store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CloudProvider {
    /// With the credentials of a Secret.
    #[default]
    Generic,
    /// With an identity of AWS.
    Aws,
    /// With an identity of Azure.
    Azure,
    /// With an identity of Google Cloud.
    Gcp,
}

impl CloudProvider {
    /// The provider, as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
        }
    }
}

/// Whose signature an OCI artifact must carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciRepositoryVerification {
    /// What the artifact was signed with: `cosign` (the default). `notation` is not supported yet.
    #[serde(default)]
    pub provider: OciVerificationProvider,
    /// The Secret with the public keys of those who may sign, under names that end in `.pub`. Without it, `cosign` verifies signatures that
    /// were made without keys, with a certificate for an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// The identities that may sign without keys. One of them has to match; without any, every identity does.
    #[serde(rename = "matchOIDCIdentity", default, skip_serializing_if = "Vec::is_empty")]
    pub match_oidc_identity: Vec<OidcIdentityMatch>,
    /// The Secret with the authorities to trust instead of those of the public Sigstore, as a file of Sigstore under the name
    /// `trusted_root.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root_secret_ref: Option<LocalObjectReference>,
}

/// What an OCI artifact was signed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OciVerificationProvider {
    /// Cosign, of Sigstore.
    #[default]
    Cosign,
    /// Notation, of the Notary Project.
    Notation,
}

/// An identity that may sign without a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcIdentityMatch {
    /// A regular expression for the issuer of the identity, for example `^https://token.actions.githubusercontent.com$`.
    pub issuer: String,
    /// A regular expression for the identity, for example `^https://github.com/myorg/manifests/.*$`.
    pub subject: String,
}

/// What the controller has found out about an OCI artifact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciRepositoryStatus {
    /// The generation of the object that the controller last looked at; -1 when it has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How the repository is doing: Ready, and where they apply Reconciling, Stalled, ArtifactInStorage, ArtifactOutdated,
    /// SourceVerified, FetchFailed and StorageOperationFailed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Where the last artifact can be had. The field `artifact` says more.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What was last fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// The `spec.ignore` with which the artifact was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_ignore: Option<String>,
    /// The `spec.layerSelector` with which the artifact was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_layer_selector: Option<OciLayerSelector>,
    /// The value that the annotation `reconcile.fluxcd.io/requestedAt` had when it was last acted upon.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::crds::every_field;

    fn spec(more: &str) -> OciRepositorySpec {
        let mut fields = json!({"interval": "1m", "url": "oci://ghcr.io/myorg/manifests"});
        let more: Value = serde_yaml::from_str(&format!("{{{more}}}")).unwrap();
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(fields).unwrap()
    }

    fn semver(range: &str, filter: Option<&str>) -> OciReference {
        OciReference::Semver { range: range.into(), filter: filter.map(str::to_owned) }
    }

    #[rstest]
    #[case("{}", OciReference::Tag("latest".into()))]
    #[case("{tag: v1}", OciReference::Tag("v1".into()))]
    #[case("{tag: v1, semver: 1.x}", semver("1.x", None))]
    #[case("{semver: 1.x, semverFilter: '.*-rc.*'}", semver("1.x", Some(".*-rc.*")))]
    #[case("{tag: v1, semver: 1.x, digest: 'sha256:ab'}", OciReference::Digest("sha256:ab".into()))]
    #[case("{tag: '', semver: '', digest: ''}", OciReference::Tag("latest".into()))]
    fn the_reference_is_the_tag_latest_unless_given(#[case] reference: &str, #[case] expected: OciReference) {
        assert_eq!(spec(&format!("ref: {reference}")).reference.unwrap().resolve(), expected);
    }

    #[test]
    fn what_is_not_given_is_as_in_flux() {
        let spec = spec("layerSelector: {}, verify: {}");
        assert_eq!(spec.provider, CloudProvider::Generic);
        assert_eq!(spec.timeout.to_std(), std::time::Duration::from_secs(60));
        assert_eq!(spec.layer_selector.unwrap().operation(), OciLayerOperation::Extract);
        assert_eq!(spec.verify.unwrap().provider, OciVerificationProvider::Cosign);
    }

    /// Every field of the definition, in the form in which Flux writes it.
    fn object() -> Value {
        let layer =
            json!({"mediaType": "application/vnd.cncf.flux.content.v1.tar+gzip", "operation": "copy"});
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "OCIRepository",
            "metadata": {"name": "apps", "namespace": "flux-system"},
            "spec": {
                "url": "oci://ghcr.io/myorg/manifests",
                "ref": {"digest": "sha256:ab", "semver": "1.x", "semverFilter": ".*", "tag": "v1"},
                "layerSelector": layer,
                "provider": "gcp",
                "secretRef": {"name": "registry"},
                "verify": {
                    "provider": "notation", "secretRef": {"name": "keys"}, "trustedRootSecretRef": {"name": "root"},
                    "matchOIDCIdentity": [{"issuer": "^https://issuer$", "subject": "^me$"}],
                },
                "serviceAccountName": "reader",
                "certSecretRef": {"name": "certificates"},
                "proxySecretRef": {"name": "proxy"},
                "interval": "5m0s",
                "timeout": "60s",
                "ignore": "*.md",
                "insecure": true,
                "suspend": true,
            },
            "status": {
                "observedGeneration": 3,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
                    "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "url": "http://source/latest.tar.gz",
                "artifact": {
                    "digest": "sha256:ab", "path": "ocirepository/flux-system/apps/ab.tar.gz", "url": "http://source/ab.tar.gz",
                    "revision": "v1@sha256:ab", "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 10, "metadata": {"a": "b"},
                },
                "observedIgnore": "",
                "observedLayerSelector": layer,
                "lastHandledReconcileAt": "token",
            },
        })
    }

    #[test]
    fn an_object_with_every_field_is_written_as_it_was_read() {
        let read: OciRepository = serde_json::from_value(object()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), object());
    }

    /// Guards the test above: a field that is added to the type has to be added there.
    #[test]
    fn the_object_with_every_field_has_every_field() {
        every_field::<OciRepository>(&object());
    }
}
