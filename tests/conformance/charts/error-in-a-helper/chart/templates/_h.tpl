{{ define "h" }}
{{ include "i" . }}{{ end }}
{{ define "i" }}{{ .Values.a.b.c }}{{ end }}
