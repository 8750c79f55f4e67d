use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use plumb_api::{ReleaseStatus, TestPhase};
use plumb_helm::hooks::HookRun;
use plumb_helm::record::{NewRelease, Release, Write, decode, encode};
use plumb_helm::rendered::RenderedRelease;
use plumb_helm::snapshot;
use serde_json::{Value, json};

use crate::oracle;

/// A release with everything that a record can have.
fn whole() -> Value {
    json!({
        "name": "web",
        "info": {
            "first_deployed": "2026-01-01T00:00:00.120000001+02:00", "last_deployed": "2026-01-02T03:04:05.5Z", "deleted": "2026-01-03T00:00:00Z",
            "description": "Upgrade complete & <well>", "status": "deployed", "notes": "Have fun.\u{2028}\n",
        },
        "chart": {
            "metadata": {
                "name": "web", "home": "https://x.example/?a=1&b=2", "sources": ["https://y.example"], "version": "1.2.3", "description": "<x>",
                "keywords": ["a"], "maintainers": [{"name": "me", "email": "me@x.example", "url": "u"}, {"name": "you"}], "icon": "i",
                "apiVersion": "v2", "condition": "c", "tags": "t", "appVersion": "4", "deprecated": true, "annotations": {"z": "1", "a": "2"},
                "kubeVersion": ">=1.20", "type": "application",
                "dependencies": [
                    {"name": "db", "version": "1.x", "repository": "https://r.example", "condition": "db.enabled", "tags": ["x"], "enabled": true,
                     "import-values": ["data", {"child": "a", "parent": "b"}], "alias": "base"},
                    {"name": "bare", "repository": ""},
                ],
            },
            "lock": {"generated": "2026-01-01T00:00:00Z", "digest": "sha256:ab", "dependencies": []},
            "templates": [{"name": "templates/a.yaml", "data": "YTogYg=="}],
            "values": {"replicas": 1}, "schema": "e30=", "schemamodtime": "2026-01-01T00:00:00Z",
            "files": [{"name": "README.md", "data": "eA=="}],
        },
        "config": {"b": [1, 1.5, 1e21, 1e-7, null, true, "x"], "a": {"z": {}, "y": []}},
        "manifest": "---\n# Source: web/templates/a.yaml\na: \"<b>\"\n",
        "hooks": [
            {
                "name": "job", "kind": "Job", "path": "web/templates/job.yaml", "manifest": "kind: Job", "events": ["pre-install", "post-upgrade"],
                "last_run": {"started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:01.250Z", "phase": "Succeeded"},
                "weight": -5, "delete_policies": ["hook-succeeded", "before-hook-creation"], "output_log_policies": ["hook-failed"],
            },
            {"name": "never", "kind": "Job", "events": ["pre-rollback"], "last_run": {"phase": ""}},
            {"name": "test", "kind": "Pod", "events": ["test"], "last_run": {"phase": "Failed"}},
        ],
        "version": 7,
        "namespace": "shop",
        "apply_method": "ssa",
    })
}

fn bare() -> Value {
    json!({"name": "a", "info": {"status": "failed"}, "chart": {"metadata": {"name": "c", "version": "1.0.0"}}, "version": 1, "namespace": "n"})
}

/// What Helm stores, we read, with the digest that Flux computes, and write back so that Helm reads the same.
#[test]
fn what_helm_writes_we_read() {
    let releases = [whole(), bare()];
    let requests: Vec<Value> = releases.iter().map(|release| json!({"release": release})).collect();
    for (release, answer) in releases.iter().zip(oracle::ask(&requests)) {
        let secret: Secret = serde_json::from_value(answer["secret"].clone()).unwrap();
        let read = decode(&secret).unwrap();
        assert_eq!(read.name(), release["name"]);
        assert_eq!(read.version(), release["version"]);
        assert_eq!(read.hooks().len(), release["hooks"].as_array().map_or(0, Vec::len));
        assert_eq!(snapshot::of(&read, None, None).digest, answer["digest"]);

        let ours = encode(&read, Write::Update, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(ours.metadata.name, secret.metadata.name);
        assert_eq!(ours.type_, secret.type_);
        let again = &oracle::ask(&[json!({"secret": ours})])[0];
        assert_eq!(again["digest"], answer["digest"]);
        let theirs = &oracle::ask(&[json!({"secret": secret})])[0];
        assert_eq!(again["release"], theirs["release"], "Helm reads the same from both");
    }
}

fn ours() -> Release {
    let rendered = RenderedRelease::read(json!({
        "kind": "RenderedRelease",
        "manifest": "---\n# Source: web/templates/a.yaml\na: \"<b>\"\n",
        "hooks": [{
            "name": "job", "kind": "Job", "path": "web/templates/job.yaml", "manifest": "kind: Job", "events": ["pre-install"],
            "weight": 3, "deletePolicies": ["hook-succeeded"], "outputLogPolicies": [], "object": {"kind": "Job"},
        }],
        "notes": "Have fun.",
        "chart": whole()["chart"],
        "values": {"replicas": 1},
    }))
    .unwrap();
    let new = NewRelease {
        name: "web",
        namespace: "shop",
        version: 3,
        status: ReleaseStatus::PendingUpgrade,
        description: "Preparing upgrade",
        first_deployed: "2026-01-01T00:00:00.123456789Z".parse().unwrap(),
        at: "2026-01-02T00:00:00.5Z".parse().unwrap(),
    };
    Release::new(&new, &rendered, whole()["config"].as_object().unwrap())
}

/// What we store, at every step of an action, Helm reads, and Flux's digest of it is ours.
#[test]
fn what_we_write_helm_reads() {
    let at: Timestamp = "2026-01-03T00:00:00.25Z".parse().unwrap();
    let mut release = ours();
    let mut steps = vec![release.clone()];
    release.set_hook_run(0, &HookRun::started(at));
    steps.push(release.clone());
    release.set_hook_run(0, &HookRun::started(at).ended(at, TestPhase::Succeeded));
    release.set_status(ReleaseStatus::Deployed, "Upgrade complete");
    steps.push(release.clone());
    steps.push(ours().rolled_back(&release, at));
    release.supersede();
    steps.push(release.clone());
    release.set_deleted(at);
    release.set_status(ReleaseStatus::Uninstalled, "Uninstallation complete");
    steps.push(release);

    let requests: Vec<Value> =
        steps.iter().map(|release| json!({"secret": encode(release, Write::Create, at).unwrap()})).collect();
    for (release, answer) in steps.iter().zip(oracle::ask(&requests)) {
        let read = &answer["release"];
        assert_eq!(answer.get("error"), None);
        assert_eq!(
            (read["name"].as_str(), read["version"].as_i64()),
            (Some(release.name()), Some(release.version()))
        );
        assert_eq!(read["info"]["status"], release.status().as_str());
        assert_eq!(read["info"]["description"], release.description());
        assert_eq!(read["info"]["notes"], "Have fun.");
        assert_eq!(read["manifest"], release.manifest());
        assert_eq!(read["chart"]["metadata"]["appVersion"], "4");
        assert_eq!(read["config"]["a"], json!({"z": {}, "y": []}));
        assert_eq!(read["hooks"][0]["weight"], 3);
        assert_eq!(answer["digest"], snapshot::of(release, None, None).digest);
    }
}
