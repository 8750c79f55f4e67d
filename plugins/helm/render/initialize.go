package render

import (
	"errors"
	"fmt"

	"plumbline.dev/plugins/gosdk/treefs"
)

// Initialize renders a small chart that uses a bit of everything and asks the host for nothing.
func Initialize() error {
	result, failed := Render(treefs.Memory{
		"Chart.yaml":                   "apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies: [{name: b, version: '*', condition: b.enabled}]\n",
		"values.yaml":                  "b: {enabled: true}\nlist: [1, 2.5, yes]\n",
		"values.schema.json":           `{"type": "object", "properties": {"list": {"type": "array", "items": {"$ref": "#/$defs/x"}}}, "$defs": {"x": {}}}`,
		"templates/_helpers.tpl":       `{{ define "a.labels" }}app: {{ .Chart.Name | trunc 63 | trimSuffix "-" | quote }}{{ end }}`,
		"templates/a.yaml":             initialTemplate,
		"templates/NOTES.txt":          "{{ .Release.Name }}",
		"charts/b/Chart.yaml":          "apiVersion: v2\nname: b\nversion: 1.0.0\n",
		"charts/b/templates/hook.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, annotations: {helm.sh/hook: test}}\n",
		"crds/a.yaml":                  "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.a}\n",
		".helmignore":                  "*.bak\n",
	}, noHost{}, `{"path": "", "as": "release", "values": {"a": 1}}`)
	switch {
	case len(failed) > 0:
		return errors.Join(asErrors(failed)...)
	case len(result.Objects) != 1:
		return fmt.Errorf("%d objects", len(result.Objects))
	}
	return nil
}

func asErrors(failed []*Error) []error {
	errs := make([]error, len(failed))
	for i, e := range failed {
		errs[i] = e
	}
	return errs
}

const initialTemplate = `
{{- if semverCompare ">=1.20-0" .Capabilities.KubeVersion.Version }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ printf "%s-a" .Release.Name }}
  labels: {{- include "a.labels" . | nindent 4 }}
  annotations: {checksum: {{ toJson .Values | sha256sum }}}
data:
  {{- range $i, $e := .Values.list }}
  e{{ $i }}: {{ tpl "{{ . }}" $e | quote }}
  {{- end }}
  t: {{ dict "a" (list 1 2) | toYaml | b64enc | quote }}
  r: {{ regexReplaceAll "a+" "aa" "b" | default "c" }}
{{- end }}
`
