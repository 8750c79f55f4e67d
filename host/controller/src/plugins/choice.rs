//! Which version of a plugin is to run. Pure.

use plumb_api::PluginUpgrade;

/// What is known when it is decided, all of them digests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    /// What the spec pins.
    pub(super) pin: Option<&'a str>,
    /// What has run last for this image.
    pub(super) last: Option<&'a str>,
    /// What the tag points to now; none when there is no tag, or nobody can tell.
    pub(super) tip: Option<&'a str>,
    pub(super) upgrade: PluginUpgrade,
    /// Whether somebody asks for the newest once, by annotation.
    pub(super) is_forced: bool,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    /// What is to run; none when nothing is known.
    pub(super) wanted: Option<&'a str>,
    /// What the tag points to, when that is not what is to run.
    pub(super) available: Option<&'a str>,
}

/// The pin, else what has run so far, unless it may be left for what the tag points to.
pub(super) fn choose<'a>(options: Options<'a>) -> Choice<'a> {
    let Options { pin, last, tip, upgrade, is_forced } = options;
    let follows = upgrade == PluginUpgrade::Automatic || is_forced;
    let wanted = pin.or(if follows { tip.or(last) } else { last.or(tip) });
    Choice { wanted, available: tip.filter(|tip| Some(*tip) != wanted) }
}

#[cfg(test)]
mod tests {
    use plumb_api::PluginUpgrade::{Automatic, Manual};
    use rstest::rstest;

    use super::*;

    // Attack 27 (plugins): a plugin that is replaced under the same tag.
    #[rstest]
    #[case::first(None, None, Some("b"), Manual, false, Some("b"), None)]
    #[case::nothing_known(None, None, None, Manual, false, None, None)]
    #[case::the_same(None, Some("a"), Some("a"), Manual, false, Some("a"), None)]
    #[case::moved(None, Some("a"), Some("b"), Manual, false, Some("a"), Some("b"))]
    #[case::moved_and_asked_for(None, Some("a"), Some("b"), Manual, true, Some("b"), None)]
    #[case::followed(None, Some("a"), Some("b"), Automatic, false, Some("b"), None)]
    #[case::registry_down(None, Some("a"), None, Manual, false, Some("a"), None)]
    #[case::registry_down_when_followed(None, Some("a"), None, Automatic, true, Some("a"), None)]
    #[case::pinned(Some("c"), Some("a"), Some("b"), Automatic, true, Some("c"), Some("b"))]
    #[case::pinned_to_the_newest(Some("b"), Some("a"), Some("b"), Manual, false, Some("b"), None)]
    #[case::pinned_without_a_tag(Some("c"), None, None, Manual, false, Some("c"), None)]
    fn a_tag_that_has_moved_is_followed_only_when_asked(
        #[case] pin: Option<&str>,
        #[case] last: Option<&str>,
        #[case] tip: Option<&str>,
        #[case] upgrade: PluginUpgrade,
        #[case] is_forced: bool,
        #[case] wanted: Option<&str>,
        #[case] available: Option<&str>,
    ) {
        let choice = choose(Options { pin, last, tip, upgrade, is_forced });
        assert_eq!(choice, Choice { wanted, available });
    }
}
