//! Adds the label of the team that owns a namespace to everything in it.

use std::collections::BTreeMap;

use plumbline_plugin::{Error, Errors, Object, transformer, warn};
use serde::Deserialize;

/// What a step says under `with:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The team of each namespace.
    teams: BTreeMap<String, String>,
}

fn transform(mut objects: Vec<Object>, Parameters { teams }: Parameters) -> Result<Vec<Object>, Errors> {
    let mut errors = Errors::default();
    for object in &mut objects {
        let Some(namespace) = object.namespace() else { continue };
        let (kind, name) = (object.kind(), object.name());
        let Some(team) = teams.get(namespace) else {
            let message = format!("nobody owns the namespace {namespace} of the {kind} {name}");
            errors.push(Error::invalid(message).file(object.file()).hint(format!("Add {namespace} to teams.")));
            continue;
        };
        if let Some(other) = object.label("team").filter(|other| other != team) {
            warn!("the {kind} {name} has the team {other}, which is now {team}");
        }
        object.set_label("team", team);
    }
    errors.or(objects)
}

transformer!(transform);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plumbline_plugin::Object;
    use plumbline_plugin::testing::Host;

    use super::{Parameters, transform};

    #[test]
    fn a_team_that_changes_is_told() {
        let settings = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop", "labels": {"team": "b"}}}"#;
        let teams = BTreeMap::from([("shop".to_owned(), "a".to_owned())]);
        let ran = Host::default().run(|| transform(vec![Object::from_json(settings).unwrap()], Parameters { teams }));
        assert_eq!(ran.result.unwrap()[0].label("team"), Some("a"));
        assert_eq!(ran.messages[0].1, "the ConfigMap settings has the team b, which is now a");
    }
}
