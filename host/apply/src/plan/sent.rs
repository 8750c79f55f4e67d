use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_api::Object;
use serde_json::{Map, Value};

use crate::managed_fields::is_built_in;

/// A rendered object as it is sent to the API server. As Flux does (`fluxcd/pkg`, `ssa/normalize`):
///
/// - `stringData` of Secrets goes into `data`: the server remembers as ours a field that it never shows
///   (kubernetes/kubernetes#108008);
/// - ports get their default protocol, which is part of their key in the list (structured-merge-diff#130);
/// - `status` is left out: it is for the cluster to say;
/// - `null` in objects of built-in types is left out, where it means nothing.
pub fn as_sent(rendered: &Arc<Object>) -> Arc<Object> {
    let mut value = Value::Object(rendered.fields().clone());
    change(&mut value, rendered);
    match Object::new(value) {
        Ok(sent) if sent != **rendered => Arc::new(sent),
        // Nothing was changed, and none of the changes touches what `Object::new` asks for.
        _ => Arc::clone(rendered),
    }
}

fn change(value: &mut Value, rendered: &Object) {
    let Some(fields) = value.as_object_mut() else { return };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, value| field != "creationTimestamp" || !value.is_null());
    }
    let gvk = rendered.gvk();
    if is_built_in(&gvk.group_kind()) {
        drop_nulls(fields);
    }
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Secret") => encode_string_data(fields),
        ("", "Service") => set_protocols(value.pointer_mut("/spec/ports")),
        ("", "Pod") => set_pod_protocols(value.pointer_mut("/spec")),
        ("apps", _) | ("batch", "Job") => set_pod_protocols(value.pointer_mut("/spec/template/spec")),
        ("batch", "CronJob") => set_pod_protocols(value.pointer_mut("/spec/jobTemplate/spec/template/spec")),
        _ => {}
    }
}

fn drop_nulls(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| !value.is_null());
    for value in fields.values_mut() {
        drop_nulls_inside(value);
    }
}

fn drop_nulls_inside(value: &mut Value) {
    match value {
        Value::Object(fields) => drop_nulls(fields),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls_inside),
        _ => {}
    }
}

/// Entries of `stringData` win over those of `data`. What is not text stays, for the API server to refuse.
fn encode_string_data(fields: &mut Map<String, Value>) {
    let is_text = |value: &Value| value.as_object().is_some_and(|texts| texts.values().all(Value::is_string));
    if !fields.get("stringData").is_some_and(is_text) {
        return;
    }
    let Some(Value::Object(texts)) = fields.remove("stringData") else { return };
    if texts.is_empty() {
        return;
    }
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if let Some(data) = data.as_object_mut() {
        for (key, text) in texts {
            data.insert(key, STANDARD.encode(text.as_str().unwrap_or_default()).into());
        }
    }
}

fn set_pod_protocols(spec: Option<&mut Value>) {
    let containers = spec.and_then(|spec| spec.get_mut("containers")).and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        set_protocols(container.get_mut("ports"));
    }
}

fn set_protocols(ports: Option<&mut Value>) {
    let ports = ports.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut);
    for port in ports {
        port.entry("protocol").or_insert_with(|| "TCP".into());
    }
}
