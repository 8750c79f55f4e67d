//! Against `github.com/distribution/distribution`, to which `oci-client` pushes.

use std::collections::BTreeMap;

use oci_client::client::{
    Certificate, CertificateEncoding, ClientConfig, ClientProtocol, Config, ImageLayer,
};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use plumb_api::OciReference;
use plumb_source::oci::{OciError, OciFetch, OciLogin, Verification};
use plumb_source::transport::Transport;
use plumb_test_support::{Authority, registry};

use crate::oci::fake::{CONTENT, tar_gz};
use crate::oci::signer::{Signer, payload};
use crate::oci::{SecretData, Store, fetch_of, read};

const PASSWORD: (&str, &str) = ("ada", "p:w");

async fn push(client: &Client, image: &Reference, layer: ImageLayer, annotations: BTreeMap<String, String>) {
    let config = Config::new(b"{}".to_vec(), "application/vnd.cncf.flux.config.v1+json".to_owned(), None);
    let mut manifest = OciImageManifest::build(std::slice::from_ref(&layer), &config, Some(annotations));
    manifest.media_type = Some(OCI_IMAGE_MEDIA_TYPE.to_owned());
    let auth = RegistryAuth::Basic(PASSWORD.0.to_owned(), PASSWORD.1.to_owned());
    client.push(image, &[layer], config, &auth, Some(manifest)).await.unwrap();
}

fn files(which: &str) -> ImageLayer {
    ImageLayer::new(tar_gz(&[("which", which)]), CONTENT.to_owned(), None)
}

#[tokio::test]
async fn a_real_registry_is_pulled_from_with_a_login_a_certificate_and_a_signature() {
    let authority = Authority::new().unwrap();
    let starting = authority.clone();
    let registry = tokio::task::spawn_blocking(move || registry(Some(PASSWORD), Some(&starting)).unwrap())
        .await
        .unwrap();
    let ca = authority.ca_pem().as_bytes().to_vec();
    let certificate = Certificate { encoding: CertificateEncoding::Pem, data: ca.clone() };
    let config = ClientConfig {
        protocol: ClientProtocol::Https,
        extra_root_certificates: vec![certificate],
        ..ClientConfig::default()
    };
    let (client, ada) = (Client::try_from(config).unwrap(), Signer::with_key());
    let image = |tag: &str| -> Reference { format!("{}/myorg/app:{tag}", registry.host()).parse().unwrap() };
    let annotations = BTreeMap::from([("org.opencontainers.image.source".to_owned(), "here".to_owned())]);
    for tag in ["1.0.0", "1.1.0", "2.0.0"] {
        push(&client, &image(tag), files(tag), annotations.clone()).await;
    }

    let store = Store::new();
    let url = format!("oci://{}/myorg/app", registry.host());
    let reference = OciReference::Semver { range: "1.x".to_owned(), filter: None };
    let fetch = OciFetch {
        insecure: false,
        transport: Transport { ca: Some(ca), ..Transport::default() },
        login: OciLogin::Basic {
            username: PASSWORD.0.to_owned(),
            password: plumb_api::Sensitive::new(PASSWORD.1.to_owned()),
        },
        ..fetch_of(&url, reference)
    };
    let artifact = store.new_artifact(&fetch).await;
    assert_eq!(artifact.revision, format!("1.1.0@{}", artifact.digest));
    assert_eq!((read(&artifact.stored, "which").as_str(), artifact.annotations), ("1.1.0", annotations));

    let anonymous = OciFetch { login: OciLogin::Anonymous, ..fetch.clone() };
    assert!(
        matches!(store.error(&anonymous).await, OciError::Tags(error) if matches!(*error, OciError::Unauthorized { .. }))
    );
    let untrusting = OciFetch { transport: Transport::default(), ..fetch.clone() };
    assert!(
        matches!(store.error(&untrusting).await, OciError::Tags(error) if matches!(*error, OciError::Unreachable { .. }))
    );

    let keys = SecretData::from([("cosign.pub".to_owned(), ada.public_key())]);
    let verification = Verification::new(&serde_json::from_str("{}").unwrap(), Some(&keys), None).unwrap();
    let verified = OciFetch { verifications: vec![verification], ..fetch };
    assert!(matches!(store.error(&verified).await, OciError::NotVerified { .. }));
    let payload = payload(&artifact.digest);
    let annotations = serde_json::from_value(ada.annotations(&payload)).unwrap();
    let signature = ImageLayer::new(
        payload,
        "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
        Some(annotations),
    );
    push(&client, &image(&format!("sha256-{}.sig", artifact.digest.hex())), signature, BTreeMap::new()).await;
    assert_eq!(read(&store.new_artifact(&verified).await.stored, "which"), "1.1.0");
}
