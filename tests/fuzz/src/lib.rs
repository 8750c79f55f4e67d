//! Fuzz targets: any bytes may come in, and nothing may panic, hang, or use more than it is allowed.
//!
//! Each is a function of some bytes, called by a program of its own in `src/bin`, which `cargo xtask fuzz` builds and runs. What was found to be of interest
//! once lies in `seeds/`.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "what is set up here is the same in every run, and a target that cannot start has to say so"
)]

mod guests;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use plumb_api::Object;
use plumb_plugin::{Call, Host, HostConfig, Limits, Plugin, World};
use plumb_tree::{Memory, View};
use serde_json::{Value, json};

/// Large components take long to compile, and show nothing that small ones do not.
const LARGEST: u64 = 64 << 10;

static HOST: LazyLock<Host> = LazyLock::new(|| {
    Host::new(HostConfig { component_bytes: LARGEST, ..HostConfig::default() }).expect("a host")
});

fn call() -> Call {
    let limits = Limits {
        wall_time: Duration::from_millis(200),
        memory_bytes: 16 << 20,
        table_elements: 10_000,
        output_bytes: 1 << 20,
        host_calls: 1000,
        ..Limits::default()
    };
    Call { limits, ..Call::default() }
}

fn objects() -> Vec<Object> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    vec![Object::new(object).expect("an object")]
}

fn run(plugin: &Plugin, parameters: &Value) {
    let (call, objects) = (call(), objects());
    // That it fails is as good as that it does not.
    match plugin.world() {
        World::Renderer => {
            let view = Arc::new(View::new(Arc::new(Memory::new()), 1 << 20));
            let _ = plugin.render(view, parameters, &call);
        }
        World::Transformer => drop(plugin.transform(&objects, parameters, &call)),
        World::Validator => drop(plugin.validate(&objects, parameters, &call)),
        World::HealthCheck => drop(plugin.check_health(&objects[0], parameters, &call)),
        World::KrmFunction => drop(plugin.function(&objects, parameters, &call)),
    }
}

/// Attack 27 (Plugins): a malformed component, or one that is well-formed and hostile. It is inspected, loaded in every world and called.
pub fn load(bytes: &[u8]) {
    let _ = HOST.inspect("fuzzed", bytes);
    let _ = HOST.detect("fuzzed", bytes);
    for world in World::ALL {
        if let Ok(plugin) = HOST.load_bytes("fuzzed", bytes, world) {
            run(&plugin, &Value::Null);
        }
    }
}

/// Attack 27 (Plugins), Attack 15 (YAML): a guest that returns the bytes as its answer: as the record that the contract wants, with pointers and lengths of its choice,
/// or, of a KRM function, as text. The first byte chooses the world.
pub fn answers(bytes: &[u8]) {
    static GUESTS: LazyLock<Vec<Plugin>> = LazyLock::new(|| {
        guests::all()
            .iter()
            .map(|(world, guest)| HOST.load_bytes("guest", guest, *world).expect("a guest"))
            .collect()
    });
    let Some((world, answer)) = bytes.split_first() else { return };
    if answer.len() > guests::LONGEST_ANSWER {
        return;
    }
    let plugin = &GUESTS[usize::from(*world) % GUESTS.len()];
    run(plugin, &json!({"answer": format!("{}{}", guests::BEGIN, hex::encode(answer))}));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn seeds(target: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        let mut seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        seeds.sort();
        assert!(!seeds.is_empty());
        seeds
    }

    #[test]
    fn the_seeds_do_no_harm() {
        seeds("load").iter().for_each(|seed| load(&fs::read(seed).unwrap()));
        seeds("answers").iter().for_each(|seed| answers(&fs::read(seed).unwrap()));
    }

    /// A target that never gets far finds nothing.
    #[test]
    fn a_guest_returns_the_bytes_that_it_is_given() {
        let text = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}"#;
        let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        // Success, then a list of one string, which begins behind them.
        let answer = [word(0), word(12), word(1), word(20), word(text.len())].concat();
        let answer = [&answer, text.as_bytes()].concat();
        let (world, guest) = &guests::all()[0];
        let plugin = HOST.load_bytes("guest", guest, *world).unwrap();
        let parameters = json!({"answer": format!("{}{}", guests::BEGIN, hex::encode(answer))});
        let objects = plugin.transform(&objects(), &parameters, &call()).unwrap();
        assert_eq!(objects[0].name(), "b");

        let list = format!(r#"{{"kind":"ResourceList","items":[{text}]}}"#);
        let (world, guest) = guests::all().pop().unwrap();
        let plugin = HOST.load_bytes("guest", &guest, world).unwrap();
        let parameters = json!({"answer": format!("{}{}", guests::BEGIN, hex::encode(list))});
        let objects = plugin.function(&[], &parameters, &call()).unwrap();
        assert_eq!(objects[0].name(), "b");
    }
}
