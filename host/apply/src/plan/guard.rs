use std::fmt;
use std::str::FromStr;

use plumb_api::annotations::PRUNE_CONFIRMED;
use sha2::{Digest as _, Sha256};

use super::Deletion;

/// Sets with fewer objects than this are not guarded by a percentage.
const SMALLEST_GUARDED: usize = 10;
/// How many objects a message names.
const NAMED: usize = 5;

/// How much of what a Kustomization has applied may be deleted at once without somebody confirming it: a wrong path or a bad merge deletes
/// much, and looks like any other commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneLimit(Limit);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Off,
    /// Of the objects in the inventory, where it has [`SMALLEST_GUARDED`] or more. Below 100.
    Percent(u8),
    Count(usize),
}

/// Half of a set of ten or more.
impl Default for PruneLimit {
    fn default() -> Self {
        Self(Limit::Percent(50))
    }
}

/// A limit that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a limit: expected a percentage such as 50%, a number of objects such as 10, or off")]
pub struct InvalidPruneLimit(String);

impl FromStr for PruneLimit {
    type Err = InvalidPruneLimit;

    /// Reads the value of the annotation `plumbline.dev/prune-limit`: `50%` (of a set of ten or more objects; smaller ones are not
    /// guarded), `10` (objects, whatever the size of the set), or `off`, which is the same as `100%`.
    fn from_str(text: &str) -> Result<Self, InvalidPruneLimit> {
        let invalid = || InvalidPruneLimit(text.to_owned());
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse::<usize>().ok()).flatten().ok_or_else(invalid)
        };
        let trimmed = text.trim();
        let limit = match trimmed.strip_suffix('%') {
            _ if trimmed.eq_ignore_ascii_case("off") => Limit::Off,
            Some(percent) => match number(percent)? {
                100 => Limit::Off,
                percent => Limit::Percent(
                    u8::try_from(percent).ok().filter(|percent| *percent < 100).ok_or_else(invalid)?,
                ),
            },
            None => Limit::Count(number(trimmed)?),
        };
        Ok(Self(limit))
    }
}

/// As it is read.
impl fmt::Display for PruneLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Limit::Off => f.write_str("off"),
            Limit::Percent(percent) => write!(f, "{percent}%"),
            Limit::Count(count) => write!(f, "{count}"),
        }
    }
}

impl PruneLimit {
    /// No limit.
    pub const OFF: Self = Self(Limit::Off);

    fn is_exceeded(self, deleted: usize, listed: usize) -> bool {
        match self.0 {
            Limit::Off => false,
            Limit::Percent(percent) => {
                listed >= SMALLEST_GUARDED
                    && deleted.saturating_mul(100) > listed.saturating_mul(usize::from(percent))
            }
            Limit::Count(count) => deleted > count,
        }
    }
}

/// Deletions that are not made because they are more than [`PruneLimit`] allows. The objects stay in the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// What would be deleted.
    pub deletions: Vec<Deletion>,
    /// How many objects the inventory lists.
    pub listed: usize,
    /// What was exceeded.
    pub limit: PruneLimit,
}

/// A sentence that says how many of how many, which (the first few), and what to do.
impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deletions, listed, limit } = self;
        let named: Vec<_> = deletions.iter().take(NAMED).map(|deletion| deletion.id.human()).collect();
        write!(
            f,
            "{} of {listed} objects are no longer in the source, and the limit is {limit}: ",
            deletions.len()
        )?;
        f.write_str(&named.join(", "))?;
        if let more @ 1.. = deletions.len().saturating_sub(NAMED) {
            write!(f, " and {more} more")?;
        }
        write!(
            f,
            " were not deleted; if that is meant, confirm it with the annotation {PRUNE_CONFIRMED}: {}",
            self.confirmation()
        )
    }
}

impl Withheld {
    /// What confirms these deletions and no others: an annotation that somebody forgets to remove allows nothing later.
    pub fn confirmation(&self) -> String {
        let mut ids: Vec<String> = self.deletions.iter().map(|deletion| deletion.id.to_string()).collect();
        ids.sort();
        let digest = Sha256::digest(ids.join("\n"));
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What may be deleted, and what is withheld.
pub(super) fn guard(
    deletions: Vec<Deletion>,
    listed: usize,
    limit: PruneLimit,
    confirmed: Option<&str>,
) -> (Vec<Deletion>, Option<Withheld>) {
    if !limit.is_exceeded(deletions.len(), listed) {
        return (deletions, None);
    }
    let withheld = Withheld { deletions, listed, limit };
    if confirmed.map(str::trim) == Some(withheld.confirmation().as_str()) {
        return (withheld.deletions, None);
    }
    (Vec::new(), Some(withheld))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use plumb_api::{GroupKind, GroupVersionKind, ObjectId};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("50%", Some("50%"))]
    #[case(" 0% ", Some("0%"))]
    #[case("99%", Some("99%"))]
    #[case("100%", Some("off"))]
    #[case("Off", Some("off"))]
    #[case("0", Some("0"))]
    #[case("10", Some("10"))]
    #[case("101%", None)]
    #[case("356%", None)]
    #[case("-1", None)]
    #[case("+1", None)]
    #[case("50 %", None)]
    #[case("%", None)]
    #[case("", None)]
    #[case("half", None)]
    #[case("99999999999999999999999", None)]
    fn a_limit_is_read(#[case] text: &str, #[case] expected: Option<&str>) {
        let limit = text.parse::<PruneLimit>().ok().map(|limit| limit.to_string());
        assert_eq!(limit.as_deref(), expected);
    }

    #[rstest]
    #[case::half("50%", 5, 10, false)]
    #[case::more_than_half("50%", 6, 10, true)]
    #[case::a_small_set("50%", 9, 9, false)]
    #[case::none_at_all("0%", 1, 10, true)]
    #[case::nothing("0%", 0, 10, false)]
    #[case::a_count_guards_every_set("1", 2, 3, true)]
    #[case::a_count("2", 2, 3, false)]
    #[case::off("off", 1000, 1000, false)]
    fn it_is_exceeded(
        #[case] limit: &str,
        #[case] deleted: usize,
        #[case] listed: usize,
        #[case] expected: bool,
    ) {
        assert_eq!(limit.parse::<PruneLimit>().unwrap().is_exceeded(deleted, listed), expected);
    }

    fn deletions(names: &[&str]) -> Vec<Deletion> {
        let one = |name: &&str| Deletion {
            id: ObjectId {
                namespace: "default".to_owned(),
                name: (*name).to_owned(),
                group_kind: GroupKind::new("", "ConfigMap"),
            },
            gvk: GroupVersionKind::new("v1", "ConfigMap"),
            uid: None,
        };
        names.iter().map(one).collect()
    }

    // Attack 25 (multi-tenancy): a path that leads elsewhere, a truncated artifact.
    #[test]
    fn what_is_withheld_is_told_with_how_to_confirm_it() {
        let (now, withheld) =
            guard(deletions(&["a", "b", "c", "d", "e", "f", "g"]), 12, PruneLimit::default(), None);
        assert_eq!(now, []);
        insta::assert_snapshot!(withheld.unwrap(), @"7 of 12 objects are no longer in the source, and the limit is 50%: ConfigMap/default/a, ConfigMap/default/b, ConfigMap/default/c, ConfigMap/default/d, ConfigMap/default/e and 2 more were not deleted; if that is meant, confirm it with the annotation plumbline.dev/prune-confirmed: 6b2b580b");
    }

    #[test]
    fn a_confirmation_is_for_the_same_objects_only() {
        let limit = "1".parse().unwrap();
        let confirmation =
            |names: &[&str]| guard(deletions(names), 12, limit, None).1.unwrap().confirmation();
        let confirmed = confirmation(&["a", "b"]);
        assert_eq!(guard(deletions(&["b", "a"]), 12, limit, Some(&confirmed)).0.len(), 2);
        assert_eq!(guard(deletions(&["a", "b", "c"]), 12, limit, Some(&confirmed)).0, []);
        assert_eq!(guard(deletions(&["a", "c"]), 12, limit, Some("yes")).0, []);
    }

    proptest! {
        #[test]
        fn a_limit_leads_back_to_itself(text in "([0-9]{1,2}|100)%|[0-9]{1,6}|off") {
            let limit: PruneLimit = text.parse().unwrap();
            prop_assert_eq!(limit.to_string().parse(), Ok(limit));
        }

        #[test]
        fn reading_a_limit_never_panics(text in ".{0,12}") {
            let _: Result<PruneLimit, _> = text.parse();
        }
    }
}
