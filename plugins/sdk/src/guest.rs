//! Connects a plugin with the host: what the macros make use of, and nobody else.

#![allow(missing_docs, reason = "the contract documents what is generated from it")]

use serde::de::DeserializeOwned;

use crate::{Error, ErrorKind, Errors, Object, Severity, Status, Tree};

/// What a function of the contract returns.
pub type Answer<T> = Result<T, Vec<types::Error>>;

/// Everything that any world may import. What a plugin does not call is left out of its component.
mod imports {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package plumbline:sdk;
            world imports {
                import plumbline:plugin/types@0.1.0;
                import plumbline:plugin/log@0.1.0;
                import plumbline:plugin/tree@0.1.0;
                import plumbline:plugin/secrets@0.1.0;
                import plumbline:plugin/cluster-read@0.1.0;
                import plumbline:plugin/http@0.1.0;
                import plumbline:plugin/clock@0.1.0;
                import plumbline:plugin/random@0.1.0;
            }
        ",
        world: "plumbline:sdk/imports",
        generate_all,
    });
}

pub use contract::tree::Dir;
pub use contract::types;
use imports::plumbline::plugin as contract;

pub mod transformer {
    wit_bindgen::generate!({
        path: "wit",
        world: "transformer",
        pub_export_macro: true,
        with: {
            "plumbline:plugin/types@0.1.0": crate::guest::contract::types,
            "plumbline:plugin/log@0.1.0": crate::guest::contract::log,
            "plumbline:plugin/secrets@0.1.0": crate::guest::contract::secrets,
            "plumbline:plugin/cluster-read@0.1.0": crate::guest::contract::cluster_read,
            "plumbline:plugin/http@0.1.0": crate::guest::contract::http,
            "plumbline:plugin/clock@0.1.0": crate::guest::contract::clock,
            "plumbline:plugin/random@0.1.0": crate::guest::contract::random,
        },
    });
    pub use exports::plumbline::plugin::transform::Guest;
}

pub mod renderer {
    wit_bindgen::generate!({
        path: "wit",
        world: "renderer",
        pub_export_macro: true,
        with: {
            "plumbline:plugin/types@0.1.0": crate::guest::contract::types,
            "plumbline:plugin/log@0.1.0": crate::guest::contract::log,
            "plumbline:plugin/tree@0.1.0": crate::guest::contract::tree,
            "plumbline:plugin/secrets@0.1.0": crate::guest::contract::secrets,
            "plumbline:plugin/cluster-read@0.1.0": crate::guest::contract::cluster_read,
            "plumbline:plugin/http@0.1.0": crate::guest::contract::http,
            "plumbline:plugin/clock@0.1.0": crate::guest::contract::clock,
            "plumbline:plugin/random@0.1.0": crate::guest::contract::random,
        },
    });
    pub use exports::plumbline::plugin::render::Guest;
}

/// What a decryptor exports besides what a transformer does: together they are the world `decryptor`.
pub mod decryptor {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package plumbline:sdk-decrypt;
            world files {
                export plumbline:plugin/decrypt@0.1.0;
            }
        ",
        world: "plumbline:sdk-decrypt/files",
        pub_export_macro: true,
        with: {
            "plumbline:plugin/types@0.1.0": crate::guest::contract::types,
            "plumbline:plugin/tree@0.1.0": crate::guest::contract::tree,
        },
    });
    pub use exports::plumbline::plugin::decrypt::{File, Guest};
}

pub mod validator {
    wit_bindgen::generate!({
        path: "wit",
        world: "validator",
        pub_export_macro: true,
        with: {
            "plumbline:plugin/types@0.1.0": crate::guest::contract::types,
            "plumbline:plugin/log@0.1.0": crate::guest::contract::log,
            "plumbline:plugin/secrets@0.1.0": crate::guest::contract::secrets,
            "plumbline:plugin/cluster-read@0.1.0": crate::guest::contract::cluster_read,
            "plumbline:plugin/http@0.1.0": crate::guest::contract::http,
            "plumbline:plugin/clock@0.1.0": crate::guest::contract::clock,
            "plumbline:plugin/random@0.1.0": crate::guest::contract::random,
        },
    });
    pub use exports::plumbline::plugin::validate::{Finding, Guest};
}

pub mod health_check {
    wit_bindgen::generate!({
        path: "wit",
        world: "health-check",
        pub_export_macro: true,
        with: {
            "plumbline:plugin/types@0.1.0": crate::guest::contract::types,
            "plumbline:plugin/log@0.1.0": crate::guest::contract::log,
        },
    });
    pub use exports::plumbline::plugin::health::{Guest, Report};
}

pub fn transform<P: DeserializeOwned>(
    objects: &[String],
    parameters: &str,
    transform: impl FnOnce(Vec<Object>, P) -> Result<Vec<Object>, Errors>,
) -> Answer<Vec<String>> {
    let objects = objects_of(objects).and_then(|objects| transform(objects, parameters_of(parameters)?));
    objects.map(|objects| texts_of(&objects)).map_err(errors)
}

pub fn render<P: DeserializeOwned>(
    root: &Dir,
    parameters: &str,
    render: impl FnOnce(&Tree<'_>, P) -> Result<Vec<Object>, Errors>,
) -> Answer<Vec<String>> {
    let objects = parameters_of(parameters).and_then(|parameters| render(&Tree(host::Dir(root)), parameters));
    objects.map(|objects| texts_of(&objects)).map_err(errors)
}

pub fn decrypt<P: DeserializeOwned>(
    root: &Dir,
    parameters: &str,
    decrypt: impl FnOnce(&Tree<'_>, P) -> Result<Vec<crate::File>, Errors>,
) -> Answer<Vec<decryptor::File>> {
    let files = parameters_of(parameters).and_then(|parameters| decrypt(&Tree(host::Dir(root)), parameters));
    let file = |crate::File { path, content }| decryptor::File { path, content };
    files.map(|files| files.into_iter().map(file).collect()).map_err(errors)
}

pub fn validate<P: DeserializeOwned>(
    objects: &[String],
    parameters: &str,
    validate: impl FnOnce(&[Object], P) -> Result<Vec<crate::Finding>, Errors>,
) -> Answer<Vec<validator::Finding>> {
    let found = objects_of(objects).and_then(|objects| validate(&objects, parameters_of(parameters)?));
    found.map(|found| found.into_iter().map(finding).collect()).map_err(errors)
}

pub fn check<P: DeserializeOwned>(
    object: &str,
    parameters: &str,
    check: impl FnOnce(&Object, P) -> Result<crate::Report, Errors>,
) -> Answer<health_check::Report> {
    let report = object_of(object).and_then(|object| check(&object, parameters_of(parameters)?));
    report.map(self::report).map_err(errors)
}

fn parameters_of<P: DeserializeOwned>(text: &str) -> Result<P, Errors> {
    serde_json::from_str(text).map_err(|error| {
        // The place in a text that nobody has seen helps nobody.
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or_default().to_owned();
        Error::invalid(format!("the parameters cannot be used: {why}"))
            .hint("Correct `with` of the step.")
            .into()
    })
}

fn object_of(text: &str) -> Result<Object, Errors> {
    // The host has looked at it, so this does not happen.
    Object::from_json(text).map_err(|error| Error::internal(error.to_string()).into())
}

fn objects_of(texts: &[String]) -> Result<Vec<Object>, Errors> {
    texts.iter().map(|text| object_of(text)).collect()
}

fn texts_of(objects: &[Object]) -> Vec<String> {
    objects.iter().map(Object::to_json).collect()
}

fn errors(errors: Errors) -> Vec<types::Error> {
    errors.into_iter().map(error).collect()
}

fn error(error: Error) -> types::Error {
    types::Error {
        kind: match error.kind {
            ErrorKind::InvalidInput => types::ErrorKind::InvalidInput,
            ErrorKind::NotFound => types::ErrorKind::NotFound,
            ErrorKind::Denied => types::ErrorKind::Denied,
            ErrorKind::Unsupported => types::ErrorKind::Unsupported,
            ErrorKind::Internal => types::ErrorKind::Internal,
        },
        message: error.message,
        file: error.file,
        line: error.line,
        hint: error.hint,
    }
}

fn finding(finding: crate::Finding) -> validator::Finding {
    use validator::exports::plumbline::plugin::validate;
    validator::Finding {
        severity: match finding.severity {
            Severity::Error => validate::Severity::Error,
            Severity::Warning => validate::Severity::Warning,
        },
        // An index that does not fit is none of the objects, which the host says.
        object: u32::try_from(finding.object).unwrap_or(u32::MAX),
        field: finding.field,
        rule: finding.rule,
        message: finding.message,
    }
}

fn report(report: crate::Report) -> health_check::Report {
    use health_check::exports::plumbline::plugin::health;
    health_check::Report {
        status: match report.status {
            Status::Current => health::Status::Current,
            Status::InProgress => health::Status::InProgress,
            Status::Failed => health::Status::Failed,
            Status::Terminating => health::Status::Terminating,
            Status::Unknown => health::Status::Unknown,
        },
        message: report.message,
    }
}

/// What the rest of the crate asks the host for.
pub(crate) mod host {
    use super::contract::{self, cluster_read};
    use crate::http::{Request, Response};
    use crate::log::Level;
    use crate::tree::{Entry, Node, NodeKind, Unreadable};
    use crate::{cluster, http, secrets};

    #[derive(Debug)]
    pub(crate) struct Dir<'a>(pub(super) &'a contract::tree::Dir);

    impl Dir<'_> {
        pub(crate) fn list(&self, path: &str) -> Result<Vec<Entry>, Unreadable> {
            let entry = |entry: contract::tree::Entry| Entry { name: entry.name, kind: kind(entry.kind) };
            Ok(self.0.list(path).map_err(unreadable)?.into_iter().map(entry).collect())
        }

        pub(crate) fn stat(&self, path: &str) -> Result<Node, Unreadable> {
            let node = self.0.stat(path).map_err(unreadable)?;
            Ok(Node { kind: kind(node.kind), size: node.size, resolved: node.resolved })
        }

        pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Unreadable> {
            self.0.read(path).map_err(unreadable)
        }
    }

    fn kind(kind: contract::tree::NodeKind) -> NodeKind {
        match kind {
            contract::tree::NodeKind::File => NodeKind::File,
            contract::tree::NodeKind::Directory => NodeKind::Directory,
            contract::tree::NodeKind::Opaque => NodeKind::Opaque,
        }
    }

    fn unreadable(error: contract::tree::TreeError) -> Unreadable {
        use contract::tree::TreeError;
        match error {
            TreeError::NotFound => Unreadable::NotFound,
            TreeError::NotADirectory => Unreadable::NotADirectory,
            TreeError::IsADirectory => Unreadable::IsADirectory,
            TreeError::Denied => Unreadable::Denied,
            TreeError::TooLarge(limit) => Unreadable::TooLarge(limit),
            TreeError::Failed(why) => Unreadable::Failed(why),
        }
    }

    pub(crate) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Trace => contract::log::Level::Trace,
            Level::Debug => contract::log::Level::Debug,
            Level::Info => contract::log::Level::Info,
            Level::Warn => contract::log::Level::Warn,
        };
        contract::log::write(level, message);
    }

    pub(crate) fn secret_names() -> Vec<String> {
        contract::secrets::names()
    }

    pub(crate) fn secret(name: &str) -> Result<Vec<u8>, secrets::Refused> {
        contract::secrets::get(name).map_err(|error| match error {
            contract::secrets::SecretError::NotFound => secrets::Refused::NotFound,
            contract::secrets::SecretError::Denied => secrets::Refused::Denied,
        })
    }

    pub(crate) fn cluster_get(
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<String>, cluster::Refused> {
        cluster_read::get(&kind_of(api_version, kind), namespace, name).map_err(refused)
    }

    pub(crate) fn cluster_list(
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<String>, cluster::Refused> {
        cluster_read::list(&kind_of(api_version, kind), namespace, selector).map_err(refused)
    }

    fn kind_of(api_version: &str, kind: &str) -> cluster_read::Kind {
        cluster_read::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() }
    }

    fn refused(error: cluster_read::ReadError) -> cluster::Refused {
        use cluster_read::ReadError;
        match error {
            ReadError::Denied(why) => cluster::Refused::Denied(why),
            ReadError::Forbidden(why) => cluster::Refused::Forbidden(why),
            ReadError::UnknownKind => cluster::Refused::UnknownKind,
            ReadError::NoCluster(why) => cluster::Refused::NoCluster(why),
            ReadError::Failed(why) => cluster::Refused::Failed(why),
        }
    }

    pub(crate) fn http_send(request: Request) -> Result<Response, http::Refused> {
        use contract::http::HttpError;
        let Request { method, url, headers, body } = request;
        match contract::http::send(&contract::http::Request { method, url, headers, body }) {
            Ok(contract::http::Response { status, headers, body }) => Ok(Response { status, headers, body }),
            Err(HttpError::Denied(why)) => Err(http::Refused::Denied(why)),
            Err(HttpError::Invalid(why)) => Err(http::Refused::Invalid(why)),
            Err(HttpError::TooLarge(limit)) => Err(http::Refused::TooLarge(limit)),
            Err(HttpError::Failed(why)) => Err(http::Refused::Failed(why)),
        }
    }

    pub(crate) fn now() -> Option<u64> {
        contract::clock::now()
    }

    pub(crate) fn seed() -> Option<Vec<u8>> {
        contract::random::seed()
    }
}
