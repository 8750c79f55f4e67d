/// How an object is doing, in the words of kstatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is what its spec asks for.
    Current,
    /// It is on its way to what its spec asks for.
    InProgress,
    /// It will not get there without help.
    Failed,
    /// It is being deleted.
    Terminating,
    /// The check cannot tell.
    Unknown,
}

/// What a health check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How the object is doing.
    pub status: Status,
    /// Why, as a sentence; empty for [`Status::Current`].
    pub message: String,
}

impl Report {
    /// It is what its spec asks for.
    pub fn current() -> Self {
        Self::new(Status::Current, "")
    }

    /// How it is doing, and why.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}
