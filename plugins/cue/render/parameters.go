package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Parameters is what the step is called with.
type Parameters struct {
	// Path is the directory of the package, from the root of the tree; "" is the root.
	Path string `json:"path"`
	// Package is the name of the package, for a directory that has several.
	Package string `json:"package,omitempty"`
	// Tags are the values of the fields that have @tag. One that is true also switches on the files that have @if, and the
	// shorthands of fields.
	Tags map[string]any `json:"tags,omitempty"`
	// Values is unified with the package: a JSON object.
	Values json.RawMessage `json:"values,omitempty"`
	// Expression is what is exported instead of the whole package.
	Expression string `json:"expression,omitempty"`
}

func parseParameters(text string) (Parameters, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	var p Parameters
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("the parameters of the step cue are not valid: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Tags)) {
		switch p.Tags[name].(type) {
		case string, bool, json.Number:
		default:
			return p, fmt.Errorf("with.tags.%s must be a string, a number or a boolean", name)
		}
	}
	if string(p.Values) == "null" {
		p.Values = nil
	}
	if len(p.Values) > 0 && p.Values[0] != '{' {
		return p, fmt.Errorf("with.values must be an object")
	}
	return p, nil
}
