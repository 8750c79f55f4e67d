package render

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"plumbline.dev/plugins/gosdk/treefs"
)

// refuse finds what kustomize would need the network or a program for, in this kustomization and all that it is made
// of, so that it is reported as such, all of it at once, and never tried.
func (r *renderer) refuse() []*Error {
	w := refusal{renderer: r, seen: map[string]bool{}}
	w.visit(r.root())
	return w.errors
}

type refusal struct {
	*renderer
	seen   map[string]bool
	errors []*Error
}

// visit looks at the kustomization in a directory, if there is one: kustomize itself reports what is wrong with it otherwise.
func (w *refusal) visit(dir string) {
	if w.seen[dir] {
		return
	}
	w.seen[dir] = true
	file, exists := w.kustomizationFile(dir)
	if !exists {
		return
	}
	data, err := w.fs.ReadFile(file)
	if err != nil {
		return
	}
	document, err := yaml.Parse(string(data))
	if err != nil {
		return
	}
	k := kustomization{refusal: w, dir: dir, file: treefs.Clean(file)}
	for _, field := range fieldsOf(document.YNode()) {
		k.look(field)
	}
}

type kustomization struct {
	*refusal
	dir, file string
}

type field struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

func fieldsOf(n *yaml.Node) (fields []field) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		fields = append(fields, field{n.Content[i].Value, n.Content[i], n.Content[i+1]})
	}
	return fields
}

func itemsOf(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func (k kustomization) look(f field) {
	switch f.name {
	case "resources", "bases", "components", "generators", "transformers", "validators":
		for _, item := range itemsOf(f.value) {
			k.kustomizationOrFile(item)
		}
	case "crds", "configurations", "patchesStrategicMerge":
		for _, item := range itemsOf(f.value) {
			k.fileOnly(item, item.Value)
		}
	case "patches", "patchesJson6902", "replacements":
		for _, item := range itemsOf(f.value) {
			k.pathOf(item)
		}
	case "openapi":
		k.pathOf(f.value)
	case "configMapGenerator", "secretGenerator":
		for _, item := range itemsOf(f.value) {
			k.generator(item)
		}
	case "helmCharts", "helmChartInflationGenerator":
		if len(itemsOf(f.value)) > 0 {
			k.add(Unsupported, f.key, fmt.Sprintf("the field %s is not supported: it runs the program helm", f.name),
				"Commit the output of `helm template` and list it in resources.")
		}
	}
}

func (k kustomization) kustomizationOrFile(item *yaml.Node) {
	switch {
	case item.Kind != yaml.ScalarNode || strings.Contains(item.Value, "\n"):
	case isRemote(item.Value):
		k.add(Denied, item, fmt.Sprintf("remote resources are not allowed: %s", item.Value),
			"Copy the files into this repository and name them by a relative path, "+
				"or make the other repository a source of its own.")
	default:
		if dir := path.Join(k.dir, item.Value); !path.IsAbs(item.Value) && k.fs.IsDir(dir) {
			if node, err := k.fs.Stat(dir); err == nil {
				k.visit("/" + node.Resolved)
			}
		}
	}
}

func (k kustomization) pathOf(item *yaml.Node) {
	for _, f := range fieldsOf(item) {
		if f.name == "path" {
			k.fileOnly(f.value, f.value.Value)
		}
	}
}

func (k kustomization) generator(item *yaml.Node) {
	for _, f := range fieldsOf(item) {
		switch f.name {
		case "env":
			k.fileOnly(f.value, f.value.Value)
		case "envs", "files":
			for _, source := range itemsOf(f.value) {
				_, file, named := strings.Cut(source.Value, "=")
				if !named {
					file = source.Value
				}
				k.fileOnly(source, file)
			}
		}
	}
}

// fileOnly is for what is loaded as a file and never as a kustomization: kustomize would fetch http and https only.
func (k kustomization) fileOnly(item *yaml.Node, file string) {
	lower := strings.ToLower(file)
	if strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://") {
		k.add(Denied, item, fmt.Sprintf("remote files are not allowed: %s", file),
			"Copy the file into this repository and name it by a relative path.")
	}
}

func (k kustomization) add(kind Kind, at *yaml.Node, message, hint string) {
	e := &Error{Kind: kind, Message: message, File: k.file, Line: at.Line, Hint: hint}
	if k.fs.Replaced(k.file) {
		// What kustomize reads is not what the repository holds: the lines differ.
		e.Line = k.lineOf(k.file, at.Value)
	}
	k.errors = append(k.errors, e)
}

// remotePrefixes are what kustomize takes for a repository or an address, whatever the tree holds.
var remotePrefixes = []string{
	"git::", "gh:", "ssh://", "https://", "http://", "file://", "git@", "github.com:", "github.com/",
}

// scpLike is `user@host:path`.
var scpLike = regexp.MustCompile(`^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:`)

func isRemote(p string) bool {
	lower := strings.ToLower(p)
	for _, prefix := range remotePrefixes {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return scpLike.MatchString(p)
}
