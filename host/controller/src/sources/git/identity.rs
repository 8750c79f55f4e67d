//! `spec.provider` of a GitRepository: signing in as a GitHub App, or as a workload in a cloud.

use kube::ResourceExt as _;
use plumb_api::{GitProvider, GitRepository};
use plumb_source::git::{GitUrl, Login, sign_in};
use plumb_source::identity::{Environment, Workload};
use plumb_source::transport::Transport;

use crate::context::Context;
use crate::sources::failure::Failure;
use crate::sources::secrets::Data;
use crate::sources::workload::workload;

/// How to sign in, where that is not said by the Secret alone; `None` with the provider `generic`.
pub(super) async fn login(
    object: &GitRepository,
    url: &GitUrl,
    data: &Data,
    transport: &Transport,
    context: &Context,
) -> Result<Option<Login>, Failure> {
    let (provider, spec) = (object.spec.provider(), &object.spec);
    let workload = match provider {
        GitProvider::Azure | GitProvider::Aws => {
            let namespace = object.namespace().unwrap_or_default();
            workload(context, namespace, spec.service_account_name.as_deref()).await?
        }
        // Nobody's identity is needed.
        GitProvider::Generic | GitProvider::Github => Workload::Controller(Environment::default()),
    };
    Ok(sign_in(provider, url, Some(data), &workload, transport, &context.sources.tokens).await?)
}
