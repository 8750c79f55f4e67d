//! Says what is wrong, and where.

use jrsonnet_evaluator::error::ErrorKind;
use jrsonnet_evaluator::{Error, Span};
use plumbline_plugin::Error as Mistake;

use crate::files::name_of;

/// A mistake as the host wants it. `entry` is the file that was rendered, which is named when nothing better is known.
pub fn of(error: &Error, entry: &str) -> Mistake {
    let (span, message) = match error.error() {
        ErrorKind::ImportSyntaxError { error, .. } => (Some(error.location.clone()), error.message.clone()),
        ErrorKind::StaticAnalysisError(found) => match found.first() {
            Some(first) => (first.span.clone(), first.message.clone()),
            None => (None, error.error().to_string()),
        },
        ErrorKind::RuntimeError(told) => (innermost(error), told.to_string()),
        ErrorKind::StackOverflow => {
            (innermost(error), "functions call each other too deeply, or without end".to_owned())
        }
        ErrorKind::InfiniteRecursionDetected => (innermost(error), "a value depends on itself".to_owned()),
        other => (innermost(error), other.to_string()),
    };
    let mistake = Mistake::invalid(message);
    match &span {
        Some(span) => place(mistake, span),
        None => mistake.file(entry),
    }
}

/// The place that the evaluation was at.
fn innermost(error: &Error) -> Option<Span> {
    let places = error.trace().0.iter().filter_map(|element| element.location.as_ref());
    places.into_iter().find(|span| name_of(span.0.source_path()).is_some()).cloned()
}

fn place(mistake: Mistake, span: &Span) -> Mistake {
    let end = u32::try_from(span.0.code().len()).unwrap_or(u32::MAX);
    let [location] = span.0.map_source_locations(&[span.1.min(end)]);
    let line = u32::try_from(location.line).unwrap_or(u32::MAX);
    mistake.file(name_of(span.0.source_path())).line(line.max(1))
}
