// Package plugin refuses objects without a label.
package plugin

import (
	"fmt"

	"NAME/plumbline"
)

// parameters are what a step says under `with:`.
type parameters struct {
	Label string `json:"label"`
}

// Validate returns everything that is wrong with the objects; errors are for when it could not look.
func Validate(objects []plumbline.Object, text string) ([]plumbline.Finding, []plumbline.Error) {
	var p parameters
	if errs := plumbline.Parameters(text, &p); errs != nil {
		return nil, errs
	}
	var findings []plumbline.Finding
	for index, object := range objects {
		if object.Label(p.Label) != "" {
			continue
		}
		findings = append(findings, plumbline.Finding{
			Severity: plumbline.Refused,
			Object:   uint32(index),
			Field:    "/metadata/labels",
			Rule:     "label-required",
			Message:  fmt.Sprintf("the %s %s has no label %s", object.Kind(), object.Name(), p.Label),
		})
	}
	return findings, nil
}
