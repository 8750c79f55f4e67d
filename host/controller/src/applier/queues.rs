//! One queue a kind of applier.

use std::sync::Arc;

use futures::StreamExt as _;
use plumb_api::{ApplierKind, HelmRelease, HelmReleaseStatus, Kustomization, KustomizationStatus, Pipeline};
use tokio_util::sync::CancellationToken;

use super::{Applier, ApplierId, helm};
use crate::context::Context;
use crate::queue::{self, Action, Reconciler};
use crate::{Key, Kind};

struct Kustomizations;
struct Pipelines;
struct HelmReleases;

/// Reconciles the kinds that are reconciled here until `stop`.
pub(crate) async fn run(context: Arc<Context>, stop: &CancellationToken) {
    let woken = |kind| context.applier_wakes.of(kind).stream().take_until(stop.clone().cancelled_owned());
    let kustomizations = async {
        let (context, store) = (context.clone(), context.kustomizations.clone());
        queue::run::<Kustomizations>(context, store, woken(ApplierKind::Kustomization)).await;
    };
    let pipelines = async {
        let (context, store) = (context.clone(), context.pipelines.clone());
        queue::run::<Pipelines>(context, store, woken(ApplierKind::Pipeline)).await;
    };
    let helm_releases = async {
        let (context, store) = (context.clone(), context.helm_releases.clone());
        queue::run::<HelmReleases>(context, store, woken(ApplierKind::HelmRelease)).await;
    };
    let is_ours = |kind| context.config.kinds.contains(&Kind::Applier(kind));
    tokio::join!(
        async {
            if is_ours(ApplierKind::Kustomization) {
                kustomizations.await;
            }
        },
        async {
            if is_ours(ApplierKind::Pipeline) {
                pipelines.await;
            }
        },
        async {
            if is_ours(ApplierKind::HelmRelease) {
                helm_releases.await;
            }
        },
    );
}

impl Reconciler for Kustomizations {
    type Kind = Kustomization;
    const KIND: &'static str = "Kustomization";

    async fn reconcile(object: Arc<Kustomization>, context: Arc<Context>) -> Action {
        super::reconcile(Applier::Kustomization(object), &context).await
    }

    fn exists(key: &Key, context: &Context) -> bool {
        context.applier(&ApplierId { kind: ApplierKind::Kustomization, key: key.clone() }).is_some()
    }

    async fn report_panic(object: Arc<Kustomization>, context: Arc<Context>, message: String) {
        super::report_panic::<KustomizationStatus>(Applier::Kustomization(object), &context, &message).await;
    }
}

impl Reconciler for Pipelines {
    type Kind = Pipeline;
    const KIND: &'static str = "Pipeline";

    async fn reconcile(object: Arc<Pipeline>, context: Arc<Context>) -> Action {
        super::reconcile(Applier::Pipeline(object), &context).await
    }

    fn exists(key: &Key, context: &Context) -> bool {
        context.applier(&ApplierId { kind: ApplierKind::Pipeline, key: key.clone() }).is_some()
    }

    async fn report_panic(object: Arc<Pipeline>, context: Arc<Context>, message: String) {
        super::report_panic::<KustomizationStatus>(Applier::Pipeline(object), &context, &message).await;
    }
}

impl Reconciler for HelmReleases {
    type Kind = HelmRelease;
    const KIND: &'static str = "HelmRelease";

    async fn reconcile(object: Arc<HelmRelease>, context: Arc<Context>) -> Action {
        helm::reconcile(object, &context).await
    }

    fn exists(key: &Key, context: &Context) -> bool {
        context.applier(&ApplierId { kind: ApplierKind::HelmRelease, key: key.clone() }).is_some()
    }

    async fn report_panic(object: Arc<HelmRelease>, context: Arc<Context>, message: String) {
        super::report_panic::<HelmReleaseStatus>(Applier::HelmRelease(object), &context, &message).await;
    }
}
