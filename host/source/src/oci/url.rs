use std::fmt;

use oci_client::Reference;

/// Where an OCI artifact is: `oci://HOST[:PORT]/REPOSITORY`, without tag and digest.
///
/// A name without a host is one of Docker Hub, as in Flux and Docker: `oci://myorg/manifests` is `oci://docker.io/myorg/manifests`.
#[derive(Clone, PartialEq, Eq)]
pub struct OciUrl {
    /// Its tag and digest mean nothing.
    repository: Reference,
    written: String,
}

/// An address that is not an [`OciUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// The scheme is another one.
    #[error("the URL of an OCI repository starts with oci://; write it as oci://HOST/REPOSITORY")]
    Scheme,
    /// The version does not belong into the URL.
    #[error("the URL {url} must not have a {what}; remove {found:?} and put it into spec.ref.{what}")]
    Version {
        /// The address without it.
        url: String,
        /// `tag` or `digest`.
        what: &'static str,
        /// What was found.
        found: String,
    },
    /// What follows is not the name of a repository.
    #[error(
        "the URL of the OCI repository cannot be read: {0}; write it as oci://HOST/REPOSITORY, the repository in lower case"
    )]
    Malformed(String),
}

const SCHEME: &str = "oci://";

impl OciUrl {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let name = text.strip_prefix(SCHEME).ok_or(InvalidUrl::Scheme)?;
        let version = |what, at: usize| InvalidUrl::Version {
            url: format!("{SCHEME}{}", &name[..at]),
            what,
            found: name[at..].to_owned(),
        };
        let repository =
            name.parse::<Reference>().map_err(|error| InvalidUrl::Malformed(error.to_string()))?;
        if let Some(at) = name.find('@') {
            return Err(version("digest", at));
        }
        // A colon before the first slash is that of a port.
        let path = name.find('/').ok_or_else(|| InvalidUrl::Malformed("it has no repository".to_owned()))?;
        if let Some(at) = name[path..].find(':') {
            return Err(version("tag", path + at));
        }
        Ok(Self { repository, written: text.to_owned() })
    }

    /// The host, and the port where one is given, that is asked: that of Docker Hub goes by another name than its artifacts.
    pub fn registry(&self) -> &str {
        self.repository.resolve_registry()
    }

    /// The name of the repository on this host.
    pub fn repository(&self) -> &str {
        self.repository.repository()
    }
}

/// As it was written.
impl fmt::Display for OciUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for OciUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OciUrl({self})")
    }
}

impl std::str::FromStr for OciUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("oci://ghcr.io/myorg/manifests", "ghcr.io", "myorg/manifests")]
    #[case("oci://localhost:5000/a", "localhost:5000", "a")]
    #[case("oci://127.0.0.1:5000/a/b/c", "127.0.0.1:5000", "a/b/c")]
    #[case("oci://docker.io/myorg/manifests", "index.docker.io", "myorg/manifests")]
    #[case("oci://myorg/manifests", "index.docker.io", "myorg/manifests")]
    #[case("oci://docker.io/manifests", "index.docker.io", "library/manifests")]
    fn an_address_names_a_repository(#[case] text: &str, #[case] registry: &str, #[case] repository: &str) {
        let url = OciUrl::parse(text).unwrap();
        assert_eq!(
            (url.registry(), url.repository(), url.to_string()),
            (registry, repository, text.to_owned())
        );
    }

    #[rstest]
    #[case(
        "https://ghcr.io/myorg/a",
        "the URL of an OCI repository starts with oci://; write it as oci://HOST/REPOSITORY"
    )]
    #[case(
        "oci://ghcr.io/myorg/a:v1",
        "the URL oci://ghcr.io/myorg/a must not have a tag; remove \":v1\" and put it into spec.ref.tag"
    )]
    #[case(
        "oci://h:1/a:v1",
        "the URL oci://h:1/a must not have a tag; remove \":v1\" and put it into spec.ref.tag"
    )]
    #[case(
        "oci://ghcr.io/a@sha256:0123456789012345678901234567890123456789012345678901234567890123",
        "the URL oci://ghcr.io/a must not have a digest; remove \"@sha256:0123456789012345678901234567890123456789012345678901234567890123\" and put it into spec.ref.digest"
    )]
    #[case(
        "oci://ghcr.io/MyOrg/a",
        "the URL of the OCI repository cannot be read: invalid reference format; write it as oci://HOST/REPOSITORY, the repository in lower case"
    )]
    #[case(
        "oci://user:hunter2@ghcr.io/a",
        "the URL of the OCI repository cannot be read: invalid reference format; write it as oci://HOST/REPOSITORY, the repository in lower case"
    )]
    #[case(
        "oci://ghcr.io/../a",
        "the URL of the OCI repository cannot be read: invalid reference format; write it as oci://HOST/REPOSITORY, the repository in lower case"
    )]
    #[case(
        "oci://ghcr.io/a?x=1",
        "the URL of the OCI repository cannot be read: invalid reference format; write it as oci://HOST/REPOSITORY, the repository in lower case"
    )]
    #[case(
        "oci://manifests",
        "the URL of the OCI repository cannot be read: it has no repository; write it as oci://HOST/REPOSITORY, the repository in lower case"
    )]
    #[case(
        "oci://",
        "the URL of the OCI repository cannot be read: repository name must have at least one component; write it as oci://HOST/REPOSITORY, the repository in lower case"
    )]
    fn what_is_not_an_address_is_told(#[case] text: &str, #[case] message: &str) {
        assert_eq!(OciUrl::parse(text).unwrap_err().to_string(), message);
    }

    proptest! {
        /// What is read becomes part of the path of a request: nothing in it may lead elsewhere.
        #[test]
        fn a_repository_is_letters_digits_and_what_joins_them(text in "oci://[a-zA-Z0-9.:/@%?#_-]{0,40}|\\PC{0,30}") {
            if let Ok(url) = OciUrl::parse(&text) {
                prop_assert!(url.repository().split('/').all(|part| {
                    !part.is_empty() && part != "." && part != ".."
                        && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
                }), "{url:?}");
                prop_assert!(url.registry().bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':')), "{url:?}");
            }
        }
    }
}
