//! Which values of a file are encrypted.

use regex_lite::Regex;

use crate::metadata::BadMetadata;

/// Which values of a file are encrypted, by the names that lead to them or by the comments before them.
#[derive(Clone, Debug)]
pub enum Rule {
    /// All but those below a name with this ending.
    NotSuffix(String),
    /// Those below a name with this ending.
    Suffix(String),
    /// All but those below a name that this matches.
    NotRegex(Regex),
    /// Those below a name that this matches.
    Regex(Regex),
    /// All but those after a comment that this matches.
    NotComment(Regex),
    /// Those after a comment that this matches.
    Comment(Regex),
}

impl Rule {
    /// Whether a value is encrypted. `comments` are those before it and before all that it is in; of a comment, without the comment itself.
    pub fn encrypts<'a>(&self, path: &[&str], comments: impl IntoIterator<Item = &'a str>) -> bool {
        let any = |wanted: &dyn Fn(&str) -> bool| path.iter().any(|name| wanted(name));
        match self {
            Self::NotSuffix(suffix) => !any(&|name| name.ends_with(suffix.as_str())),
            Self::Suffix(suffix) => any(&|name| name.ends_with(suffix.as_str())),
            Self::NotRegex(regex) => !any(&|name| regex.is_match(name)),
            Self::Regex(regex) => any(&|name| regex.is_match(name)),
            Self::NotComment(regex) => !comments.into_iter().any(|comment| regex.is_match(comment)),
            Self::Comment(regex) => comments.into_iter().any(|comment| regex.is_match(comment)),
        }
    }

    /// Whether it can be told from the names alone, as there are no comments in objects.
    pub fn is_by_name(&self) -> bool {
        !matches!(self, Self::NotComment(_) | Self::Comment(_))
    }
}

/// A regular expression of a file's author.
pub(crate) fn regex(field: &'static str, text: &str) -> Result<Regex, BadMetadata> {
    /// A program of this size takes a moment at most.
    const SIZE: usize = 1 << 20;
    regex_lite::RegexBuilder::new(text)
        .size_limit(SIZE)
        .build()
        .map_err(|_| BadMetadata::Field(field, "is no regular expression that can be used"))
}
