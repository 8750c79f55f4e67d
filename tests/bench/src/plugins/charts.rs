//! Renders of Helm charts, beside Helm itself: the same library natively, in a process that stays and in one that is started for each render.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use plumb_conformance::HelmOracle;
use plumb_plugin::{Call, World};
use plumb_tree::{Directory, View};
use serde_json::json;

use super::{RUNS, host, timed};
use crate::report::{Each, plugin as print, say};

/// How many templates a chart has.
const SIZES: [usize; 3] = [5, 40, 200];

/// How often a process is started.
const STARTS: usize = 10;

/// Measures renders of a whole release, as the controller asks for it, from the files of a directory.
pub(super) fn measure(plugins: &Path, cache: &Path) -> anyhow::Result<()> {
    let helm = host(cache)?.load_file("helm", &plugins.join("helm.wasm"), World::Renderer)?;
    let oracle = HelmOracle::build(cache)?;
    for templates in SIZES {
        let folder = tempfile::tempdir()?;
        let case = folder.path().join("case");
        write(&case, templates)?;
        let (call, tree) = (Call::default(), Arc::new(Directory::open(&case)?));
        let render = || -> anyhow::Result<()> {
            let view = Arc::new(View::new(Arc::clone(&tree) as _, 1 << 20));
            let rendered = helm.render(view, &json!({"path": "chart", "as": "release"}), &call)?;
            let objects = rendered.first().and_then(|release| release.pointer("/objects")?.as_array());
            let count = objects.map_or(0, Vec::len);
            ensure!(count == templates, "{count} objects were rendered");
            Ok(())
        };
        let start = || -> anyhow::Result<()> {
            let rendered = oracle.render(folder.path())?;
            ensure!(rendered.len() == 1, "{} charts were rendered", rendered.len());
            Ok(())
        };
        let phase = format!("chart-{templates}");
        let own = timed(RUNS, render)?;
        let native = Each::of(&oracle.time(&case, RUNS)?);
        print(&phase, "plumbline", &own)?;
        print(&phase, "helm", &native)?;
        print(&phase, "helm-process", &timed(STARTS, start)?)?;
        say(&format!("{phase}: {:.1} times as long as natively", own.p50_seconds / native.p50_seconds));
    }
    Ok(())
}

/// A chart as charts are: labels from a helper, values with defaults, conditions, a checksum.
fn write(root: &Path, templates: usize) -> anyhow::Result<()> {
    let folder = root.join("chart/templates");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(root.join("chart/Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.0.0\n")?;
    std::fs::write(root.join("chart/values.yaml"), VALUES)?;
    std::fs::write(folder.join("_helpers.tpl"), HELPERS)?;
    for at in 0..templates {
        std::fs::write(folder.join(format!("app-{at}.yaml")), TEMPLATE.replace("NUMBER", &at.to_string()))?;
    }
    Ok(())
}

const VALUES: &str = "replicas: 2\nimage: {repository: registry.example/web, tag: v1}\nenv: {LOG: info, REGION: eu}\nresources: {limits: {memory: 128Mi}}\n";

const HELPERS: &str = r#"{{- define "web.name" -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{- end }}
{{- define "web.labels" -}}
app.kubernetes.io/name: {{ include "web.name" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | default .Chart.Version | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
"#;

const TEMPLATE: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "web.name" . }}-NUMBER
  labels: {{- include "web.labels" . | nindent 4 }}
  annotations:
    checksum: {{ toYaml .Values | sha256sum }}
spec:
  replicas: {{ .Values.replicas | default 1 }}
  selector: {matchLabels: {app: {{ include "web.name" . }}-NUMBER}}
  template:
    metadata: {labels: {app: {{ include "web.name" . }}-NUMBER}}
    spec:
      containers:
      - name: web
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
        {{- if .Values.env }}
        env:
        {{- range $name, $value := .Values.env }}
        - name: {{ $name }}
          value: {{ tpl $value $ | quote }}
        {{- end }}
        {{- end }}
        resources: {{- toYaml .Values.resources | nindent 10 }}
"#;
