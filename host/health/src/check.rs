use std::fmt;
use std::time::Duration;

use plumb_api::{Object, OnUnknown, PluginLimits};
use plumb_apply::{Health, HealthStatus};
use plumb_plugin::{Call, CallError, Cancelled, ErrorKind, HealthReport, Limits, Plugin, World};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How many characters of a message are told and kept.
const MESSAGE: usize = 1024;

/// How much a plugin may use for one object: a fraction of what a render may, as there are many objects. `memory_bytes` is what any plugin may have.
pub fn limits(memory_bytes: usize) -> Limits {
    Limits {
        wall_time: Duration::from_secs(5),
        memory_bytes: memory_bytes.min(256 << 20),
        output_bytes: 1 << 20,
        log_bytes: 16 << 10,
        ..Limits::default()
    }
}

/// A plugin that judges objects, and what it is told.
pub struct Check {
    plugin: Plugin,
    parameters: Value,
    limits: Limits,
    /// What it means that the plugin cannot tell.
    on_unknown: OnUnknown,
    /// Whether kinds that the plugin does not know are left to kstatus: nobody has chosen the plugin for them.
    is_optional: bool,
    /// Of the plugin and the parameters.
    digest: [u8; 32],
}

/// Why a plugin cannot judge objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(World);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is a {}, and only a health-check can tell how objects are", self.0)
    }
}

impl std::error::Error for Unfit {}

/// What a plugin has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// How the object is.
    Report(HealthReport),
    /// Nothing that can be used.
    Failure(String),
    /// It does not judge objects of this kind.
    NotForKind(String),
    /// It was not asked.
    Nothing(String),
}

impl Check {
    /// A plugin that somebody has chosen for some kinds.
    ///
    /// # Errors
    ///
    /// When it is not a health check.
    pub fn chosen(
        plugin: Plugin,
        parameters: Value,
        on_unknown: OnUnknown,
        limits: Limits,
    ) -> Result<Self, Unfit> {
        if plugin.world() != World::HealthCheck {
            return Err(Unfit(plugin.world()));
        }
        let hash = Sha256::new()
            .chain_update(plugin.digest())
            .chain_update([0])
            .chain_update(parameters.to_string());
        let digest = hash.finalize().into();
        Ok(Self { plugin, parameters, limits, on_unknown, is_optional: false, digest })
    }

    /// The rules that come with Plumbline: they judge the kinds that they know, and leave others to kstatus.
    ///
    /// # Errors
    ///
    /// When the plugin is not a health check.
    pub fn rules(plugin: Plugin, limits: Limits) -> Result<Self, Unfit> {
        let check = Self::chosen(plugin, Value::Null, OnUnknown::Wait, limits)?;
        Ok(Self { is_optional: true, ..check })
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.is_optional
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Asks the plugin, which may take no longer than `left`.
    pub(crate) fn ask(&self, object: &Object, left: Duration, cancelled: &Cancelled) -> Said {
        let limits = Limits { wall_time: self.limits.wall_time.min(left), ..self.limits };
        let call = Call { limits, cancelled: cancelled.clone(), ..Call::default() };
        match self.plugin.check_health(object, &self.parameters, &call) {
            Ok(report) => {
                Said::Report(HealthReport { message: shortened(&report.message), status: report.status })
            }
            Err(CallError::Reported(errors)) => {
                let is_not_for_kind = errors.iter().all(|error| error.kind == ErrorKind::Unsupported);
                let message = shortened(&CallError::Reported(errors).to_string());
                if is_not_for_kind { Said::NotForKind(message) } else { Said::Failure(message) }
            }
            Err(error @ (CallError::Cancelled | CallError::Busy { .. })) => Said::Nothing(error.to_string()),
            Err(error) => Said::Failure(shortened(&error.to_string())),
        }
    }

    /// What comes of what the plugin has said; none when that is for kstatus to tell.
    pub(crate) fn health(&self, said: &Said) -> Option<Health> {
        use plumb_plugin::HealthStatus::{Current, Failed, InProgress, Terminating, Unknown};
        let name = self.plugin.name();
        Some(match said {
            Said::Report(HealthReport { status: Current, .. }) => Health::new(HealthStatus::Current, ""),
            Said::Report(HealthReport { status: InProgress, message }) => {
                Health::new(HealthStatus::InProgress, message)
            }
            Said::Report(HealthReport { status: Failed, message }) => {
                Health::new(HealthStatus::Failed, message)
            }
            Said::Report(HealthReport { status: Terminating, message }) => {
                Health::new(HealthStatus::Terminating, message)
            }
            Said::Report(HealthReport { status: Unknown, message }) => {
                unknown(self.on_unknown, format!("the plugin {name} cannot tell: {message}"))
            }
            Said::NotForKind(_) if self.is_optional => return None,
            Said::NotForKind(message) | Said::Failure(message) => {
                unknown(self.on_unknown, format!("the plugin {name} cannot tell: {message}"))
            }
            // It will be asked again.
            Said::Nothing(why) => {
                Health::new(HealthStatus::Unknown, format!("the plugin {name} was not asked: {why}"))
            }
        })
    }
}

/// The limits of a check, where they are lower than those of all.
pub(crate) fn lowered(all: Limits, by: &PluginLimits) -> Limits {
    let lower = |all: usize, bytes: Option<u64>| {
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).map_or(all, |bytes| bytes.min(all))
    };
    Limits {
        wall_time: by.wall_time.as_ref().map_or(all.wall_time, |time| time.to_std().min(all.wall_time)),
        memory_bytes: lower(all.memory_bytes, by.memory.as_ref().map(plumb_api::ByteSize::bytes)),
        output_bytes: lower(all.output_bytes, by.output.as_ref().map(plumb_api::ByteSize::bytes)),
        ..all
    }
}

/// What it means that nobody can tell how an object is: never that it is healthy.
pub(crate) fn unknown(on_unknown: OnUnknown, why: String) -> Health {
    match on_unknown {
        OnUnknown::Wait => Health::new(HealthStatus::Unknown, why),
        OnUnknown::Fail => Health::new(HealthStatus::Failed, why),
    }
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}
