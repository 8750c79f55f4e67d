use gix::ObjectId;

use crate::foreign::printable;
use crate::git::verify::error::Flaw;

/// A signature and what was signed, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SignedObject {
    /// All of the object but its signature, as Git hands it to who signs.
    pub(crate) payload: Vec<u8>,
    /// The signature with its armor.
    pub(crate) signature: Vec<u8>,
}

impl SignedObject {
    /// A commit has its signature in the header `gpgsig`, further lines of it start with a space. Source: Git, "gitformat-signature".
    pub(crate) fn of_commit(bytes: &[u8]) -> Result<Self, Flaw> {
        let (mut payload, mut signature) = (Vec::with_capacity(bytes.len()), None);
        let mut rest = bytes;
        while let Some((line, after)) = take_line(rest) {
            if line == b"\n" {
                break;
            }
            rest = after;
            if !is_signature_header(line) {
                payload.extend_from_slice(line);
                continue;
            }
            // One for each kind of id (`gpgsig-sha256`) or two of the same: which of them is it to be?
            if signature.is_some() {
                return Err(Flaw::Several);
            }
            let (_, first) = split_at_space(line);
            let mut text = first.to_vec();
            while let Some((line, after)) = take_line(rest).filter(|(line, _)| line.starts_with(b" ")) {
                text.extend_from_slice(&line[1..]);
                rest = after;
            }
            signature = Some(text);
        }
        payload.extend_from_slice(rest);
        Self::checked(payload, signature.ok_or(Flaw::Unsigned)?)
    }

    /// A tag has its signature at the end of its message.
    pub(crate) fn of_tag(bytes: &[u8]) -> Result<Self, Flaw> {
        if header_lines(bytes).any(is_signature_header) {
            return Err(Flaw::Several);
        }
        let (mut at, mut start) = (0, None);
        while let Some((line, _)) = take_line(&bytes[at..]) {
            if line.starts_with(b"-----BEGIN ") && line.trim_ascii_end().ends_with(b" SIGNATURE-----") {
                if start.is_some() {
                    return Err(Flaw::Several);
                }
                start = Some(at);
            }
            at += line.len();
        }
        let start = start.ok_or(Flaw::Unsigned)?;
        Self::checked(bytes[..start].to_vec(), bytes[start..].to_vec())
    }

    /// Of one armor, with nothing before, between or after.
    fn checked(payload: Vec<u8>, signature: Vec<u8>) -> Result<Self, Flaw> {
        let count = |words: &[u8]| {
            signature.split(|byte| *byte == b'\n').filter(|line| line.starts_with(words)).count()
        };
        match (count(b"-----BEGIN "), count(b"-----END ")) {
            (1, 1) if signature.trim_ascii_end().ends_with(b"-----") => Ok(Self { payload, signature }),
            (0 | 1, 0 | 1) => {
                Err(Flaw::Malformed("its signature has no end, or goes on after it".to_owned()))
            }
            _ => Err(Flaw::Several),
        }
    }
}

/// What a tag says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TagHead {
    kind: String,
    target: String,
    name: String,
}

impl TagHead {
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut lines = header_lines(bytes);
        let mut next = |expected: &str| {
            let (name, value) = split_at_space(lines.next().unwrap_or_default());
            let value = String::from_utf8(value.trim_ascii_end().to_vec()).ok();
            value
                .filter(|_| name == expected.as_bytes())
                .ok_or_else(|| Flaw::Malformed(format!("the tag has no {expected:?} where it should be")))
        };
        // Git writes them in this order and reads them in no other.
        Ok(Self { target: next("object")?, kind: next("type")?, name: next("tag")? })
    }

    pub(crate) fn check(&self, name: &str, target: ObjectId) -> Result<(), Flaw> {
        if self.name != name {
            return Err(Flaw::OtherTag(printable(&self.name)));
        }
        if self.kind != "commit" || ObjectId::from_hex(self.target.as_bytes()).ok() != Some(target) {
            return Err(Flaw::OtherTarget(printable(&format!("{} {}", self.kind, self.target))));
        }
        Ok(())
    }
}

fn is_signature_header(line: &[u8]) -> bool {
    split_at_space(line).0.starts_with(b"gpgsig")
}

/// The first line with its end, and the rest.
fn take_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    Some(bytes.split_at(end))
}

fn header_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (line, after) = take_line(rest).filter(|(line, _)| *line != b"\n")?;
        rest = after;
        Some(line)
    })
}

fn split_at_space(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line.trim_ascii_end(), &[]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const ARMOR: &str = "-----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n";

    fn commit(header: &str) -> String {
        format!("tree 4b\nauthor a <a> 0 +0000\n{header}encoding x\n\nmessage\n\ngpgsig no\n")
    }

    #[test]
    fn the_signature_of_a_commit_is_taken_out_of_its_header() {
        let object = SignedObject::of_commit(commit(&format!("gpgsig {ARMOR}")).as_bytes()).unwrap();
        assert_eq!(String::from_utf8(object.payload).unwrap(), commit(""));
        assert_eq!(
            String::from_utf8(object.signature).unwrap(),
            "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
        );
    }

    // Attack 11 (sources): a commit with two signatures.
    #[rstest]
    #[case(String::new(), Flaw::Unsigned)]
    #[case(format!("gpgsig {ARMOR}gpgsig {ARMOR}"), Flaw::Several)]
    #[case(format!("gpgsig {ARMOR}gpgsig-sha256 {ARMOR}"), Flaw::Several)]
    #[case(format!("gpgsig-sha256 {ARMOR}gpgsig {ARMOR}"), Flaw::Several)]
    #[case(format!("gpgsig {ARMOR} {ARMOR}"), Flaw::Several)]
    #[case("gpgsig -----BEGIN PGP SIGNATURE-----\n abc\n".to_owned(), Flaw::Malformed("its signature has no end, or goes on after it".to_owned()))]
    #[case(format!("gpgsig {ARMOR} more\n"), Flaw::Malformed("its signature has no end, or goes on after it".to_owned()))]
    #[case("gpgsig\n".to_owned(), Flaw::Malformed("its signature has no end, or goes on after it".to_owned()))]
    fn a_commit_has_exactly_one_signature(#[case] header: String, #[case] flaw: Flaw) {
        assert_eq!(SignedObject::of_commit(commit(&header).as_bytes()).unwrap_err(), flaw);
    }

    const SSH: &str = "-----BEGIN SSH SIGNATURE-----\nabc\n-----END SSH SIGNATURE-----\n";

    fn tag(message: &str) -> String {
        format!("object {}\ntype commit\ntag v1\ntagger a <a> 0 +0000\n\n{message}", "a".repeat(40))
    }

    #[test]
    fn the_signature_of_a_tag_is_at_its_end() {
        let object = SignedObject::of_tag(tag(&format!("message\n{SSH}")).as_bytes()).unwrap();
        assert_eq!(String::from_utf8(object.payload).unwrap(), tag("message\n"));
        assert_eq!(object.signature, SSH.as_bytes());
    }

    #[rstest]
    #[case("message\n".to_owned(), Flaw::Unsigned)]
    #[case(format!("message {SSH}"), Flaw::Unsigned)]
    #[case(format!("{SSH}{SSH}"), Flaw::Several)]
    #[case(format!("{SSH}message\n{SSH}"), Flaw::Several)]
    #[case(format!("{SSH}message\n"), Flaw::Malformed("its signature has no end, or goes on after it".to_owned()))]
    fn a_tag_has_exactly_one_signature(#[case] message: String, #[case] flaw: Flaw) {
        assert_eq!(SignedObject::of_tag(tag(&message).as_bytes()).unwrap_err(), flaw);
    }

    #[test]
    fn a_signature_in_the_header_of_a_tag_is_one_too_many() {
        let tag = tag(SSH).replace("tag v1\n", &format!("tag v1\ngpgsig-sha256 {ARMOR}"));
        assert_eq!(SignedObject::of_tag(tag.as_bytes()).unwrap_err(), Flaw::Several);
    }

    #[rstest]
    #[case("v1", 'a', Ok(()))]
    #[case("v2", 'a', Err(Flaw::OtherTag("v1".to_owned())))]
    #[case("v1", 'b', Err(Flaw::OtherTarget(format!("commit {}", "a".repeat(40)))))]
    fn a_tag_is_the_one_that_was_asked_for(
        #[case] name: &str,
        #[case] target: char,
        #[case] expected: Result<(), Flaw>,
    ) {
        let target = ObjectId::from_hex(target.to_string().repeat(40).as_bytes()).unwrap();
        assert_eq!(TagHead::of(tag("").as_bytes()).unwrap().check(name, target), expected);
    }

    #[rstest]
    #[case("")]
    #[case("tag v1\nobject a\ntype commit\n")]
    #[case("\nobject a\ntype commit\ntag v1\n")]
    fn a_tag_without_its_head_is_refused(#[case] bytes: &str) {
        assert!(matches!(TagHead::of(bytes.as_bytes()), Err(Flaw::Malformed(_))));
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes: Vec<u8>, header in "(gpgsig|tag|object| |\n|-----BEGIN X SIGNATURE-----|-----END ){0,12}") {
            let bytes = [header.as_bytes(), &bytes].concat();
            for object in [SignedObject::of_commit(&bytes), SignedObject::of_tag(&bytes)].into_iter().flatten() {
                prop_assert!(object.payload.len() + object.signature.len() <= bytes.len());
            }
            let _ = TagHead::of(&bytes);
        }
    }
}
