package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/yaml"
)

// decoded is the objects of what was rendered, each as JSON.
type decoded struct {
	crds      []crd
	manifests []manifest
	hooks     []hook
}

// crd is a file of crds/.
type crd struct {
	// Name is that of the file in its chart, Source with the charts that it is in.
	Name     string            `json:"name"`
	Source   string            `json:"source"`
	Manifest string            `json:"manifest"`
	Objects  []json.RawMessage `json:"objects"`
}

// manifest is an object that is no hook.
type manifest struct {
	Source string          `json:"source"`
	Object json.RawMessage `json:"object"`
}

// hook is a hook, in the words of a release record, and its object.
type hook struct {
	Name              string          `json:"name"`
	Kind              string          `json:"kind"`
	Path              string          `json:"path"`
	Manifest          string          `json:"manifest"`
	Events            []string        `json:"events"`
	Weight            int             `json:"weight"`
	DeletePolicies    []string        `json:"deletePolicies"`
	OutputLogPolicies []string        `json:"outputLogPolicies"`
	Object            json.RawMessage `json:"object"`
}

func (d decoded) texts() []string {
	texts := []string{}
	for _, crd := range d.crds {
		for _, object := range crd.Objects {
			texts = append(texts, string(object))
		}
	}
	for _, manifest := range d.manifests {
		texts = append(texts, string(manifest.Object))
	}
	for _, hook := range d.hooks {
		texts = append(texts, string(hook.Object))
	}
	return texts
}

// decode reads everything that was rendered. It returns every document that is no object.
func (r *renderer) decode(helm rendered) (out decoded, failed []*Error) {
	out = decoded{crds: []crd{}, manifests: []manifest{}, hooks: []hook{}}
	isRelease := r.As == RenderedRelease
	if isRelease || r.IncludeCRDs {
		for _, file := range r.chart.CRDObjects() {
			decoded, errs := r.decodeCRDs(file.Name, file.Filename, string(file.File.Data))
			out.crds = append(out.crds, decoded)
			failed = append(failed, errs...)
		}
	}
	for _, m := range helm.manifests {
		objects, err := r.objectsOf(m.Name, m.Content)
		if err != nil {
			failed = append(failed, err)
		}
		for _, object := range objects {
			out.manifests = append(out.manifests, manifest{Source: m.Name, Object: object})
		}
	}
	for _, h := range helm.hooks {
		if !isRelease && (!r.Hooks || !r.Tests && slices.Contains(h.Events, release.HookTest)) {
			continue
		}
		objects, err := r.objectsOf(h.Path, h.Manifest)
		if err != nil {
			failed = append(failed, err)
		}
		for _, object := range objects {
			out.hooks = append(out.hooks, newHook(h, object))
		}
	}
	return out, failed
}

func newHook(h *release.Hook, object json.RawMessage) hook {
	return hook{
		Name: h.Name, Kind: h.Kind, Path: h.Path, Manifest: h.Manifest, Weight: h.Weight, Object: object,
		Events: texts(h.Events), DeletePolicies: texts(h.DeletePolicies), OutputLogPolicies: texts(h.OutputLogPolicies),
	}
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = string(value)
	}
	return out
}

// decodeCRDs reads a file of crds/. Helm applies whatever is in there once and never again; so nothing but definitions may be in it.
func (r *renderer) decodeCRDs(name, source, text string) (crd, []*Error) {
	out := crd{Name: name, Source: source, Manifest: text, Objects: []json.RawMessage{}}
	var failed []*Error
	documents := releaseutil.SplitManifests(text)
	keys := make([]string, 0, len(documents))
	for key := range documents {
		keys = append(keys, key)
	}
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	for _, key := range keys {
		objects, err := r.objectsOf(source, documents[key])
		if err != nil {
			failed = append(failed, err)
			continue
		}
		for _, object := range objects {
			if id := identify(object); id.Kind != "CustomResourceDefinition" {
				failed = append(failed, &Error{
					File:    r.chart.templateFile(source),
					Message: fmt.Sprintf("%s has a %s %q; a file of crds/ may have nothing but CustomResourceDefinitions", source, id.Kind, id.Metadata.Name),
					Hint:    "Move it to templates/.",
				})
				continue
			}
			out.Objects = append(out.Objects, object)
		}
	}
	return out, failed
}

// objectsOf is the objects of one document: none if it is empty, and the items of a list, as kubectl takes them.
func (r *renderer) objectsOf(source, document string) ([]json.RawMessage, *Error) {
	wrong := func(format string, args ...any) *Error {
		return &Error{File: r.chart.templateFile(source), Message: fmt.Sprintf(format, args...)}
	}
	text, err := yaml.YAMLToJSON([]byte(document))
	if err != nil {
		return nil, wrong("%s does not become YAML: %s", source, conceal(err.Error()))
	}
	if bytes.Equal(text, []byte("null")) {
		return nil, nil
	}
	if text[0] != '{' {
		return nil, wrong("a document of %s is no object of Kubernetes, but a list or a single value", source)
	}
	objects, err := expand(text)
	if err != nil {
		return nil, wrong("%s: %v", source, err)
	}
	for _, object := range objects {
		id := identify(object)
		for _, field := range []struct{ name, value string }{
			{"apiVersion", id.APIVersion}, {"kind", id.Kind}, {"metadata.name", id.Metadata.Name},
		} {
			if field.value == "" {
				e := wrong("an object of %s has no %s, or it is no text (%s)", source, field.name, id)
				e.Hint = "What is rendered has to have apiVersion, kind and metadata.name."
				return nil, e
			}
		}
	}
	return objects, nil
}

// expand returns the items of a list, and anything else as it is.
func expand(object []byte) ([]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	items := fields["items"]
	if len(items) == 0 || items[0] != '[' || !strings.HasSuffix(identify(object).Kind, "List") {
		return []json.RawMessage{object}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(items, &list); err != nil {
		return nil, err
	}
	return list, nil
}

// identity is what makes JSON a Kubernetes object.
type identity struct {
	APIVersion string
	Kind       string
	Metadata   struct{ Name string }
}

func identify(object []byte) (id identity) {
	var fields struct {
		APIVersion any `json:"apiVersion"`
		Kind       any `json:"kind"`
		Metadata   any `json:"metadata"`
	}
	// What is not a Kubernetes object leaves a field empty.
	_ = json.Unmarshal(object, &fields)
	id.APIVersion, _ = fields.APIVersion.(string)
	id.Kind, _ = fields.Kind.(string)
	metadata, _ := fields.Metadata.(map[string]any)
	id.Metadata.Name, _ = metadata["name"].(string)
	return id
}

func (id identity) String() string {
	return fmt.Sprintf("apiVersion %q, kind %q, name %q", id.APIVersion, id.Kind, id.Metadata.Name)
}
