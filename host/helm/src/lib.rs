//! A Helm release as a value: no I/O.
//!
//! In goes what a HelmRelease says, what the helm plugin has rendered, and what the cluster holds; out come values, records, conditions, and
//! the next thing to do.
//!
//! - [`values`]: the values of a release from ConfigMaps, Secrets and the spec, and their digest.
//! - [`render`]: from a chart to a release, through its post-renderers, by plugins that the caller runs; [`rendered`]: what comes out.
//! - [`record`]: Helm's storage format, which the `helm` command reads; [`snapshot`]: what Flux notes of it in the status.
//! - [`decide`]: what to do next; [`report`]: what the status says about it.
//! - [`go_yaml`]: YAML that Helm and `kubectl` read back as it was.
//! - [`hooks`], [`objects`], [`name`]: the rules for hooks, for labels and annotations of objects, and for names; [`unused`]: the fields that
//!   have no effect.
#![forbid(unsafe_code)]

pub mod decide;
mod go;
pub mod go_yaml;
pub mod hooks;
pub mod manifest;
pub mod name;
pub mod objects;
mod post_render;
pub mod record;
pub mod render;
pub mod rendered;
pub mod report;
pub mod snapshot;
mod strategy;
pub mod unused;
pub mod values;
