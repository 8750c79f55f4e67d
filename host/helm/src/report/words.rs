//! Releases, charts and tests, as messages name them.

use plumb_api::ReleaseSnapshot;

use crate::record::Release;
use crate::snapshot;

/// A release and its chart, as messages name them.
pub(super) fn words(snapshot: Option<&ReleaseSnapshot>) -> (String, String) {
    let Some(snapshot) = snapshot else { return ("(none)".to_owned(), "(none)".to_owned()) };
    (snapshot.full_release_name(), snapshot.versioned_chart_name())
}

pub(super) fn record_in_words(release: Option<&Release>) -> (String, String) {
    words(release.map(|release| snapshot::of(release, None, None)).as_ref())
}

pub(super) fn tests_in_words(snapshot: Option<&ReleaseSnapshot>) -> String {
    match snapshot
        .and_then(|snapshot| snapshot.test_hooks.as_ref())
        .map_or(0, std::collections::BTreeMap::len)
    {
        0 => "no test hooks".to_owned(),
        1 => "1 test hook completed successfully".to_owned(),
        count => format!("{count} test hooks completed successfully"),
    }
}
