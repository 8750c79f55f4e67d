// Package plugin sets a label on every object.
package plugin

import "NAME/plumbline"

// parameters are what a step says under `with:`.
type parameters struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// Transform returns all the objects that the next step should see, or every mistake that it found.
func Transform(objects []plumbline.Object, text string) ([]plumbline.Object, []plumbline.Error) {
	var p parameters
	if errs := plumbline.Parameters(text, &p); errs != nil {
		return nil, errs
	}
	for _, object := range objects {
		object.SetLabel(p.Label, p.Value)
	}
	return objects, nil
}
