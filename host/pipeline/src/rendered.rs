//! What comes of a render, and how it is kept.

use plumb_api::Object;
use plumb_plugin::{ClusterQuery, ClusterRecord};
use sha2::{Digest as _, Sha256};

use crate::run::Ran;

/// What the steps made of a tree.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The objects, in the order in which the last step returned them.
    pub objects: Vec<Object>,
    /// `sha256:…` of the objects: equal digests, equal objects in equal order.
    pub digest: String,
    /// What the plugins found that should be changed but did not stop them.
    pub warnings: Vec<String>,
    /// What was asked of the cluster, each once: whoever watches it learns when to render again.
    pub asked: Vec<ClusterQuery>,
    /// How it came about.
    pub origin: Origin,
}

/// How a result came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The plugins have made it now.
    Plugins,
    /// They made it earlier, and nothing that was read has changed since.
    Cache,
}

/// The same as it is kept: objects as text take a tenth of the memory that they take in parts.
pub(crate) struct Kept {
    /// A line of JSON for each object.
    lines: Box<[u8]>,
    digest: String,
    warnings: Vec<String>,
    asked: Vec<ClusterQuery>,
}

impl Rendered {
    /// What has come of all steps.
    pub(crate) fn new(ran: Ran) -> Self {
        Kept::new(&ran).with(ran.objects)
    }
}

impl Kept {
    pub(crate) fn new(ran: &Ran) -> Self {
        let lines = lines(&ran.objects);
        let digest = format!("sha256:{:x}", Sha256::digest(&lines));
        Self { lines, digest, warnings: ran.warnings.clone(), asked: queries(&ran.asked) }
    }

    /// With the objects that it was made of.
    pub(crate) fn with(&self, objects: Vec<Object>) -> Rendered {
        let Self { digest, warnings, asked, .. } = self;
        let (digest, warnings, asked) = (digest.clone(), warnings.clone(), asked.clone());
        Rendered { objects, digest, warnings, asked, origin: Origin::Plugins }
    }

    /// With the objects that the text tells. `None` does not happen: they were written as they are read.
    pub(crate) fn rendered(&self) -> Option<Rendered> {
        let objects = serde_json::Deserializer::from_slice(&self.lines).into_iter::<Object>();
        let objects = objects.collect::<Result<_, _>>().ok()?;
        Some(Rendered { origin: Origin::Cache, ..self.with(objects) })
    }

    /// How many bytes the objects take.
    pub(crate) fn bytes(&self) -> usize {
        self.lines.len()
    }
}

fn lines(objects: &[Object]) -> Box<[u8]> {
    let mut lines = Vec::new();
    for object in objects {
        // Writing into memory does not fail, and objects are JSON already.
        let _ = serde_json::to_writer(&mut lines, object);
        lines.push(b'\n');
    }
    lines.into_boxed_slice()
}

fn queries(asked: &[(usize, ClusterRecord)]) -> Vec<ClusterQuery> {
    let mut queries: Vec<ClusterQuery> =
        asked.iter().flat_map(|(_, record)| record.queries().cloned()).collect();
    queries.sort();
    queries.dedup();
    queries
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_made(specs in prop::collection::vec(value(), 0..4)) {
            let object = |(index, spec): (usize, Value)| {
                let metadata = json!({"name": format!("object-{index}")});
                Object::new(json!({"apiVersion": "v1", "kind": "Any", "metadata": metadata, "spec": spec})).unwrap()
            };
            let objects: Vec<Object> = specs.into_iter().enumerate().map(object).collect();
            let ran =
                Ran { objects: objects.clone(), warnings: vec!["a".to_owned()], asked: Vec::new(), is_steady: true };
            let rendered = Kept::new(&ran).rendered().unwrap();
            prop_assert_eq!(&rendered.objects, &objects);
            prop_assert_eq!(&rendered.warnings, &ran.warnings);
            prop_assert_eq!(rendered.digest, Rendered::new(ran).digest);
        }
    }
}
