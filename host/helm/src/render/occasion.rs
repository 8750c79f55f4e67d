use plumb_api::{CrdsPolicy, HelmReleaseSpec, Install, ReleaseStatus, Upgrade};

/// What a chart is rendered for: an install or an upgrade, and the revision that it makes. Templates see it as `.Release`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// There is no release, or it was uninstalled.
    Install {
        /// The revision that it makes: 1, or one more than that of the record that an uninstall has kept.
        revision: i64,
    },
    /// There is a release.
    Upgrade {
        /// The revision that it makes.
        revision: i64,
    },
}

impl Occasion {
    /// What follows the newest revision and its status, once what was interrupted is ended; `None` where there is none.
    pub fn after(newest: Option<(i64, ReleaseStatus)>, spec: &HelmReleaseSpec) -> Self {
        let Some((revision, status)) = newest else { return Self::Install { revision: 1 } };
        let next = revision.saturating_add(1);
        let keeps_history = spec.uninstall.as_ref().is_some_and(|uninstall| uninstall.keep_history);
        match status {
            ReleaseStatus::Uninstalling if !keeps_history => Self::Install { revision: 1 },
            ReleaseStatus::Uninstalled | ReleaseStatus::Uninstalling => Self::Install { revision: next },
            _ => Self::Upgrade { revision: next },
        }
    }

    /// What a revision was made for, as far as its number tells: the first one was installed.
    pub fn of(revision: i64) -> Self {
        if revision > 1 { Self::Upgrade { revision } } else { Self::Install { revision } }
    }

    /// The revision that is made.
    pub fn revision(self) -> i64 {
        match self {
            Self::Install { revision } | Self::Upgrade { revision } => revision,
        }
    }

    /// Whether there is a release before it.
    pub fn is_upgrade(self) -> bool {
        matches!(self, Self::Upgrade { .. })
    }

    /// What becomes of the definitions in the chart's `crds` directory.
    pub fn crds(self, spec: &HelmReleaseSpec) -> CrdsPolicy {
        match self {
            Self::Install { .. } => spec.install.clone().unwrap_or_default().crds(),
            Self::Upgrade { .. } => spec.upgrade.clone().unwrap_or_default().crds(),
        }
    }

    /// Whether hooks are run.
    pub fn runs_hooks(self, spec: &HelmReleaseSpec) -> bool {
        !self.says(spec, |install| install.disable_hooks, |upgrade| upgrade.disable_hooks)
    }

    /// Whether the values are compared with the schema of the chart.
    pub fn validates_values(self, spec: &HelmReleaseSpec) -> bool {
        !self.says(
            spec,
            |install| install.disable_schema_validation,
            |upgrade| upgrade.disable_schema_validation,
        )
    }

    /// Whether the values of the last revision stay below those of the spec.
    pub fn preserves_values(self, spec: &HelmReleaseSpec) -> bool {
        self.is_upgrade() && spec.upgrade.as_ref().is_some_and(|upgrade| upgrade.preserve_values)
    }

    fn says(
        self,
        spec: &HelmReleaseSpec,
        of_install: impl Fn(&Install) -> bool,
        of_upgrade: impl Fn(&Upgrade) -> bool,
    ) -> bool {
        match self {
            Self::Install { .. } => spec.install.as_ref().is_some_and(of_install),
            Self::Upgrade { .. } => spec.upgrade.as_ref().is_some_and(of_upgrade),
        }
    }
}
