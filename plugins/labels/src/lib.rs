//! Sets and removes labels and annotations of objects, and, where that is asked for, of the pods that they make.
//!
//! [`names`] knows what may be the name and the value of a label; [`selectors`] keeps workloads and Services together with their pods.

pub mod names;
pub mod selectors;

use std::collections::BTreeMap;

use plumbline_plugin::{Error, Errors, Object, Selector, transformer};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a step says under `with`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Parameters {
    /// Labels, each with its value; `null` removes the label.
    #[serde(default)]
    labels: Changes,
    /// Annotations, each with its value; `null` removes the annotation.
    #[serde(default)]
    annotations: Changes,
    /// Which objects; all when nothing is said.
    #[serde(default, rename = "match")]
    selector: Selector,
    /// Also the pods that an object makes.
    #[serde(default)]
    pod_templates: bool,
    /// Also what selects these pods.
    #[serde(default)]
    selectors: bool,
}

/// What to set, and what to remove: no value.
pub type Changes = BTreeMap<String, Option<String>>;

transformer!(transform);

/// The objects with the labels and annotations that the parameters ask for.
///
/// # Errors
///
/// When a name or value is none that Kubernetes takes, a label is one that tells who owns an object, or pods would leave what selects them.
pub fn transform(mut objects: Vec<Object>, parameters: Parameters) -> Result<Vec<Object>, Errors> {
    check(&parameters)?;
    let selected: Vec<bool> = objects.iter().map(|object| parameters.selector.selects(object)).collect();
    if !selected.contains(&true) && !objects.is_empty() {
        plumbline_plugin::warn!("`match` fits none of the objects, so nothing was changed");
    }
    let services = if parameters.selectors { selectors::services(&objects, &selected) } else { Vec::new() };
    let mut errors = Errors::default();
    for (object, _) in objects.iter_mut().zip(&selected).filter(|(_, selected)| **selected) {
        change(object, "/metadata", &parameters);
        if !parameters.pod_templates {
            continue;
        }
        let Some(template) = selectors::pod_template(object) else { continue };
        if parameters.selectors {
            selectors::follow(object, &parameters.labels);
        } else if let Some(label) = selectors::broken(object, &parameters.labels) {
            errors.push(
                Error::invalid(format!(
                    "{} {:?} selects its pods by the label {label:?}, which would be changed in its pod template only",
                    object.kind(),
                    object.name(),
                ))
                .hint("Set `selectors: true`, or leave this label as it is."),
            );
        }
        change(object, &format!("{template}/metadata"), &parameters);
    }
    for service in services {
        selectors::follow(&mut objects[service], &parameters.labels);
    }
    errors.or(objects)
}

fn check(parameters: &Parameters) -> Result<(), Errors> {
    let mut errors = Errors::default();
    if parameters.selectors && !parameters.pod_templates {
        errors
            .push(Error::invalid("`selectors` needs `podTemplates`: what selects pods follows their labels"));
    }
    for (name, value) in &parameters.labels {
        errors.extend(names::wrong_label(name, value.as_deref()));
    }
    for name in parameters.annotations.keys() {
        errors.extend(names::wrong_name("annotation", name));
    }
    errors.or(())
}

fn change(object: &mut Object, metadata: &str, parameters: &Parameters) {
    for (field, changes) in [("labels", &parameters.labels), ("annotations", &parameters.annotations)] {
        apply(object, &format!("{metadata}/{field}"), changes);
    }
}

/// Makes the changes to the map at a pointer. A map that becomes empty is removed.
fn apply(object: &mut Object, pointer: &str, changes: &Changes) {
    let mut values = match object.get(pointer) {
        Some(Value::Object(values)) => values.clone(),
        _ => Map::new(),
    };
    for (name, value) in changes {
        match value {
            Some(value) => drop(values.insert(name.clone(), Value::String(value.clone()))),
            None => drop(values.remove(name)),
        }
    }
    if !values.is_empty() {
        object.set(pointer, values);
    } else if let Some((parent, field)) = pointer.rsplit_once('/')
        && let Some(Value::Object(parent)) = object.get_mut(parent)
    {
        parent.remove(field);
    }
}

#[cfg(test)]
mod tests;
