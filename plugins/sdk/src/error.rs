use std::fmt;

/// What kind of mistake an error reports. It decides who is told, and whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The files, objects or parameters are wrong: their author must change something.
    InvalidInput,
    /// A file, directory or object that the input names does not exist.
    NotFound,
    /// The input asks for something that a plugin may not do.
    Denied,
    /// The input asks for something that this plugin does not do.
    Unsupported,
    /// The plugin itself is at fault.
    Internal,
}

/// One mistake, for whoever can mend it. It is shown in the status, in an event and on a terminal, so it must never hold the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of mistake it is.
    pub kind: ErrorKind,
    /// What is wrong, as a sentence that names the thing it is about.
    pub message: String,
    /// The file it is in, from the root of the tree.
    pub file: Option<String>,
    /// The line in `file`, counted from 1.
    pub line: Option<u32>,
    /// What to do about it, as a sentence.
    pub hint: Option<String>,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), file: None, line: None, hint: None }
    }

    /// The files, objects or parameters are wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Something that the input names does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The input asks for something that a plugin may not do.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// The input asks for something that this plugin does not do.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The plugin itself is at fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The file it is in, from the root of the tree. Takes what [`Object::file`](crate::Object::file) gives, too.
    #[must_use]
    pub fn file<'a>(mut self, file: impl Into<Option<&'a str>>) -> Self {
        self.file = file.into().map(str::to_owned);
        self
    }

    /// The line in the file, counted from 1.
    #[must_use]
    pub fn line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }

    /// What to do about it, as a sentence.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// `apps/web.yaml:3: the message (the hint)`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for Error {}

/// All mistakes that were found: whoever mends them wants to see every one, not the first. `?` makes it from one [`Error`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// Adds a mistake.
    pub fn push(&mut self, error: Error) {
        self.0.push(error);
    }

    /// The value when there are no mistakes.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The mistakes in the order in which they were found.
    pub fn as_slice(&self) -> &[Error] {
        &self.0
    }
}

impl<E: Into<Error>> From<E> for Errors {
    fn from(error: E) -> Self {
        Self(vec![error.into()])
    }
}

impl From<Vec<Error>> for Errors {
    fn from(errors: Vec<Error>) -> Self {
        Self(errors)
    }
}

impl IntoIterator for Errors {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<Error> for Errors {
    fn extend<T: IntoIterator<Item = Error>>(&mut self, errors: T) {
        self.0.extend(errors);
    }
}
