//! `HelmRepository`: the index of a repository of charts. `HelmChart`: a chart of such a repository, of a registry, or of the files of another source.

mod access;
mod chart;
mod chosen;
mod failure;
mod repository;

pub(super) use chart::{ChartFetched, wake_users_of};
