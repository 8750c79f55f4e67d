use plumb_api::HelmReleaseStatus;

/// The annotations of an object that ask for something once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whether to release whatever there is (`reconcile.fluxcd.io/forceAt`).
    pub force: bool,
    /// Whether to forget the failures so far (`reconcile.fluxcd.io/resetAt`).
    pub reset: bool,
}

/// What the annotations of an object ask for that was not handled before. Both count with the value of `requestedAt` only; what was looked
/// at is noted in the status. It has to be called before `status.lastHandledReconcileAt` is set.
pub fn asked(
    status: &mut HelmReleaseStatus,
    requested_at: Option<&str>,
    force_at: Option<&str>,
    reset_at: Option<&str>,
) -> Asked {
    let requested = requested_at.filter(|at| status.last_handled_reconcile_at.as_deref() != Some(*at));
    let look = |asked: Option<&str>, handled: &mut Option<String>| {
        let Some(asked) = asked else { return false };
        let before = handled.replace(asked.to_owned());
        requested == Some(asked) && before.as_deref() != Some(asked)
    };
    Asked {
        force: look(force_at, &mut status.last_handled_force_at),
        reset: look(reset_at, &mut status.last_handled_reset_at),
    }
}
