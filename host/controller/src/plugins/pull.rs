//! What runs of a plugin of a registry: what ran before, or what is pulled, verified and loaded now.
//!
//! Nothing runs whose signatures were not verified with the keys that there are now. A registry that cannot be asked stops nothing that was.

use std::sync::Arc;

use plumb_api::{OciLayerOperation, OciLayerSelector, OciReference, PluginStatus, Reason};
use plumb_source::content::Stored;
use plumb_source::oci::{OciArtifact, OciError, OciFetch, OciFetched, OciLimits};

use super::choice::{Choice, Options, choose};
use super::components::{self, Kept, MAX_BYTES, MAX_TOTAL_BYTES};
use super::failure::{Failure, Retry};
use super::image::Image;
use super::policy::{Denied, Rules, Signatures, Subject};
use super::reconcile::Run;
use super::trust::{Demand, Trust};
use super::{Loaded, Origin, Signed};
use crate::sources::failure::Failure as SourceFailure;
use crate::sources::registry::Access;

/// What runs.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) loaded: Arc<Loaded>,
    /// What the tag points to, when that is not what runs.
    pub(super) available: Option<String>,
    /// Why it is not known whether there is something newer, or why that does not run.
    pub(super) trouble: Option<Failure>,
}

impl Found {
    pub(super) fn running(loaded: Arc<Loaded>) -> Self {
        Self { loaded, available: None, trouble: None }
    }
}

/// What was pulled last for this image, on the disk or as the status tells.
struct Last {
    digest: String,
    /// Its bytes, when they were verified with what there is now.
    stored: Option<Stored>,
}

/// Finds what is to run.
pub(super) async fn find(run: &Run<'_>, text: &str, before: &PluginStatus) -> Result<Found, Failure> {
    let image = Image::parse(text)
        .map_err(|error| Failure::stalled(Reason::URLInvalid, format!("spec.image: {error}")))?;
    let pin = pin(run, &image)?;
    let signed = Signing::of(run, &image).await?;
    let place = image.place();
    let finding = Finding { run, image: &image, place: &place, signing: &signed };
    let current = run.loaded().filter(|loaded| finding.is_good(loaded));
    let last = finding.last(current.as_deref(), before).await;
    if run.object.spec.suspend {
        return finding.suspended(current, last).await;
    }
    let (tip, trouble) = match finding.tip().await {
        Ok(tip) => (tip, None),
        Err(failure) => (None, Some(failure)),
    };
    let choice = choose(Options {
        pin: pin.as_deref(),
        last: last.as_ref().map(|last| last.digest.as_str()),
        tip: tip.as_deref(),
        upgrade: run.object.spec.upgrade,
        is_forced: run.is_forced(before),
    });
    finding.run(choice, current, last.as_ref(), trouble).await
}

/// The digest that is asked for.
fn pin(run: &Run<'_>, image: &Image) -> Result<Option<String>, Failure> {
    match (&run.object.spec.digest, &image.digest) {
        (Some(digest), Some(other)) if digest != other => Err(Failure::stalled(
            Reason::URLInvalid,
            format!("spec.digest is {digest}, and spec.image has {other}; remove one of them"),
        )),
        (digest, other) => Ok(digest.as_ref().or(other.as_ref()).cloned()),
    }
}

/// Whose signatures are asked for, with all keys read.
struct Signing {
    trusts: Vec<Trust>,
    signed: Signed,
}

impl Signing {
    /// What the Plugin and the policies for its namespace ask for.
    async fn of(run: &Run<'_>, image: &Image) -> Result<Self, Failure> {
        let (context, spec) = (run.context, &run.object.spec);
        let unknown = |message: String| Failure::new(Reason::Failed, Retry::Backoff, message);
        // A policy that changes is a reason to look again.
        let denied = |denied: Denied| Failure::stalled(Reason::AccessDenied, denied.to_string());
        let situation = context.plugins.policies.of(&run.key.namespace).await.map_err(unknown)?;
        let repository = image.repository();
        let rules = Rules::find(&situation.policies, situation.place(), Subject::Image(&repository));
        let rules = rules.map_err(denied)?;
        let of_rules: Vec<_> = rules.verifications().into_iter().cloned().collect();
        let own = spec.verify.as_ref().map(|verify| Demand { namespace: &run.key.namespace, verify });
        let of_policies =
            of_rules.iter().map(|verify| Demand { namespace: &context.config.namespace, verify });
        let demands: Vec<Demand<'_>> = own.into_iter().chain(of_policies).collect();
        let inputs: Vec<_> = demands.iter().flat_map(Demand::inputs).collect();
        context.plugins.keys.follow(&run.key, &inputs);
        // As if all of them were good: what is left is that there has to be one.
        let all = Signatures { of_plugin: own.is_some(), of_rules: &of_rules };
        rules
            .check_signatures(all)
            .map_err(|denied| Failure::stalled(Reason::VerificationError, denied.to_string()))?;
        let mut trusts = Vec::new();
        for demand in &demands {
            trusts.push(demand.trust(&context.plugins.keys).await?);
        }
        let signers: Vec<&str> = trusts.iter().map(|trust| trust.signer.as_str()).collect();
        let signed = Signed {
            of_plugin: spec.verify.clone(),
            signer: (!signers.is_empty()).then(|| signers.join("; ")),
            fingerprints: trusts.iter().map(|trust| trust.fingerprint.clone()).collect(),
            of_rules,
        };
        Ok(Self { trusts, signed })
    }
}

struct Finding<'a> {
    run: &'a Run<'a>,
    image: &'a Image,
    place: &'a str,
    signing: &'a Signing,
}

impl Finding<'_> {
    /// Whether something that runs is of this image, and was verified with what there is now.
    fn is_good(&self, loaded: &Loaded) -> bool {
        let is_here = matches!(&loaded.origin, Origin::Registry { place, .. } if place == self.place);
        is_here && loaded.signatures == self.signing.signed
    }

    /// What has run last for this image. After a restart on another machine only the status knows it.
    async fn last(&self, current: Option<&Loaded>, before: &PluginStatus) -> Option<Last> {
        let (context, uid) = (self.run.context.clone(), self.run.uid.clone());
        let recalling = tokio::task::spawn_blocking(move || context.plugins.components.recall(&uid));
        let recalled = recalling.await.ok().flatten().filter(|(_, kept)| kept.place == self.place);
        if let Some((stored, kept)) = recalled {
            let is_good = kept.fingerprints == self.signing.signed.fingerprints;
            return Some(Last { digest: kept.digest, stored: is_good.then_some(stored) });
        }
        let is_of_this_spec = before.observed_generation == self.run.object.metadata.generation;
        let told = before.digest.clone().filter(|_| is_of_this_spec);
        let digest = current.map(|loaded| loaded.digest.clone()).or(told)?;
        Some(Last { digest, stored: None })
    }

    /// What runs without anybody asking the registry.
    async fn suspended(&self, current: Option<Arc<Loaded>>, last: Option<Last>) -> Result<Found, Failure> {
        if let Some(current) = current {
            return Ok(Found::running(current));
        }
        if let Some((stored, digest)) = last.and_then(|last| Some((last.stored?, last.digest))) {
            return Ok(Found::running(self.load(stored, &digest).await?));
        }
        let message = "there is no version of the plugin that is stored and verified; it is suspended, so none is pulled";
        Err(Failure::stalled(Reason::Suspended, message))
    }

    /// Where the tag points to now; none when there is no tag.
    async fn tip(&self) -> Result<Option<String>, Failure> {
        let Some(reference) = self.image.tagged() else { return Ok(None) };
        let fetch = OciFetch { reference, ..self.request().await? };
        let resolved = self.unless_called_off(fetch.resolve()).await?;
        Ok(Some(resolved.digest.to_string()))
    }

    /// Runs what was chosen. If that cannot be had, what ran before goes on, unless that is the one.
    async fn run(
        &self,
        choice: Choice<'_>,
        current: Option<Arc<Loaded>>,
        last: Option<&Last>,
        trouble: Option<Failure>,
    ) -> Result<Found, Failure> {
        let found = |loaded, available: Option<&str>, trouble| {
            Ok(Found { loaded, available: available.map(str::to_owned), trouble })
        };
        let Some(wanted) = choice.wanted else {
            let nothing =
                || Failure::stalled(Reason::OCIArtifactPullFailed, "the image has neither tag nor digest");
            return Err(trouble.unwrap_or_else(nothing));
        };
        if let Some(current) = current.as_ref().filter(|current| current.digest == wanted) {
            return found(current.clone(), choice.available, trouble);
        }
        let last = last.filter(|last| last.digest == wanted);
        if let Some(stored) = last.and_then(|last| last.stored.clone())
            && let Ok(loaded) = self.load(stored, wanted).await
        {
            return found(loaded, choice.available, trouble);
        }
        match (self.pull(wanted).await, current) {
            (Ok(loaded), _) => found(loaded, choice.available, trouble),
            // What ran before was verified with what there is now. What is pinned has to be that.
            (Err(failure), Some(current)) if self.is_unpinned() => {
                found(current, Some(wanted), Some(failure))
            }
            (Err(failure), _) if last.is_some() && !failure.is_about_the_signature() => {
                Err(self.unverified(wanted, failure))
            }
            (Err(failure), _) => Err(failure),
        }
    }

    fn is_unpinned(&self) -> bool {
        self.run.object.spec.digest.is_none() && self.image.digest.is_none()
    }

    /// Something that has run, and can no longer, because nobody can tell whether the signature is good.
    fn unverified(&self, digest: &str, failure: Failure) -> Failure {
        if self.signing.trusts.is_empty() {
            return failure;
        }
        let message = format!(
            "the signature of {digest} has not been verified with the keys that there are now, and cannot be: {}",
            failure.message
        );
        Failure { reason: Reason::VerificationError, message, ..failure }
    }

    async fn pull(&self, digest: &str) -> Result<Arc<Loaded>, Failure> {
        let (context, run) = (self.run.context, self.run);
        let taken = context.plugins.bytes_of_others(&run.key);
        let layer_bytes = MAX_BYTES.min(MAX_TOTAL_BYTES.saturating_sub(taken));
        if layer_bytes == 0 {
            let message =
                format!("all plugins together take {taken} bytes, and {MAX_TOTAL_BYTES} are allowed");
            return Err(Failure::new(Reason::OCIArtifactPullFailed, Retry::Backoff, message));
        }
        let fetch = OciFetch {
            reference: OciReference::Digest(digest.to_owned()),
            layer: OciLayerSelector { media_type: None, operation: Some(OciLayerOperation::Copy) },
            verifications: self.signing.trusts.iter().map(|trust| trust.verification.clone()).collect(),
            limits: OciLimits { layer_bytes, ..OciLimits::default() },
            ..self.request().await?
        };
        let permit = context.plugins.permits.acquire(&self.run.key.namespace).await;
        let fetched = self.unless_called_off(Box::pin(fetch.run(context.plugins.components.content()))).await;
        drop(permit);
        let OciFetched::New(OciArtifact { stored, .. }) = fetched? else {
            return Err(Failure::new(
                Reason::OCIArtifactPullFailed,
                Retry::Backoff,
                "the registry sent nothing",
            ));
        };
        let loaded = self.load(stored.clone(), digest).await?;
        let kept = Kept {
            place: self.place.to_owned(),
            digest: digest.to_owned(),
            fingerprints: self.signing.signed.fingerprints.clone(),
        };
        let (context, uid) = (context.clone(), run.uid.clone());
        let keeping =
            tokio::task::spawn_blocking(move || context.plugins.components.keep(&uid, &stored, &kept));
        // What is not noted is pulled again.
        let _ = keeping.await;
        Ok(loaded)
    }

    async fn load(&self, stored: Stored, digest: &str) -> Result<Arc<Loaded>, Failure> {
        let (context, name) = (self.run.context.clone(), self.run.key.name.clone());
        let permit = context.plugins.permits.acquire(&self.run.key.namespace).await;
        let working = context.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let Some(bytes) = components::bytes(&stored) else {
                return Err("it is damaged on the disk; it will be pulled again".to_owned());
            };
            let plugin = working.plugins.host.load(&name, &bytes);
            plugin.map(|plugin| (plugin, bytes.len() as u64)).map_err(|error| error.to_string())
        });
        let loaded = loading.await.unwrap_or_else(|error| Err(format!("internal error: {error}")));
        drop(permit);
        let (plugin, size) = loaded.map_err(|reason| {
            let message = format!("{} at {digest} cannot be loaded: {reason}", self.place);
            Failure::new(Reason::OCIArtifactLayerOperationFailed, Retry::Backoff, message)
        })?;
        let origin = Origin::Registry { repository: self.image.repository(), place: self.place.to_owned() };
        Ok(Arc::new(Loaded {
            uid: self.run.uid.clone(),
            origin,
            digest: digest.to_owned(),
            plugin,
            size: Some(size),
            signatures: self.signing.signed.clone(),
        }))
    }

    async fn request(&self) -> Result<OciFetch, Failure> {
        let spec = &self.run.object.spec;
        let access = Access {
            namespace: &self.run.key.namespace,
            provider: spec.provider,
            secret_ref: spec.secret_ref.as_ref(),
            service_account_name: spec.service_account_name.as_deref(),
            cert_secret_ref: spec.cert_secret_ref.as_ref(),
            proxy_secret_ref: spec.proxy_secret_ref.as_ref(),
            insecure: spec.insecure,
            timeout: spec.timeout.to_std(),
        };
        Ok(access.fetch(self.image.url.clone(), self.run.context).await?)
    }

    async fn unless_called_off<T>(
        &self,
        work: impl Future<Output = Result<T, OciError>>,
    ) -> Result<T, Failure> {
        match self.run.context.sources.unless_called_off(work).await {
            Some(done) => done.map_err(|error| SourceFailure::from(error).into()),
            None => Err(Failure::new(Reason::Failed, Retry::Backoff, "the controller is stopping")),
        }
    }
}
