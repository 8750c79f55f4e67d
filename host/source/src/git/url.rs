use std::fmt;

use plumb_api::Sensitive;

use crate::percent::decoded;

/// Where a Git repository is: an address with `http`, `https` or `ssh`, as in Flux.
///
/// Nothing else is taken: a `file:` URL would read the disk of the controller, and Git's `ext::` would run a program. A user name and a
/// password in the address are kept apart, so that printing the URL never prints them.
#[derive(Clone)]
pub struct GitUrl {
    url: reqwest::Url,
    user: Option<String>,
    password: Option<Sensitive<String>>,
}

/// An address that is not a [`GitUrl`]. The messages do not repeat the address, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// The text is not a URL.
    #[error(
        "the URL of the repository cannot be read: {0}; write it as https://HOST/PATH or ssh://git@HOST/PATH"
    )]
    Malformed(String),
    /// The scheme is not one that repositories are fetched over.
    #[error(
        "repositories are not fetched over {0:?}; use a URL that starts with https://, http:// or ssh://"
    )]
    Scheme(String),
    /// A part that every repository has is missing.
    #[error("the URL of the repository has no {0}; write it as https://HOST/PATH or ssh://git@HOST/PATH")]
    Missing(&'static str),
    /// A part could be taken for something else by the programs that it is handed to.
    #[error("the {0} in the URL of the repository starts with '-' or holds a control character or a quote")]
    Unsafe(&'static str),
}

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Ssh,
}

impl GitUrl {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.chars().any(char::is_control) {
            return Err(InvalidUrl::Unsafe("text"));
        }
        let mut url = reqwest::Url::parse(text).map_err(|error| InvalidUrl::Malformed(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https" | "ssh") {
            return Err(InvalidUrl::Scheme(url.scheme().to_owned()));
        }
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
        let password = url.password().map(|password| Sensitive::new(decoded(password)));
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidUrl::Missing("host"));
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(InvalidUrl::Missing("path"));
        }
        // A URL that has a host can be without a user and a password.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        let url = Self { url, user, password };
        url.check_parts().map(|()| url)
    }

    /// `ssh` takes what starts with `-` for an option, and the shell of the other side reads the path.
    fn check_parts(&self) -> Result<(), InvalidUrl> {
        let is_unsafe = |part: &str| {
            part.starts_with('-')
                || part.chars().any(|char| char.is_control() || matches!(char, '\'' | '"' | '\\'))
        };
        let path = self.ssh_path();
        for (name, part) in
            [("host", self.host()), ("user", self.user().unwrap_or_default()), ("path", path.as_str())]
        {
            if is_unsafe(part) {
                return Err(InvalidUrl::Unsafe(name));
            }
        }
        Ok(())
    }

    pub(crate) fn scheme(&self) -> Scheme {
        if self.url.scheme() == "ssh" { Scheme::Ssh } else { Scheme::Http }
    }

    /// Whether both are on the same host, at the same port, over the same protocol: whether what signs in to one may be shown to the other.
    pub(crate) fn has_same_origin(&self, other: &Self) -> bool {
        let port = |url: &reqwest::Url| url.port_or_known_default().or((url.scheme() == "ssh").then_some(22));
        self.url.scheme() == other.url.scheme()
            && self.host().eq_ignore_ascii_case(other.host())
            && port(&self.url) == port(&other.url)
    }

    /// What an address that begins with `./` or `../` means in a repository that is here; `None` when that leads out of the host.
    pub(crate) fn relative(&self, written: &str) -> Option<Self> {
        let mut parts: Vec<&str> = self.url.path().trim_matches('/').split('/').collect();
        for part in written.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        let path = parts.join("/");
        if path.is_empty() || path.chars().any(char::is_control) {
            return None;
        }
        let mut url = self.url.clone();
        url.set_path(&path);
        url.set_query(None);
        let resolved = Self { url, user: self.user.clone(), password: self.password.clone() };
        resolved.check_parts().is_ok().then_some(resolved)
    }

    /// The address without user and password.
    pub(crate) fn address(&self) -> &reqwest::Url {
        &self.url
    }

    pub(crate) fn host(&self) -> &str {
        // Checked when the URL was read.
        self.url.host_str().unwrap_or_default()
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.url.port()
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(crate) fn password(&self) -> Option<&Sensitive<String>> {
        self.password.as_ref()
    }

    /// The path as a server over SSH has it: `/~` names a home directory, as Git has it.
    pub(crate) fn ssh_path(&self) -> String {
        let path = decoded(self.url.path());
        match path.strip_prefix("/~") {
            Some(_) => path[1..].to_owned(),
            None => path,
        }
    }
}

/// The address without user and password.
impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

/// As `Display`: without user and password.
impl fmt::Debug for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitUrl({})", self.url)
    }
}

impl std::str::FromStr for GitUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://github.com/myorg/repo", "https://github.com/myorg/repo")]
    #[case("http://127.0.0.1:8080/repo.git", "http://127.0.0.1:8080/repo.git")]
    #[case("https://user:hunter2@host/repo", "https://host/repo")]
    #[case("ssh://git@github.com/myorg/repo", "ssh://github.com/myorg/repo")]
    #[case("ssh://git@host:2222/repo", "ssh://host:2222/repo")]
    #[case("https://host/repo#fragment", "https://host/repo")]
    fn an_address_prints_without_who_signs_in(#[case] text: &str, #[case] printed: &str) {
        let url = GitUrl::parse(text).unwrap();
        assert_eq!(url.to_string(), printed);
        assert_eq!(format!("{url:?}"), format!("GitUrl({printed})"));
    }

    #[rstest]
    #[case("file:///etc", InvalidUrl::Scheme("file".to_owned()))]
    #[case("ext::sh -c id", InvalidUrl::Scheme("ext".to_owned()))]
    #[case("git://host/repo", InvalidUrl::Scheme("git".to_owned()))]
    #[case("ssh:///repo", InvalidUrl::Missing("host"))]
    #[case("https://host", InvalidUrl::Missing("path"))]
    #[case("https://host/", InvalidUrl::Missing("path"))]
    #[case("ssh://-oProxyCommand=id/repo", InvalidUrl::Unsafe("host"))]
    #[case("ssh://-oProxyCommand=id@host/repo", InvalidUrl::Unsafe("user"))]
    #[case("ssh://git@host/re'po", InvalidUrl::Unsafe("path"))]
    #[case("ssh://git@host/re%27po", InvalidUrl::Unsafe("path"))]
    #[case("ssh://git@host/re%0Apo", InvalidUrl::Unsafe("path"))]
    #[case("https://host/re\npo", InvalidUrl::Unsafe("text"))]
    fn an_address_that_could_do_something_else_is_refused(#[case] text: &str, #[case] error: InvalidUrl) {
        assert_eq!(GitUrl::parse(text).unwrap_err(), error);
    }

    #[rstest]
    #[case("git@github.com:myorg/repo")]
    #[case("--upload-pack=id")]
    #[case("")]
    #[case("/etc")]
    fn what_is_not_a_url_is_refused(#[case] text: &str) {
        assert!(matches!(GitUrl::parse(text), Err(InvalidUrl::Malformed(_) | InvalidUrl::Scheme(_))));
    }

    #[test]
    fn the_parts_are_decoded() {
        let url = GitUrl::parse("ssh://a%40b:p%3Aw@host:22/~me/re%20po").unwrap();
        assert_eq!((url.user(), url.port()), (Some("a@b"), Some(22)));
        assert_eq!(url.password().unwrap().expose(), "p:w");
        assert_eq!(url.ssh_path(), "~me/re po");
    }
}
