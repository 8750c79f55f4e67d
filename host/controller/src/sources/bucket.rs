//! `Bucket`: the objects of a bucket of an object store.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use plumb_api::{Artifact as ArtifactStatus, Bucket, BucketStatus, LocalObjectReference, Reason, SourceKind};
use plumb_source::bucket::{Access, BucketFetch, BucketFetched, Provider};
use plumb_source::content::Stored;
use plumb_source::transport::Transport;

use super::failure::{Failure, Stage};
use super::kept::{self, Kept};
use super::workload::workload;
use super::{All, Fetch, Fetched, Recalled, Schedule, Signature, Source, Sources, Standing, secrets};
use crate::artifacts::Artifact;
use crate::context::Context;

impl Source for Bucket {
    const KIND: SourceKind = SourceKind::Bucket;
    type Status = BucketStatus;

    fn all(sources: &Sources) -> &All<Self> {
        &sources.buckets
    }

    fn status(&self) -> Option<&BucketStatus> {
        self.status.as_ref()
    }

    fn published(&self) -> Option<&ArtifactStatus> {
        self.status.as_ref()?.artifact.as_ref()
    }
}

impl Fetch for Bucket {
    fn schedule(&self) -> Schedule {
        Schedule { interval: self.spec.interval.to_std(), is_suspended: self.spec.suspend }
    }

    fn secrets(&self) -> Vec<&LocalObjectReference> {
        let spec = &self.spec;
        let sts = spec.sts.as_ref();
        let named = [
            spec.secret_ref.as_ref(),
            spec.cert_secret_ref.as_ref(),
            spec.proxy_secret_ref.as_ref(),
            sts.and_then(|sts| sts.secret_ref.as_ref()),
            sts.and_then(|sts| sts.cert_secret_ref.as_ref()),
        ];
        named.into_iter().flatten().collect()
    }

    fn standing(status: &mut BucketStatus) -> Standing<'_> {
        Standing {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            artifact: &mut status.artifact,
            last_handled_reconcile_at: &mut status.last_handled_reconcile_at,
            url: Some(&mut status.url),
        }
    }

    fn recall(&self, context: &Context) -> Option<Recalled> {
        let (stored, kept) = kept::recall(&context.sources.content, self, &place(self))?;
        let artifact =
            Artifact { revision: kept.revision, tree: stored.tree, digest: stored.digest, origin: None };
        Some(Recalled { artifact, generation: kept.generation })
    }

    async fn fetch(&self, context: &Arc<Context>, known: Option<Artifact>) -> Result<Fetched, Failure> {
        let request = request(self, context, known.as_ref()).await?;
        let (sources, content) = (&context.sources, &context.sources.content);
        let permit = sources.permits.acquire(&self.namespace().unwrap_or_default()).await;
        let fetched = sources.unless_called_off(request.fetch(content)).await;
        drop(permit);
        let artifact = match (fetched.ok_or_else(Failure::called_off)??, known) {
            (BucketFetched::Unchanged(_), Some(known)) => known,
            (BucketFetched::Unchanged(revision), None) => {
                let message = format!("the objects of {revision} are not in the store");
                return Err(Failure::new(Stage::Fetch, Reason::BucketOperationFailed, message));
            }
            (BucketFetched::New { revision, stored }, _) => {
                let (generation, place) = (self.metadata.generation, place(self));
                let kept = Kept { place, revision: revision.clone(), generation, digest: None, origin: None };
                kept::keep(content, self, &stored, kept).await;
                let Stored { digest, tree, .. } = stored;
                Artifact { revision, tree, digest, origin: None }
            }
        };
        Ok(Fetched {
            artifact,
            included: Vec::new(),
            signature: Signature::NotAskedFor,
            metadata: BTreeMap::new(),
            chart: None,
        })
    }

    fn note(&self, _: &Fetched, _: Timestamp, status: &mut BucketStatus) {
        status.observed_ignore = self.spec.ignore.clone();
    }
}

/// Where the objects come from.
fn place(object: &Bucket) -> String {
    let spec = &object.spec;
    let prefix = spec.prefix.as_deref().unwrap_or_default();
    format!("{} {} {} {prefix}", spec.provider.as_str(), spec.endpoint, spec.bucket_name)
}

/// What the store is asked for, with all that the Secrets hold.
async fn request(
    object: &Bucket,
    context: &Context,
    known: Option<&Artifact>,
) -> Result<BucketFetch, Failure> {
    let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
    let way = Transport {
        proxy: secrets::proxy(context, &namespace, spec.proxy_secret_ref.as_ref()).await?,
        addresses: context.config.addresses.clone(),
        ..Transport::default()
    };
    let access = access(object, &namespace, &way, context).await?;
    let provider = Provider::of_spec(spec, access)?;
    let certificates =
        secrets::find(context, &namespace, spec.cert_secret_ref.as_ref(), &secrets::CERTIFICATES).await?;
    let transport = with_certificates(way, certificates)?;
    Ok(BucketFetch {
        owner: object.uid().unwrap_or_default(),
        provider,
        bucket: spec.bucket_name.clone(),
        prefix: spec.prefix.clone(),
        ignore: spec.ignore.clone(),
        transport,
        timeout: spec.timeout.to_std().min(context.config.longest_fetch),
        known: known.map(|artifact| artifact.revision.clone()),
    })
}

/// What the store is signed in to with: the Secrets that the spec names, or else the identity of its service account, or of this controller.
async fn access(
    object: &Bucket,
    namespace: &str,
    way: &Transport,
    context: &Context,
) -> Result<Access, Failure> {
    let (spec, sts) = (&object.spec, object.spec.sts.as_ref());
    let sts_secret = sts.and_then(|sts| sts.secret_ref.as_ref());
    let certificates = sts.and_then(|sts| sts.cert_secret_ref.as_ref());
    let certificates = secrets::find(context, namespace, certificates, &secrets::STS_CERTIFICATES).await?;
    let account = spec.service_account_name.as_deref();
    Ok(Access {
        secret: secrets::find(context, namespace, spec.secret_ref.as_ref(), &secrets::CREDENTIALS).await?,
        sts_secret: secrets::find(context, namespace, sts_secret, &secrets::STS_CREDENTIALS).await?,
        workload: workload(context, namespace.to_owned(), account).await?,
        tokens: Arc::clone(&context.sources.tokens),
        transport: with_certificates(way.clone(), certificates)?,
    })
}

/// The same way, with the certificates of a Secret, if there is one.
fn with_certificates(way: Transport, data: Option<secrets::Data>) -> Result<Transport, Failure> {
    let read = Transport::from_secret(&data.unwrap_or_default());
    let Transport { ca, client_certificate, .. } = read.map_err(|error| secrets::unusable(&error))?;
    Ok(Transport { ca, client_certificate, ..way })
}
