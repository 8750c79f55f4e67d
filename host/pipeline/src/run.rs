//! Runs steps, one after the other.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plumb_api::{ByteSize, Object, ObjectId, PluginLimits};
use plumb_plugin::{Call, CallError, ClusterRecord, Finding, Limits, Plugin, Severity, Used, World};
use plumb_tree::{TreePath, View};

use crate::engine::{Request, Runs, Step};
use crate::size::bytes_of;
use crate::withheld::Withheld;
use crate::{RenderError, StepFinding};

/// What all steps made together.
pub(crate) struct Ran {
    pub(crate) objects: Vec<Object>,
    pub(crate) warnings: Vec<String>,
    /// What each step asked of the cluster, by its number.
    pub(crate) asked: Vec<(usize, ClusterRecord)>,
    /// Whether nobody used what cannot be asked for again.
    pub(crate) is_steady: bool,
}

/// Runs all steps.
pub(crate) fn run(request: &Request<'_>, view: &Arc<View>, deadline: Instant) -> Result<Ran, RenderError> {
    let mut running = Running {
        request,
        view,
        deadline,
        made_by: HashMap::new(),
        last: None,
        findings: Vec::new(),
        not_applied: HashSet::new(),
        ran: Ran { objects: Vec::new(), warnings: Vec::new(), asked: Vec::new(), is_steady: true },
    };
    for (index, step) in request.steps.iter().enumerate() {
        running.step(index, step)?;
    }
    running.refuse_findings()?;
    if running.last.is_none() {
        return Err(RenderError::NoSteps);
    }
    let not_applied = std::mem::take(&mut running.not_applied);
    running.ran.objects.retain(|object| !not_applied.contains(&object.id()));
    running.ran.warnings.splice(0..0, request.call.warnings.take());
    Ok(running.ran)
}

struct Running<'a> {
    request: &'a Request<'a>,
    view: &'a Arc<View>,
    deadline: Instant,
    /// The renderer that made an object.
    made_by: HashMap<ObjectId, &'a str>,
    /// The step that ran last.
    last: Option<&'a str>,
    /// What validators found that must not be applied.
    findings: Vec<StepFinding>,
    /// What was made for later steps only.
    not_applied: HashSet<ObjectId>,
    ran: Ran,
}

impl<'a> Running<'a> {
    fn step(&mut self, index: usize, step: &'a Step) -> Result<(), RenderError> {
        let plugin = self.plugin(step)?;
        let world = plugin.world();
        // Validators that follow each other all have their say.
        if world != World::Validator {
            self.refuse_findings()?;
        }
        let wrong = |wanted| RenderError::WrongWorld { step: step.name.clone(), world, wanted };
        if self.last.is_none() && !matches!(world, World::Renderer | World::KrmFunction) {
            return Err(wrong("a renderer, because it is the first step,"));
        }
        if !step.apply && world != World::Renderer {
            return Err(wrong("a renderer, because of `apply: false`,"));
        }
        let call = self.call(step);
        let failed = |error: CallError| RenderError::Step { step: step.name.clone(), error };
        match world {
            World::Renderer => {
                let view = self.shown_files(index, step)?;
                let made = plugin.render(view, &step.parameters, &call).map_err(failed)?;
                self.add(step, made)?;
            }
            World::Transformer => {
                let (objects, withheld) = self.shown_to(step);
                let made = plugin.transform(&objects, &step.parameters, &call).map_err(failed)?;
                let made = withheld.put_back(made);
                self.ran.objects = made;
            }
            World::Validator => {
                let (objects, _) = self.shown_to(step);
                let found = plugin.validate(&objects, &step.parameters, &call).map_err(failed)?;
                self.found(step, found);
            }
            World::KrmFunction => {
                let made = plugin.function(&self.ran.objects, &step.parameters, &call).map_err(failed)?;
                self.ran.objects = made;
            }
            World::HealthCheck => return Err(wrong("one that makes, changes or judges objects")),
        }
        self.last = Some(&step.name);
        self.account(index, &call);
        Ok(())
    }

    /// Remembers what a call has used.
    fn account(&mut self, index: usize, call: &Call) {
        self.ran.is_steady &= call.used.is_steady();
        let asked = call.used.cluster();
        if !asked.is_empty() {
            self.ran.asked.push((index, asked));
        }
    }

    /// The files as a renderer sees them: what it puts into objects as it is, decrypted by the steps after it. One that may send requests sees them as they
    /// are.
    fn shown_files(&mut self, index: usize, renderer: &Step) -> Result<Arc<View>, RenderError> {
        if renderer.grants.http.is_some() {
            return Ok(self.view.clone());
        }
        let mut files = Vec::new();
        for (later, step) in self.request.steps.iter().enumerate().skip(index + 1) {
            let Runs::Plugin(plugin) = &step.runs else { continue };
            if !plugin.decrypts() {
                continue;
            }
            let call = self.call(step);
            let failed = |error: CallError| RenderError::Step { step: step.name.clone(), error };
            let decrypted = plugin.decrypt(self.view.clone(), &renderer.parameters, &call).map_err(failed)?;
            self.account(later, &call);
            for file in decrypted {
                let unknown = |_| RenderError::Decrypted { step: step.name.clone(), path: file.path.clone() };
                files.push((TreePath::new(&file.path).map_err(unknown)?, file.content));
            }
        }
        match files.is_empty() {
            true => Ok(self.view.clone()),
            false => Ok(Arc::new(self.view.replacing(files))),
        }
    }

    /// The plugin of a step. A KRM function is read from the tree, so that what it was is part of the record.
    fn plugin(&self, step: &Step) -> Result<Plugin, RenderError> {
        let (host, module) = match &step.runs {
            Runs::Plugin(plugin) => return Ok(plugin.clone()),
            Runs::InSource { host, module } => (host, module),
        };
        let unreadable =
            |error| RenderError::Module { step: step.name.clone(), module: module.clone(), error };
        let bytes = self.view.read(module).map_err(unreadable)?;
        let loaded = host.load_bytes(module, &bytes, World::KrmFunction);
        loaded.map_err(|error| RenderError::Load { step: step.name.clone(), error })
    }

    /// What goes with the call of a step: its own grants, and what is left of the time of all.
    fn call(&self, step: &Step) -> Call {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Call {
            limits: bounded(&self.request.call.limits, &step.limits, left),
            cancelled: self.request.call.cancelled.clone(),
            warnings: self.request.call.warnings.clone(),
            grants: step.grants.clone(),
            used: Used::default(),
        }
    }

    /// The objects as a step sees them: one that may send requests sees no values of Secrets.
    fn shown_to(&self, step: &Step) -> (Cow<'_, [Object]>, Withheld) {
        if step.grants.http.is_none() {
            return (Cow::Borrowed(&self.ran.objects), Withheld::default());
        }
        let (objects, withheld) = Withheld::take(&self.ran.objects);
        (Cow::Owned(objects), withheld)
    }

    /// Adds what a renderer made.
    fn add(&mut self, step: &'a Step, made: Vec<Object>) -> Result<(), RenderError> {
        if let Some(last) = self.last {
            let there: HashMap<ObjectId, &str> =
                self.ran.objects.iter().map(|object| object.id()).map(|id| (id, last)).collect();
            for id in made.iter().map(Object::id) {
                if let Some(last) = there.get(&id) {
                    let first = (*self.made_by.get(&id).unwrap_or(last)).to_owned();
                    return Err(RenderError::MadeTwice { id, first, second: step.name.clone() });
                }
            }
        }
        self.made_by.extend(made.iter().map(|object| (object.id(), step.name.as_str())));
        if !step.apply {
            self.not_applied.extend(made.iter().map(Object::id));
        }
        let is_more = !self.ran.objects.is_empty();
        self.ran.objects.extend(made);
        let limit = self.request.call.limits.output_bytes;
        if is_more && bytes_of(&self.ran.objects) > limit {
            let bytes = bytes_of(&self.ran.objects);
            return Err(RenderError::TooLarge { step: step.name.clone(), bytes, limit });
        }
        Ok(())
    }

    fn found(&mut self, step: &Step, found: Vec<Finding>) {
        for finding in found {
            let told = StepFinding {
                step: step.name.clone(),
                // The host has checked the index.
                object: self
                    .ran
                    .objects
                    .get(finding.object)
                    .map(|object| object.id().human())
                    .unwrap_or_default(),
                field: finding.field,
                rule: finding.rule,
                message: finding.message,
            };
            match finding.severity {
                Severity::Error => self.findings.push(told),
                Severity::Warning => self.ran.warnings.push(told.to_string()),
            }
        }
    }

    fn refuse_findings(&mut self) -> Result<(), RenderError> {
        match self.findings.is_empty() {
            true => Ok(()),
            false => Err(RenderError::Findings(std::mem::take(&mut self.findings))),
        }
    }
}

/// The limits of a call: those of the step where they are lower.
fn bounded(all: &Limits, step: &PluginLimits, left: Duration) -> Limits {
    let lower = |all: usize, step: &Option<ByteSize>| {
        let step = step.as_ref().map(ByteSize::bytes).and_then(|bytes| usize::try_from(bytes).ok());
        step.map_or(all, |step| step.min(all))
    };
    let wall_time = step.wall_time.as_ref().map_or(left, |step| step.to_std().min(left));
    Limits {
        wall_time,
        memory_bytes: lower(all.memory_bytes, &step.memory),
        output_bytes: lower(all.output_bytes, &step.output),
        ..*all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_step_can_ask_for_less_and_never_for_more() {
        let limits = |text: &str| -> PluginLimits { serde_yaml::from_str(text).unwrap() };
        let all = Limits::default();
        let left = Duration::from_secs(60);
        let less = bounded(&all, &limits("{wallTime: 10s, memory: 1Mi, output: 2Mi}"), left);
        assert_eq!(less.wall_time, Duration::from_secs(10));
        assert_eq!((less.memory_bytes, less.output_bytes), (1 << 20, 2 << 20));
        let more = bounded(&all, &limits("{wallTime: 1h, memory: 999Gi, output: 999Gi}"), left);
        assert_eq!(more, Limits { wall_time: left, ..all });
    }
}
