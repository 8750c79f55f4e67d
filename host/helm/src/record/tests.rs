#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use plumb_api::TestPhase;
use rstest::rstest;

use super::*;

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn rendered() -> RenderedRelease {
    RenderedRelease::read(json!({
        "apiVersion": "plumbline.dev/v1alpha1",
        "kind": "RenderedRelease",
        "metadata": {"name": "web"},
        "manifest": "---\n# Source: web/templates/service.yaml\nkind: Service\n",
        "objects": [],
        "hooks": [
            {
                "name": "migrate", "kind": "Job", "path": "web/templates/job.yaml", "manifest": "kind: Job", "events": ["pre-upgrade"],
                "weight": -5, "deletePolicies": ["hook-succeeded"], "outputLogPolicies": ["hook-failed"], "object": {"kind": "Job"},
            },
            {"name": "test", "kind": "Pod", "path": "t", "manifest": "kind: Pod", "events": ["test"], "weight": 0, "deletePolicies": [], "outputLogPolicies": [], "object": {}},
        ],
        "crds": [],
        "notes": "Have fun.",
        "chart": {"metadata": {"name": "web", "version": "1.2.3", "appVersion": "4"}, "lock": null, "templates": [], "values": {}, "schema": null, "files": []},
        "values": {"replicas": 1},
    }))
    .unwrap()
}

fn release(version: i64, status: ReleaseStatus) -> Release {
    let new = NewRelease {
        name: "web",
        namespace: "shop",
        version,
        status,
        description: "Initial install underway",
        first_deployed: second(1),
        at: second(2),
    };
    let config = json!({"replicas": 2}).as_object().unwrap().clone();
    Release::new(&new, &rendered(), &config)
}

#[test]
fn a_new_record_has_what_helm_writes() {
    let release = release(1, ReleaseStatus::PendingInstall);
    insta::assert_json_snapshot!(release.fields(), @r#"
    {
      "apply_method": "ssa",
      "chart": {
        "files": [],
        "lock": null,
        "metadata": {
          "appVersion": "4",
          "name": "web",
          "version": "1.2.3"
        },
        "schema": null,
        "templates": [],
        "values": {}
      },
      "config": {
        "replicas": 2
      },
      "hooks": [
        {
          "delete_policies": [
            "hook-succeeded"
          ],
          "events": [
            "pre-upgrade"
          ],
          "kind": "Job",
          "last_run": {
            "phase": ""
          },
          "manifest": "kind: Job",
          "name": "migrate",
          "output_log_policies": [
            "hook-failed"
          ],
          "path": "web/templates/job.yaml",
          "weight": -5
        },
        {
          "events": [
            "test"
          ],
          "kind": "Pod",
          "last_run": {
            "phase": ""
          },
          "manifest": "kind: Pod",
          "name": "test",
          "path": "t"
        }
      ],
      "info": {
        "description": "Initial install underway",
        "first_deployed": "1970-01-01T00:00:01Z",
        "last_deployed": "1970-01-01T00:00:02Z",
        "notes": "Have fun.",
        "status": "pending-install"
      },
      "manifest": "---\n# Source: web/templates/service.yaml\nkind: Service\n",
      "name": "web",
      "namespace": "shop",
      "version": 1
    }
    "#);
}

#[test]
fn a_secret_is_named_and_labelled_as_helm_does() {
    let secret = encode(&release(3, ReleaseStatus::Deployed), Write::Create, second(10)).unwrap();
    assert_eq!(secret.metadata.name.as_deref(), Some("sh.helm.release.v1.web.v3"));
    assert_eq!(secret.type_.as_deref(), Some("helm.sh/release.v1"));
    let labels: Vec<(String, String)> = secret.metadata.labels.unwrap().into_iter().collect();
    let expected =
        [("createdAt", "10"), ("name", "web"), ("owner", "helm"), ("status", "deployed"), ("version", "3")];
    assert_eq!(labels, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let updated = encode(&release(3, ReleaseStatus::Deployed), Write::Update, second(11)).unwrap();
    assert_eq!(updated.metadata.labels.unwrap()["modifiedAt"], "11");
}

#[test]
fn what_nobody_here_knows_is_kept() {
    let mut secret = encode(&release(1, ReleaseStatus::Deployed), Write::Create, second(10)).unwrap();
    let mut fields = release(1, ReleaseStatus::Deployed).fields().clone();
    fields.insert("field_of_the_future".to_owned(), json!({"a": [1.5, null, "ü"]}));
    fields["info"]["resources"] = json!({"v1/Pod": [1]});
    fields["hooks"][0]["new"] = json!(true);
    let release = Release { fields, labels: [("team".to_owned(), "a".to_owned())].into() };
    secret.data = encode(&release, Write::Create, second(10)).unwrap().data;
    secret.metadata.labels.as_mut().unwrap().insert("team".to_owned(), "a".to_owned());
    let read = decode(&secret).unwrap();
    assert!(read == release);

    let mut changed = read;
    changed.set_status(ReleaseStatus::Failed, "oops");
    changed.set_hook_run(1, &HookRun::started(second(5)).ended(second(6), TestPhase::Succeeded));
    let again = decode(&encode(&changed, Write::Update, second(12)).unwrap()).unwrap();
    assert_eq!(again.status(), ReleaseStatus::Failed);
    assert_eq!(again.description(), "oops");
    assert_eq!(again.fields()["field_of_the_future"], json!({"a": [1.5, null, "ü"]}));
    assert_eq!(again.hooks()[1].last_run.phase, Some(TestPhase::Succeeded));
    assert_eq!(again.labels()["team"], "a");
}

#[test]
fn a_rollback_is_a_new_revision_of_what_was() {
    let mut first = release(1, ReleaseStatus::Superseded);
    first.set_deleted(second(9));
    let current = release(4, ReleaseStatus::Failed);
    let target = first.rolled_back(&current, second(20));
    assert_eq!((target.version(), target.status()), (5, ReleaseStatus::PendingRollback));
    assert_eq!(target.description(), "Rollback to 1");
    assert_eq!(target.last_deployed(), Some(second(20)));
    assert_eq!(target.deleted(), None);
    assert_eq!(target.manifest(), first.manifest());
}

#[rstest]
#[case::no_data(None, RecordError::NoData("s".into()))]
#[case::not_base64(Some("%%%"), RecordError::NotBase64("s".into()))]
#[case::not_json(Some("aGVsbG8="), RecordError::NotARelease("s".into()))]
#[case::not_gzip(Some("H4sIAAAAAAAA"), RecordError::NotGzip("s".into()))]
#[case::no_release(Some("e30="), RecordError::NotARelease("s".into()))]
#[case::no_info(Some("eyJuYW1lIjoid2ViIiwidmVyc2lvbiI6MX0="), RecordError::NotARelease("s".into()))]
fn what_is_no_record_is_refused(#[case] data: Option<&str>, #[case] expected: RecordError) {
    let data = data.map(|data| BTreeMap::from([("release".to_owned(), ByteString(data.into()))]));
    let metadata = ObjectMeta { name: Some("s".to_owned()), ..ObjectMeta::default() };
    let error = decode(&Secret { data, metadata, ..Secret::default() }).err();
    assert_eq!(error, Some(expected));
}

/// Records that were written before Helm compressed them.
#[test]
fn a_record_that_is_not_compressed_is_read() {
    let json = Value::Object(release(2, ReleaseStatus::Deployed).fields().clone()).to_string();
    let data = BTreeMap::from([("release".to_owned(), ByteString(BASE64.encode(json).into_bytes()))]);
    assert_eq!(decode(&Secret { data: Some(data), ..Secret::default() }).unwrap().version(), 2);
}

// Attack 8 (sources): a bomb of gzip in a Secret.
#[test]
fn a_bomb_is_not_unpacked() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..MAX_RECORD / 1024 + 1 {
        gzip.write_all(&[b' '; 1024]).unwrap();
    }
    let data = BASE64.encode(gzip.finish().unwrap()).into_bytes();
    assert!(data.len() < MAX_SECRET / 4, "{} bytes", data.len());
    let data = BTreeMap::from([("release".to_owned(), ByteString(data))]);
    let metadata = ObjectMeta { name: Some("bomb".to_owned()), ..ObjectMeta::default() };
    let error = decode(&Secret { data: Some(data), metadata, ..Secret::default() }).err();
    assert_eq!(error, Some(RecordError::TooLarge("bomb".to_owned())));
}

#[test]
fn a_release_that_no_secret_can_hold_is_refused_with_what_to_do() {
    let mut rendered = rendered();
    // What gzip cannot make smaller: the digits of a sequence without a period.
    let mut state = 1_u64;
    rendered.manifest = (0..2_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + u8::try_from((state >> 58) & 63).unwrap())
        })
        .collect();
    let new = NewRelease {
        name: "web",
        namespace: "shop",
        version: 7,
        status: ReleaseStatus::Deployed,
        description: "",
        first_deployed: second(1),
        at: second(1),
    };
    let error = encode(&Release::new(&new, &rendered, &Map::new()), Write::Create, second(1)).unwrap_err();
    assert!(error.size > MAX_SECRET);
    let message = error.to_string();
    assert!(message.starts_with("the record of Helm release shop/web.v7 takes "), "{message}");
    assert!(message.contains(".helmignore"), "{message}");
}

#[rstest]
#[case::all_are_kept(None, &[])]
#[case::there_is_room(Some(6), &[])]
#[case::one_too_many(Some(5), &[1])]
#[case::never_the_deployed_one(Some(2), &[1, 2, 4, 5])]
#[case::nor_then(Some(1), &[1, 2, 4, 5])]
fn the_oldest_make_room_for_a_new_one(#[case] max_history: Option<usize>, #[case] expected: &[i64]) {
    let records: Vec<Release> = [5, 4, 3, 2, 1]
        .map(|version| {
            release(version, if version == 3 { ReleaseStatus::Deployed } else { ReleaseStatus::Failed })
        })
        .into();
    let pruned: Vec<i64> = to_prune(&records, max_history).into_iter().map(Release::version).collect();
    assert_eq!(pruned, expected);
}

#[test]
fn a_status_that_helm_does_not_have_is_unknown() {
    let mut release = release(1, ReleaseStatus::Deployed);
    release.info_mut().insert("status".to_owned(), "paused".into());
    assert_eq!(release.status(), ReleaseStatus::Unknown);
}
