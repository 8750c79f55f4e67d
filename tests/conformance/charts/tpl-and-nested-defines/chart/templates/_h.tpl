{{ define "a" }}a-{{ template "b" . }}{{ end }}
{{ define "b" }}{{ .Values.x }}{{ end }}
{{ define "twice" }}first{{ end }}