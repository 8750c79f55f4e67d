//! What every object is given once all steps have run.

use plumb_api::{ApplierKind, Object, Owner, PipelineApply};

/// Kinds of Kubernetes that are in no namespace. What is not known here is put into a namespace; where the cluster says otherwise, it is taken
/// out again before it is applied.
const CLUSTER_WIDE: [&str; 24] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// Puts the namespace, the common metadata and the ownership labels on every object, in this order: nobody else's labels can pass for
/// ours. For a Kustomization, kustomize has put the namespace already.
pub fn stamp(objects: &mut [Object], apply: &PipelineApply, owner: &Owner) {
    let namespace = apply.target_namespace.as_deref().filter(|_| owner.kind == ApplierKind::Pipeline);
    for object in objects {
        if namespace.is_some() && !CLUSTER_WIDE.contains(&object.kind()) {
            object.set_namespace(namespace);
        }
        if let Some(common) = &apply.common_metadata {
            for (key, value) in &common.labels {
                object.set_label(key, value);
            }
            for (key, value) in &common.annotations {
                object.set_annotation(key, value);
            }
        }
        owner.stamp(object);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use plumb_api::annotations::{APPLIER, OWNER_NAME, OWNER_NAMESPACE};
    use serde_json::{Value, json};

    use super::*;

    fn stamped(kind: &str, metadata: Value, owner: &Owner) -> Object {
        let apply = json!({"targetNamespace": "shop", "commonMetadata": {
            "labels": {"team": "a", OWNER_NAME: "forged"}, "annotations": {"note": "b"},
        }});
        let object = Object::new(json!({"apiVersion": "v1", "kind": kind, "metadata": metadata})).unwrap();
        let mut objects = [object];
        stamp(&mut objects, &serde_json::from_value(apply).unwrap(), owner);
        let [object] = objects;
        object
    }

    #[test]
    fn objects_belong_to_a_pipeline_and_go_where_it_says() {
        let owner = Owner { kind: ApplierKind::Pipeline, namespace: "team-a".into(), name: "shop".into() };
        let object = stamped("ConfigMap", json!({"name": "c", "namespace": "other"}), &owner);
        assert_eq!(object.namespace(), Some("shop"));
        assert_eq!((object.label("team"), object.annotation("note")), (Some("a"), Some("b")));
        let labels = [OWNER_NAME, OWNER_NAMESPACE, APPLIER].map(|key| object.label(key).unwrap());
        assert_eq!(labels, ["shop", "team-a", "Pipeline"]);
        assert_eq!(stamped("Namespace", json!({"name": "n"}), &owner).namespace(), None);
    }

    #[test]
    fn the_namespaces_of_a_kustomization_are_those_of_kustomize() {
        let owner = Owner::kustomization("flux-system", "apps");
        let object = stamped("ConfigMap", json!({"name": "c", "namespace": "other"}), &owner);
        assert_eq!((object.namespace(), object.label(APPLIER)), (Some("other"), None));
        assert_eq!(object.label(OWNER_NAME), Some("apps"));
    }
}
