//go:build wasip1

// Package export_plumbline_plugin_transform connects the package plugin with the contract. It is written by `plumb plugin build`.
package export_plumbline_plugin_transform

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	types "NAME/internal/wit/imports/plumbline_plugin_types"
	"NAME/plugin"
)

// Transform is what the host calls.
func Transform(objects []types.Object, parameters string) witTypes.Result[[]types.Object, []types.Error] {
	parsed, errs := parse(objects)
	if len(errs) == 0 {
		parsed, errs = plugin.Transform(parsed, parameters)
	}
	var texts []types.Object
	if len(errs) == 0 {
		texts, errs = print(parsed)
	}
	if len(errs) > 0 {
		return witTypes.Err[[]types.Object, []types.Error](failed(errs))
	}
	return witTypes.Ok[[]types.Object, []types.Error](texts)
}
