//go:build wasip1

// Package export_plumbline_plugin_validate connects the package plugin with the contract. It is written by `plumb plugin build`.
package export_plumbline_plugin_validate

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	types "NAME/internal/wit/imports/plumbline_plugin_types"
	contract "NAME/internal/wit/imports/plumbline_plugin_validate"
	"NAME/plugin"
	"NAME/plumbline"
)

// Validate is what the host calls.
func Validate(objects []types.Object, parameters string) witTypes.Result[[]contract.Finding, []types.Error] {
	parsed, errs := parse(objects)
	var findings []plumbline.Finding
	if len(errs) == 0 {
		findings, errs = plugin.Validate(parsed, parameters)
	}
	if len(errs) > 0 {
		return witTypes.Err[[]contract.Finding, []types.Error](failed(errs))
	}
	out := make([]contract.Finding, len(findings))
	for i, f := range findings {
		out[i] = contract.Finding{
			Severity: uint8(f.Severity),
			Object:   f.Object,
			Field:    unlessEmpty(f.Field),
			Rule:     f.Rule,
			Message:  f.Message,
		}
	}
	return witTypes.Ok[[]contract.Finding, []types.Error](out)
}
