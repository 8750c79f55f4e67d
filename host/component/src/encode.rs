//! Encodes a core module as a component of a world.

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::contract::Contract;

/// What answers a Go module's calls to WASI. The file says how.
const STAND_IN_FOR_WASI: &str = include_str!("../adapter/wasi.wat");

/// Encodes a module that Go built, whose calls of WASI our stand-in answers, as a component of the contract's world.
///
/// # Errors
/// When the module imports what neither the world nor the stand-in has, or does not export what the world asks for.
pub fn encode_go(mut module: Vec<u8>, contract: &Contract) -> Result<Vec<u8>> {
    embed_component_metadata(&mut module, &contract.resolve, contract.world, StringEncoding::UTF8, false)?;
    let adapter = wat::parse_str(STAND_IN_FOR_WASI).context("adapter/wasi.wat is not a module")?;
    let mut encoder = ComponentEncoder::default();
    encoder.adapter("wasi_snapshot_preview1", &adapter)?;
    encode(encoder, &module)
}

/// Encodes a module that rustc built for `wasm32-unknown-unknown`: it calls nothing but the contract, which it describes itself.
///
/// # Errors
/// When the module imports what it does not describe, or does not export what its world asks for.
pub fn encode_rust(module: &[u8]) -> Result<Vec<u8>> {
    encode(ComponentEncoder::default(), module)
}

fn encode(mut encoder: ComponentEncoder, module: &[u8]) -> Result<Vec<u8>> {
    encoder.validate(true);
    encoder.module(module).context("the core module was built for another contract")?;
    encoder.encode().context("cannot encode the core module as a component")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::STAND_IN_FOR_WASI;
    use wasmtime::{Engine, Instance, Memory, MemoryType, Module, Store};

    /// The stand-in with 64 KiB of memory.
    fn stand_in() -> (Store<()>, Instance, Memory) {
        let engine = Engine::default();
        let module = Module::new(&engine, wat::parse_str(STAND_IN_FOR_WASI).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        let instance = Instance::new(&mut store, &module, &[memory.into()]).unwrap();
        (store, instance, memory)
    }

    #[test]
    fn random_bytes_and_times_are_the_same_every_time() {
        let once = || {
            let (mut store, instance, memory) = stand_in();
            let random = instance.get_typed_func::<(i32, i32), i32>(&mut store, "random_get").unwrap();
            let clock =
                instance.get_typed_func::<(i32, i64, i32), i32>(&mut store, "clock_time_get").unwrap();
            assert_eq!(random.call(&mut store, (0, 32)).unwrap(), 0);
            assert_eq!(clock.call(&mut store, (0, 0, 32)).unwrap(), 0);
            assert_eq!(clock.call(&mut store, (0, 0, 40)).unwrap(), 0);
            memory.data(&store)[..48].to_vec()
        };
        let first = once();
        assert_eq!(first, once());
        let number = |at: usize| u64::from_le_bytes(first[at..at + 8].try_into().unwrap());
        assert_ne!(number(0), number(8));
        assert_eq!(number(32), 1_767_225_600_000_001_000);
        assert!(number(40) > number(32), "time goes on");
    }

    // The first eight bytes of the blocks 0 and 1 of ChaCha20 with a key and a nonce of zeros: RFC 8439, A.1, test vectors 1 and 2.
    #[test]
    fn with_a_seed_random_bytes_are_those_of_chacha20() {
        let (mut store, instance, memory) = stand_in();
        let random = instance.get_typed_func::<(i32, i32), i32>(&mut store, "random_get").unwrap();
        let calls = instance.get_typed_func::<(), i32>(&mut store, "plumbline_random_calls").unwrap();
        let seed = instance.get_typed_func::<(i64, i64, i64, i64), ()>(&mut store, "plumbline_seed").unwrap();
        random.call(&mut store, (0, 1)).unwrap();
        assert_eq!(calls.call(&mut store, ()).unwrap(), 1);

        seed.call(&mut store, (0, 0, 0, 0)).unwrap();
        random.call(&mut store, (0, 16)).unwrap();
        let expected = "76b8e0ada0f13d909f07e7be5551387a";
        let shown = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(shown(&memory.data(&store)[..16]), expected);
        assert_eq!(calls.call(&mut store, ()).unwrap(), 1, "these are not predictable");

        // RFC 8439, A.1, test vector 3 has the block 1 with the key 00…01: the last byte of the key is its highest.
        seed.call(&mut store, (0, 0, 0, 1 << 56)).unwrap();
        random.call(&mut store, (0, 16)).unwrap();
        assert_eq!(shown(&memory.data(&store)[8..16]), "3aeb5224ecf84992");
    }

    #[test]
    fn the_only_argument_is_the_name_of_the_program() {
        let (mut store, instance, memory) = stand_in();
        let mut call = |name: &str| {
            let function = instance.get_typed_func::<(i32, i32), i32>(&mut store, name).unwrap();
            function.call(&mut store, (100, 200)).unwrap();
            let bytes = memory.data(&store)[200..208].to_vec();
            (i32::from_le_bytes(memory.data(&store)[100..104].try_into().unwrap()), bytes)
        };
        assert_eq!(call("args_sizes_get"), (1, vec![7, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(call("args_get"), (200, b"plugin\0\0".to_vec()));
    }

    #[test]
    fn the_clock_can_be_set() {
        let (mut store, instance, memory) = stand_in();
        let clock = instance.get_typed_func::<(i32, i64, i32), i32>(&mut store, "clock_time_get").unwrap();
        let set = instance.get_typed_func::<i64, ()>(&mut store, "plumbline_set_time").unwrap();
        set.call(&mut store, 5_000_000_000).unwrap();
        clock.call(&mut store, (0, 0, 0)).unwrap();
        clock.call(&mut store, (1, 0, 8)).unwrap();
        let number = |at: usize| u64::from_le_bytes(memory.data(&store)[at..at + 8].try_into().unwrap());
        assert_eq!(number(0), 5_000_001_000);
        assert_eq!(number(8), 1_000_002_000, "what counts seconds goes on as before");
    }

    #[test]
    fn writes_are_dropped_and_reported_as_written() {
        let (mut store, instance, memory) = stand_in();
        // Two vectors of 3 and 4 bytes.
        memory.data_mut(&mut store)[4] = 3;
        memory.data_mut(&mut store)[12] = 4;
        let write = instance.get_typed_func::<(i32, i32, i32, i32), i32>(&mut store, "fd_write").unwrap();
        assert_eq!(write.call(&mut store, (2, 0, 2, 100)).unwrap(), 0);
        assert_eq!(memory.data(&store)[100], 7);
    }
}
