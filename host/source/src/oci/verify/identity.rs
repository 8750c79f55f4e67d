use plumb_api::OidcIdentityMatch;
use regex::{Regex, RegexBuilder};
use sigstore::bundle::verify::{PolicyError, VerificationPolicy};
use x509_cert::Certificate;
use x509_cert::der::asn1::Utf8StringRef;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::oci::verify::InvalidVerification;

/// Fulcio's "OIDC Issuer": the text itself.
const ISSUER_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");
/// Fulcio's "OIDC Issuer (V2)": a DER string.
const ISSUER_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
/// Fulcio's name for an identity that is neither a URI nor an address of mail.
const OTHER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
/// What a pattern may take when it is compiled, in bytes.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;

/// The identities that may sign. Without any, everybody may whom the authorities know, as in Flux.
#[derive(Clone, Debug)]
pub(super) struct Identities(Vec<(Regex, Regex)>);

impl Identities {
    pub(super) fn new(matches: &[OidcIdentityMatch]) -> Result<Self, InvalidVerification> {
        let pairs = matches.iter().map(|identity| {
            Ok((pattern("issuer", &identity.issuer)?, pattern("subject", &identity.subject)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }
}

fn pattern(field: &'static str, text: &str) -> Result<Regex, InvalidVerification> {
    let compiled = RegexBuilder::new(text).size_limit(MAX_PATTERN_BYTES).build();
    compiled.map_err(|_| InvalidVerification::Identity { field, text: text.to_owned() })
}

impl VerificationPolicy for Identities {
    fn verify(&self, certificate: &Certificate) -> Result<(), PolicyError> {
        let (issuer, subjects) = (issuer(certificate), subjects(certificate));
        let is_one = |(issuers, names): &(Regex, Regex)| {
            issuer.as_ref().is_some_and(|issuer| issuers.is_match(issuer))
                && subjects.iter().any(|subject| names.is_match(subject))
        };
        if self.0.is_empty() || self.0.iter().any(is_one) {
            return Ok(());
        }
        Err(PolicyError::ExtensionCheckFailed {
            extension: "identity".to_owned(),
            expected: "one of spec.verify.matchOIDCIdentity".to_owned(),
            actual: format!("{} of {}", subjects.join(", "), issuer.unwrap_or_else(|| "nobody".to_owned())),
        })
    }
}

/// Who vouches for the identity.
fn issuer(certificate: &Certificate) -> Option<String> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let value = |oid| {
        let mut found = extensions.iter().filter(|extension| extension.extn_id == oid);
        // Two of them could mean two things.
        found.next().filter(|_| found.next().is_none()).map(|extension| extension.extn_value.as_bytes())
    };
    match value(ISSUER_V2) {
        Some(der) => Utf8StringRef::from_der(der).ok().map(|text| text.as_str().to_owned()),
        None => String::from_utf8(value(ISSUER_V1)?.to_vec()).ok(),
    }
}

fn subjects(certificate: &Certificate) -> Vec<String> {
    let Ok(Some((_, names))) = certificate.tbs_certificate().get_extension::<SubjectAltName>() else {
        return Vec::new();
    };
    let text = |name: &GeneralName| match name {
        GeneralName::Rfc822Name(name) => Some(name.as_str().to_owned()),
        GeneralName::UniformResourceIdentifier(name) => Some(name.as_str().to_owned()),
        GeneralName::OtherName(name) if name.type_id == OTHER_NAME => {
            let der = name.value.to_der().ok()?;
            Utf8StringRef::from_der(&der).ok().map(|text| text.as_str().to_owned())
        }
        _ => None,
    };
    names.0.iter().filter_map(text).collect()
}
