use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::{clock, cluster_read, http, log, random, secrets, tree, types};
use crate::cache::{Bounds, CompileCache};
use crate::compiled::{Compiled, Form, largest_function};
use crate::compiler::{Compiler, Job};
use crate::component::{form, only_world, shown, wants, worlds};
use crate::function::Linkers;
use crate::running::Running;
use crate::state::State;
use crate::{Inspection, Limits, LoadError, Plugin, World, engine, inspection};

/// How a host is set up. The default keeps nothing on disk.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where compiled components are kept from one run to the next. It is made with mode 0700 when it does not exist. When
    /// it cannot be used, because it belongs to another user or others may write to it, this is logged and
    /// nothing is kept. In a pod name a directory below the volume, because the volume itself is open to all.
    pub cache_dir: Option<PathBuf>,
    /// How many entries `cache_dir` holds at the most.
    pub cache_entries: usize,
    /// How many bytes `cache_dir` holds at the most, one entry always.
    pub cache_bytes: u64,
    /// How many compiled components are kept in memory at the most, besides those that a [`Plugin`] holds.
    pub loaded: NonZeroUsize,
    /// How many bytes a component may have.
    pub component_bytes: u64,
    /// How many bytes one function may have. Compilers take more than twice as long for twice as large a one.
    pub function_bytes: usize,
    /// How long a caller waits for a component to be compiled, the time until its turn included: few are compiled at once.
    pub compile_time: Duration,
    /// How many calls run at once at the most; others wait. Each takes a thread and up to [`Limits::memory_bytes`].
    pub concurrent_calls: NonZeroUsize,
    /// How many elements one table may have in an instance from the pool. [`Limits::table_elements`] of a call can be lower.
    pub table_elements: usize,
}

impl Default for HostConfig {
    fn default() -> Self {
        let four = NonZeroUsize::MIN.saturating_add(3);
        Self {
            cache_dir: None,
            cache_entries: 64,
            cache_bytes: 4 << 30,
            loaded: NonZeroUsize::MIN.saturating_add(31),
            component_bytes: 256 << 20,
            function_bytes: 1 << 20,
            compile_time: Duration::from_secs(600),
            // Calls compute all the time: more of them than processors only take memory.
            concurrent_calls: available_parallelism().map_or(four, |processors| processors.max(four)),
            table_elements: Limits::default().table_elements,
        }
    }
}

/// Why a host cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The WebAssembly engine refuses its settings or this machine.
    #[error("the WebAssembly engine cannot be set up: {0}")]
    Engine(String),
    /// The thread that lets time pass for plugins cannot be started.
    #[error("the thread that watches over plugins cannot be started: {0}")]
    Thread(io::Error),
}

/// Loads and runs plugins. Clones share everything.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) functions: Linkers,
    pub(crate) running: Running,
    pooled: bool,
    cache: Option<Arc<CompileCache>>,
    loaded: Mutex<LruCache<[u8; 32], Arc<Slot>>>,
    component_bytes: u64,
    function_bytes: usize,
    compiler: Compiler,
}

/// What there is of a digest. Whoever finds it empty starts to compile; all wait for the same result.
type Slot = Mutex<Option<Job<Compiled>>>;

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("pooled", &self.0.pooled)
            .field("cache", &self.0.cache.is_some())
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Sets up a host: one is enough for a process.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let refused = |error: wasmtime::Error| HostError::Engine(format!("{error:#}"));
        let engine::Made { engine, pooled } =
            engine::new(config.concurrent_calls, config.table_elements).map_err(refused)?;
        let running = Running::new(&engine, config.concurrent_calls.get()).map_err(HostError::Thread)?;
        let bounds = Bounds { entries: config.cache_entries, bytes: config.cache_bytes };
        let cache = config.cache_dir.and_then(|directory| match CompileCache::open(&directory, bounds) {
            Ok(cache) => Some(Arc::new(cache)),
            Err(error) => {
                tracing::warn!(%error, "compiled plugins are not kept: the cache directory cannot be used");
                None
            }
        });
        Ok(Self(Arc::new(Inner {
            linker: linker(&engine).map_err(refused)?,
            functions: Linkers::new(&engine).map_err(refused)?,
            engine,
            running,
            pooled,
            cache,
            loaded: Mutex::new(LruCache::new(config.loaded)),
            component_bytes: config.component_bytes,
            function_bytes: config.function_bytes,
            compiler: Compiler::new(config.compile_time),
        })))
    }

    /// Whether instances come from a pool, which is faster. If the address space for it could not be reserved, each is
    /// allocated when it is needed.
    pub fn is_pooled(&self) -> bool {
        self.0.pooled
    }

    /// Whether compiled components are kept on disk.
    pub fn is_cached(&self) -> bool {
        self.0.cache.is_some()
    }

    /// Loads a plugin from a file that holds a component, or a program for WASI. `name` is what logs and errors call it.
    pub fn load_file(&self, name: &str, path: &Path, world: World) -> Result<Plugin, LoadError> {
        self.load_bytes(name, &self.read(name, path)?, world)
    }

    /// The bytes of a plugin, no more than [`HostConfig::component_bytes`].
    pub fn read(&self, name: &str, path: &Path) -> Result<Vec<u8>, LoadError> {
        let mut bytes = Vec::new();
        // One more than the limit, so that what is over it is noticed.
        let read = File::open(path)
            .and_then(|file| file.take(self.0.component_bytes.saturating_add(1)).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() as u64 > self.0.component_bytes => Err(self.too_large(name)),
            Ok(_) => Ok(bytes),
            Err(source) => Err(LoadError::Read { name: name.to_owned(), path: path.to_owned(), source }),
        }
    }

    /// Loads a plugin in the only world that it is made for.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Plugin, LoadError> {
        self.load_bytes(name, bytes, self.detect(name, bytes)?)
    }

    /// Loads a plugin from its bytes. The same bytes are compiled once, however often and from however many threads they are loaded.
    pub fn load_bytes(&self, name: &str, bytes: &[u8], world: World) -> Result<Plugin, LoadError> {
        let digest = Sha256::digest(bytes).into();
        let compiled = self.compiled(name, bytes, digest)?;
        Plugin::new(Arc::clone(&self.0), name, digest, &compiled, world)
    }

    /// The only world that a plugin is made for. It is compiled for that, as [`Self::load_bytes`] does.
    pub fn detect(&self, name: &str, bytes: &[u8]) -> Result<World, LoadError> {
        let compiled = self.compiled(name, bytes, Sha256::digest(bytes).into())?;
        only_world(name, &compiled.names(&self.0.engine))
    }

    /// What a plugin is, whether or not it can be used.
    pub fn inspect(&self, name: &str, bytes: &[u8]) -> Result<Inspection, LoadError> {
        let digest = Sha256::digest(bytes).into();
        let names = self.compiled(name, bytes, digest)?.names(&self.0.engine);
        Ok(Inspection {
            form: names.form,
            worlds: worlds(&names),
            wants: wants(&names.imports),
            imports: shown(&names.imports),
            exports: shown(&names.exports),
            bytes: bytes.len() as u64,
            digest: format!("sha256:{}", hex::encode(digest)),
            producers: inspection::producers(bytes),
        })
    }

    fn too_large(&self, name: &str) -> LoadError {
        LoadError::TooLarge { name: name.to_owned(), limit: self.0.component_bytes }
    }

    fn compiled(&self, name: &str, bytes: &[u8], digest: [u8; 32]) -> Result<Compiled, LoadError> {
        if bytes.len() as u64 > self.0.component_bytes {
            return Err(self.too_large(name));
        }
        let form = form(name, bytes)?;
        let deadline = Instant::now() + self.0.compiler.time();
        let too_slow = || LoadError::TooSlow { name: name.to_owned(), limit: self.0.compiler.time() };
        let slot = Arc::clone(self.0.loaded.lock().get_or_insert(digest, Arc::default));
        let job = {
            let mut slot = slot.try_lock_until(deadline).ok_or_else(too_slow)?;
            match &*slot {
                Some(job) => job.clone(),
                None => {
                    let job = self.job(name, form, bytes, digest, deadline)?.ok_or_else(too_slow)?;
                    slot.insert(job).clone()
                }
            }
        };
        job.wait(deadline)
            .ok_or_else(too_slow)?
            .map_err(|reason| LoadError::Invalid { name: name.to_owned(), reason })
    }

    /// Takes what was compiled before from the disk, or starts to compile.
    fn job(
        &self,
        name: &str,
        form: Form,
        bytes: &[u8],
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<Option<Job<Compiled>>, LoadError> {
        let cached = self.0.cache.as_ref().and_then(|cache| cache.get(&self.0.engine, form, &digest));
        if let Some(compiled) = cached {
            return Ok(Some(Job::done(compiled)));
        }
        let (bytes_of_one, limit) = (largest_function(bytes), self.0.function_bytes);
        if bytes_of_one > limit {
            return Err(LoadError::FunctionTooLarge { name: name.to_owned(), bytes: bytes_of_one, limit });
        }
        tracing::debug!(digest = hex::encode(digest), "compiling a plugin");
        let (bytes, engine, cache) = (bytes.to_vec(), self.0.engine.clone(), self.0.cache.clone());
        Ok(self.0.compiler.start(deadline, move || {
            compile(&engine, cache.as_deref(), form, &bytes, digest)
                .map_err(|error| crate::failure::bounded(&format!("{error:#}")))
        }))
    }
}

fn compile(
    engine: &Engine,
    cache: Option<&CompileCache>,
    form: Form,
    bytes: &[u8],
    digest: [u8; 32],
) -> wasmtime::Result<Compiled> {
    let Some(cache) = cache else { return form.compile(engine, bytes) };
    let compiled = form.precompile(engine, bytes)?;
    cache.put(engine, form, &digest, &compiled).or_else(|error| {
        tracing::warn!(error, "a compiled plugin could not be kept");
        form.compile(engine, bytes)
    })
}

/// All that any world may import. What a world may not have is refused before anything is linked.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    types::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    log::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    tree::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    secrets::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    cluster_read::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    http::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    clock::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    random::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}
