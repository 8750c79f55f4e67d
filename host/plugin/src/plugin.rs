use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plumb_api::Object;
use plumb_tree::View;
use serde_json::Value;
use wasmtime::component::{Component, Instance, InstancePre, Resource};
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::{health, render, transform, types, validate};
use crate::component::{check_names, wants};
use crate::failure::{bounded, of_guest, of_instantiation};
use crate::host::Inner;
use crate::mask::Mask;
use crate::meter::Meter;
use crate::state::State;
use crate::{Call, CallError, Finding, HealthReport, LoadError, Wants, World, values};

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
    instance: InstancePre<State>,
    export: Export,
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

impl Texts for health::Report {
    fn bytes(&self) -> usize {
        self.message.len()
    }
}

/// Where the functions of a world are found in an instance.
enum Export {
    Renderer(render::GuestIndices),
    Transformer(transform::GuestIndices),
    Validator(validate::GuestIndices),
    HealthCheck(health::GuestIndices),
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
        component: &Component,
        world: World,
    ) -> Result<Self, LoadError> {
        let imports = check_names(name, &host.engine, component, world)?;
        let other_types = |error: wasmtime::Error| LoadError::OtherTypes {
            name: name.to_owned(),
            world,
            reason: bounded(&format!("{error:#}")),
        };
        let instance = host.linker.instantiate_pre(component).map_err(other_types)?;
        let export = Export::find(world, &instance).map_err(other_types)?;
        let digest = format!("sha256:{}", hex::encode(digest));
        let plugin = Self(Arc::new(Ready { host, name: name.into(), digest, imports, instance, export }));
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
        match self.0.export {
            Export::Renderer(_) => World::Renderer,
            Export::Transformer(_) => World::Transformer,
            Export::Validator(_) => World::Validator,
            Export::HealthCheck(_) => World::HealthCheck,
        }
    }

    /// The names of the interfaces that it imports.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// The capabilities that it imports: whoever calls it may grant them, see [`crate::Grants`].
    pub fn wants(&self) -> Wants {
        wants(&self.0.imports)
    }

    /// Renders the objects that the files below `root` and the parameters describe, in the plugin's order.
    ///
    /// What was read is in `root`'s record afterwards, whatever the outcome. `parameters` is a JSON object, or null for
    /// none.
    pub fn render(&self, root: Arc<View>, parameters: &Value, call: &Call) -> Result<Vec<Object>, CallError> {
        let Export::Renderer(export) = &self.0.export else { return Err(self.wrong_world(World::Renderer)) };
        let parameters = values::parameters(parameters)?;
        let ended = self.run(Some(root), call, |store, instance| {
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
        let Export::Transformer(export) = &self.0.export else {
            return Err(self.wrong_world(World::Transformer));
        };
        let (parameters, objects) = (values::parameters(parameters)?, values::texts_of(objects));
        let ended = self.run(None, call, |store, instance| {
            export.load(&mut *store, instance)?.call_transform(store, &objects, &parameters)
        })?;
        values::objects(ended.answer, &ended.mask)
    }

    /// Finds what is wrong with objects. [`Finding::object`] is an index of `objects`.
    pub fn validate(
        &self,
        objects: &[Object],
        parameters: &Value,
        call: &Call,
    ) -> Result<Vec<Finding>, CallError> {
        let Export::Validator(export) = &self.0.export else {
            return Err(self.wrong_world(World::Validator));
        };
        let (parameters, texts) = (values::parameters(parameters)?, values::texts_of(objects));
        let ended = self.run(None, call, |store, instance| {
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
        let Export::HealthCheck(export) = &self.0.export else {
            return Err(self.wrong_world(World::HealthCheck));
        };
        let (parameters, object) = (values::parameters(parameters)?, values::text_of(object));
        let ended = self.run(None, call, |store, instance| {
            export.load(&mut *store, instance)?.call_check(store, &object, &parameters)
        })?;
        Ok(ended.answer.into())
    }

    fn wrong_world(&self, called: World) -> CallError {
        CallError::WrongWorld { loaded: self.world(), called }
    }

    /// One call in an instance of its own, which does not outlive it.
    fn run<T: Texts>(
        &self,
        root: Option<Arc<View>>,
        call: &Call,
        guest: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<T, Vec<types::Error>>>,
    ) -> Result<Ended<T>, CallError> {
        let _turn = self.0.host.running.enter(call)?;
        let mut store = self.store(root, call);
        let answer = match self.0.instance.instantiate(&mut store) {
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
        let types_fit =
            self.run(None, &call, |store, instance| Ok(Ok(self.0.export.check_types(store, instance))));
        match types_fit {
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

impl Export {
    fn find(world: World, instance: &InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(match world {
            World::Renderer => Self::Renderer(render::GuestIndices::new(instance)?),
            World::Transformer => Self::Transformer(transform::GuestIndices::new(instance)?),
            World::Validator => Self::Validator(validate::GuestIndices::new(instance)?),
            World::HealthCheck => Self::HealthCheck(health::GuestIndices::new(instance)?),
        })
    }

    fn check_types(&self, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<()> {
        match self {
            Self::Renderer(export) => export.load(store, instance).map(drop),
            Self::Transformer(export) => export.load(store, instance).map(drop),
            Self::Validator(export) => export.load(store, instance).map(drop),
            Self::HealthCheck(export) => export.load(store, instance).map(drop),
        }
    }
}
