package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// rendered is a line of `oracle render`.
type rendered struct {
	Case string `json:"case"`
	// Which directory of the case was built, from the case's root.
	Path string `json:"path"`
	// What `kustomize build` prints.
	YAML string `json:"yaml"`
	// The same documents, each as the text of a JSON object.
	Objects []string `json:"objects"`
	// What `kustomize build` says instead.
	Error *string `json:"error"`
}

// marker is the file `case.json`: what to build when it is not the case's root.
type marker struct {
	Path string `json:"path"`
}

func renderCase(name, root string) (rendered, error) {
	line := rendered{Case: name, Objects: []string{}}
	var err error
	if line.Path, err = builtPath(root); err != nil {
		return line, err
	}
	text, objects, err := build(filepath.Join(root, line.Path))
	if err != nil {
		message := fromRoot(root, err.Error())
		line.Error = &message
		return line, nil
	}
	line.YAML, line.Objects = text, objects
	return line, nil
}

func builtPath(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "case.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var m marker
	if err := json.Unmarshal(text, &m); err != nil {
		return "", fmt.Errorf("case.json: %w", err)
	}
	return m.Path, nil
}

// build is what Flux's kustomize-controller does: files may lie anywhere below the root, only builtin plugins run, and
// the order is that of the kustomization unless it has `sortOptions`. It returns the YAML, and its documents as JSON.
func build(path string) (string, []string, error) {
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		return "", nil, err
	}
	text, err := resources.AsYaml()
	if err != nil {
		return "", nil, err
	}
	objects := make([]string, 0, resources.Size())
	for _, resource := range resources.Resources() {
		document, err := resource.AsYAML()
		if err != nil {
			return "", nil, err
		}
		object, err := yaml.YAMLToJSON(document)
		if err != nil {
			return "", nil, err
		}
		objects = append(objects, string(object))
	}
	return string(text), objects, nil
}

// fromRoot makes the paths in a message start at the case's root. It is the one thing in which the two must differ: on the
// real disk kustomize names a file `/home/…/cases/NAME/base/a.yaml`, and a plugin, whose disk is the tree, `/base/a.yaml`.
func fromRoot(root, message string) string {
	return strings.ReplaceAll(strings.ReplaceAll(message, root+"/", "/"), root, "/")
}
