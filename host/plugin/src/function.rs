//! Runs programs for WASI that read from standard input and write to standard output, with nothing else around them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Linker;
use wasmtime::{Engine, InstancePre, Store, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, I32Exit, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::compiled::Compiled;
use crate::failure::of_guest;
use crate::meter::{Meter, Stop};
use crate::waiting::runtime;
use crate::{Call, CallError, LimitKind};

/// How often it is asked whether the time is up or the call was cancelled, while the program waits.
const TICK: Duration = Duration::from_millis(10);

/// How many streams, clocks and the like a program may hold at once.
const HANDLES: usize = 1000;

/// Everything that a program can see besides its input stands still at this time: one second after 1970 began. Zero would be taken for a
/// clock that does not work.
const NOW: Duration = Duration::from_secs(1);

/// A program that is ready to run.
pub(crate) enum Function {
    Module(InstancePre<Sandbox>),
    Command(CommandPre<Sandbox>),
}

/// What a program wrote, and how it ended.
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: Bytes,
    pub(crate) stderr: Bytes,
}

/// What the host keeps for one run.
pub(crate) struct Sandbox {
    meter: Meter,
    wasi: WasiP1Ctx,
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

/// What programs can import.
pub(crate) struct Linkers {
    modules: wasmtime::Linker<Sandbox>,
    commands: Linker<Sandbox>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let (mut modules, mut commands) = (wasmtime::Linker::new(engine), Linker::new(engine));
        wasmtime_wasi::p1::add_to_linker_async(&mut modules, |sandbox: &mut Sandbox| &mut sandbox.wasi)?;
        wasmtime_wasi::p2::add_to_linker_async(&mut commands)?;
        Ok(Self { modules, commands })
    }

    pub(crate) fn link(&self, compiled: &Compiled) -> wasmtime::Result<Function> {
        Ok(match compiled {
            Compiled::Module(module) => Function::Module(self.modules.instantiate_pre(module)?),
            Compiled::Component(component) => {
                Function::Command(CommandPre::new(self.commands.instantiate_pre(component)?)?)
            }
        })
    }
}

impl Function {
    /// One run in an instance of its own. The second value is what of the limits it used.
    pub(crate) fn run(
        &self,
        engine: &Engine,
        name: &str,
        input: Vec<u8>,
        call: &Call,
    ) -> Result<Ended, CallError> {
        let limits = call.limits;
        let stdout = MemoryOutputPipe::new(limits.output_bytes.saturating_add(1));
        let stderr = MemoryOutputPipe::new(limits.log_bytes.saturating_add(1));
        let mut store = Store::new(engine, Sandbox::new(call, input, &stdout, &stderr));
        store.limiter(|sandbox| &mut sandbox.meter);
        store.set_hostcall_fuel(limits.output_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().meter.check_time()?;
            Ok(UpdateDeadline::Yield(1))
        });
        let ended = self.start(&mut store, call);
        let meter = store.into_data().meter;
        let (stdout, stderr) = (stdout.contents(), stderr.contents());
        call.used.ended(meter.ended(name, stdout.len()));
        let over = |which, limit: usize, used: usize| {
            (used > limit).then_some(Stop::Limit { which, limit: limit as u64, used: used as u64 })
        };
        let stopped = meter
            .stopped()
            .or_else(|| over(LimitKind::OutputBytes, limits.output_bytes, stdout.len()))
            .or_else(|| over(LimitKind::LogBytes, limits.log_bytes, stderr.len()));
        match (stopped, ended) {
            (Some(stop), _) => Err(stop.into()),
            (None, Ok(status)) => Ok(Ended { status, stdout, stderr }),
            (None, Err(error)) => Err(of_guest(&error, &limits)),
        }
    }

    /// Runs the program to its end, or until its time is up: it may wait for a time that never comes. The status that it ends with.
    fn start(&self, store: &mut Store<Sandbox>, call: &Call) -> wasmtime::Result<i32> {
        let runtime = runtime().map_err(|_| wasmtime::Error::msg("the host has no runtime"))?;
        // The meter counts whole milliseconds, and is to agree.
        let deadline = Instant::now() + call.limits.wall_time + Duration::from_millis(1);
        let ended = runtime.block_on(async {
            let mut program = Box::pin(self.main(&mut *store));
            loop {
                match tokio::time::timeout(TICK, &mut program).await {
                    Ok(ended) => return Some(ended),
                    Err(_) if call.cancelled.is_cancelled() || Instant::now() > deadline => return None,
                    Err(_) => {}
                }
            }
        });
        match ended {
            None => {
                store.data_mut().meter.check_time()?;
                Err(wasmtime::Error::msg("it was ended"))
            }
            Some(Err(error)) => error.downcast_ref::<I32Exit>().map(|exit| exit.0).ok_or(error),
            Some(Ok(status)) => Ok(status),
        }
    }

    async fn main(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<i32> {
        match self {
            Self::Module(module) => {
                let instance = module.instantiate_async(&mut *store).await?;
                let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
                start.call_async(store, ()).await.map(|()| 0)
            }
            Self::Command(command) => {
                let command = command.instantiate_async(&mut *store).await?;
                let ended = command.wasi_cli_run().call_run(store).await?;
                Ok(ended.map_or(1, |()| 0))
            }
        }
    }
}

/// What every program is told its name is.
const NAME: &str = "function";

impl Sandbox {
    fn new(call: &Call, input: Vec<u8>, stdout: &MemoryOutputPipe, stderr: &MemoryOutputPipe) -> Self {
        let mut wasi = WasiCtxBuilder::new()
            // Libraries of flags take it for granted that a program has a name.
            .arg(NAME)
            .stdin(MemoryInputPipe::new(input))
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .wall_clock(Standing)
            .monotonic_clock(Standing)
            .secure_random(Deterministic::new(noise()))
            .insecure_random(Deterministic::new(noise()))
            .insecure_random_seed(0)
            .allow_tcp(false)
            .allow_udp(false)
            .build_p1();
        wasi.ctx().table.set_max_capacity(HANDLES);
        Self { meter: Meter::new(call.limits, call.cancelled.clone()), wasi }
    }
}

/// Numbers that look random and are always the same.
fn noise() -> Vec<u8> {
    (0..128_u32).flat_map(|block| Sha256::digest(block.to_le_bytes())).collect()
}

/// A clock that stands still.
struct Standing;

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        NOW
    }

    fn now(&self) -> Duration {
        NOW
    }
}

impl HostMonotonicClock for Standing {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        NOW.as_nanos() as u64
    }
}
