use plumb_plugin::{Call, Host, HostConfig, World};
use serde_json::json;

use crate::guest::{no_files, renderer};
use crate::heard::Heard;

#[test]
fn with_the_name_of_the_plugin_and_nothing_that_moves_the_cursor() {
    let guest = renderer(
        r#"(data (i32.const 1024) "first\nsecond\1b[2J")"#,
        "(call $log (i32.const 2) (i32.const 1024) (i32.const 16))
         (call $log (i32.const 3) (i32.const 1024) (i32.const 5))
         (call $drop_dir (local.get $root))
         (call $ok (i32.const 0) (i32.const 0))",
    );
    let heard = Heard::default();
    let _listening = heard.listen();
    let host = Host::new(HostConfig::default()).unwrap();
    let plugin = host.load_bytes("talker", &guest, World::Renderer).unwrap();
    let call = Call::default();
    plugin.render(no_files(), &json!({}), &call).unwrap();
    let text = heard.text();
    let line = |level: &str| {
        text.lines().find(|line| line.contains(level)).unwrap_or_else(|| panic!("no {level}: {text}"))
    };
    assert!(line("INFO").contains(r"first\nsecond\u{1b}[2J") && line("INFO").contains("talker"), "{text}");
    assert!(line("WARN").contains("first") && line("WARN").contains("talker"), "{text}");
    assert_eq!(call.warnings.take(), ["first"], "users see what is a warning");
    assert!(call.warnings.take().is_empty());
}
