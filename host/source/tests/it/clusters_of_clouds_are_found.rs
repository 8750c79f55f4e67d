use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use plumb_source::identity::{CloudCluster, ClusterEndpoint, IdentityError, Token, Tokens, Workload};
use plumb_source::transport::Transport;
use plumb_test_support::{ApiRequest, ApiServer};
use serde_json::json;

use crate::workloads::{Kubernetes, account, block_on, environment};

const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----";

fn bearer(request: &ApiRequest) -> &str {
    request.authorization.as_deref().unwrap_or_default().trim_start_matches("Bearer ")
}

fn found(
    workload: &Workload,
    cluster: &CloudCluster,
    address: Option<&str>,
) -> Result<(ClusterEndpoint, Token), IdentityError> {
    let (tokens, transport) = (Tokens::new(), Transport::default());
    block_on(async {
        let endpoint = tokens.cluster_endpoint(workload, cluster, address, &transport).await?;
        Ok((endpoint, tokens.cluster_token(workload, cluster, &transport).await?))
    })
}

fn aws(request: &ApiRequest) -> (u16, serde_json::Value) {
    let is_signed = request.authorization.as_deref().is_some_and(|authorization| {
        authorization
            .contains("/eu-west-1/eks/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token")
    });
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/") => {
            let keys = json!({
                "AccessKeyId": "key",
                "SecretAccessKey": "secret",
                "SessionToken": "session",
                "Expiration": jiff::Timestamp::now().as_second() as f64 + 3600.0,
            });
            let result = json!({ "AssumeRoleWithWebIdentityResult": { "Credentials": keys } });
            (200, json!({ "AssumeRoleWithWebIdentityResponse": result }))
        }
        ("GET", "/clusters/far") if is_signed => {
            let authority = json!({ "data": STANDARD.encode(AUTHORITY) });
            let cluster = json!({ "endpoint": "https://far.eks.example", "certificateAuthority": authority });
            (200, json!({ "cluster": cluster }))
        }
        _ => (403, json!({ "message": "who are you? hunter2" })),
    }
}

#[test]
fn eks_tells_where_it_is_and_takes_a_signed_question() {
    let (cloud, kubernetes) = (ApiServer::start(aws).unwrap(), Arc::new(Kubernetes::default()));
    let origin = cloud.origin();
    let environment = environment(&[("AWS_ENDPOINT_URL_STS", &origin), ("AWS_ENDPOINT_URL_EKS", &origin)]);
    let role = [("eks.amazonaws.com/role-arn", "arn:aws:iam::1:role/tenant")];
    let workload = account(&kubernetes, "ada", &role, environment);
    let cluster = CloudCluster::eks("arn:aws:eks:eu-west-1:1:cluster/far").unwrap();
    let (endpoint, token) = found(&workload, &cluster, None).unwrap();
    assert_eq!(endpoint.address, "https://far.eks.example");
    assert_eq!(endpoint.authority.as_deref(), Some(AUTHORITY));

    let encoded = token.secret.expose().strip_prefix("k8s-aws-v1.").unwrap();
    let question = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap();
    assert!(question.starts_with(&format!("{origin}/?Action=GetCallerIdentity&")), "{question}");
    assert!(question.contains("X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature="), "{question}");
    let lasts = token.expires.as_second() - jiff::Timestamp::now().as_second();
    assert!((840..=900).contains(&lasts), "{lasts}");

    let other = CloudCluster::eks("arn:aws:eks:eu-west-1:1:cluster/other").unwrap();
    let error = found(&workload, &other, None).err().unwrap();
    // What a server says is not repeated.
    assert_eq!(error.to_string(), "127.0.0.1 answers 403 to the request for the description of the cluster");
}

const AKS: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/far";

fn azure(request: &ApiRequest) -> (u16, serde_json::Value) {
    let kubeconfig = |server: &str| {
        let authority = STANDARD.encode(AUTHORITY);
        let text = format!(
            "clusters: [{{name: c, cluster: {{server: '{server}', certificate-authority-data: {authority}}}}}]"
        );
        json!({ "name": "clusterUser", "value": STANDARD.encode(text) })
    };
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/tenant/oauth2/v2.0/token") => {
            let form: std::collections::BTreeMap<_, _> =
                url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
            (200, json!({ "access_token": format!("for {}", form["scope"]), "expires_in": 3600 }))
        }
        ("POST", path)
            if path == format!("{AKS}/listClusterUserCredential")
                && bearer(request) == "for https://management.example/.default" =>
        {
            let all = [kubeconfig("https://far.aks.example:443"), kubeconfig("https://private.aks.example")];
            (200, json!({ "kubeconfigs": all }))
        }
        _ => (403, json!({})),
    }
}

#[test]
fn aks_tells_where_it_is_and_takes_a_token_of_entra() {
    let (cloud, kubernetes) = (ApiServer::start(azure).unwrap(), Arc::new(Kubernetes::default()));
    let file = tempfile::NamedTempFile::new().unwrap();
    let names =
        json!({ "resourceManagerEndpoint": cloud.origin(), "tokenAudience": "https://management.example/" });
    std::fs::write(file.path(), names.to_string()).unwrap();
    let environment = environment(&[
        ("AZURE_AUTHORITY_HOST", &cloud.origin()),
        ("AZURE_ENVIRONMENT_FILEPATH", file.path().to_str().unwrap()),
    ]);
    let identity =
        [("azure.workload.identity/tenant-id", "tenant"), ("azure.workload.identity/client-id", "client")];
    let workload = account(&kubernetes, "ada", &identity, environment);
    let cluster = CloudCluster::aks(AKS).unwrap();
    let (endpoint, token) = found(&workload, &cluster, None).unwrap();
    assert_eq!(endpoint.address, "https://far.aks.example:443");
    assert_eq!(endpoint.authority.as_deref(), Some(AUTHORITY));
    assert_eq!(token.secret.expose(), "for 6dae42f8-4368-4678-94ff-3960e28e3630/.default");

    let (endpoint, _) = found(&workload, &cluster, Some("https://private.aks.example/")).unwrap();
    assert_eq!(endpoint.address, "https://private.aks.example");
    let error = found(&workload, &cluster, Some("https://elsewhere.example")).err().unwrap();
    assert!(matches!(error, IdentityError::Answer { .. }), "{error}");
}

fn google(request: &ApiRequest) -> (u16, serde_json::Value) {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/token") => (200, json!({ "access_token": "a token of google", "expires_in": 3600 })),
        ("GET", "/v1/projects/p/locations/l/clusters/far") if bearer(request) == "a token of google" => {
            let authority = json!({ "clusterCaCertificate": STANDARD.encode(AUTHORITY) });
            (200, json!({ "endpoint": "192.0.2.1", "masterAuth": authority }))
        }
        _ => (403, json!({})),
    }
}

#[test]
fn gke_tells_where_it_is_and_takes_a_token_of_google() {
    let (cloud, kubernetes) = (ApiServer::start(google).unwrap(), Arc::new(Kubernetes::default()));
    let origin = cloud.origin();
    let environment = environment(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", &origin),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", &origin),
    ]);
    let provider = "projects/1/locations/global/workloadIdentityPools/pool/providers/cluster";
    let identity = [("gcp.auth.fluxcd.io/workload-identity-provider", provider)];
    let workload = account(&kubernetes, "ada", &identity, environment);
    let cluster = CloudCluster::gke("projects/p/locations/l/clusters/far").unwrap();
    let (endpoint, token) = found(&workload, &cluster, None).unwrap();
    assert_eq!(endpoint.address, "https://192.0.2.1");
    assert_eq!(endpoint.authority.as_deref(), Some(AUTHORITY));
    assert_eq!(token.secret.expose(), "a token of google");
}
