use semver::Version;

/// A range of versions as Flux reads it, with the syntax of Masterminds/semver 3: `>=1.0.0 <2.0.0`, `1.x`, `~1.2`, `^1.2.3`, `1.0 - 2.0`, `!=1.3`,
/// alternatives apart by `||`.
///
/// The crate `semver` reads ranges as Cargo does, where `1.2` means `^1.2`; here it means `1.2.x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range(Vec<Alternative>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternative {
    comparisons: Vec<Comparison>,
    /// Pre-releases are taken only by an alternative that names one itself.
    takes_pre_releases: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    bound: Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// A version of which the last parts may be left open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Partial {
    /// Open parts are 0.
    version: Version,
    given: Given,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    Nothing,
    Major,
    Minor,
    All,
}

/// Longer operators first: `>=` is not `>`.
const OPERATORS: &[(&str, Operator)] = &[
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("!=", Operator::NotEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl Range {
    /// `None` when the text is not a range.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split("||").map(Alternative::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    pub(crate) fn holds(&self, version: &Version) -> bool {
        self.0.iter().any(|alternative| alternative.holds(version))
    }
}

impl Alternative {
    fn parse(text: &str) -> Option<Self> {
        let mut comparisons = Vec::new();
        let mut words = words(text).into_iter().peekable();
        while let Some(word) = words.next() {
            if words.next_if_eq(&"-").is_some() {
                let (from, to) = (Partial::parse(word)?, Partial::parse(words.next()?)?);
                comparisons.push(Comparison { operator: Operator::GreaterOrEqual, bound: from });
                comparisons.push(Comparison { operator: Operator::LessOrEqual, bound: to });
                continue;
            }
            let (operator, rest) = OPERATORS
                .iter()
                .find_map(|(sign, operator)| Some((*operator, word.strip_prefix(sign)?)))
                .unwrap_or((Operator::Equal, word));
            let bound = if rest.is_empty() { words.next()? } else { rest };
            comparisons.push(Comparison { operator, bound: Partial::parse(bound)? });
        }
        let takes_pre_releases =
            comparisons.iter().any(|comparison| !comparison.bound.version.pre.is_empty());
        Some(Self { comparisons, takes_pre_releases })
    }

    /// An alternative that says nothing, as in an empty range, takes every version but pre-releases.
    fn holds(&self, version: &Version) -> bool {
        (version.pre.is_empty() || self.takes_pre_releases)
            && self.comparisons.iter().all(|comparison| comparison.holds(version))
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split(|char: char| char.is_whitespace() || char == ',').filter(|word| !word.is_empty()).collect()
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (numbers, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
        let (mut values, mut given) = ([0, 0, 0], Given::Nothing);
        let parts: Vec<&str> = numbers.split('.').collect();
        if parts.len() > values.len() || !parts.iter().all(|part| is_open(part) || is_number(part)) {
            return None;
        }
        // What follows an open part is open too.
        let closed = parts.iter().take_while(|part| !is_open(part));
        for ((part, value), level) in closed.zip(&mut values).zip([Given::Major, Given::Minor, Given::All]) {
            *value = part.parse().ok()?;
            given = level;
        }
        let version = Version::parse(&format!("{}.{}.{}{rest}", values[0], values[1], values[2])).ok()?;
        Some(Self { version, given })
    }
}

fn is_open(part: &str) -> bool {
    matches!(part, "x" | "X" | "*")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Comparison {
    fn holds(&self, version: &Version) -> bool {
        let Partial { version: bound, given } = &self.bound;
        let order = version.cmp_precedence(bound);
        match self.operator {
            Operator::Equal => self.bound.covers(version),
            Operator::NotEqual => !self.bound.covers(version),
            Operator::Less => order.is_lt(),
            Operator::GreaterOrEqual => order.is_ge(),
            // `>1.2` is beyond every 1.2.x, and `<=1.2` takes them all.
            Operator::Greater => order.is_gt() && !(*given < Given::All && self.bound.covers(version)),
            Operator::LessOrEqual => order.is_le() || (*given < Given::All && self.bound.covers(version)),
            Operator::Tilde => order.is_ge() && self.bound.within(version, (*given).min(Given::Minor)),
            Operator::Caret => order.is_ge() && self.bound.within(version, self.bound.first_that_counts()),
        }
    }
}

impl Partial {
    /// Whether the version has every part that is given.
    fn covers(&self, version: &Version) -> bool {
        match self.given {
            Given::All => version.cmp_precedence(&self.version).is_eq(),
            given => self.within(version, given),
        }
    }

    fn within(&self, version: &Version, level: Given) -> bool {
        let own = &self.version;
        (level < Given::Major || version.major == own.major)
            && (level < Given::Minor || version.minor == own.minor)
            && (level < Given::All || version.patch == own.patch)
    }

    /// The first part that is not 0, or the last one that is given: a change of it may break something.
    fn first_that_counts(&self) -> Given {
        let first = if self.version.major > 0 {
            Given::Major
        } else if self.version.minor > 0 {
            Given::Minor
        } else {
            Given::All
        };
        first.min(self.given)
    }
}

/// A tag that is a version: `1.2.3` or `v1.2.3`, all three parts given, as Flux reads tags.
pub(crate) fn version_of_tag(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// A version of a chart, of which the last parts may be missing: `1.2` is `1.2.0`, as Helm reads it.
pub(crate) fn loose_version(text: &str) -> Option<Version> {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    if numbers.contains(['x', 'X', '*']) {
        return None;
    }
    Some(Partial::parse(text)?.version)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1", Some("1.0.0"))]
    #[case("v1.2", Some("1.2.0"))]
    #[case("1.2.3-rc.x+b", Some("1.2.3-rc.x+b"))]
    #[case("1.x", None)]
    #[case("*", None)]
    #[case("", None)]
    #[case("latest", None)]
    fn a_chart_may_leave_numbers_out(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(loose_version(text).map(|version| version.to_string()).as_deref(), expected);
    }

    /// The tables of Masterminds/semver's README, and what Flux's users write.
    #[rstest]
    #[case("*", "0.0.1 1.2.3 9.9.9", "1.0.0-rc.1")]
    #[case("", "0.0.1 1.2.3", "1.0.0-rc.1")]
    #[case(">= 1.0.0 < 2.0.0", "1.0.0 1.9.9", "0.9.9 2.0.0 1.5.0-rc.1")]
    #[case(">=1.0.0, <2.0.0", "1.0.0 1.9.9", "0.9.9 2.0.0")]
    #[case(">=1.0.0-0", "1.0.0 1.0.0-alpha 2.0.0-rc.1", "0.9.9 0.9.9-rc.1")]
    #[case(">=1.0.0-0 <2.0.0", "1.0.0-alpha 1.5.0-rc.1", "2.0.0 2.1.0-rc.1")]
    #[case("1.x", "1.0.0 1.9.9", "0.9.9 2.0.0")]
    #[case("1.X.x", "1.0.0 1.9.9", "0.9.9 2.0.0")]
    #[case("1.2.x", "1.2.0 1.2.9", "1.1.9 1.3.0")]
    #[case("1.2", "1.2.0 1.2.9", "1.1.9 1.3.0")]
    #[case("1", "1.0.0 1.9.9", "2.0.0")]
    #[case("v1.2.3", "1.2.3", "1.2.4")]
    #[case("1.2.3", "1.2.3 1.2.3+build", "1.2.4 1.2.3-rc.1")]
    #[case("=1.2.3", "1.2.3", "1.2.4")]
    #[case("1.2.3-rc.1", "1.2.3-rc.1", "1.2.3 1.2.3-rc.2")]
    #[case("!=1.2.3", "1.2.2 1.2.4", "1.2.3")]
    #[case("!=1.2.x", "1.1.0 1.3.0", "1.2.0 1.2.9")]
    #[case(">=1.0 !=1.2", "1.0.0 1.1.0 1.3.0", "0.9.0 1.2.0 1.2.7")]
    #[case(">1.2", "1.3.0 2.0.0", "1.2.0 1.2.9 1.1.0")]
    #[case(">11", "12.0.0", "11.0.0 11.1.0")]
    #[case(">=11.1", "11.1.0 11.2.0 12.0.0", "11.0.9")]
    #[case("<1.2", "1.1.9 0.1.0", "1.2.0 1.2.1")]
    #[case("<=1.2", "1.2.0 1.2.9 1.1.0", "1.3.0")]
    #[case("=<1.2.3", "1.2.3", "1.2.4")]
    #[case("=>1.2.3", "1.2.3", "1.2.2")]
    #[case("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0")]
    #[case("~1", "1.0.0 1.9.9", "2.0.0 0.9.9")]
    #[case("~>2.3", "2.3.0 2.3.9", "2.4.0 2.2.9")]
    #[case("~*", "0.0.0 9.9.9", "1.0.0-rc.1")]
    #[case("^1.2.3", "1.2.3 1.9.9", "1.2.2 2.0.0")]
    #[case("^1", "1.0.0 1.9.9", "2.0.0")]
    #[case("^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0 1.0.0")]
    #[case("^0.2", "0.2.0 0.2.9", "0.3.0")]
    #[case("^0.0.3", "0.0.3", "0.0.2 0.0.4 0.1.0")]
    #[case("^0.0", "0.0.0 0.0.9", "0.1.0")]
    #[case("^0", "0.0.0 0.9.9", "1.0.0")]
    #[case("^*", "0.0.0 9.9.9", "1.0.0-rc.1")]
    #[case("1.2 - 1.4.5", "1.2.0 1.4.5", "1.1.9 1.4.6")]
    #[case("2.3.4 - 4", "2.3.4 4.9.9", "2.3.3 5.0.0")]
    #[case("<1.0.0 || >=2.0.0", "0.9.9 2.0.0", "1.0.0 1.9.9")]
    #[case("~1.2 || ^3", "1.2.5 3.9.0", "1.3.0 2.0.0 4.0.0")]
    fn a_range_holds_versions(#[case] range: &str, #[case] inside: &str, #[case] outside: &str) {
        let parsed = Range::parse(range).unwrap();
        let holds = |version: &str| parsed.holds(&Version::parse(version).unwrap());
        assert_eq!(
            inside.split(' ').filter(|version| !holds(version)).collect::<Vec<_>>(),
            [""; 0],
            "not in {range}"
        );
        assert_eq!(
            outside.split(' ').filter(|version| holds(version)).collect::<Vec<_>>(),
            [""; 0],
            "in {range}"
        );
    }

    #[rstest]
    #[case("latest")]
    #[case("1.2.3.4")]
    #[case(">=")]
    #[case("1.2.y")]
    #[case("1..2")]
    #[case(">= 1.0.0 <")]
    #[case("1.0.0 -")]
    #[case("99999999999999999999.0.0")]
    fn what_is_not_a_range_is_refused(#[case] text: &str) {
        assert_eq!(Range::parse(text), None);
    }

    #[rstest]
    #[case("v1.2.3", true)]
    #[case("1.2.3-rc.1+build", true)]
    #[case("1.2", false)]
    #[case("v1", false)]
    #[case("release-1.2.3", false)]
    #[case("01.2.3", false)]
    fn a_tag_is_a_version_when_all_parts_are_given(#[case] tag: &str, #[case] is_version: bool) {
        assert_eq!(version_of_tag(tag).is_some(), is_version);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9xX*.,<>=!~^|v +a-]{0,20}|.{0,20}", major in 0u64..4, minor in 0u64..4) {
            if let Some(range) = Range::parse(&text) {
                range.holds(&Version::new(major, minor, 0));
            }
        }

        #[test]
        fn a_caret_and_a_tilde_are_what_their_bounds_say(
            major in 1u64..4, minor in 0u64..4, patch in 0u64..4,
            version in (0u64..5, 0u64..5, 0u64..5).prop_map(|(a, b, c)| Version::new(a, b, c)),
        ) {
            let same = |left: &str, right: &str| {
                Range::parse(left).unwrap().holds(&version) == Range::parse(right).unwrap().holds(&version)
            };
            let bound = format!("{major}.{minor}.{patch}");
            let (caret, next_major) = (format!("^{bound}"), format!(">={bound} <{}.0.0", major + 1));
            let (tilde, next_minor) = (format!("~{bound}"), format!(">={bound} <{major}.{}.0", minor + 1));
            prop_assert!(same(&caret, &next_major) && same(&tilde, &next_minor));
        }
    }
}
