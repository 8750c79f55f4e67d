//! Why rendering failed, in words that name the step.

use plumb_api::ObjectId;
use plumb_plugin::{CallError, LoadError, World};
use plumb_tree::TreeError;

/// Why rendering failed.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// There is no step to run.
    #[error("there is nothing to render: no step is left to run")]
    NoSteps,
    /// A step's plugin is of a kind that cannot stand there.
    #[error("step {step:?} cannot run: its plugin is for the world {world}, and {wanted} is wanted there")]
    WrongWorld {
        /// The name of the step.
        step: String,
        /// What its plugin is made for.
        world: World,
        /// What can stand there, with its article.
        wanted: &'static str,
    },
    /// A step failed.
    #[error("step {step:?}: {error}")]
    Step {
        /// The name of the step.
        step: String,
        /// What the plugin says, or which limit it met.
        error: CallError,
    },
    /// Validators found that the objects must not be applied: everything that they found.
    #[error("{}", lines(.0))]
    Findings(Vec<StepFinding>),
    /// Two renderers made the same object.
    #[error("step {second:?}: {} is made by step {first:?} already; take it out of one of them", .id.human())]
    MadeTwice {
        /// The object.
        id: ObjectId,
        /// The step that made it first, or that was last to change it.
        first: String,
        /// The step that made it again.
        second: String,
    },
    /// The objects of all renderers together are too many.
    #[error("step {step:?}: with its objects there are {bytes} bytes of objects, and {limit} are allowed")]
    TooLarge {
        /// The step that added the last of them.
        step: String,
        /// How many bytes all objects have as JSON.
        bytes: usize,
        /// How many they may have.
        limit: usize,
    },
    /// A decryptor returns a file that cannot be one of the tree.
    #[error("step {step:?}: the plugin has decrypted {path:?}, which is no path of the source")]
    Decrypted {
        /// The name of the step.
        step: String,
        /// The path.
        path: String,
    },
    /// The KRM function of a step cannot be read from the source.
    #[error("step {step:?}: {module} cannot be read from the source: {error}")]
    Module {
        /// The name of the step.
        step: String,
        /// The path of the function.
        module: String,
        /// Why.
        error: TreeError,
    },
    /// The KRM function of a step is not one.
    #[error("step {step:?}: {error}")]
    Load {
        /// The name of the step.
        step: String,
        /// Why.
        error: LoadError,
    },
}

/// Something that a validator found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step:?}: {object}{}: {message} (rule {rule})", at(.field.as_deref()))]
pub struct StepFinding {
    /// The name of the step.
    pub step: String,
    /// The object, for people.
    pub object: String,
    /// The field, as a JSON Pointer.
    pub field: Option<String>,
    /// The name of the rule.
    pub rule: String,
    /// What is wrong.
    pub message: String,
}

fn at(field: Option<&str>) -> String {
    field.filter(|field| !field.is_empty()).map(|field| format!(" {field}")).unwrap_or_default()
}

fn lines(findings: &[StepFinding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
