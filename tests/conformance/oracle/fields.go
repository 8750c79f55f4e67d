package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// used is a line of `oracle used`.
type used struct {
	Case   string   `json:"case"`
	Fields []string `json:"fields"`
}

// builtinField is how a builtin plugin is written among the fields.
func builtinField(kind string) string { return "builtin:" + kind }

// knownFields are the dotted JSON paths of every field that a kustomization can have, for example `patches.target.kind`, and
// the kinds of the builtin plugins. Lists are left out of the paths, and what is in a map is up to the user.
func knownFields() []string {
	fields := map[string]bool{}
	addFields(fields, "", reflect.TypeFor[types.Kustomization]())
	for _, kind := range krusty.GetBuiltinPluginNames() {
		fields[builtinField(kind)] = true
	}
	return sorted(fields)
}

func addFields(fields map[string]bool, prefix string, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for field := range fieldsOf(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case name == "" && field.Anonymous:
			addFields(fields, prefix, field.Type)
		case name == "":
			addField(fields, prefix+field.Name, field.Type)
		default:
			addField(fields, prefix+name, field.Type)
		}
	}
}

func addField(fields map[string]bool, path string, t reflect.Type) {
	fields[path] = true
	addFields(fields, path+".", t)
}

func fieldsOf(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// usedFields are the paths, as knownFields has them, of what the kustomizations of a case hold, and the builtin plugins
// that the YAML files of a case configure.
func usedFields(name, root string) (used, error) {
	fields := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if slices.Contains(konfig.RecognizedKustomizationFileNames(), entry.Name()) {
			var kustomization any
			// One that cannot be read is there to show an error, and uses nothing.
			if yaml.Unmarshal(text, &kustomization) == nil {
				addUsed(fields, "", kustomization)
			}
		}
		addPlugins(fields, string(text))
		return nil
	})
	return used{Case: name, Fields: sorted(fields)}, err
}

func addUsed(fields map[string]bool, prefix string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			fields[prefix+name] = true
			addUsed(fields, prefix+name+".", inner)
		}
	case []any:
		for _, inner := range value {
			addUsed(fields, prefix, inner)
		}
	}
}

// addPlugins finds the kinds of documents of apiVersion `builtin`, whether they fill a file or are written inline.
func addPlugins(fields map[string]bool, text string) {
	for _, line := range strings.Split(text, "apiVersion: "+konfig.BuiltinPluginApiVersion+"\n")[1:] {
		if kind, found := strings.CutPrefix(strings.TrimSpace(strings.SplitN(line, "\n", 2)[0]), "kind: "); found {
			fields[builtinField(kind)] = true
		}
	}
}

func sorted(set map[string]bool) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
