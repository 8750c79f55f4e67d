//! What whole-system tests share: a Git server, a repository, a cluster.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is used by tests only"
)]

mod api_server;
mod aws;
pub mod cluster;
pub mod controller;
mod git_repo;
mod git_server;
pub mod helm;
mod proxy_server;
pub mod sealed_secrets;
mod servers;
pub mod sops;
mod ssh_server;
mod tls;

pub use api_server::{ApiRequest, ApiServer};
pub use aws::{Aws, AwsKeys};
pub use git_repo::GitRepo;
pub use git_server::{Auth, Behaviour, GitServer, GitServerOptions, Protocol, Seen};
pub use proxy_server::ProxyServer;
pub use servers::{Registry, S3, registry, s3};
pub use ssh_server::SshServer;
pub use tls::Authority;
