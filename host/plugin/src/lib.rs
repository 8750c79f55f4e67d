//! Runs plugins: sandboxed WebAssembly components that turn files into objects, objects into other objects, or judge
//! them.
//!
//! In go a component ([`Host::load_file`], [`Host::load_bytes`]), the [`World`] it is to be used in, and for each call
//! the input, its [`Limits`] and a flag that cancels it ([`Call`]). Out come objects, findings or a health report, or a
//! [`CallError`] that says what went wrong and whose fault it is. The contract with the plugin is the WIT package
//! `plumbline:plugin` in `wit/`.
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! # use plumb_plugin::{Call, Host, HostConfig, World};
//! # fn example(view: Arc<plumb_tree::View>) -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::new(HostConfig::default())?;
//! let kustomize = host.load_file("kustomize", Path::new("target/plugins/kustomize.wasm"), World::Renderer)?;
//! let parameters = serde_json::json!({"path": "clusters/production"});
//! let objects = kustomize.render(view, &parameters, &Call::default())?;
//! # Ok(()) }
//! ```
//!
//! Every function here blocks: call it from a thread that may, such as tokio's `spawn_blocking`, with a stack of 2 MiB
//! or more, of which a plugin uses up to one.
//!
//! # Whom we trust
//!
//! **A plugin is not trusted.** It sees what it is handed and nothing else: no file, socket, environment, clock or
//! randomness, unless the caller grants it ([`Grants`]). A component that imports more than its world allows is refused when it is loaded. Every call runs in a
//! fresh instance that is thrown away afterwards, so calls cannot see each other, and what a trap leaves behind is
//! never used again. The same input gives the same output: floating-point NaNs are made canonical, threads are off.
//! What comes back is checked, and control characters in its messages are escaped.
//!
//! **A KRM function** is somebody else's program for WASI: a core module, or a component that exports `wasi:cli/run`. It runs as it is, with its
//! `ResourceList` on standard input and output, and with nothing else: no directory, variable, argument or socket, a clock that stands still, and
//! random numbers that are always the same.
//!
//! **Compilers can be made to work long.** Few components are compiled at once, and a caller waits no longer than [`HostConfig::compile_time`]. A [`CompileProgram`] is killed
//! then, and the memory that it took is given back when it ends; a thread of this process cannot be stopped. [`HostConfig::function_bytes`] and [`HostConfig::component_bytes`]
//! bound how long it can be. Who may add a component to the host is for the operator to decide.
//!
//! **Compiled code is trusted**, because it is native code: running somebody else's would be running their program. So
//! it is never accepted from outside ([`LoadError::NotAComponent`]), and read back only from the cache directory, which
//! must belong to us and be writable by nobody else. In addition each entry carries a seal made from its bytes, the
//! component, the compiler's version and settings, the CPU's features, and a random key that lies in the directory: a damaged
//! entry, one that was renamed, and one that was copied from another cache are compiled anew. The seal does not defend
//! against somebody who can write to the directory as our own user; nothing on the machine does.
//!
//! # Limits of a call
//!
//! | limit | default | what counts |
//! |---|---|---|
//! | [`Limits::wall_time`] | 2 min | from the start of the instance, time inside the host included; noticed within some 10 ms |
//! | [`Limits::memory_bytes`] | 1 GiB | all linear memories of the instance together |
//! | [`Limits::table_elements`] | 1,000,000 | all tables of the instance together |
//! | [`Limits::output_bytes`] | 64 MiB | what is handed to the host at once: a result, a log message, a path |
//! | [`Limits::host_calls`] | 250,000 | calls of `tree`, `log` and capabilities together |
//! | [`Limits::answer_bytes`] | 256 MiB | what capabilities answer: values, objects and responses together |
//! | [`Limits::log_bytes`] | 256 KiB | all log messages together |
//!
//! Whoever goes over a limit is ended at once with [`CallError::Limit`]. Besides these the stack of a plugin is 1 MiB,
//! a component has at most 4 memories, 16 tables and 64 core instances, and
//! [`HostConfig::concurrent_calls`] bounds how many calls run at once. How large a file may be is for the
//! [`plumb_tree::View`] to say.
#![deny(unsafe_code)]

mod bindings;
mod cache;
mod call;
mod capabilities;
mod compile_program;
mod compiled;
mod compiler;
mod component;
mod content;
mod engine;
mod failure;
mod function;
mod grants;
mod host;
mod inspection;
mod mask;
mod meter;
mod plugin;
mod precompiled;
mod printable;
mod resource_list;
mod running;
mod state;
mod used;
mod values;
mod waiting;

pub use call::{Call, Cancelled, Limits, Warnings};
pub use compile_program::CompileProgram;
pub use compiled::Form;
pub use component::{LoadError, MissingExport, World};
pub use failure::{CallError, LimitKind};
pub use grants::{
    Capability, Clock, ClusterReader, Grants, HttpClient, HttpError, HttpRequest, HttpResponse, ObjectKind,
    Random, ReadError, Secrets, SystemClock, SystemRandom, Wants,
};
pub use host::{Host, HostConfig, HostError};
pub use inspection::{Inspection, Producer};
pub use plugin::Plugin;
pub use used::{ClusterQuery, ClusterRecord, Usage, Used};
pub use values::{DecryptedFile, ErrorKind, Finding, HealthReport, HealthStatus, PluginError, Severity};
