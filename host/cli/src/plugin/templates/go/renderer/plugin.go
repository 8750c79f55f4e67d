// Package plugin makes a ConfigMap of the files in a directory.
package plugin

import (
	"strings"

	"NAME/plumbline"
)

// parameters are what a step says under `with:`.
type parameters struct {
	// Path is the directory to render, which the host adds where the step says none.
	Path string `json:"path"`
	Name string `json:"name"`
}

// Render turns files into objects, or returns every mistake that it found.
func Render(tree plumbline.Tree, text string) ([]plumbline.Object, []plumbline.Error) {
	var p parameters
	if errs := plumbline.Parameters(text, &p); errs != nil {
		return nil, errs
	}
	entries, err := tree.List(p.Path)
	if err != nil {
		return nil, []plumbline.Error{*err}
	}
	data := map[string]any{}
	for _, entry := range entries {
		if entry.IsDirectory {
			continue
		}
		content, err := tree.Read(strings.TrimPrefix(p.Path+"/"+entry.Name, "/"))
		if err != nil {
			return nil, []plumbline.Error{*err}
		}
		data[entry.Name] = string(content)
	}
	return []plumbline.Object{{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata":   map[string]any{"name": p.Name},
		"data":       data,
	}}, nil
}
