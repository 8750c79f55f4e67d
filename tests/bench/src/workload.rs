//! What is deployed: one repository, and a directory with four objects for each application. Pure, but for writing the files.

use plumb_test_support::GitRepo;
use serde_json::{Value, json};

/// The name of the GitRepository of the applications.
pub(crate) const SOURCE: &str = "apps";
/// The name of the GitRepository of the chain of dependencies.
pub(crate) const CHAIN: &str = "chain";
/// The field that is changed by hand, as the repository has it.
pub(crate) const HISTORY: i64 = 2;

/// The name of an application: of its directory, its Kustomization and its objects.
pub(crate) fn name(app: u32) -> String {
    format!("app-{app:04}")
}

/// Writes the files of an application, with this version of its image.
pub(crate) fn write(repository: &GitRepo, namespace: &str, app: u32, version: u32) -> anyhow::Result<()> {
    let name = name(app);
    let objects = [
        ("deployment", deployment(&name, version)),
        (
            "serviceaccount",
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false}),
        ),
        ("service", service(&name)),
        ("ingress", ingress(&name)),
    ];
    let mut files = Vec::new();
    for (file, mut object) in objects {
        object["metadata"] = json!({"name": name, "namespace": namespace, "labels": {"app": name}});
        repository.write(&format!("apps/{name}/{file}.yaml"), format!("{object:#}\n"))?;
        files.push(format!("{file}.yaml"));
    }
    let kustomization =
        json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": files});
    repository.write(&format!("apps/{name}/kustomization.yaml"), format!("{kustomization:#}\n"))?;
    Ok(())
}

/// The image of an application's Deployment.
pub(crate) fn image(version: u32) -> String {
    format!("registry.example.com/app:v{version}")
}

fn deployment(name: &str, version: u32) -> Value {
    let container = json!({
        "name": "app", "image": image(version),
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "spec": {
            "replicas": 0, "revisionHistoryLimit": HISTORY,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"serviceAccountName": name, "containers": [container]},
            },
        },
    })
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        // Without an address: a cluster may have 254 of them.
        "spec": {"clusterIP": "None", "selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })
}

fn ingress(name: &str) -> Value {
    let backend = json!({"service": {"name": name, "port": {"name": "http"}}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "spec": {"rules": [{"host": format!("{name}.example.com"), "http": {"paths": [path]}}]},
    })
}

/// A GitRepository. Its interval is longer than any run: what is fetched is asked for.
pub(crate) fn source(namespace: &str, name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"interval": "10h", "url": url, "ref": {"branch": "main"}},
    })
}

/// The Kustomization of an application.
pub(crate) fn kustomization(namespace: &str, app: u32) -> Value {
    let name = name(app);
    json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "interval": "10h", "retryInterval": "10s", "timeout": "10m", "prune": true,
            "path": format!("./apps/{name}"), "sourceRef": {"kind": "GitRepository", "name": SOURCE},
        },
    })
}

/// The name of a link of the chain: of its directory, its Kustomization and its object.
pub(crate) fn link_name(link: u32) -> String {
    format!("link-{link:02}")
}

/// Writes the files of a link: one ConfigMap.
pub(crate) fn write_link(repository: &GitRepo, namespace: &str, link: u32) -> anyhow::Result<()> {
    let name = link_name(link);
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"link": name},
    });
    repository.write(&format!("links/{name}/configmap.yaml"), format!("{object:#}\n"))?;
    Ok(())
}

/// The Kustomization of a link, which waits for the one before.
pub(crate) fn link(namespace: &str, link: u32) -> Value {
    let mut kustomization = kustomization(namespace, 0);
    kustomization["metadata"]["name"] = link_name(link).into();
    kustomization["spec"]["sourceRef"]["name"] = CHAIN.into();
    kustomization["spec"]["path"] = format!("./links/{}", link_name(link)).into();
    if let Some(before) = link.checked_sub(1) {
        kustomization["spec"]["dependsOn"] = json!([{"name": link_name(before)}]);
    }
    kustomization
}
