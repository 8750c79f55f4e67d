// Package plugin says how objects of one kind are doing, by the phase in their status.
package plugin

import "NAME/plumbline"

// parameters are what is said under `with:` where the plugin is chosen.
type parameters struct {
	// Kind is the kind that it knows.
	Kind string `json:"kind"`
	// Ready is the phase of an object that is what its spec asks for.
	Ready string `json:"ready"`
}

// Check says how an object is doing; errors are for when it could not look, or does not know the kind.
func Check(object plumbline.Object, text string) (plumbline.Report, []plumbline.Error) {
	var p parameters
	if errs := plumbline.Parameters(text, &p); errs != nil {
		return plumbline.Report{}, errs
	}
	if object.Kind() != p.Kind {
		// Not Unknown, which is for an object of a kind that it does know.
		message := "the kind " + object.Kind() + " is not known"
		return plumbline.Report{}, []plumbline.Error{{Kind: plumbline.Unsupported, Message: message}}
	}
	status, _ := object["status"].(map[string]any)
	switch phase, _ := status["phase"].(string); phase {
	case p.Ready:
		return plumbline.Report{Status: plumbline.Current}, nil
	case "Failed":
		return plumbline.Report{Status: plumbline.Failed, Message: "its phase is Failed"}, nil
	case "":
		return plumbline.Report{Status: plumbline.InProgress, Message: "it has no phase yet"}, nil
	default:
		return plumbline.Report{Status: plumbline.InProgress, Message: "its phase is " + phase}, nil
	}
}
