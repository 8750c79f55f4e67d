use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::conditions_schema;
use crate::serde_rules::{is_false, non_empty};
use crate::{Artifact, Duration, GitReference, GitRepositoryRef, InvalidReference, LocalObjectReference};

/// Where a Git repository is, and which of its commits to follow.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "GitRepository",
    plural = "gitrepositories",
    singular = "gitrepository",
    shortname = "gitrepo",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    namespaced,
    status = "GitRepositoryStatus",
    derive = "PartialEq",
    doc = "A GitRepository follows a branch, a tag or a commit of a Git repository, for Kustomizations to apply.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".spec.url"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.serviceAccountName) || (has(self.provider) && (self.provider == 'azure' || self.provider == 'aws'))",
    "message": "serviceAccountName can only be set when provider is 'azure' or 'aws'",
}]))]
pub struct GitRepositorySpec {
    /// The address of the repository, over `http`, `https` or `ssh`: `https://github.com/myorg/k8s-manifests` or
    /// `ssh://git@github.com/myorg/k8s-manifests`. The short form `git@github.com:myorg/repo` is not an address.
    #[schemars(regex(pattern = "^(http|https|ssh)://.*$"))]
    pub url: String,
    /// The Secret with the credentials. For `http` and `https` it has `username` and `password`, or `bearerToken`, and may have
    /// `ca.crt`, or `tls.crt` and `tls.key`. For `ssh` it has `identity` and `known_hosts`, and may have `password`, which opens
    /// the key. Without it the repository is read without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// How to sign in: `generic` (the default) uses the Secret of `secretRef`, `aws` and `azure` a workload identity, and `github`
    /// the GitHub App of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GitProvider")]
    pub provider: Option<GitProvider>,
    /// The service account whose identity is used to sign in. It can only be set when `provider` is `azure` or `aws`, and
    /// defaults to that of the controller.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// How often to look for new commits, for example `1m`. The controller spreads the repositories out a little, so that they are
    /// not all fetched at once.
    pub interval: Duration,
    /// How long a Git operation such as a clone may take. It defaults to `60s`.
    #[serde(default = "default_timeout")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"))]
    pub timeout: Duration,
    /// Which commit to take. It defaults to the branch `master`.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<GitRepositoryRef>,
    /// Whose signature the commit must carry, or the tag. Without it signatures are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<GitRepositoryVerification>,
    /// The Secret with the proxy to use: its `address`, and where the proxy asks for them `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// Which files to leave out, in the format of `.gitignore`: for example `/*` and then `!/deploy` to take nothing but `deploy`. It
    /// takes the place of the defaults, which leave out the files of Git, of CI services and images. The file `.sourceignore` in
    /// the repository is heeded too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// Whether to stop looking for new commits. What was fetched stays available. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Whether to fetch the submodules too, with the same credentials. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recurse_submodules: bool,
    /// Other GitRepositories whose files are put into this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<GitRepositoryInclude>,
    /// The only directories to take, for example `clusters/production`. By default the whole repository is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sparse_checkout: Vec<String>,
}

impl GitRepositorySpec {
    /// How long a Git operation may take.
    pub fn timeout(&self) -> std::time::Duration {
        self.timeout.to_std()
    }

    /// How to sign in.
    pub fn provider(&self) -> GitProvider {
        self.provider.unwrap_or_default()
    }

    /// Which commit to take: the field of `spec.ref` that goes before the others.
    ///
    /// # Errors
    ///
    /// When that field is not what Git allows there.
    pub fn reference(&self) -> Result<GitReference, InvalidReference> {
        self.reference.as_ref().map_or_else(|| Ok(GitReference::default()), GitRepositoryRef::resolve)
    }
}

/// Written as Flux's CRD has it, since the API server writes this text into the objects.
fn default_timeout() -> Duration {
    Duration::seconds(60)
}

/// How to sign in to a Git server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GitProvider {
    /// With the credentials of a Secret.
    #[default]
    Generic,
    /// With an identity of AWS.
    Aws,
    /// With an identity of Azure.
    Azure,
    /// As a GitHub App.
    Github,
}

/// Whose signature the commit must carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryVerification {
    /// What must be signed: `HEAD` (the default), which is the commit; `Tag`, which is the tag of `spec.ref`; or `TagAndHEAD`, which is
    /// both. `head` is an older way to write `HEAD`.
    #[serde(default)]
    pub mode: GitVerificationMode,
    /// The Secret with the public keys of those who may sign: PGP keys under names that end in `.asc`, SSH keys under names that
    /// end in `.sshpub`.
    pub secret_ref: LocalObjectReference,
}

/// What must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GitVerificationMode {
    /// The commit, as older manifests write it.
    #[serde(rename = "head")]
    LegacyHead,
    /// The commit.
    #[default]
    #[serde(rename = "HEAD")]
    Head,
    /// The tag.
    Tag,
    /// The tag and the commit that it names.
    #[serde(rename = "TagAndHEAD")]
    TagAndHead,
}

impl GitVerificationMode {
    /// Whether the commit must be signed.
    pub fn verifies_head(self) -> bool {
        !matches!(self, Self::Tag)
    }

    /// Whether the tag must be signed.
    pub fn verifies_tag(self) -> bool {
        matches!(self, Self::Tag | Self::TagAndHead)
    }
}

/// Another GitRepository whose files are put into this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryInclude {
    /// The GitRepository, in the same namespace.
    pub repository: LocalObjectReference,
    /// Which of its directories to take, for example `charts`. It defaults to all of it.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub from_path: Option<String>,
    /// Where to put the files. It defaults to a directory with the name of the GitRepository.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub to_path: Option<String>,
}

impl GitRepositoryInclude {
    /// Where to put the files.
    pub fn to_path(&self) -> &str {
        self.to_path.as_deref().unwrap_or(&self.repository.name)
    }
}

/// What the controller has found out about a Git repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryStatus {
    /// The generation of the object that the controller last looked at; -1 when it has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How the repository is doing: Ready, and where they apply Reconciling, Stalled, ArtifactInStorage, ArtifactOutdated,
    /// SourceVerified, FetchFailed, StorageOperationFailed and IncludeUnavailable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// What was last fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// The artifacts that `spec.include` last put in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included_artifacts: Vec<Artifact>,
    /// The `spec.ignore` with which the artifact was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_ignore: Option<String>,
    /// The `spec.recurseSubmodules` with which the artifact was made.
    #[serde(default, skip_serializing_if = "is_false")]
    pub observed_recurse_submodules: bool,
    /// The `spec.include` with which the artifact was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed_include: Vec<GitRepositoryInclude>,
    /// The `spec.sparseCheckout` with which the artifact was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed_sparse_checkout: Vec<String>,
    /// What was verified of the commit that was last fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source_verification_mode: Option<GitVerificationMode>,
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

    fn spec(more: &str) -> GitRepositorySpec {
        let mut fields = json!({"interval": "1m", "url": "https://github.com/myorg/k8s-manifests"});
        let more: Value = serde_yaml::from_str(&format!("{{{more}}}")).unwrap();
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(fields).unwrap()
    }

    #[rstest]
    #[case("", 60)]
    #[case("timeout: 5m", 300)]
    fn the_timeout_is_a_minute_unless_given(#[case] more: &str, #[case] seconds: u64) {
        assert_eq!(spec(more).timeout(), std::time::Duration::from_secs(seconds));
    }

    #[rstest]
    #[case("", GitReference::Branch("master".into()))]
    #[case("ref: {}", GitReference::Branch("master".into()))]
    #[case("ref: {branch: main}", GitReference::Branch("main".into()))]
    #[case("ref: {branch: main, tag: v1}", GitReference::Tag("v1".into()))]
    fn the_reference_is_the_branch_master_unless_given(#[case] more: &str, #[case] expected: GitReference) {
        assert_eq!(spec(more).reference().unwrap(), expected);
    }

    #[rstest]
    #[case("", GitProvider::Generic)]
    #[case("provider: github", GitProvider::Github)]
    fn the_provider_is_generic_unless_given(#[case] more: &str, #[case] expected: GitProvider) {
        assert_eq!(spec(more).provider(), expected);
    }

    #[rstest]
    #[case("", true, false)]
    #[case("mode: head,", true, false)]
    #[case("mode: HEAD,", true, false)]
    #[case("mode: Tag,", false, true)]
    #[case("mode: TagAndHEAD,", true, true)]
    fn what_has_to_be_signed(#[case] mode: &str, #[case] head: bool, #[case] tag: bool) {
        let verify = spec(&format!("verify: {{{mode} secretRef: {{name: keys}}}}")).verify.unwrap();
        assert_eq!((verify.mode.verifies_head(), verify.mode.verifies_tag()), (head, tag));
    }

    #[rstest]
    #[case("", "other")]
    #[case(", toPath: ''", "other")]
    #[case(", toPath: vendor/x", "vendor/x")]
    fn an_included_repository_goes_to_a_directory_of_its_name(#[case] more: &str, #[case] path: &str) {
        let include = &spec(&format!("include: [{{repository: {{name: other}}{more}}}]")).include[0];
        assert_eq!(include.to_path(), path);
    }

    #[test]
    fn nothing_ignored_is_not_the_same_as_the_defaults() {
        assert_eq!(spec("ignore: ''").ignore.as_deref(), Some(""));
        assert_eq!(spec("").ignore, None);
    }

    #[test]
    fn unknown_fields_of_old_versions_do_not_break_reading() {
        assert_eq!(spec("gitImplementation: libgit2, accessFrom: {}"), spec(""));
    }

    /// Every field of the definition, in the form in which Flux writes it.
    fn every_field() -> Value {
        let artifact = json!({
            "digest": "sha256:ab", "path": "gitrepository/flux-system/apps/ab.tar.gz", "url": "http://source/ab.tar.gz",
            "revision": "main@sha1:ab", "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 10, "metadata": {"a": "b"},
        });
        let include = json!([{"repository": {"name": "other"}, "fromPath": "charts", "toPath": "vendor"}]);
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": "apps", "namespace": "flux-system"},
            "spec": {
                "url": "ssh://git@example.com/apps",
                "secretRef": {"name": "key"},
                "provider": "azure",
                "serviceAccountName": "reader",
                "interval": "1m0s",
                "timeout": "60s",
                "ref": {"branch": "main", "tag": "v1", "semver": "1.x", "name": "refs/heads/main", "commit": "ab"},
                "verify": {"mode": "TagAndHEAD", "secretRef": {"name": "keys"}},
                "proxySecretRef": {"name": "proxy"},
                "ignore": "/*\n!/deploy",
                "suspend": true,
                "recurseSubmodules": true,
                "include": include,
                "sparseCheckout": ["clusters"],
            },
            "status": {
                "observedGeneration": 3,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
                    "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "artifact": artifact,
                "includedArtifacts": [artifact],
                "observedIgnore": "",
                "observedRecurseSubmodules": true,
                "observedInclude": include,
                "observedSparseCheckout": ["clusters"],
                "sourceVerificationMode": "HEAD",
                "lastHandledReconcileAt": "token",
            },
        })
    }

    #[test]
    fn an_object_with_every_field_is_written_as_it_was_read() {
        let object = every_field();
        let read: GitRepository = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), object);
    }

    /// Guards the test above: a field that is added to the type has to be added there.
    #[test]
    fn the_object_with_every_field_has_every_field() {
        crate::crds::every_field::<GitRepository>(&every_field());
    }
}
