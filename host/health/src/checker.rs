use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plumb_api::Object;
use plumb_apply::{Health, HealthStatus, health, unsettled};
use plumb_cel::HealthExpression;
use plumb_plugin::Cancelled;
use serde_json::Value;

use crate::answers::Answers;
use crate::check::{Check, Said};
use crate::checks::{Checks, Judge};

/// Judges objects, and remembers what plugins have said of them. One is enough for a process.
#[derive(Default)]
pub struct Checker {
    answers: Answers,
}

/// What can be told of an object at once.
pub enum Answer {
    /// How it is.
    Known(Health),
    /// A plugin has to be asked.
    Ask(Question),
}

/// An object that a plugin has to be asked about.
pub struct Question {
    object: Arc<Object>,
    check: Arc<Check>,
}

impl Checker {
    /// How an object is, as far as no plugin has to be asked. `now` matters only to kstatus. An expression over a large object takes some
    /// milliseconds: see [`Checks::has_expression`].
    pub fn look(&self, checks: &Checks, object: &Arc<Object>, now: Timestamp) -> Answer {
        let kind = object.gvk();
        let check = match checks.judge(&kind) {
            Judge::Expression(expression) => return Answer::Known(expressed(object, expression)),
            Judge::Missing(missing) => {
                return Answer::Known(unsettled(object).unwrap_or_else(|| missing.clone()));
            }
            Judge::Kstatus => return Answer::Known(health(object, now)),
            Judge::Check(check) => check,
        };
        if check.is_optional() && self.answers.is_not_for(check, &kind.group_kind()) {
            return Answer::Known(health(object, now));
        }
        if let Some(health) = unsettled(object) {
            return Answer::Known(health);
        }
        let said = Answers::key(check, object).and_then(|key| self.answers.get(&key));
        match said {
            Some(said) => Answer::Known(conclude(check, &said, object, now)),
            None => Answer::Ask(Question { object: object.clone(), check: check.clone() }),
        }
    }

    /// Asks plugins, one after the other, and gives an answer to each question, in their order. Blocks, and takes no longer than `most`: for what is
    /// left over then, the answer is that it is not known yet.
    pub fn ask(
        &self,
        questions: &[Question],
        most: Duration,
        now: Timestamp,
        cancelled: &Cancelled,
    ) -> Vec<Health> {
        let deadline = Instant::now() + most;
        let answer = |Question { object, check }: &Question| {
            let left = deadline.saturating_duration_since(Instant::now());
            let said = self.said(check, object, left, cancelled);
            conclude(check, &said, object, now)
        };
        questions.iter().map(answer).collect()
    }

    /// How an object is. Blocks while a plugin is asked, for `most` at the longest.
    pub fn health(&self, checks: &Checks, object: &Arc<Object>, now: Timestamp, most: Duration) -> Health {
        match self.look(checks, object, now) {
            Answer::Known(health) => health,
            Answer::Ask(Question { object, check }) => {
                let said = self.said(&check, &object, most, &Cancelled::new());
                conclude(&check, &said, &object, now)
            }
        }
    }

    fn said(&self, check: &Check, object: &Object, left: Duration, cancelled: &Cancelled) -> Said {
        let kind = object.gvk().group_kind();
        // Another object of the kind may have been asked about meanwhile.
        if check.is_optional() && self.answers.is_not_for(check, &kind) {
            return Said::NotForKind(String::new());
        }
        if left.is_zero() {
            return Said::Nothing("others have taken all the time that there was".to_owned());
        }
        let said = check.ask(object, left, cancelled);
        if check.is_optional() && matches!(said, Said::NotForKind(_)) {
            self.answers.put_not_for(check, kind);
        } else if let Some(key) = Answers::key(check, object) {
            self.answers.put(key, &said);
        }
        said
    }
}

fn conclude(check: &Check, said: &Said, object: &Object, now: Timestamp) -> Health {
    check.health(said).unwrap_or_else(|| health(object, now))
}

/// The health of an object by the expressions of `healthCheckExprs`.
fn expressed(object: &Object, expression: &HealthExpression) -> Health {
    let value = Value::Object(object.fields().clone());
    let (status, message) = match expression.evaluate(&value) {
        Ok(plumb_cel::Health::Current) => (HealthStatus::Current, String::new()),
        Ok(plumb_cel::Health::InProgress) => {
            (HealthStatus::InProgress, "according to healthCheckExprs".to_owned())
        }
        Ok(plumb_cel::Health::Failed) => (HealthStatus::Failed, "according to healthCheckExprs".to_owned()),
        // Usually there is no status yet.
        Err(error) => (HealthStatus::InProgress, format!("healthCheckExprs: {error}")),
    };
    Health { status, message }
}
