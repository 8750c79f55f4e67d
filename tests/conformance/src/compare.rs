use serde_json::Value;
use similar::TextDiff;

use crate::Rendering;

/// Says in which way what the plugin returned differs from what upstream makes of the same; `None` when it does not.
///
/// Objects are equal when their JSON texts are, in their order, written by the same encoder: how a text marks `<` or a
/// large number is not part of it. Where the plugin has words of its own for an error, those are expected. Errors are equal when their texts are, but for [addresses](without_addresses).
pub fn differences(own_words: Option<&str>, native: &Rendering, plugin: &Rendering) -> Option<String> {
    match (native, plugin) {
        (Rendering::Objects(native), Rendering::Objects(plugin)) => {
            let (native, plugin) = (readable(native), readable(plugin));
            (native != plugin).then(|| diff(&native, &plugin))
        }
        (Rendering::Error(native), Rendering::Error(plugin)) => {
            let expected = own_words.unwrap_or(native);
            let (expected, plugin) = (without_addresses(expected), without_addresses(plugin));
            (expected != plugin).then(|| format!("another error:\n{}", diff(&expected, &plugin)))
        }
        (Rendering::Objects(native), Rendering::Error(plugin)) => {
            Some(format!("upstream returns {} objects, and the plugin fails:\n{plugin}\n", native.len()))
        }
        (Rendering::Error(native), Rendering::Objects(plugin)) => {
            Some(format!("upstream fails, and the plugin returns {} objects:\n{native}\n", plugin.len()))
        }
    }
}

/// One field a line, one object after the other. A text that is not JSON stays as it is.
fn readable(objects: &[String]) -> String {
    let pretty = |text: &String| {
        let value = serde_json::from_str::<Value>(text);
        value.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| text.clone())
    };
    objects.iter().map(|text| pretty(text) + "\n").collect()
}

fn diff(native: &str, plugin: &str) -> String {
    TextDiff::from_lines(native, plugin).unified_diff().header("upstream", "plugin").to_string()
}

/// Some of kustomize's messages hold the addresses of structures in memory (`&{0x1cb87fd7b380 <nil>}`), which differ from
/// run to run: `0x` and six hexadecimal digits or more.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.chars().take_while(char::is_ascii_hexdigit).count();
        rest.push_str("0x");
        rest.push_str(if digits < 6 { part } else { part.get(digits..).unwrap_or_default() });
    }
    rest
}
