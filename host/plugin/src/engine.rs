use std::num::NonZeroUsize;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// How much stack a guest may use. It lies on the stack of the calling thread, which has 2 MiB in tokio's blocking pool.
pub(crate) const STACK_BYTES: usize = 1 << 20;

/// Instantiating is copying nothing when the memory image that a pre-initialised component starts with is mapped copy-on-write,
/// which wasmtime does up to this size.
const IMAGE_BYTES: u64 = 256 << 20;

/// What one component may consist of. Go components have one memory, some three core modules and as many tables; those that componentize-py makes have
/// one for each library of Python, some forty in all.
pub(crate) const MEMORIES: u32 = 4;
pub(crate) const TABLES: u32 = 16;
pub(crate) const CORE_INSTANCES: u32 = 64;

/// An engine and whether its instances come from a pool.
pub(crate) struct Made {
    pub(crate) engine: Engine,
    pub(crate) pooled: bool,
}

/// An engine for `calls` calls at once, each with up to `table_elements` in a table. Where the address space for a pool cannot be
/// reserved, instances are allocated as they are needed.
pub(crate) fn new(calls: NonZeroUsize, table_elements: usize) -> wasmtime::Result<Made> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(calls, table_elements)));
    match Engine::new(&pooled) {
        Ok(engine) => Ok(Made { engine, pooled: true }),
        Err(error) => {
            tracing::warn!(
                calls = calls.get(),
                error = format!("{error:#}"),
                "no pool of plugin instances could be reserved, so each call allocates its own; lower the number of \
                 concurrent calls, or raise the limit of the address space (ulimit -v)"
            );
            Ok(Made { engine: Engine::new(&config())?, pooled: false })
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .memory_guaranteed_dense_image_size(IMAGE_BYTES)
        // The same input must give the same output on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .shared_memory(false)
        .concurrency_support(false)
        // A trap tells the names of functions, which need neither addresses nor debug information.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false);
    config
}

fn pool(calls: NonZeroUsize, table_elements: usize) -> PoolingAllocationConfig {
    let calls = u32::try_from(calls.get()).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(CORE_INSTANCES))
        .total_memories(calls.saturating_mul(MEMORIES))
        .total_tables(calls.saturating_mul(TABLES))
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .table_elements(table_elements)
        // One entry for each function, and a Go program has many.
        .max_core_instance_size(16 << 20)
        .max_component_instance_size(1 << 20)
        // For programs for WASI, which may wait. Other calls run on the stack of the thread that makes them.
        .total_stacks(calls)
        // A slot that was used keeps no pages of the guest.
        .linear_memory_keep_resident(0)
        .table_keep_resident(0);
    pool
}
