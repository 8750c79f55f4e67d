//! Identities that sign in without a stored password: GitHub Apps, and workloads in clouds; where the clusters of clouds are; and what key services of clouds decrypt.
//!
//! In goes who one is, as a Secret, the environment or a service account tells it. Out come tokens that last for an hour or so, which are kept until shortly before their end.

mod acr;
mod aws;
mod aws_local;
mod azure;
mod azure_managed;
mod cache;
mod cluster;
mod ecr;
mod error;
mod exchange;
mod external_account;
mod gcp;
mod github;
mod google_key;
mod key_service;
mod ldap;
mod metadata;
mod signature;
mod vault;
mod workload;

use jiff::Timestamp;
use plumb_api::Sensitive;

pub use aws::{AwsCredentials, AwsPartition};
pub use azure::DEVOPS_SCOPE;
pub use cluster::{CloudCluster, ClusterEndpoint};
pub use error::IdentityError;
pub use github::GitHubApp;
pub use key_service::{KeyAnswer, KeyService, KeyUser, OfMachine};
pub use vault::VaultLogin;
pub use workload::{Environment, ServiceAccount, ServiceAccountTokens, Workload};

pub(crate) use acr::Acr;
pub(crate) use aws::{code_commit_login, code_commit_region, is_region};
pub(crate) use ecr::{ECR_USER, Ecr};
pub(crate) use ldap::LdapLogin;

use cache::{Cache, Expiring};

/// What a server takes instead of a password, until it expires.
#[derive(Clone)]
pub struct Token {
    /// The token itself.
    pub secret: Sensitive<String>,
    /// When it is over.
    pub expires: Timestamp,
}

impl Expiring for Token {
    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// The tokens that were got and have not expired. There is one for all that sign in, and it holds a bounded number of them.
#[derive(Debug, Default)]
pub struct Tokens {
    tokens: Cache<Token>,
    aws: Cache<AwsCredentials>,
}

impl Tokens {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
    }
}
