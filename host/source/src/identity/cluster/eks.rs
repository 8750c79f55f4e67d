use std::time::Duration;

use jiff::Timestamp;
use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use url::{Position, Url};

use super::{ClusterEndpoint, decoded, is_part};
use crate::identity::aws::{AwsPartition, is_region, sts_endpoint};
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::signature::{Signer, time_of};
use crate::identity::workload::{Environment, Workload};
use crate::identity::{Token, Tokens};
use crate::transport::Transport;

pub(super) const EXPECTED: &str = "an ARN like arn:aws:eks:REGION:ACCOUNT:cluster/NAME";
const WHAT: &str = "the description of the cluster";
/// As API servers of EKS see it. Source: AWS, "EKS Best Practices: Controlling access to EKS clusters".
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long the signed request is good for, in seconds, before an API server has seen it.
const SIGNED_FOR: &str = "60";

/// A cluster of Amazon EKS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Eks {
    region: String,
    name: String,
}

impl Eks {
    pub(super) fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let mut next = || parts.next();
        let (kind, partition, service) = (next()?, next()?, next()?);
        let (region, account, name) = (next()?, next()?, next()?.strip_prefix("cluster/")?);
        let is_cluster = kind == "arn" && partition.starts_with("aws") && service == "eks";
        let is_complete = is_region(region) && is_part(account) && is_part(name);
        (is_cluster && is_complete).then(|| Self { region: region.to_owned(), name: name.to_owned() })
    }

    /// Source: AWS, `DescribeCluster` of EKS.
    pub(super) async fn endpoint(
        &self,
        tokens: &Tokens,
        workload: &Workload,
        transport: &Transport,
    ) -> Result<ClusterEndpoint, IdentityError> {
        let url = self.description(workload.environment())?;
        let credentials = tokens.aws(workload, &self.region, transport).await?;
        let time = format!("{}Z", time_of(Timestamp::now()));
        let signer = Signer { credentials: &credentials, region: &self.region, service: "eks", time };
        let headers = signer.get_headers(&url);
        let host = url.host_str().unwrap_or_default().to_owned();
        let answer: Answer = Endpoint::new(transport)?
            .ask(Method::GET, url, WHAT, |request| {
                headers.iter().fold(request, |request, (name, value)| request.header(*name, value.expose()))
            })
            .await?;
        let Cluster { endpoint, certificate_authority } = answer.cluster;
        let authority = decoded(&certificate_authority.data)
            .ok_or(IdentityError::Answer { endpoint: host, what: WHAT })?;
        Ok(ClusterEndpoint { address: endpoint, authority: Some(authority) })
    }

    fn description(&self, environment: &Environment) -> Result<Url, IdentityError> {
        let domain = AwsPartition::of_region(&self.region).domain();
        let default = format!("https://eks.{}.{domain}/", self.region);
        let mut url = environment.endpoint("AWS_ENDPOINT_URL_EKS", &default)?;
        url.set_path(&format!("/clusters/{}", self.name));
        Ok(url)
    }

    /// The token is a signed request that asks AWS who sent it. Source: aws-iam-authenticator, "API Authorization from Outside a Cluster".
    pub(super) async fn token(
        &self,
        tokens: &Tokens,
        workload: &Workload,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        let endpoint = sts_endpoint(workload.environment(), &self.region)?;
        let credentials = tokens.aws(workload, &self.region, transport).await?;
        let now = Timestamp::now();
        let time = format!("{}Z", time_of(now));
        let signer = Signer { credentials: &credentials, region: &self.region, service: "sts", time };
        let host = &endpoint[Position::BeforeHost..Position::AfterPort];
        let query = signer.presigned_query(
            &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")],
            &[("host", host), ("x-k8s-aws-id", &self.name)],
            SIGNED_FOR,
        );
        let signed = Sensitive::new(format!("{}?{}", endpoint.as_str(), query.expose()));
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signed.expose());
        let expires = now + TOKEN_LIFETIME;
        Ok(Token {
            secret: Sensitive::new(format!("k8s-aws-v1.{encoded}")),
            expires: expires.min(credentials.expires),
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    endpoint: String,
    certificate_authority: Authority,
}

#[derive(Deserialize)]
struct Authority {
    data: String,
}
