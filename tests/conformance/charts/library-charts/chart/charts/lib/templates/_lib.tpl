{{- define "lib.labels" -}}
app: {{ .Chart.Name }}
v: {{ .Values.v }}
{{- end -}}
