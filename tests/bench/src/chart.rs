//! The chart that is released, and the Helm repository that has it. Its objects are those of an application of the [workload](crate::workload).

use axum::Router;
use axum::body::Bytes;
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::workload::{HISTORY, name};

/// The name of the HelmRepository.
pub(crate) const REPOSITORY: &str = "charts";
const CHART: &str = "app";
const VERSION: &str = "1.0.0";

/// Serves the index of a Helm repository, and the one chart in it.
pub(crate) struct Server {
    origin: String,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    /// Packages the chart and serves it on loopback.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let archive = format!("{CHART}-{VERSION}.tgz");
        let entry = json!({"apiVersion": "v2", "name": CHART, "version": VERSION, "urls": [archive]});
        let index = json!({"apiVersion": "v1", "entries": {CHART: [entry]}}).to_string();
        let router = Router::new()
            .route("/index.yaml", answer(index.into()))
            .route(&format!("/{archive}"), answer(package()?.into()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            // It ends with this value only.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { origin, _task: AbortOnDropHandle::new(task) })
    }

    /// The URL of the repository.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }
}

fn answer(bytes: Bytes) -> MethodRouter {
    get(move || async move { bytes })
}

/// The archive, as `helm package` makes it.
fn package() -> anyhow::Result<Vec<u8>> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(gz);
    for (path, text) in FILES {
        let text = text.replace("HISTORY", &HISTORY.to_string());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{CHART}/{path}"), text.as_bytes())?;
    }
    Ok(archive.into_inner()?.finish()?)
}

/// The HelmRepository. Its interval is longer than any run.
pub(crate) fn repository(namespace: &str, url: &str) -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository",
        "metadata": {"name": REPOSITORY, "namespace": namespace},
        "spec": {"interval": "10h", "url": url},
    })
}

/// The HelmRelease of an application. What others change in its objects is found and put back.
pub(crate) fn release(namespace: &str, app: u32) -> Value {
    let source = json!({"kind": "HelmRepository", "name": REPOSITORY});
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": name(app), "namespace": namespace},
        "spec": {
            "interval": "10h", "timeout": "10m", "driftDetection": {"mode": "enabled"},
            "chart": {"spec": {"chart": CHART, "version": VERSION, "interval": "10h", "sourceRef": source}},
            "values": {"fullnameOverride": name(app), "image": {"tag": "v1"}},
        },
    })
}

/// As `helm create` writes a chart, with a Deployment without replicas and a Service without an address of its own.
const FILES: [(&str, &str); 7] = [
    (
        "Chart.yaml",
        "apiVersion: v2\nname: app\ndescription: An application\ntype: application\nversion: 1.0.0\nappVersion: \"1\"\n",
    ),
    ("values.yaml", VALUES),
    ("templates/_helpers.tpl", HELPERS),
    ("templates/deployment.yaml", DEPLOYMENT),
    ("templates/serviceaccount.yaml", SERVICE_ACCOUNT),
    ("templates/service.yaml", SERVICE),
    ("templates/ingress.yaml", INGRESS),
];

const VALUES: &str = r#"replicaCount: 0
image: {repository: registry.example.com/app, tag: "", pullPolicy: IfNotPresent}
nameOverride: ""
fullnameOverride: ""
serviceAccount: {create: true, annotations: {}}
podAnnotations: {}
service: {port: 80}
ingress: {enabled: true, host: ""}
resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
nodeSelector: {}
tolerations: []
"#;

const HELPERS: &str = r#"{{- define "app.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "app.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "app.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "app.selectorLabels" -}}
app.kubernetes.io/name: {{ include "app.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "app.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "app.selectorLabels" . }}
{{- if .Chart.AppVersion }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
"#;

const DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "app.fullname" . }}
  labels:
    {{- include "app.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicaCount }}
  revisionHistoryLimit: HISTORY
  selector:
    matchLabels:
      {{- include "app.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      {{- with .Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      labels:
        {{- include "app.selectorLabels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ include "app.fullname" . }}
      containers:
        - name: {{ .Chart.Name }}
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          ports:
            - name: http
              containerPort: 8080
              protocol: TCP
          readinessProbe:
            httpGet:
              path: /healthz
              port: http
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
      {{- with .Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
"#;

const SERVICE_ACCOUNT: &str = r#"{{- if .Values.serviceAccount.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "app.fullname" . }}
  labels:
    {{- include "app.labels" . | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
"#;

const SERVICE: &str = r#"apiVersion: v1
kind: Service
metadata:
  name: {{ include "app.fullname" . }}
  labels:
    {{- include "app.labels" . | nindent 4 }}
spec:
  clusterIP: None
  ports:
    - port: {{ .Values.service.port }}
      targetPort: http
      protocol: TCP
      name: http
  selector:
    {{- include "app.selectorLabels" . | nindent 4 }}
"#;

const INGRESS: &str = r#"{{- if .Values.ingress.enabled -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ include "app.fullname" . }}
  labels:
    {{- include "app.labels" . | nindent 4 }}
spec:
  rules:
    - host: {{ .Values.ingress.host | default (printf "%s.example.com" (include "app.fullname" .)) | quote }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{ include "app.fullname" . }}
                port:
                  name: http
{{- end }}
"#;
