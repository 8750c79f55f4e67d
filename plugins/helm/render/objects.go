package render

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	release "helm.sh/helm/v4/pkg/release/v1"
)

// decoded is the objects of what was rendered, each as it is in JSON.
type decoded struct {
	crds      []crd
	manifests []manifest
	hooks     []hook
}

// crd is a file of crds/.
type crd struct {
	// Name is that of the file in its chart, Source with the charts that it is in.
	Name     string `json:"name"`
	Source   string `json:"source"`
	Manifest string `json:"manifest"`
	Objects  []any  `json:"objects"`
}

// manifest is an object that is no hook.
type manifest struct {
	Source string `json:"source"`
	Object any    `json:"object"`
}

// hook is a hook, in the words of a release record, and its object.
type hook struct {
	Name              string   `json:"name"`
	Kind              string   `json:"kind"`
	Path              string   `json:"path"`
	Manifest          string   `json:"manifest"`
	Events            []string `json:"events"`
	Weight            int      `json:"weight"`
	DeletePolicies    []string `json:"deletePolicies"`
	OutputLogPolicies []string `json:"outputLogPolicies"`
	Object            any      `json:"object"`
}

// texts are all objects, each as JSON.
func (d decoded) texts() ([]string, error) {
	var objects []any
	for _, crd := range d.crds {
		objects = append(objects, crd.Objects...)
	}
	for _, manifest := range d.manifests {
		objects = append(objects, manifest.Object)
	}
	for _, hook := range d.hooks {
		objects = append(objects, hook.Object)
	}
	texts := make([]string, len(objects))
	for i, object := range objects {
		text, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		texts[i] = string(text)
	}
	return texts, nil
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

func newHook(h *release.Hook, object any) hook {
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

// decodeCRDs reads a file of crds/. What is no definition is left out with a warning, as Flux does: Helm creates it once, and neither updates nor
// deletes it.
func (r *renderer) decodeCRDs(name, source, text string) (crd, []*Error) {
	out := crd{Name: name, Source: source, Manifest: text, Objects: []any{}}
	var failed []*Error
	for _, document := range split(text) {
		objects, err := r.objectsOf(source, document)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		for _, object := range objects {
			if id := identify(object); !id.isDefinition() {
				r.warnings.add(fmt.Sprintf("the %s %q of %s is left out: crds/ is for CustomResourceDefinitions; it belongs to templates/", id.kind, id.name, source))
				continue
			}
			out.Objects = append(out.Objects, object)
		}
	}
	return out, failed
}

// objectsOf is the objects of one document: none if it is empty, and the items of a list, as kubectl takes them.
func (r *renderer) objectsOf(source, document string) ([]any, *Error) {
	wrong := func(format string, args ...any) *Error {
		return &Error{File: r.chart.templateFile(source), Message: fmt.Sprintf(format, args...)}
	}
	value, err := r.documents.value(document)
	if err != nil {
		return nil, wrong("%s does not become YAML: %s", source, conceal(err.Error()))
	}
	if value == nil {
		return nil, nil
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, wrong("a document of %s is no object of Kubernetes, but a list or a single value", source)
	}
	objects := expand(object)
	for _, object := range objects {
		id := identify(object)
		for _, field := range []struct{ name, value string }{
			{"apiVersion", id.apiVersion}, {"kind", id.kind}, {"metadata.name", id.name},
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
func expand(object map[string]any) []any {
	items, ok := object["items"].([]any)
	if !ok || !strings.HasSuffix(identify(object).kind, "List") {
		return []any{object}
	}
	return items
}

// identity is what makes JSON a Kubernetes object. What is not text is empty.
type identity struct{ apiVersion, kind, name string }

func identify(value any) (id identity) {
	object, _ := value.(map[string]any)
	id.apiVersion, _ = object["apiVersion"].(string)
	id.kind, _ = object["kind"].(string)
	metadata, _ := object["metadata"].(map[string]any)
	id.name, _ = metadata["name"].(string)
	return id
}

func (id identity) isDefinition() bool {
	return id.kind == "CustomResourceDefinition" && strings.HasPrefix(id.apiVersion, "apiextensions.k8s.io/")
}

func (id identity) String() string {
	return fmt.Sprintf("apiVersion %q, kind %q, name %q", id.apiVersion, id.kind, id.name)
}
