use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plumb_api::{Object, Sensitive};
use plumb_tree::View;
use serde_json::Value;
use wasmtime::component::{Instance, InstancePre, Resource};
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::{decrypt, health, render, transform, types, validate};
use crate::compiled::Compiled;
use crate::component::{check_names, decrypts, wants};
use crate::failure::{bounded, of_guest, of_instantiation};
use crate::function::Function;
use crate::host::Inner;
use crate::mask::Mask;
use crate::meter::Meter;
use crate::printable::one_line;
use crate::resource_list::{self, Severity};
use crate::state::State;
use crate::{
    Call, CallError, Capability, DecryptedFile, Finding, HealthReport, LoadError, Wants, World, values,
};

/// How long a component may take to start when it is loaded, and how long it waits for its turn.
const START: Duration = Duration::from_secs(30);

/// A component that is ready to run in one world. Clones share it; calls from many threads run side by side.
#[derive(Clone)]
pub struct Plugin(Arc<Ready>);

struct Ready {
    host: Arc<Inner>,
    name: Arc<str>,
    digest: String,
    imports: Vec<String>,
    program: Program,
}

/// What runs when the plugin is called: of a component, also where the function of its world is found in an instance.
enum Program {
    Renderer(InstancePre<State>, render::GuestIndices),
    /// The last if it decrypts files as well.
    Transformer(InstancePre<State>, transform::GuestIndices, Option<decrypt::GuestIndices>),
    Validator(InstancePre<State>, validate::GuestIndices),
    HealthCheck(InstancePre<State>, health::GuestIndices),
    Function(Function),
}

/// What a guest answered, and what of it must not be shown.
struct Ended<T> {
    answer: T,
    mask: Mask,
}

/// How much text a guest's answer has.
trait Texts {
    fn bytes(&self) -> usize;
}

impl Texts for wasmtime::Result<()> {
    fn bytes(&self) -> usize {
        0
    }
}

impl Texts for Vec<String> {
    fn bytes(&self) -> usize {
        self.iter().map(String::len).sum()
    }
}

impl Texts for Vec<validate::Finding> {
    fn bytes(&self) -> usize {
        let field = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        self.iter().map(|finding| finding.rule.len() + finding.message.len() + field(&finding.field)).sum()
    }
}

impl Texts for Vec<decrypt::File> {
    fn bytes(&self) -> usize {
        self.iter().map(|file| file.path.len() + file.content.len()).sum()
    }
}

impl Texts for health::Report {
    fn bytes(&self) -> usize {
        self.message.len()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.0.name)
            .field("digest", &self.0.digest)
            .field("world", &self.world())
            .finish_non_exhaustive()
    }
}

impl Plugin {
    pub(crate) fn new(
        host: Arc<Inner>,
        name: &str,
        digest: [u8; 32],
        compiled: &Compiled,
        world: World,
    ) -> Result<Self, LoadError> {
        let names = compiled.names(&host.engine);
        check_names(name, &names, world)?;
        let other_types = |error: wasmtime::Error| LoadError::OtherTypes {
            name: name.to_owned(),
            world,
            reason: bounded(&format!("{error:#}")),
        };
        let program = Program::link(&host, compiled, world, decrypts(&names.exports)).map_err(other_types)?;
        let digest = format!("sha256:{}", hex::encode(digest));
        let plugin =
            Self(Arc::new(Ready { host, name: name.into(), digest, imports: names.imports, program }));
        plugin.try_out()?;
        Ok(plugin)
    }

    /// What logs and errors call it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The SHA-256 of the component: `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// What it was loaded as.
    pub fn world(&self) -> World {
        match self.0.program {
            Program::Renderer(..) => World::Renderer,
            Program::Transformer(..) => World::Transformer,
            Program::Validator(..) => World::Validator,
            Program::HealthCheck(..) => World::HealthCheck,
            Program::Function(_) => World::KrmFunction,
        }
    }

    /// The names of the interfaces that it imports.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// The capabilities that it imports: whoever calls it may grant them, see [`crate::Grants`].
    ///
    /// A decryptor can do without `http`: which servers it needs is in what it decrypts.
    pub fn wants(&self) -> Wants {
        let wants = wants(&self.0.imports);
        if self.decrypts() { wants.without(Capability::Http) } else { wants }
    }

    /// Whether it is a transformer that decrypts files as well: [`Self::decrypt`].
    pub fn decrypts(&self) -> bool {
        matches!(self.0.program, Program::Transformer(_, _, Some(_)))
    }

    /// Renders the objects that the files below `root` and the parameters describe, in the plugin's order.
    ///
    /// What was read is in `root`'s record afterwards, whatever the outcome. `parameters` is a JSON object, or null for
    /// none.
    pub fn render(&self, root: Arc<View>, parameters: &Value, call: &Call) -> Result<Vec<Object>, CallError> {
        let Program::Renderer(instance, export) = &self.0.program else {
            return Err(self.wrong_world(World::Renderer));
        };
        let parameters = values::parameters(parameters)?;
        let ended = self.run(instance, Some(root), call, |store, instance| {
            export.load(&mut *store, instance)?.call_render(store, Resource::new_borrow(0), &parameters)
        })?;
        values::objects(ended.answer, &ended.mask)
    }

    /// Turns objects into other objects: what is not returned is gone.
    pub fn transform(
        &self,
        objects: &[Object],
        parameters: &Value,
        call: &Call,
    ) -> Result<Vec<Object>, CallError> {
        let Program::Transformer(instance, export, _) = &self.0.program else {
            return Err(self.wrong_world(World::Transformer));
        };
        let (parameters, objects) = (values::parameters(parameters)?, values::texts_of(objects));
        let ended = self.run(instance, None, call, |store, instance| {
            export.load(&mut *store, instance)?.call_transform(store, &objects, &parameters)
        })?;
        values::objects(ended.answer, &ended.mask)
    }

    /// Decrypts the files below `root` that a renderer with these parameters will put into objects as they are. It is for plugins that
    /// [decrypt](Self::decrypts).
    ///
    /// What was read is in `root`'s record afterwards, whatever the outcome.
    pub fn decrypt(
        &self,
        root: Arc<View>,
        parameters: &Value,
        call: &Call,
    ) -> Result<Vec<DecryptedFile>, CallError> {
        let Program::Transformer(instance, _, Some(export)) = &self.0.program else {
            return Err(self.wrong_world(World::Transformer));
        };
        let parameters = values::parameters(parameters)?;
        let ended = self.run(instance, Some(root), call, |store, instance| {
            export.load(&mut *store, instance)?.call_decrypt(store, Resource::new_borrow(0), &parameters)
        })?;
        let file = |decrypt::File { path, content }| DecryptedFile { path, content: Sensitive::new(content) };
        Ok(ended.answer.into_iter().map(file).collect())
    }

    /// Finds what is wrong with objects. [`Finding::object`] is an index of `objects`.
    pub fn validate(
        &self,
        objects: &[Object],
        parameters: &Value,
        call: &Call,
    ) -> Result<Vec<Finding>, CallError> {
        let Program::Validator(instance, export) = &self.0.program else {
            return Err(self.wrong_world(World::Validator));
        };
        let (parameters, texts) = (values::parameters(parameters)?, values::texts_of(objects));
        let ended = self.run(instance, None, call, |store, instance| {
            export.load(&mut *store, instance)?.call_validate(store, &texts, &parameters)
        })?;
        values::findings(ended.answer, objects.len(), &ended.mask)
    }

    /// Says how an object is doing, as the API server returned it.
    pub fn check_health(
        &self,
        object: &Object,
        parameters: &Value,
        call: &Call,
    ) -> Result<HealthReport, CallError> {
        let Program::HealthCheck(instance, export) = &self.0.program else {
            return Err(self.wrong_world(World::HealthCheck));
        };
        let (parameters, object) = (values::parameters(parameters)?, values::text_of(object));
        let ended = self.run(instance, None, call, |store, instance| {
            export.load(&mut *store, instance)?.call_check(store, &object, &parameters)
        })?;
        Ok(ended.answer.into())
    }

    /// Lets a KRM function turn objects into other objects. `config` is its `functionConfig`; an object without a `kind` becomes the data of a
    /// ConfigMap, and null means none.
    ///
    /// Results that are errors, and a status other than 0, are [`CallError::Reported`]. Warnings are collected in [`Call::warnings`]; the rest, and what it
    /// writes to standard error, is logged. It can be granted nothing.
    pub fn function(
        &self,
        objects: &[Object],
        config: &Value,
        call: &Call,
    ) -> Result<Vec<Object>, CallError> {
        let Program::Function(function) = &self.0.program else {
            return Err(self.wrong_world(World::KrmFunction));
        };
        let input = resource_list::input(objects, config)?;
        let ended = {
            let _turn = self.0.host.running.enter(call)?;
            function.run(&self.0.host.engine, self.name(), input, call)?
        };
        let plugin = self.name();
        for line in String::from_utf8_lossy(&ended.stderr).lines() {
            tracing::info!(plugin, "{}", one_line(line));
        }
        let output = match resource_list::output(&ended.stdout) {
            // It had no time to say more.
            Err(_) if ended.status != 0 => {
                return Err(resource_list::failure(ended.status, Vec::new(), &ended.stderr));
            }
            output => output?,
        };
        for told in &output.results {
            match told.severity {
                Severity::Error => {}
                Severity::Warning => {
                    tracing::warn!(plugin, "{}", told.error);
                    call.warnings.add(&one_line(&told.error.to_string()));
                }
                Severity::Info => tracing::info!(plugin, "{}", told.error),
            }
        }
        if ended.status != 0 || output.results.iter().any(|told| told.severity == Severity::Error) {
            return Err(resource_list::failure(ended.status, output.results, &ended.stderr));
        }
        Ok(output.objects)
    }

    fn wrong_world(&self, called: World) -> CallError {
        CallError::WrongWorld { loaded: self.world(), called }
    }

    /// One call in an instance of its own, which does not outlive it.
    fn run<T: Texts>(
        &self,
        instance: &InstancePre<State>,
        root: Option<Arc<View>>,
        call: &Call,
        guest: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<T, Vec<types::Error>>>,
    ) -> Result<Ended<T>, CallError> {
        let _turn = self.0.host.running.enter(call)?;
        let mut store = self.store(root, call);
        let answer = match instance.instantiate(&mut store) {
            Ok(instance) => guest(&mut store, &instance).map_err(|error| of_guest(&error, &call.limits)),
            Err(error) => Err(of_instantiation(&error)),
        };
        let state = store.into_data();
        let output_bytes = answer.as_ref().ok().and_then(|answer| answer.as_ref().ok()).map_or(0, T::bytes);
        call.used.ended(state.meter.ended(&state.plugin, output_bytes));
        match (state.meter.stopped(), state.broken_tree) {
            (Some(stop), _) => Err(stop.into()),
            (None, Some(error)) => Err(CallError::Tree(error)),
            (None, None) => match answer? {
                Ok(answer) => Ok(Ended { answer, mask: state.mask }),
                Err(errors) => Err(values::errors(errors, &state.mask)),
            },
        }
    }

    fn store(&self, root: Option<Arc<View>>, call: &Call) -> Store<State> {
        let state = State {
            plugin: Arc::clone(&self.0.name),
            root,
            meter: Meter::new(call.limits, call.cancelled.clone()),
            warnings: call.warnings.clone(),
            mask: Mask::of(call.grants.secrets.as_ref()),
            grants: call.grants.clone(),
            used: call.used.clone(),
            broken_tree: None,
        };
        let mut store = Store::new(&self.0.host.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(call.limits.output_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().meter.check_time()?;
            Ok(UpdateDeadline::Continue(1))
        });
        store
    }

    /// Makes an instance and looks whether its functions have the right types, so that a plugin that is loaded can be called.
    fn try_out(&self) -> Result<(), LoadError> {
        let mut call = Call::default();
        call.limits.wall_time = START;
        let ended = match &self.0.program {
            Program::Renderer(instance, export) => self
                .run(instance, None, &call, |store, instance| Ok(Ok(export.load(store, instance).map(drop)))),
            Program::Transformer(instance, export, decrypt) => {
                self.run(instance, None, &call, |store, instance| {
                    let loaded = export.load(&mut *store, instance).map(drop);
                    let decrypt = decrypt.as_ref().map(|export| export.load(store, instance).map(drop));
                    Ok(Ok(loaded.and(decrypt.unwrap_or(Ok(())))))
                })
            }
            Program::Validator(instance, export) => self
                .run(instance, None, &call, |store, instance| Ok(Ok(export.load(store, instance).map(drop)))),
            Program::HealthCheck(instance, export) => self
                .run(instance, None, &call, |store, instance| Ok(Ok(export.load(store, instance).map(drop)))),
            // A program does its work as soon as it starts.
            Program::Function(_) => return Ok(()),
        };
        match ended {
            Ok(Ended { answer: Ok(()), .. }) => Ok(()),
            Ok(Ended { answer: Err(error), .. }) => Err(LoadError::OtherTypes {
                name: self.name().to_owned(),
                world: self.world(),
                reason: bounded(&format!("{error:#}")),
            }),
            Err(error) => Err(LoadError::NotStarted { name: self.name().to_owned(), error }),
        }
    }
}

impl Program {
    fn link(host: &Inner, compiled: &Compiled, world: World, decrypts: bool) -> wasmtime::Result<Self> {
        let Compiled::Component(component) = compiled else {
            return host.functions.link(compiled).map(Self::Function);
        };
        let instance = || host.linker.instantiate_pre(component);
        Ok(match world {
            World::Renderer => {
                let instance = instance()?;
                let export = render::GuestIndices::new(&instance)?;
                Self::Renderer(instance, export)
            }
            World::Transformer => {
                let instance = instance()?;
                let export = transform::GuestIndices::new(&instance)?;
                let decrypt = decrypts.then(|| decrypt::GuestIndices::new(&instance)).transpose()?;
                Self::Transformer(instance, export, decrypt)
            }
            World::Validator => {
                let instance = instance()?;
                let export = validate::GuestIndices::new(&instance)?;
                Self::Validator(instance, export)
            }
            World::HealthCheck => {
                let instance = instance()?;
                let export = health::GuestIndices::new(&instance)?;
                Self::HealthCheck(instance, export)
            }
            World::KrmFunction => Self::Function(host.functions.link(compiled)?),
        })
    }
}
