//! Signature Version 4 of AWS: what a request says is signed with a key that is good for one day, one region and one service. Source: AWS, "Signature Version 4 signing process".

use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use plumb_api::Sensitive;
use sha2::{Digest as _, Sha256};
use url::{Position, Url};

use crate::identity::aws::AwsCredentials;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Signs requests to one service, at one time.
pub(super) struct Signer<'a> {
    pub(super) credentials: &'a AwsCredentials,
    pub(super) region: &'a str,
    pub(super) service: &'static str,
    /// `20261123T080910`, and a `Z` where the service wants one.
    pub(super) time: String,
}

impl Signer<'_> {
    /// The name of the key that signs.
    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", &self.time[..8], self.region, self.service)
    }

    /// The signature of a request in its canonical form.
    pub(super) fn sign(&self, request: &str) -> String {
        let scope = self.scope();
        let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{}", self.time, digest(request));
        let secret = self.credentials.secret_access_key.expose();
        let first = Sensitive::new(format!("AWS4{secret}").into_bytes());
        let signature = scope
            .split('/')
            .chain([to_sign.as_str()])
            .fold(first, |key, part| Sensitive::new(authenticate(key.expose(), part)));
        hex::encode(signature.expose())
    }

    /// The headers of a `POST` of JSON to `url` that asks for `target`.
    pub(super) fn headers(
        &self,
        url: &Url,
        target: &str,
        body: &str,
    ) -> Vec<(&'static str, Sensitive<String>)> {
        let host = &url[Position::BeforeHost..Position::AfterPort];
        // In the order of the alphabet, as they are signed.
        let mut signed =
            vec![("content-type", "application/x-amz-json-1.1"), ("host", host), ("x-amz-date", &self.time)];
        signed.extend(self.session("x-amz-security-token"));
        signed.push(("x-amz-target", target));
        self.authorized("POST", url, &signed, body)
    }

    /// The headers of a `POST` of a form to `url`.
    pub(super) fn form_headers(&self, url: &Url, body: &str) -> Vec<(&'static str, Sensitive<String>)> {
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let mut signed = vec![
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", host),
            ("x-amz-date", &self.time),
        ];
        signed.extend(self.session("x-amz-security-token"));
        self.authorized("POST", url, &signed, body)
    }

    /// The headers of a `GET` of `url`, which has no query.
    pub(super) fn get_headers(&self, url: &Url) -> Vec<(&'static str, Sensitive<String>)> {
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let mut signed = vec![("host", host), ("x-amz-date", &self.time)];
        signed.extend(self.session("x-amz-security-token"));
        self.authorized("GET", url, &signed, "")
    }

    /// What keys of a session have to be sent along with, under this name.
    fn session(&self, name: &'static str) -> Option<(&'static str, &str)> {
        self.credentials.session_token.as_ref().map(|token| (name, token.expose().as_str()))
    }

    /// These headers, and the one that signs them. They are in the order of the alphabet.
    fn authorized(
        &self,
        method: &str,
        url: &Url,
        signed: &[(&'static str, &str)],
        body: &str,
    ) -> Vec<(&'static str, Sensitive<String>)> {
        let (lines, names) = canonical(signed);
        let request = format!("{method}\n{}\n\n{lines}\n{names}\n{}", url.path(), digest(body));
        let authorization = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={names}, Signature={}",
            self.credentials.access_key_id,
            self.scope(),
            self.sign(&request)
        );
        let authorization = ("authorization", authorization);
        // The client sets the host itself.
        let others = signed.iter().filter(|(name, _)| *name != "host");
        let others = others.map(|(name, value)| (*name, (*value).to_owned()));
        others.chain([authorization]).map(|(name, value)| (name, Sensitive::new(value))).collect()
    }

    /// The query of a `GET` of `/` that signs itself, so that somebody else can send it. `parameters` and `headers` are in the order of the alphabet;
    /// those come before `X-Amz-`. It can be sent for `seconds`.
    pub(super) fn presigned_query(
        &self,
        parameters: &[(&str, &str)],
        headers: &[(&str, &str)],
        seconds: &str,
    ) -> Sensitive<String> {
        let (lines, names) = canonical(headers);
        let credential = format!("{}/{}", self.credentials.access_key_id, self.scope());
        let mut of_signature = vec![
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &self.time),
            ("X-Amz-Expires", seconds),
        ];
        of_signature.extend(self.session("X-Amz-Security-Token"));
        of_signature.push(("X-Amz-SignedHeaders", &names));
        let encoded = |(name, value): &(&str, &str)| {
            format!("{name}={}", percent_encoding::utf8_percent_encode(value, RESERVED))
        };
        let pairs: Vec<String> = parameters.iter().chain(&of_signature).map(encoded).collect();
        let query = pairs.join("&");
        let signature = self.sign(&format!("GET\n/\n{query}\n{lines}\n{names}\n{}", digest("")));
        Sensitive::new(format!("{query}&X-Amz-Signature={signature}"))
    }
}

/// Everything but what never has a meaning of its own in a URL. Source: RFC 3986, section 2.3.
const RESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Headers as they are signed: a line each, and their names.
fn canonical(headers: &[(&str, &str)]) -> (String, String) {
    let lines = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    (lines, names.join(";"))
}

/// `20261123T080910`.
pub(super) fn time_of(now: Timestamp) -> String {
    now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S").to_string()
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn authenticate(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    /// The example of AWS, "Create a signed AWS API request".
    #[test]
    fn the_example_of_aws_is_signed_as_there() {
        let credentials = AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Sensitive::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: None,
            expires: Timestamp::MAX,
        };
        let time = format!("{}Z", time_of("2015-08-30T12:36:00.9Z".parse().unwrap()));
        let signer = Signer { credentials: &credentials, region: "us-east-1", service: "iam", time };
        let request = "GET\n/\nAction=ListUsers&Version=2010-05-08\n\
                       content-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n\
                       x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n\
                       e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(signer.sign(request), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    }
    /// The expected signature was computed with Python's `hmac`, after the description of Signature Version 4.
    #[test]
    fn a_request_in_json_is_signed_with_its_headers() {
        let (credentials, time) = (session(), "20261123T080910Z".to_owned());
        let signer = Signer { credentials: &credentials, region: "eu-west-1", service: "ecr", time };
        let headers = signer.headers(&Url::parse("http://127.0.0.1:8080/").unwrap(), "T.Get", "{}");
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.expose().as_str())).collect();
        let authorization = "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20261123/eu-west-1/ecr/aws4_request, \
            SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
            Signature=81197da1e807a5bb7f561f68c3ec01909738de516c35653a98612d2a1fe66e3e";
        assert_eq!(
            headers,
            [
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amz-date", "20261123T080910Z"),
                ("x-amz-security-token", "session/token=="),
                ("x-amz-target", "T.Get"),
                ("authorization", authorization),
            ]
        );
    }

    fn session() -> AwsCredentials {
        AwsCredentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Sensitive::new("secret".to_owned()),
            session_token: Some(Sensitive::new("session/token==".to_owned())),
            expires: Timestamp::MAX,
        }
    }

    /// The expected signatures of this and the next were computed with Python's `hmac`, after the description of Signature Version 4.
    #[test]
    fn a_get_is_signed_with_its_headers() {
        let (credentials, time) = (session(), "20261123T080910Z".to_owned());
        let signer = Signer { credentials: &credentials, region: "eu-west-1", service: "eks", time };
        let url = Url::parse("https://eks.eu-west-1.amazonaws.com/clusters/far").unwrap();
        let headers = signer.get_headers(&url);
        let (name, authorization) = headers.last().unwrap();
        let expected = "Signature=9b8c0c5ca3052e35c45d137e886c3f14f07420bc7885aa570d7b42f55f954bbf";
        assert_eq!(*name, "authorization");
        assert!(authorization.expose().ends_with(expected), "{}", authorization.expose());
    }

    #[test]
    fn a_query_signs_itself() {
        let (credentials, time) = (session(), "20261123T080910Z".to_owned());
        let signer = Signer { credentials: &credentials, region: "eu-west-1", service: "sts", time };
        let parameters = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
        let headers = [("host", "sts.eu-west-1.amazonaws.com"), ("x-k8s-aws-id", "far")];
        assert_eq!(
            signer.presigned_query(&parameters, &headers, "60").expose(),
            "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=ASIAEXAMPLE%2F20261123%2Feu-west-1%2Fsts%2Faws4_request&X-Amz-Date=20261123T080910Z&X-Amz-Expires=60\
             &X-Amz-Security-Token=session%2Ftoken%3D%3D&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id\
             &X-Amz-Signature=55bd991868254ee747904635ec33d207cf11416da09dbc981217b44a21c747bc"
        );
    }
}
