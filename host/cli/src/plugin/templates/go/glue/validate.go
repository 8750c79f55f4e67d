//go:build wasip1

// Package export_plumbline_plugin_validate connects the package plugin with the contract. It is written by `plumb plugin build`.
package export_plumbline_plugin_validate

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	log "NAME/internal/wit/imports/plumbline_plugin_log"
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

func parse(texts []types.Object) ([]plumbline.Object, []plumbline.Error) {
	objects := make([]plumbline.Object, len(texts))
	for i, text := range texts {
		object, err := plumbline.Parse(text)
		if err != nil {
			return nil, []plumbline.Error{{Kind: plumbline.Internal, Message: err.Error()}}
		}
		objects[i] = object
	}
	return objects, nil
}

func init() {
	plumbline.Warn = func(message string) { log.Write(log.Level_Warn, message) }
	plumbline.Info = func(message string) { log.Write(log.Level_Info, message) }
}

func failed(errs []plumbline.Error) []types.Error {
	out := make([]types.Error, len(errs))
	for i, e := range errs {
		out[i] = types.Error{
			Kind:    uint8(e.Kind),
			Message: e.Message,
			File:    unlessEmpty(e.File),
			Line:    witTypes.None[uint32](),
			Hint:    unlessEmpty(e.Hint),
		}
		if e.Line > 0 {
			out[i].Line = witTypes.Some(e.Line)
		}
	}
	return out
}

func unlessEmpty(text string) witTypes.Option[string] {
	if text == "" {
		return witTypes.None[string]()
	}
	return witTypes.Some(text)
}
