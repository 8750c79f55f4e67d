//! Where a plugin is, as `spec.image` of a Plugin has it, and the addresses that a PluginPolicy allows. Pure.

use std::fmt;

use plumb_api::OciReference;
use plumb_source::oci::{InvalidUrl, OciUrl};

/// `oci://HOST/REPOSITORY[:TAG][@sha256:HEX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) url: OciUrl,
    /// The tag; `latest` when there is neither tag nor digest.
    pub(crate) tag: Option<String>,
    /// The digest. It goes before the tag.
    pub(crate) digest: Option<String>,
}

impl Image {
    /// Reads an address. The tag and the digest are looked at when they are used.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        // A colon before the last slash is that of the port, or of the scheme.
        let name = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (url, tag) = match rest[name..].split_once(':') {
            Some((last, tag)) => (&rest[..name + last.len()], Some(tag.to_owned())),
            None => (rest, None),
        };
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { url: OciUrl::parse(url)?, tag, digest })
    }

    /// What the tag is asked for, if there is one.
    pub(crate) fn tagged(&self) -> Option<OciReference> {
        self.tag.clone().map(OciReference::Tag)
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::of(&self.url)
    }

    /// The image without its digest.
    pub(crate) fn place(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}:{tag}", self.url),
            None => self.url.to_string(),
        }
    }
}

/// A repository of a registry by the names under which it is asked for: two ways to write one of Docker Hub are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    registry: String,
    path: String,
    written: String,
}

impl Repository {
    pub(crate) fn of(url: &OciUrl) -> Self {
        Self {
            registry: url.registry().to_ascii_lowercase(),
            path: url.repository().to_owned(),
            written: url.to_string(),
        }
    }
}

/// As it was written.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// The repositories that a rule of a policy is for: one, or with `/*` at the end all whose path goes on there. The host, and the port, are always exact.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repositories {
    registry: String,
    /// The path, or what it begins with.
    path: Vec<String>,
    /// Whether the path goes on.
    goes_on: bool,
}

impl Repositories {
    /// Reads an address of a rule; `None` for one that no repository can have.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let start = text.strip_suffix("/*").filter(|start| start.starts_with("oci://"));
        let Some(start) = start else {
            let url = OciUrl::parse(text).ok()?;
            let path = segments(url.repository());
            return Some(Self { registry: url.registry().to_ascii_lowercase(), path, goes_on: false });
        };
        // Two segments, so that a host alone is read as one: what Docker Hub adds to a single segment is not meant here.
        let url = OciUrl::parse(&format!("{start}/x/x")).ok()?;
        let mut path = segments(url.repository());
        path.truncate(path.len().checked_sub(2)?);
        Some(Self { registry: url.registry().to_ascii_lowercase(), path, goes_on: true })
    }

    /// Whether a repository is one of them.
    pub(crate) fn hold(&self, repository: &Repository) -> bool {
        let path: Vec<&str> = repository.path.split('/').collect();
        let starts_so =
            path.len() >= self.path.len() && self.path.iter().zip(&path).all(|(rule, path)| rule == path);
        let is_as_long =
            if self.goes_on { path.len() > self.path.len() } else { path.len() == self.path.len() };
        self.registry == repository.registry && starts_so && is_as_long
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("oci://r.example/a/b", "oci://r.example/a/b", Some("latest"), None)]
    #[case("oci://r.example/a/b:1.2", "oci://r.example/a/b", Some("1.2"), None)]
    #[case("oci://r.example:5000/a", "oci://r.example:5000/a", Some("latest"), None)]
    #[case("oci://r.example:5000/a:v1@sha256:ab", "oci://r.example:5000/a", Some("v1"), Some("sha256:ab"))]
    #[case("oci://r.example/a@sha256:ab", "oci://r.example/a", None, Some("sha256:ab"))]
    fn an_image_is_a_repository_and_a_version(
        #[case] text: &str,
        #[case] url: &str,
        #[case] tag: Option<&str>,
        #[case] digest: Option<&str>,
    ) {
        let image = Image::parse(text).unwrap();
        assert_eq!(image.url.to_string(), url);
        assert_eq!((image.tag.as_deref(), image.digest.as_deref()), (tag, digest));
    }

    // Attack 28 (plugins): an image whose address only looks like one that is allowed.
    #[rstest]
    #[case::exact("oci://r.example/plugins/labels", "oci://r.example/plugins/labels:1", true)]
    #[case::other("oci://r.example/plugins/labels", "oci://r.example/plugins/labels2", false)]
    #[case::below_an_exact_one("oci://r.example/plugins", "oci://r.example/plugins/labels", false)]
    #[case::below("oci://r.example/plugins/*", "oci://r.example/plugins/labels", true)]
    #[case::far_below("oci://r.example/plugins/*", "oci://r.example/plugins/team/labels", true)]
    #[case::itself("oci://r.example/plugins/*", "oci://r.example/plugins", false)]
    #[case::half_a_segment("oci://r.example/plugins/*", "oci://r.example/plugins-evil/labels", false)]
    #[case::whole_registry("oci://r.example/*", "oci://r.example/a", true)]
    #[case::other_host("oci://r.example/*", "oci://r.example.evil/a", false)]
    #[case::host_below("oci://r.example/*", "oci://evil.r.example/a", false)]
    #[case::host_in_the_path("oci://r.example/plugins/*", "oci://evil.example/r.example/plugins/a", false)]
    #[case::other_port("oci://r.example/*", "oci://r.example:5000/a", false)]
    #[case::same_port("oci://r.example:5000/*", "oci://r.example:5000/a", true)]
    #[case::hub("oci://docker.io/*", "oci://me/labels", true)]
    #[case::hub_short("oci://me/*", "oci://docker.io/me/labels", true)]
    #[case::hub_library("oci://docker.io/labels", "oci://docker.io/library/labels", true)]
    fn the_host_is_exact_and_the_path_goes_by_segments(
        #[case] rule: &str,
        #[case] image: &str,
        #[case] holds: bool,
    ) {
        let image = Image::parse(image).unwrap();
        assert_eq!(Repositories::parse(rule).unwrap().hold(&image.repository()), holds);
    }

    #[rstest]
    #[case("oci://r.example/plugins/../*")]
    #[case("oci://r.example/pl*/labels")]
    #[case("oci://*/labels")]
    #[case("oci://*")]
    #[case("https://r.example/*")]
    #[case("")]
    fn what_is_no_address_holds_nothing(#[case] rule: &str) {
        assert_eq!(Repositories::parse(rule), None);
    }

    #[rstest]
    #[case("oci://r.example/plugins/../secret/labels")]
    #[case("oci://r.example/plugins/%2e%2e/labels")]
    #[case("oci://r.example/plugins//labels")]
    fn no_image_leads_out_of_its_path(#[case] image: &str) {
        assert!(Image::parse(image).is_err());
    }
}
