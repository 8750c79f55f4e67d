package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/pkg/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/yaml"
)

// substitution is a case of the file of substitutions.
type substitution struct {
	Name      string            `json:"name"`
	Objects   string            `json:"objects"`
	Variables map[string]string `json:"variables"`
	// Not for the oracle.
	OwnWords string `json:"own_words"`
}

// substituted is a line of `oracle substitute`.
type substituted struct {
	Case string `json:"case"`
	// The objects before, each as the text of a JSON object.
	Given []string `json:"given"`
	// The objects with the variables put in.
	Objects []string `json:"objects"`
	// What Flux says instead.
	Error *string `json:"error"`
}

// substituteFile does for each case of a file what Flux does after the build.
func substituteFile(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var cases []substitution
	if err := yaml.UnmarshalStrict(text, &cases); err != nil {
		return err
	}
	lines := json.NewEncoder(os.Stdout)
	lines.SetEscapeHTML(false)
	for _, c := range cases {
		line := substituted{Case: c.Name, Objects: []string{}}
		resources, err := resmap.NewFactory(provider.NewDefaultDepProvider().GetResourceFactory()).NewResMapFromBytes([]byte(c.Objects))
		if err == nil {
			line.Given, err = texts(resources)
		}
		if err != nil {
			return fmt.Errorf("case %s: %w", c.Name, err)
		}
		if line.Objects, err = substitute(resources, c.Variables); err != nil {
			message := err.Error()
			line.Objects, line.Error = []string{}, &message
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// substitute is what kustomize-controller does with what kustomize has built, with `substituteStrategy: Always`.
func substitute(resources resmap.ResMap, variables map[string]string) (objects []string, err error) {
	defer func() {
		// A negative length makes it slice out of range; the controller recovers from that.
		if problem := recover(); problem != nil {
			err = fmt.Errorf("panic: %v", problem)
		}
	}()
	inline := map[string]any{}
	for name, value := range variables {
		inline[name] = value
	}
	owner := unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"postBuild": map[string]any{"substitute": inline}},
	}}
	for _, resource := range resources.Resources() {
		changed, err := kustomize.SubstituteVariables(context.Background(), nil, owner, resource,
			kustomize.SubstituteWithDryRun(true), kustomize.SubstituteWithStrict(true), kustomize.SubstituteWithAlways(true))
		if err != nil {
			return nil, err
		}
		if changed != nil {
			if _, err := resources.Replace(changed); err != nil {
				return nil, err
			}
		}
	}
	return texts(resources)
}

// texts are the objects as JSON, as Flux reads them from the YAML of the build.
func texts(resources resmap.ResMap) ([]string, error) {
	objects := make([]string, 0, resources.Size())
	for _, resource := range resources.Resources() {
		document, err := resource.AsYAML()
		if err != nil {
			return nil, err
		}
		object, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		objects = append(objects, string(object))
	}
	return objects, nil
}
