use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;

use plumb_plugin::{Call, CallError, Cancelled, Host, HostConfig, World};
use serde_json::json;

use crate::guest::{echo, host, hostile, load, no_files, object};
use crate::heard::Heard;

#[test]
fn and_do_not_see_each_other() {
    let plugin = load(&echo());
    thread::scope(|scope| {
        for thread in 0..16 {
            let plugin = plugin.clone();
            scope.spawn(move || {
                for call in 0..25 {
                    let object = object(&format!("app-{thread}-{call}"));
                    let parameters = object.clone().into_value();
                    assert_eq!(plugin.render(no_files(), &parameters, &Call::default()).unwrap(), [object]);
                }
            });
        }
    });
}

#[test]
fn and_one_that_breaks_down_does_not_disturb_the_others() {
    let plugin = load(&hostile("", "unreachable"));
    thread::scope(|scope| {
        for thread in 0..8 {
            let plugin = plugin.clone();
            scope.spawn(move || {
                for call in 0..25 {
                    let evil = (thread + call) % 2 == 0;
                    let parameters = if evil { json!({"be": "evil"}) } else { json!({}) };
                    let answer = plugin.render(no_files(), &parameters, &Call::default());
                    assert_eq!(matches!(answer, Err(CallError::Trapped { .. })), evil);
                    assert_eq!(answer.is_ok(), !evil);
                }
            });
        }
    });
}

#[test]
fn and_each_can_be_cancelled() {
    let plugin =
        load(&hostile("", "(call $log (i32.const 3) (i32.const 0) (i32.const 0)) (loop $again (br $again))"));
    let endless = Call { cancelled: Cancelled::new(), ..Call::default() };
    thread::scope(|scope| {
        let running = scope.spawn(|| plugin.render(no_files(), &json!({"be": "evil"}), &endless));
        // The guest says when it has begun.
        while endless.warnings.take().is_empty() {
            thread::yield_now();
        }
        assert!(plugin.render(no_files(), &json!({}), &Call::default()).unwrap().is_empty(), "others go on");
        endless.cancelled.cancel();
        assert!(matches!(running.join().unwrap(), Err(CallError::Cancelled)));
    });
    let answer = plugin.render(no_files(), &json!({}), &endless);
    assert!(matches!(answer, Err(CallError::Cancelled)), "a call that is cancelled beforehand does not run");
}

#[test]
fn and_the_same_component_is_compiled_once() {
    let (host, bytes, heard, start) = (host(), echo(), Heard::default(), Barrier::new(8));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let _listening = heard.listen();
                start.wait();
                host.load_bytes("echo", &bytes, World::Renderer).unwrap();
            });
        }
    });
    assert_eq!(heard.compilations(), 1);
}

#[test]
fn and_memory_for_compiled_components_is_bounded() {
    let heard = Heard::default();
    let _listening = heard.listen();
    let host = Host::new(HostConfig { loaded: NonZeroUsize::MIN, ..HostConfig::default() }).unwrap();
    let (one, two) = (echo(), hostile("", ""));
    let kept = host.load_bytes("one", &one, World::Renderer).unwrap();
    host.load_bytes("two", &two, World::Renderer).unwrap();
    host.load_bytes("one", &one, World::Renderer).unwrap();
    assert_eq!(heard.compilations(), 3, "the first was forgotten");
    let answer = kept.render(no_files(), &object("app").into_value(), &Call::default());
    assert_eq!(answer.unwrap(), [object("app")], "a plugin that is in use stays");
}

#[test]
fn and_more_of_them_than_there_are_places_wait() {
    let host =
        Host::new(HostConfig { concurrent_calls: NonZeroUsize::MIN, ..HostConfig::default() }).unwrap();
    let plugin = host.load_bytes("echo", &echo(), World::Renderer).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| plugin.render(no_files(), &object("app").into_value(), &Call::default()).unwrap());
        }
    });
}

#[test]
fn and_without_a_pool_where_none_can_be_reserved() {
    let heard = Heard::default();
    let _listening = heard.listen();
    // Petabytes of address space, which no machine has.
    let calls = NonZeroUsize::new(1_000_000).unwrap();
    let host = Host::new(HostConfig { concurrent_calls: calls, ..HostConfig::default() }).unwrap();
    assert!(!host.is_pooled());
    assert!(heard.text().contains("no pool of plugin instances could be reserved"));
    let plugin = host.load_bytes("echo", &echo(), World::Renderer).unwrap();
    assert_eq!(
        plugin.render(no_files(), &object("app").into_value(), &Call::default()).unwrap(),
        [object("app")]
    );
}

#[test]
fn and_a_plugin_outlives_the_host_that_loaded_it() {
    let host = host();
    assert!(host.is_pooled());
    let plugin =
        host.load_bytes("endless", &hostile("", "(loop $again (br $again))"), World::Renderer).unwrap();
    drop(host);
    let mut call = Call::default();
    call.limits.wall_time = std::time::Duration::from_millis(30);
    let answer = plugin.render(no_files(), &json!({"be": "evil"}), &call);
    assert!(matches!(answer, Err(CallError::Limit { .. })), "time still passes: {answer:?}");
}
