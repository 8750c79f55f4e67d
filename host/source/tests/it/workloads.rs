use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use plumb_api::Sensitive;
use plumb_source::bucket::Access;
use plumb_source::identity::{Environment, ServiceAccount, ServiceAccountTokens, Tokens, Workload};

/// Kubernetes, which notes for whom tokens are.
#[derive(Default)]
pub(crate) struct Kubernetes(Mutex<Vec<String>>);

impl Kubernetes {
    pub(crate) fn audiences(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl ServiceAccountTokens for Kubernetes {
    fn token<'a>(&'a self, audience: &'a str) -> BoxFuture<'a, Result<Sensitive<String>, String>> {
        self.0.lock().unwrap().push(audience.to_owned());
        Box::pin(async { Ok(Sensitive::new("a token of kubernetes".to_owned())) })
    }
}

pub(crate) fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn account(
    kubernetes: &Arc<Kubernetes>,
    name: &str,
    annotations: &[(&str, &str)],
    environment: Environment,
) -> Workload {
    Workload::ServiceAccount(ServiceAccount {
        namespace: "apps".to_owned(),
        name: name.to_owned(),
        annotations: annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        tokens: Arc::clone(kubernetes) as Arc<dyn ServiceAccountTokens>,
        environment,
    })
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a Bucket refers to that has nothing but a Secret, or not even that.
pub(crate) fn with_secret(secret: Option<BTreeMap<String, Vec<u8>>>) -> Access {
    let nobody = Workload::Controller(Environment::default());
    Access { secret, ..Access::of(nobody, Arc::new(Tokens::new())) }
}
