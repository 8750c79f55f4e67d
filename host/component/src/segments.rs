//! Merges the data segments of a core module.
//!
//! Go writes its data as exactly 100,000 segments, which is the most that a validator accepts; the snapshot that
//! follows adds some of its own, and the result would no longer load. The memory that the segments describe stays
//! the same, byte for byte.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use wasm_encoder::{ConstExpr, DataSection, Module, RawSection};
use wasmparser::{DataKind, DataSectionReader, Operator, Parser, Payload};

/// Zero bytes between two runs of data that are kept as data. A segment costs about eight bytes of its own and time to
/// set up, zeros cost next to nothing once compressed.
const LARGEST_GAP: usize = 512;

/// The most memory that segments may describe; a bound against a damaged module.
const LARGEST_IMAGE: usize = 1 << 30;

/// Returns the module with its data segments merged.
///
/// # Errors
/// When the module is not valid, uses passive segments, has more than one memory, or has a segment whose offset is not
/// a constant.
pub fn merge(module: &[u8]) -> Result<Vec<u8>> {
    let mut out = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.context("the module is not valid")? {
            // The count is of use to passive segments only, and would now be wrong.
            Payload::DataCountSection { .. } => {}
            Payload::DataSection(segments) => {
                out.section(&data_section(&image(segments)?));
            }
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    out.section(&RawSection { id, data: &module[byte_range(range)?] });
                }
            }
        }
    }
    Ok(out.finish())
}

/// The memory that the segments describe, from address 0.
fn image(segments: DataSectionReader<'_>) -> Result<Vec<u8>> {
    let mut image = Vec::new();
    for segment in segments {
        let segment = segment?;
        let address = match segment.kind {
            DataKind::Passive if segment.data.is_empty() => continue,
            DataKind::Passive => bail!("the module uses passive data segments, which cannot be merged"),
            DataKind::Active { memory_index: 0, offset_expr } => {
                match offset_expr.get_operators_reader().read()? {
                    Operator::I32Const { value } => value.cast_unsigned() as usize,
                    other => bail!("the offset of a data segment is not a constant but {other:?}"),
                }
            }
            DataKind::Active { memory_index, .. } => {
                bail!("the module has a data segment for memory {memory_index}; only memory 0 is expected")
            }
        };
        let end = address + segment.data.len();
        ensure!(end <= LARGEST_IMAGE, "a data segment ends at {end}, beyond any sensible size");
        if image.len() < end {
            image.resize(end, 0);
        }
        image[address..end].copy_from_slice(segment.data);
    }
    Ok(image)
}

fn data_section(image: &[u8]) -> DataSection {
    let mut section = DataSection::new();
    for run in runs(image) {
        #[expect(clippy::cast_possible_truncation, reason = "the image is at most 1 GiB")]
        let offset = ConstExpr::i32_const(run.start as i32);
        section.active(0, &offset, image[run].iter().copied());
    }
    section
}

/// The parts of the image that are not zero, with gaps of at most [`LARGEST_GAP`] zeros included.
fn runs(image: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, _) in image.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        match runs.last_mut() {
            Some(run) if at - run.end <= LARGEST_GAP => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

fn byte_range(range: Range<u64>) -> Result<Range<usize>> {
    Ok(usize::try_from(range.start)?..usize::try_from(range.end)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::{LARGEST_GAP, merge, runs};
    use wasmtime::{Engine, Instance, Module, Store};

    /// The first page of memory of an instance of the module, and what its function `f` returns.
    fn run(module: &[u8]) -> (Vec<u8>, i32) {
        let engine = Engine::default();
        let module = Module::new(&engine, module).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let f = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
        let result = f.call(&mut store, ()).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        (memory.data(&store).to_vec(), result)
    }

    fn segments(module: &[u8]) -> usize {
        wasmparser::Parser::new(0)
            .parse_all(module)
            .find_map(|payload| match payload.unwrap() {
                wasmparser::Payload::DataSection(segments) => Some(segments.count() as usize),
                _ => None,
            })
            .unwrap_or(0)
    }

    #[test]
    fn the_memory_stays_the_same_and_later_segments_win() {
        let module = wat::parse_str(
            r#"(module (memory (export "memory") 1)
                 (func (export "f") (result i32) (i32.load (i32.const 8)))
                 (data (i32.const 8) "abcd") (data (i32.const 10) "XY") (data (i32.const 12) "\00\00e")
                 (data (i32.const 40000) "far away") (data (i32.const 65535) "z") (data (i32.const 16) ""))"#,
        )
        .unwrap();
        let merged = merge(&module).unwrap();
        assert_eq!(segments(&merged), 3);
        assert_eq!(run(&merged), run(&module));
        assert_eq!(&run(&merged).0[8..15], b"abXY\0\0e");
    }

    #[test]
    fn a_module_without_data_is_left_alone() {
        let module = wat::parse_str(
            r#"(module (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 7)))"#,
        )
        .unwrap();
        assert_eq!(merge(&module).unwrap(), module);
    }

    #[test]
    fn what_cannot_be_merged_is_refused() {
        for (module, message) in [
            (r#"(module (memory 1) (data "passive"))"#, "passive data segments"),
            (r#"(module (memory 1) (memory 1) (data (memory 1) (i32.const 0) "x"))"#, "for memory 1"),
            (
                r#"(module (import "a" "b" (global i32)) (memory 1) (data (global.get 0) "x"))"#,
                "is not a constant",
            ),
        ] {
            let error = merge(&wat::parse_str(module).unwrap()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(merge(b"\0asm nonsense").is_err());
    }

    #[test]
    fn a_gap_is_kept_up_to_its_limit() {
        let mut image = vec![0; 3 * LARGEST_GAP];
        image[0] = 1;
        image[LARGEST_GAP + 1] = 1;
        assert_eq!(runs(&image), vec![0..LARGEST_GAP + 2]);
        image[LARGEST_GAP + 1] = 0;
        image[LARGEST_GAP + 2] = 1;
        assert_eq!(runs(&image), vec![0..1, LARGEST_GAP + 2..LARGEST_GAP + 3]);
    }
}
