use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::{clock, cluster_read, http, log, random, secrets, tree, types};
use crate::cache::{Bounds, CompileCache};
use crate::compile_program::CompileProgram;
use crate::compiled::{Compiled, Form, largest_function};
use crate::compiler::{Compiler, Job, NotCompiled};
use crate::component::{only_world, shown, wants, worlds};
use crate::content::Content;
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
    /// What compiles for `cache_dir`. Without it, and without a cache, this process does, and keeps much of the memory that it took.
    pub compile_program: Option<CompileProgram>,
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
            compile_program: None,
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
    compile_program: Option<CompileProgram>,
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
            compile_program: config.compile_program,
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

    /// Loads a plugin from a file that holds a component, or a program for WASI. `name` is what logs and errors call it. Of a plugin that
    /// was compiled before, nothing but its digest is computed.
    pub fn load_file(&self, name: &str, path: &Path, world: World) -> Result<Plugin, LoadError> {
        self.plugin(name, self.file(name, path)?, Some(world))
    }

    /// Loads a plugin from a file, as [`Self::load_file`], in the only world that it is made for.
    pub fn open(&self, name: &str, path: &Path) -> Result<Plugin, LoadError> {
        self.plugin(name, self.file(name, path)?, None)
    }

    /// Loads a plugin from its bytes. The same bytes are compiled once, however often and from however many threads they are loaded.
    pub fn load_bytes(&self, name: &str, bytes: &[u8], world: World) -> Result<Plugin, LoadError> {
        self.plugin(name, self.content(name, bytes)?, Some(world))
    }

    /// Loads a plugin from its bytes, as [`Self::load_bytes`], in the only world that it is made for.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Plugin, LoadError> {
        self.plugin(name, self.content(name, bytes)?, None)
    }

    fn plugin(&self, name: &str, content: Content<'_>, world: Option<World>) -> Result<Plugin, LoadError> {
        let digest = content.digest();
        let compiled = self.compiled(name, content)?;
        let world = world.map_or_else(|| only_world(name, &compiled.names(&self.0.engine)), Ok)?;
        Plugin::new(Arc::clone(&self.0), name, digest, &compiled, world)
    }

    /// Compiles a plugin into the cache for whoever loads it later, which is what a [`CompileProgram`] does.
    pub fn compile(&self, name: &str, bytes: &[u8]) -> Result<(), LoadError> {
        self.compiled(name, self.content(name, bytes)?).map(|_| ())
    }

    /// The only world that a plugin is made for. It is compiled for that, as [`Self::load_bytes`] does.
    pub fn detect(&self, name: &str, bytes: &[u8]) -> Result<World, LoadError> {
        let compiled = self.compiled(name, self.content(name, bytes)?)?;
        only_world(name, &compiled.names(&self.0.engine))
    }

    /// What a plugin is, whether or not it can be used.
    pub fn inspect(&self, name: &str, bytes: &[u8]) -> Result<Inspection, LoadError> {
        let content = self.content(name, bytes)?;
        let digest = content.digest();
        let names = self.compiled(name, content)?.names(&self.0.engine);
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

    fn file(&self, name: &str, path: &Path) -> Result<Content<'static>, LoadError> {
        Content::of_file(name, path, self.0.component_bytes)
    }

    fn content<'a>(&self, name: &str, bytes: &'a [u8]) -> Result<Content<'a>, LoadError> {
        Content::of_bytes(name, bytes, self.0.component_bytes)
    }

    fn compiled(&self, name: &str, content: Content<'_>) -> Result<Compiled, LoadError> {
        let deadline = Instant::now() + self.0.compiler.time();
        let too_slow = || LoadError::TooSlow { name: name.to_owned(), limit: self.0.compiler.time() };
        let slot = Arc::clone(self.0.loaded.lock().get_or_insert(content.digest(), Arc::default));
        let job = {
            let mut slot = slot.try_lock_until(deadline).ok_or_else(too_slow)?;
            match &*slot {
                Some(job) if !job.is_worth_another_try() => job.clone(),
                _ => {
                    let job = self.job(name, content, deadline)?.ok_or_else(too_slow)?;
                    slot.insert(job).clone()
                }
            }
        };
        job.wait(deadline).ok_or_else(too_slow)?.map_err(|why| match why {
            NotCompiled::Invalid(reason) => LoadError::Invalid { name: name.to_owned(), reason },
            NotCompiled::Broken(reason) => LoadError::NotCompiled { name: name.to_owned(), reason },
            NotCompiled::Killed => too_slow(),
        })
    }

    /// Takes what was compiled before from the disk, or starts to compile.
    fn job(
        &self,
        name: &str,
        content: Content<'_>,
        deadline: Instant,
    ) -> Result<Option<Job<Compiled>>, LoadError> {
        let (form, digest) = (content.form(), content.digest());
        let engine = self.0.engine.clone();
        let cached = self.0.cache.as_ref().and_then(|cache| cache.get(&engine, form, &digest));
        if let Some(compiled) = cached {
            return Ok(Some(Job::done(compiled)));
        }
        tracing::debug!(digest = hex::encode(digest), "compiling a plugin");
        if let (Some(program), Some(cache)) = (&self.0.compile_program, &self.0.cache) {
            let (program, cache, content) = (program.clone(), Arc::clone(cache), content.into_owned());
            return Ok(self.0.compiler.start(deadline, move || {
                program.run(cache.directory(), content, deadline)?;
                cache.get(&engine, form, &digest).ok_or_else(|| NotCompiled::Broken(NOTHING_LEFT.to_owned()))
            }));
        }
        let bytes = content.into_bytes(name)?;
        let (bytes_of_one, limit) = (largest_function(&bytes), self.0.function_bytes);
        if bytes_of_one > limit {
            return Err(LoadError::FunctionTooLarge { name: name.to_owned(), bytes: bytes_of_one, limit });
        }
        let cache = self.0.cache.clone();
        Ok(self.0.compiler.start(deadline, move || {
            compile(&engine, cache.as_deref(), form, &bytes, digest)
                .map_err(|error| NotCompiled::Invalid(crate::failure::bounded(&format!("{error:#}"))))
        }))
    }
}

/// The program has succeeded, and what it was given is not in the cache.
const NOTHING_LEFT: &str =
    "the result is not in the cache; the file was changed meanwhile, or nothing can be written there";

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
