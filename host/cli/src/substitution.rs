//! ConfigMaps and Secrets from files, and variables from the command line, in place of a cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use plumb_api::{
    ApplierKind, Decryption, DecryptionProvider, KustomizationSpec, LocalObjectReference, Object,
    SubstituteReference, ValuesKind,
};
use plumb_pipeline::{Data, InputName, Parameters, Spec, Values, data_of};

use crate::{objects, output};

/// What is put into parameters and in place of `${name}`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Substitution {
    /// A variable, put in place of ${NAME}. It goes before those of the Kustomization.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    assignments: Vec<(String, String)>,
    /// A file of ConfigMaps and Secrets. With --file, those that the file names are taken (substituteFrom, withFrom, secretRef,
    /// decryption); with a PATH, all: a Secret with keys (*.agekey, *.asc) decrypts, the others are variables.
    #[arg(long, alias = "substitute-from", value_name = "FILE")]
    values: Vec<PathBuf>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The endings of keys that decrypt: an object that has one is no set of variables.
const KEYS: [&str; 2] = [".agekey", ".asc"];

/// What the files of the command line hold.
pub(crate) struct Given {
    assignments: Vec<(String, String)>,
    objects: Vec<(ValuesKind, String, Data)>,
}

impl Substitution {
    /// Reads the files.
    pub(crate) fn read(&self) -> anyhow::Result<Given> {
        let mut objects = Vec::new();
        for file in &self.values {
            objects.extend(read(file).with_context(|| format!("in {}", file.display()))?);
        }
        Ok(Given { assignments: self.assignments.clone(), objects })
    }

    /// As if this file had been given as well.
    pub(crate) fn and(mut self, file: PathBuf) -> Self {
        self.values.push(file);
        self
    }
}

impl Given {
    /// The same spec, with the variables of the command line; one that names no ConfigMaps and Secrets is given all.
    pub(crate) fn asked_of(&self, mut spec: KustomizationSpec) -> KustomizationSpec {
        let variables: Vec<_> = self.objects.iter().filter(|(_, _, data)| !holds_keys(data)).collect();
        if self.assignments.is_empty() && variables.is_empty() {
            return spec;
        }
        let post_build = spec.post_build.get_or_insert_default();
        post_build.substitute.extend(self.assignments.iter().cloned());
        if post_build.substitute_from.is_empty() {
            let reference = |(kind, name, _): &&(ValuesKind, String, Data)| SubstituteReference {
                kind: *kind,
                name: name.clone(),
                optional: false,
            };
            post_build.substitute_from = variables.iter().map(reference).collect();
        }
        spec
    }

    /// The same spec, decrypted if one of the Secrets holds keys.
    pub(crate) fn decrypted(&self, mut spec: KustomizationSpec) -> KustomizationSpec {
        let holds_keys =
            |(kind, _, data): &&(ValuesKind, String, Data)| *kind == ValuesKind::Secret && holds_keys(data);
        if let Some((_, name, _)) = self.objects.iter().find(holds_keys) {
            spec.decryption.get_or_insert(Decryption {
                provider: DecryptionProvider::Sops,
                service_account_name: None,
                secret_ref: Some(LocalObjectReference { name: name.clone() }),
            });
        }
        spec
    }

    /// The ConfigMap or Secret of a name.
    pub(crate) fn data(&self, kind: ValuesKind, name: &str) -> Option<&Data> {
        let is_it = |(found, given, _): &&(ValuesKind, String, Data)| *found == kind && given == name;
        self.objects.iter().rev().find(is_it).map(|(_, _, data)| data)
    }

    /// The ConfigMaps and Secrets. One that a Kustomization names and no file has is only told of: which variable is missing is told when it
    /// is used.
    pub(crate) fn values(&self, spec: &Spec, kind: ApplierKind) -> Values {
        let mut values = Values::default();
        for (kind, name, data) in &self.objects {
            values.insert(*kind, name.clone(), data.clone());
            values.insert_operator_keys(data);
        }
        let variables = spec.steps.iter().filter(|_| kind == ApplierKind::Kustomization).filter_map(|step| {
            match &step.parameters {
                Parameters::Variables(post_build) => Some(&post_build.substitute_from),
                Parameters::Given { .. } => None,
            }
        });
        for SubstituteReference { kind, name, optional } in variables.flatten() {
            if !optional && values.get(InputName::new(*kind, name)).is_none() {
                output::note(format_args!(
                    "warning: spec.postBuild.substituteFrom names {kind:?} {name}; give a file that holds it with --values"
                ));
                values.insert(*kind, name.clone(), Data::new());
            }
        }
        values
    }
}

fn holds_keys(data: &Data) -> bool {
    data.keys().any(|name| KEYS.iter().any(|ending| name.ends_with(ending)))
}

/// The ConfigMaps and Secrets of a file.
fn read(file: &Path) -> anyhow::Result<Vec<(ValuesKind, String, Data)>> {
    let text = std::fs::read_to_string(file)?;
    let mut given = Vec::new();
    for object in objects::documents(&text)? {
        let object = Object::new(object)?;
        let data = data_of(&object)?;
        let kind = if object.kind() == "Secret" { ValuesKind::Secret } else { ValuesKind::ConfigMap };
        given.push((kind, object.name().to_owned(), data));
    }
    if given.is_empty() {
        bail!("it holds neither a ConfigMap nor a Secret");
    }
    Ok(given)
}
