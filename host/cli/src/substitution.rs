//! Variables of `spec.postBuild`, from the command line and from files in place of a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use plumb_api::{KustomizationSpec, Object, Sensitive, ValuesKind};
use plumb_pipeline::{Variables, variables_of};

use crate::{objects, output};

/// What is put in place of `${name}`.
#[derive(Debug, Args)]
pub(crate) struct Substitution {
    /// A variable, put in place of ${NAME}. It goes before those of the Kustomization.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    assignments: Vec<(String, String)>,
    /// A file of ConfigMaps and Secrets. With --file, those that spec.postBuild.substituteFrom names are taken; with a PATH, all.
    #[arg(long, value_name = "FILE")]
    substitute_from: Vec<PathBuf>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Substitution {
    /// The same spec, with the variables of the command line.
    pub(crate) fn asked_of(&self, mut spec: KustomizationSpec) -> KustomizationSpec {
        if !self.assignments.is_empty() || !self.substitute_from.is_empty() {
            spec.post_build.get_or_insert_default().substitute.extend(self.assignments.iter().cloned());
        }
        spec
    }

    /// The variables of a spec.
    ///
    /// Fails when a file cannot be read. An object that no file has is only told of: which variable is missing is told when it is used.
    pub(crate) fn variables(&self, spec: &KustomizationSpec) -> anyhow::Result<Variables> {
        let Some(post_build) = &spec.post_build else {
            return Ok(Variables::default());
        };
        let mut given = Vec::new();
        for file in &self.substitute_from {
            given.extend(read(file).with_context(|| format!("in {}", file.display()))?);
        }
        let mut from = Vec::new();
        if post_build.substitute_from.is_empty() {
            from.extend(given.into_iter().map(|(_, variables)| variables));
        } else {
            for reference in &post_build.substitute_from {
                let kind = match reference.kind {
                    ValuesKind::ConfigMap => "ConfigMap",
                    ValuesKind::Secret => "Secret",
                };
                let wanted = format!("{kind} {}", reference.name);
                match given.iter().find(|(name, _)| *name == wanted) {
                    Some((_, variables)) => from.push(variables.clone()),
                    None if reference.optional => {}
                    None => output::note(format_args!(
                        "warning: spec.postBuild.substituteFrom names {wanted}; give a file that holds it with --substitute-from"
                    )),
                }
            }
        }
        Ok(Variables::merge(&from, &post_build.substitute))
    }
}

type Given = (String, BTreeMap<String, Sensitive<String>>);

/// The ConfigMaps and Secrets of a file, by kind and name.
fn read(file: &Path) -> anyhow::Result<Vec<Given>> {
    let text = std::fs::read_to_string(file)?;
    let mut given = Vec::new();
    for object in objects::documents(&text)? {
        let object = Object::new(object)?;
        given.push((format!("{} {}", object.kind(), object.name()), variables_of(&object)?));
    }
    if given.is_empty() {
        bail!("it holds neither a ConfigMap nor a Secret");
    }
    Ok(given)
}
