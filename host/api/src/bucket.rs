use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::conditions_schema;
use crate::serde_rules::{is_false, non_empty};
use crate::{Artifact, CloudProvider, Duration, LocalObjectReference};

/// Where a bucket of an object store is, and which of its objects to take.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "Bucket",
    plural = "buckets",
    singular = "bucket",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    namespaced,
    status = "BucketStatus",
    derive = "PartialEq",
    doc = "A Bucket follows the objects of a bucket of an object store, for Kustomizations to apply.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "Endpoint", "type": "string", "jsonPath": ".spec.endpoint"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.provider == 'aws' || self.provider == 'generic' || !has(self.sts)",
        "message": "STS configuration is only supported for the 'aws' and 'generic' Bucket providers",
    },
    {
        "rule": "self.provider != 'aws' || !has(self.sts) || self.sts.provider == 'aws'",
        "message": "'aws' is the only supported STS provider for the 'aws' Bucket provider",
    },
    {
        "rule": "self.provider != 'generic' || !has(self.sts) || self.sts.provider == 'ldap'",
        "message": "'ldap' is the only supported STS provider for the 'generic' Bucket provider",
    },
    {
        "rule": "!has(self.sts) || self.sts.provider != 'aws' || !has(self.sts.secretRef)",
        "message": "spec.sts.secretRef is not required for the 'aws' STS provider",
    },
    {
        "rule": "!has(self.sts) || self.sts.provider != 'aws' || !has(self.sts.certSecretRef)",
        "message": "spec.sts.certSecretRef is not required for the 'aws' STS provider",
    },
    {
        "rule": "self.provider != 'generic' || !has(self.serviceAccountName)",
        "message": "ServiceAccountName is not supported for the 'generic' Bucket provider",
    },
    {
        "rule": "!has(self.secretRef) || !has(self.serviceAccountName)",
        "message": "cannot set both .spec.secretRef and .spec.serviceAccountName",
    },
]))]
pub struct BucketSpec {
    /// What kind of object store it is: `generic` (the default) is anything that speaks the S3 API, such as MinIO; `aws` is Amazon S3, `gcp` is
    /// Google Cloud Storage and `azure` is Azure Blob Storage.
    #[serde(default)]
    pub provider: CloudProvider,
    /// The name of the bucket; for `azure`, of the container.
    pub bucket_name: String,
    /// The address of the object store, for example `minio.example.com` or `s3.amazonaws.com`; for `azure` with its scheme, as
    /// `https://myaccount.blob.core.windows.net`.
    pub endpoint: String,
    /// The service that hands out credentials for a short time. It can only be set when `provider` is `aws` or `generic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<BucketSts>,
    /// Whether the object store may be asked over plain HTTP. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// The region that the bucket is in, for example `eu-central-1`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What the names of the objects have to begin with to be taken, for example `production/`. By default all are taken.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The Secret with the credentials. For `generic` and `aws` it has `accesskey` and `secretkey`; for `gcp`, `serviceaccount` with the key
    /// of a service account as JSON; for `azure`, `accountKey`, or `sasKey`, or `tenantId` and `clientId` with `clientSecret` or
    /// `clientCertificate`. It cannot be combined with `serviceAccountName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// The service account of this namespace whose identity is used to sign in. It cannot be set when `provider` is `generic`, nor
    /// together with `secretRef`, and defaults to that of the controller.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The Secret with the certificates for the connection: `ca.crt` is the certificate of the server's authority, `tls.crt` and `tls.key`
    /// are a client certificate and its key. It may have either or both. It is used when `provider` is `generic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// The Secret with the proxy to use: its `address`, and where the proxy asks for them `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// How often to look for changes, for example `5m`. The controller spreads the buckets out a little, so that they are not all
    /// listed at once.
    pub interval: Duration,
    /// How long one look may take, with all that is downloaded. It defaults to `60s`.
    #[serde(default = "default_timeout")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"))]
    pub timeout: Duration,
    /// Which objects to leave out, in the format of `.gitignore`: for example `/*` and then `!/deploy` to take nothing but `deploy`. By
    /// default nothing is left out. An object `.sourceignore` in the bucket is heeded too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// Whether to stop looking for changes. What was fetched stays available. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// Written as Flux's CRD has it, since the API server writes this text into the objects.
fn default_timeout() -> Duration {
    Duration::seconds(60)
}

/// A service that hands out credentials for a short time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketSts {
    /// What the service is: `aws` is AWS STS, for the provider `aws`; `ldap` is that of MinIO with LDAP, for the
    /// provider `generic`.
    pub provider: BucketStsProvider,
    /// The address of the service, for example `https://sts.eu-central-1.amazonaws.com`.
    #[schemars(regex(pattern = "^(http|https)://.*$"))]
    pub endpoint: String,
    /// The Secret with the `username` and the `password` for the service. It can only be set for `ldap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// The Secret with the certificates for the connection to the service: `ca.crt`, or `tls.crt` and `tls.key`, or all of them. It can
    /// only be set for `ldap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
}

/// What a service is that hands out credentials for a short time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BucketStsProvider {
    /// AWS STS.
    Aws,
    /// MinIO with LDAP.
    Ldap,
}

/// What the controller has found out about a bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketStatus {
    /// The generation of the object that the controller last looked at; -1 when it has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How the bucket is doing: Ready, and where they apply Reconciling, Stalled, ArtifactInStorage, ArtifactOutdated, FetchFailed and
    /// StorageOperationFailed.
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
    /// The value that the annotation `reconcile.fluxcd.io/requestedAt` had when it was last acted upon.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::crds::every_field;

    #[test]
    fn what_is_not_given_is_as_in_flux() {
        let spec =
            json!({"interval": "1m", "bucketName": "apps", "endpoint": "minio.example.com", "prefix": ""});
        let spec: BucketSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.provider, CloudProvider::Generic);
        assert_eq!(spec.timeout.to_std(), std::time::Duration::from_secs(60));
        assert_eq!(spec.prefix, None);
    }

    /// Every field of the definition, in the form in which Flux writes it.
    fn object() -> Value {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "Bucket",
            "metadata": {"name": "apps", "namespace": "flux-system"},
            "spec": {
                "provider": "aws",
                "bucketName": "apps",
                "endpoint": "s3.amazonaws.com",
                "sts": {
                    "provider": "aws", "endpoint": "https://sts.amazonaws.com",
                    "secretRef": {"name": "login"}, "certSecretRef": {"name": "certificates"},
                },
                "insecure": true,
                "region": "eu-central-1",
                "prefix": "production/",
                "secretRef": {"name": "keys"},
                "serviceAccountName": "reader",
                "certSecretRef": {"name": "certificates"},
                "proxySecretRef": {"name": "proxy"},
                "interval": "5m0s",
                "timeout": "60s",
                "ignore": "*.md",
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
                    "digest": "sha256:ab", "path": "bucket/flux-system/apps/ab.tar.gz", "url": "http://source/ab.tar.gz",
                    "revision": "sha256:ab", "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 10, "metadata": {"a": "b"},
                },
                "observedIgnore": "",
                "lastHandledReconcileAt": "token",
            },
        })
    }

    #[test]
    fn an_object_with_every_field_is_written_as_it_was_read() {
        let read: Bucket = serde_json::from_value(object()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), object());
    }

    /// Guards the test above: a field that is added to the type has to be added there.
    #[test]
    fn the_object_with_every_field_has_every_field() {
        every_field::<Bucket>(&object());
    }
}
