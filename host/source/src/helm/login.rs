use std::collections::BTreeMap;

use plumb_api::Sensitive;

use crate::transport::{InvalidSecret, text};

/// A user name and a password for a repository.
#[derive(Clone)]
pub struct HelmLogin {
    /// The user name.
    pub username: String,
    /// The password or token.
    pub password: Sensitive<String>,
}

impl std::fmt::Debug for HelmLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HelmLogin")
    }
}

impl HelmLogin {
    /// Reads `username` and `password` of the data of a Secret; `None` when it has neither.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Option<Self>, InvalidSecret> {
        let missing = |missing, because| Err(InvalidSecret::Missing { missing, because });
        match (text(data, "username")?, text(data, "password")?) {
            (Some(username), Some(password)) => {
                Ok(Some(Self { username, password: Sensitive::new(password) }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => missing("password", "with username"),
            (None, Some(_)) => missing("username", "with password"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn read(keys: &[&str]) -> Result<Option<HelmLogin>, InvalidSecret> {
        HelmLogin::from_secret(&keys.iter().map(|key| ((*key).to_owned(), b"x".to_vec())).collect())
    }

    #[test]
    fn a_user_has_a_password() {
        assert_eq!(read(&["username", "password"]).unwrap().unwrap().username, "x");
        assert!(read(&["caFile"]).unwrap().is_none());
        assert_eq!(
            read(&["username"]).unwrap_err().to_string(),
            "the secret has no key \"password\", which is needed with username"
        );
        assert_eq!(
            read(&["password"]).unwrap_err().to_string(),
            "the secret has no key \"username\", which is needed with password"
        );
    }
}
