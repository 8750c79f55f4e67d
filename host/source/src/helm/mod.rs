//! Helm charts: from a repository with an index, from a registry, or from the files of another source.
//!
//! In goes where a repository is and who one is there ([`IndexFetch`]); out comes its index, which is never in memory as a whole ([`Index`]). A version of a chart is
//! chosen from it, downloaded ([`ChartFetch`]), and becomes a tree: a directory that has the name of the chart, with all that is in its archive. A chart that is a directory of
//! another tree, or whose values are put together from several files, becomes such a tree too ([`Package`]).

mod archive;
mod dependencies;
mod error;
mod fetch;
mod http;
mod index;
mod login;
mod metadata;
mod package;
mod provenance;
mod reference;
mod values;

pub use archive::{CHART_MEDIA_TYPE, Chart};
pub use dependencies::Remote;
pub use error::{ChartError, RepositoryError};
pub use fetch::{ChartFetch, IndexFetch, IndexFetched};
pub use index::{ChartVersion, Index};
pub use login::HelmLogin;
pub use metadata::{Metadata, with_build_metadata};
pub use package::{Package, Packaged};
pub use reference::{chart_reference, is_chart_name, version_of_tag};
pub use values::replacing_values;

use crate::content::Limits;

/// How much a repository may send. Whoever exceeds one of them is told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelmLimits {
    /// The size of an index in bytes. By default 64 MiB; Flux takes 50 MiB.
    pub index_bytes: u64,
    /// The size of the archive of a chart in bytes. By default 10 MiB, as in Flux.
    pub archive_bytes: u64,
    /// What a chart may be unpacked to. By default Helm's own limits since CVE-2025-32386: 100 MiB in all, 5 MiB in a file.
    pub chart: Limits,
}

impl Default for HelmLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        let chart =
            Limits { entries: 20_000, file_bytes: 5 * MIB, tree_bytes: 100 * MIB, ..Limits::default() };
        Self { index_bytes: 64 * MIB, archive_bytes: 10 * MIB, chart }
    }
}
