/// Makes a transformer of a function `fn(Vec<Object>, Parameters) -> Result<Vec<Object>, Errors>`: it returns all the objects that the next step should see.
///
/// `Parameters` is any type that implements `serde::Deserialize`. The example is at the top of [the crate](crate). There is one such line in a plugin.
#[macro_export]
macro_rules! transformer {
    ($transform:path) => {
        $crate::__plugin!($transform);
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Plugin;
            impl $crate::guest::transformer::Guest for Plugin {
                fn transform(objects: Vec<String>, parameters: String) -> $crate::guest::Answer<Vec<String>> {
                    $crate::guest::transform(&objects, &parameters, $transform)
                }
            }
    $crate::guest::transformer::export!(Plugin with_types_in $crate::guest::transformer);
        };
    };
}

/// Makes a decryptor of two functions: one that transforms, as [`transformer!`](crate::transformer) has it, and one
/// `fn(&Tree<'_>, Parameters) -> Result<Vec<File>, Errors>`, which decrypts the files that a renderer with these parameters puts into objects as they are.
#[macro_export]
macro_rules! decryptor {
    ($transform:path, $decrypt:path) => {
        $crate::transformer!($transform);
        $crate::__plugin!($decrypt);
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Plugin;
            impl $crate::guest::decryptor::Guest for Plugin {
                fn decrypt(
                    root: &$crate::guest::Dir,
                    parameters: String,
                ) -> $crate::guest::Answer<Vec<$crate::guest::decryptor::File>> {
                    $crate::guest::decrypt(root, &parameters, $decrypt)
                }
            }
    $crate::guest::decryptor::export!(Plugin with_types_in $crate::guest::decryptor);
        };
    };
}

/// Makes a renderer of a function `fn(&Tree<'_>, Parameters) -> Result<Vec<Object>, Errors>`: it turns files into objects.
///
/// The host adds the parameter `path`: the directory to render, `""` for the root.
///
/// ```
/// use plumbline_plugin::{Error, Errors, Object, Tree, renderer};
///
/// #[derive(serde::Deserialize)]
/// struct Parameters {
///     path: String,
/// }
///
/// fn render(tree: &Tree<'_>, parameters: Parameters) -> Result<Vec<Object>, Errors> {
///     let mut objects = Vec::new();
///     for file in tree.files(&parameters.path)?.iter().filter(|file| file.ends_with(".json")) {
///         let object = Object::from_json(&tree.read_text(file)?);
///         objects.push(object.map_err(|error| Error::from(error).file(file.as_str()))?);
///     }
///     Ok(objects)
/// }
///
/// renderer!(render);
/// # let tree = Tree::in_memory([("apps/a.json", r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}"#), ("apps/b.txt", "")]);
/// # assert_eq!(render(&tree, Parameters { path: "apps".into() }).unwrap()[0].name(), "a");
/// ```
#[macro_export]
macro_rules! renderer {
    ($render:path) => {
        $crate::__plugin!($render);
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Plugin;
            impl $crate::guest::renderer::Guest for Plugin {
                fn render(
                    root: &$crate::guest::Dir,
                    parameters: String,
                ) -> $crate::guest::Answer<Vec<String>> {
                    $crate::guest::render(root, &parameters, $render)
                }
            }
    $crate::guest::renderer::export!(Plugin with_types_in $crate::guest::renderer);
        };
    };
}

/// Makes a validator of a function `fn(&[Object], Parameters) -> Result<Vec<Finding>, Errors>`: it says what is wrong with objects.
///
/// ```
/// use plumbline_plugin::{Errors, Finding, Object, validator};
///
/// #[derive(serde::Deserialize)]
/// struct Parameters {}
///
/// fn validate(objects: &[Object], _: Parameters) -> Result<Vec<Finding>, Errors> {
///     let alone = |object: &Object| object.is("apps/v1", "Deployment") && object.get("/spec/replicas").is_some_and(|n| n == 1);
///     let found = objects.iter().enumerate().filter(|(_, object)| alone(object));
///     Ok(found.map(|(index, _)| Finding::warning(index, "two-replicas", "one replica is none while it restarts").field("/spec/replicas")).collect())
/// }
///
/// validator!(validate);
/// # let object = Object::new(serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 1}})).unwrap();
/// # assert_eq!(validate(&[object], Parameters {}).unwrap().len(), 1);
/// ```
#[macro_export]
macro_rules! validator {
    ($validate:path) => {
        $crate::__plugin!($validate);
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Plugin;
            impl $crate::guest::validator::Guest for Plugin {
                fn validate(
                    objects: Vec<String>,
                    parameters: String,
                ) -> $crate::guest::Answer<Vec<$crate::guest::validator::Finding>> {
                    $crate::guest::validate(&objects, &parameters, $validate)
                }
            }
    $crate::guest::validator::export!(Plugin with_types_in $crate::guest::validator);
        };
    };
}

/// Makes a health check of a function `fn(&Object, Parameters) -> Result<Report, Errors>`: it says how an object of the cluster is doing.
///
/// ```
/// use plumbline_plugin::{Errors, Object, Report, Status, health_check};
///
/// #[derive(serde::Deserialize)]
/// struct Parameters {}
///
/// fn check(object: &Object, _: Parameters) -> Result<Report, Errors> {
///     Ok(match object.get("/status/phase").and_then(|phase| phase.as_str()) {
///         Some("Done") => Report::current(),
///         Some("Broken") => Report::new(Status::Failed, "it is broken"),
///         _ => Report::new(Status::InProgress, "it is not done yet"),
///     })
/// }
///
/// health_check!(check);
/// # let object = Object::new(serde_json::json!({"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "status": {"phase": "Done"}})).unwrap();
/// # assert_eq!(check(&object, Parameters {}).unwrap(), Report::current());
/// ```
#[macro_export]
macro_rules! health_check {
    ($check:path) => {
        $crate::__plugin!($check);
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Plugin;
            impl $crate::guest::health_check::Guest for Plugin {
                fn check(
                    object: String,
                    parameters: String,
                ) -> $crate::guest::Answer<$crate::guest::health_check::Report> {
                    $crate::guest::check(&object, &parameters, $check)
                }
            }
    $crate::guest::health_check::export!(Plugin with_types_in $crate::guest::health_check);
        };
    };
}

/// Lets the function count as used where there is no host to call it.
#[doc(hidden)]
#[macro_export]
macro_rules! __plugin {
    ($function:path) => {
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            let _ = $function;
        };
    };
}

/// Writes a message that is of use only to somebody who works on the plugin. Takes what `format!` takes.
#[macro_export]
macro_rules! trace {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Trace, &format!($($message)+)) };
}

/// Writes a message that is of use when looking for a mistake. Takes what `format!` takes.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Debug, &format!($($message)+)) };
}

/// Writes a message that is worth knowing. Takes what `format!` takes.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Info, &format!($($message)+)) };
}

/// Writes a message about something that should be changed; users see it as a warning event. Takes what `format!` takes.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Warn, &format!($($message)+)) };
}
