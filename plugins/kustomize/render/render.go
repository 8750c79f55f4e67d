// Package render turns a directory of a tree into Kubernetes objects with upstream kustomize, as Flux does.
//
// It is the plugin without the plugin: it runs just as well over a directory of the local disk.
package render

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plugins/gosdk/failure"
	"plumbline.dev/plugins/gosdk/treefs"
	"plumbline.dev/plugins/kustomize/fsys"
)

// Result is what a directory renders to.
type Result struct {
	// Objects are the objects, each as the text of a JSON object, in kustomize's order.
	Objects []string
	// Warnings are what the author of the files should change, though it works.
	Warnings []string
}

// Render renders the directory that the parameters, a JSON object, name.
//
// kustomize keeps the OpenAPI schema of Kubernetes in one global place, and a kustomization can add to it. Whoever renders
// more than once in a process calls [Reset] in between, and never renders twice at the same time.
func Render(tree treefs.Tree, parameters string) (Result, []*Error) {
	p, err := parseParameters(parameters)
	if err != nil {
		return Result{}, []*Error{{Kind: InvalidInput, Message: err.Error()}}
	}
	r := renderer{fs: fsys.New(tree), dir: treefs.Clean(p.Path)}
	if failed := r.checkDirectory(p.Path); failed != nil {
		return Result{}, []*Error{failed}
	}
	if errs := r.prepare(p.Overlay); len(errs) > 0 {
		return Result{}, errs
	}
	if errs := r.refuse(); len(errs) > 0 {
		return Result{}, errs
	}
	objects, err := r.build()
	if err != nil {
		return Result{}, []*Error{r.locate(err)}
	}
	return Result{Objects: objects, Warnings: r.warnings}, nil
}

// Reset forgets what an earlier kustomization added to the OpenAPI schema, and loads the schema of Kubernetes itself.
func Reset() {
	openapi.ResetOpenAPI()
	_ = openapi.Schema()
}

// renderer is one call of [Render].
type renderer struct {
	fs *fsys.FS
	// dir is the directory that is rendered, from the root of the tree.
	dir      string
	warnings []string
}

// root is the directory as kustomize's file system names it.
func (r *renderer) root() string { return path.Join("/", r.dir) }

func (r *renderer) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// checkDirectory answers for the one path that does not come from a file but from the object that is reconciled.
func (r *renderer) checkDirectory(asked string) *Error {
	node, err := r.fs.Stat(r.root())
	switch {
	case err != nil:
		return &Error{
			Kind:    failure.KindOf(err),
			Message: fmt.Sprintf("kustomization path not found: %q: %v", asked, err),
			Hint:    "Set path to a directory of this revision of the source.",
		}
	case node.Kind != treefs.Directory:
		return &Error{
			Kind:    InvalidInput,
			Message: fmt.Sprintf("the path %q is not a directory", asked),
			Hint:    "Set path to the directory that the file is in.",
		}
	}
	r.dir = node.Resolved
	return nil
}

// build runs kustomize. It can panic on objects that it did not expect; that must not take the plugin down.
func (r *renderer) build() (objects []string, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("recovered from kustomize build panic: %v", panicked)
		}
	}()
	resources, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(r.fs, r.root())
	if err != nil {
		return nil, err
	}
	return r.encode(resources)
}

// encode writes the resources as Flux reads them: as YAML first, and that as JSON.
func (r *renderer) encode(resources resmap.ResMap) ([]string, error) {
	objects := make([]string, 0, resources.Size())
	for _, rendered := range resources.Resources() {
		expanded, err := encodeOne(rendered)
		if err != nil {
			return nil, &objectError{object: rendered.CurId().String(), err: err}
		}
		for _, object := range expanded {
			if id := identify(object); id.isKubernetesObject() && !id.isKustomization() {
				objects = append(objects, string(object))
			} else {
				r.warn("%s is left out: it is not a Kubernetes object that can be applied", rendered.CurId())
			}
		}
	}
	return objects, nil
}

func encodeOne(object *resource.Resource) ([]json.RawMessage, error) {
	document, err := object.AsYAML()
	if err != nil {
		return nil, err
	}
	text, err := yaml.YAMLToJSON(document)
	if err != nil {
		return nil, err
	}
	return expand(text)
}

// objectError is an object that kustomize accepted but that cannot be written out. Which file it came from is no longer known.
type objectError struct {
	object string
	err    error
}

func (e *objectError) Error() string { return e.err.Error() }
func (e *objectError) Unwrap() error { return e.err }

// expand returns the items of a list, and anything else as it is. For Flux, and for kubectl, a list is what has `items`.
func expand(object []byte) ([]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	items := fields["items"]
	if len(items) == 0 || items[0] != '[' {
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
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
}

func identify(object []byte) (id identity) {
	// What is not a Kubernetes object leaves a field empty.
	_ = json.Unmarshal(object, &id)
	return id
}

func (id identity) isKubernetesObject() bool {
	return id.APIVersion != "" && id.Kind != "" && id.Metadata.Name != ""
}

func (id identity) isKustomization() bool {
	return strings.EqualFold(id.Kind, types.KustomizationKind) &&
		path.Dir(id.APIVersion) == path.Dir(types.KustomizationVersion)
}
