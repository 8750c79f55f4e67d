// Package plugin adds the label of the team that owns a namespace to everything in it.
package plugin

import (
	"fmt"

	"team-label/plumbline"
)

// parameters are what a step says under `with:`.
type parameters struct {
	// Teams has the team of each namespace.
	Teams map[string]string `json:"teams"`
}

// Transform returns all the objects that the next step should see, or every mistake that it found.
func Transform(objects []plumbline.Object, text string) ([]plumbline.Object, []plumbline.Error) {
	var p parameters
	if errs := plumbline.Parameters(text, &p); errs != nil {
		return nil, errs
	}
	var errs []plumbline.Error
	for _, object := range objects {
		namespace, what := object.Namespace(), object.Kind()+" "+object.Name()
		if namespace == "" {
			continue
		}
		team, known := p.Teams[namespace]
		if !known {
			errs = append(errs, plumbline.Error{
				Kind:    plumbline.InvalidInput,
				Message: fmt.Sprintf("nobody owns the namespace %s of the %s", namespace, what),
				File:    object.File(),
				Hint:    fmt.Sprintf("Add %s to teams.", namespace),
			})
			continue
		}
		if other := object.Label("team"); other != "" && other != team {
			plumbline.Warn(fmt.Sprintf("the %s has the team %s, which is now %s", what, other, team))
		}
		object.SetLabel("team", team)
	}
	return objects, errs
}
