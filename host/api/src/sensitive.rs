use zeroize::{Zeroize, Zeroizing};

/// A secret. It has no `Debug`, `Display` or `Serialize`, so it cannot reach a log, an error or a status by accident, and its
/// memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct Sensitive<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Sensitive<T> {
    /// Takes charge of a secret.
    pub fn new(secret: T) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &T {
        &self.0
    }
}
