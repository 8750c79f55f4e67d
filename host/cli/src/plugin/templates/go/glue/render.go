//go:build wasip1

// Package export_plumbline_plugin_render connects the package plugin with the contract. It is written by `plumb plugin build`.
package export_plumbline_plugin_render

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	contract "NAME/internal/wit/imports/plumbline_plugin_tree"
	types "NAME/internal/wit/imports/plumbline_plugin_types"
	"NAME/plugin"
	"NAME/plumbline"
)

// Render is what the host calls.
func Render(root *contract.Dir, parameters string) witTypes.Result[[]types.Object, []types.Error] {
	// A borrowed resource that is still held when the call ends is a trap.
	defer root.Drop()
	objects, errs := plugin.Render(tree{root}, parameters)
	var texts []types.Object
	if len(errs) == 0 {
		texts, errs = print(objects)
	}
	if len(errs) > 0 {
		return witTypes.Err[[]types.Object, []types.Error](failed(errs))
	}
	return witTypes.Ok[[]types.Object, []types.Error](texts)
}

// tree is the tree that the host handed over.
type tree struct{ dir *contract.Dir }

// List gives the names in a directory.
func (t tree) List(path string) ([]plumbline.Entry, *plumbline.Error) {
	result := t.dir.List(path)
	if result.IsErr() {
		return nil, unreadable(path, result.Err())
	}
	entries := make([]plumbline.Entry, 0, len(result.Ok()))
	for _, entry := range result.Ok() {
		// What can neither be listed nor read is left out.
		if entry.Kind != contract.NodeKind_Opaque {
			entries = append(entries, plumbline.Entry{Name: entry.Name, IsDirectory: entry.Kind == contract.NodeKind_Directory})
		}
	}
	return entries, nil
}

// Read gives all the bytes of a file.
func (t tree) Read(path string) ([]byte, *plumbline.Error) {
	result := t.dir.Read(path)
	if result.IsErr() {
		return nil, unreadable(path, result.Err())
	}
	return result.Ok(), nil
}

func unreadable(path string, err contract.TreeError) *plumbline.Error {
	kind, why := plumbline.InvalidInput, ""
	switch err.Tag() {
	case contract.TreeError_NotFound:
		kind, why = plumbline.NotFound, "it does not exist"
	case contract.TreeError_NotADirectory:
		why = "it is not a directory"
	case contract.TreeError_IsADirectory:
		why = "it is a directory"
	case contract.TreeError_Denied:
		kind, why = plumbline.Denied, "it is a link that leads out of the source"
	case contract.TreeError_TooLarge:
		why = "it is larger than the host hands out"
	default:
		kind, why = plumbline.Internal, err.Failed()
	}
	return &plumbline.Error{Kind: kind, Message: path + " cannot be read: " + why, File: path}
}
