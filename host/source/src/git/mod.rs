//! Git repositories as trees.
//!
//! In goes a [`Fetch`]: a URL, a reference and credentials. Out comes a [`Snapshot`]: a revision and a [`plumb_tree::Tree`] that reads the object database
//! directly. Nothing is checked out, no hook or filter is run, and no configuration of Git is read: not that of the user, the system, or
//! the environment.

mod completeness;
mod credentials;
mod error;
mod generation;
mod http;
mod meter;
mod remote;
mod repository;
mod selection;
mod sign_in;
mod snapshot;
mod ssh;
mod store;
mod submodules;
mod target;
mod tree;
mod url;
pub mod verify;

pub use credentials::{Credentials, Login, SshKey};
pub use error::GitError;
pub use selection::{Include, InvalidSelection, Selection, Submodules};
pub use sign_in::sign_in;
pub use snapshot::{Commit, Snapshot};
pub use store::{Fetch, Fetched, GitStore, Known, Limits, OpenError};
pub use url::{GitUrl, InvalidUrl};
