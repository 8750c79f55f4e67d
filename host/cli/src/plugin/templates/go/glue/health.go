//go:build wasip1

// Package export_plumbline_plugin_health connects the package plugin with the contract. It is written by `plumb plugin build`.
package export_plumbline_plugin_health

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	contract "NAME/internal/wit/imports/plumbline_plugin_health"
	types "NAME/internal/wit/imports/plumbline_plugin_types"
	"NAME/plugin"
	"NAME/plumbline"
)

// Check is what the host calls.
func Check(object types.Object, parameters string) witTypes.Result[contract.Report, []types.Error] {
	parsed, err := plumbline.Parse(object)
	if err != nil {
		errs := []plumbline.Error{{Kind: plumbline.Internal, Message: err.Error()}}
		return witTypes.Err[contract.Report, []types.Error](failed(errs))
	}
	report, errs := plugin.Check(parsed, parameters)
	if len(errs) > 0 {
		return witTypes.Err[contract.Report, []types.Error](failed(errs))
	}
	out := contract.Report{Status: uint8(report.Status), Message: report.Message}
	return witTypes.Ok[contract.Report, []types.Error](out)
}
