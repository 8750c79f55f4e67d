//go:build wasip1

// Package export_plumbline_plugin_render is the interface that the component exports: `render`.
package export_plumbline_plugin_render

import (
	"errors"

	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"plumbline.dev/plugins/gosdk/treefs"
	log "plumbline.dev/plugins/helm/guest/imports/plumbline_plugin_log"
	tree "plumbline.dev/plugins/helm/guest/imports/plumbline_plugin_tree"
	types "plumbline.dev/plugins/helm/guest/imports/plumbline_plugin_types"
	"plumbline.dev/plugins/helm/render"
)

// Render is what the host calls, once in the life of an instance.
func Render(root *tree.Dir, parameters string) witTypes.Result[[]types.Object, []types.Error] {
	// A borrowed resource that is still held when the call ends is a trap.
	defer root.Drop()
	result, failed := render.Render(hostTree{root}, host{}, parameters)
	for _, warning := range result.Warnings {
		log.Write(log.Level_Warn, warning)
	}
	if len(failed) == 0 {
		return witTypes.Ok[[]types.Object, []types.Error](result.Objects)
	}
	out := make([]types.Error, len(failed))
	for i, e := range failed {
		out[i] = contractError(e)
	}
	return witTypes.Err[[]types.Object, []types.Error](out)
}

func contractError(e *render.Error) types.Error {
	line := witTypes.None[uint32]()
	if e.Line > 0 {
		line = witTypes.Some(uint32(e.Line))
	}
	return types.Error{
		// The kinds have the order of the contract.
		Kind:    uint8(e.Kind),
		Message: e.Message,
		File:    unlessEmpty(e.File),
		Line:    line,
		Hint:    unlessEmpty(e.Hint),
	}
}

func unlessEmpty(text string) witTypes.Option[string] {
	if text == "" {
		return witTypes.None[string]()
	}
	return witTypes.Some(text)
}

// hostTree is the tree that the host handed over.
type hostTree struct{ dir *tree.Dir }

func (t hostTree) List(path string) ([]treefs.Entry, error) {
	result := t.dir.List(path)
	if result.IsErr() {
		return nil, treeError(result.Err())
	}
	entries := make([]treefs.Entry, len(result.Ok()))
	for i, entry := range result.Ok() {
		entries[i] = treefs.Entry{Name: entry.Name, Kind: kind(entry.Kind)}
	}
	return entries, nil
}

func (t hostTree) Stat(path string) (treefs.Node, error) {
	result := t.dir.Stat(path)
	if result.IsErr() {
		return treefs.Node{}, treeError(result.Err())
	}
	node := result.Ok()
	return treefs.Node{Kind: kind(node.Kind), Size: int64(node.Size), Resolved: node.Resolved}, nil
}

func (t hostTree) Read(path string) ([]byte, error) {
	result := t.dir.Read(path)
	if result.IsErr() {
		return nil, treeError(result.Err())
	}
	return result.Ok(), nil
}

func kind(k tree.NodeKind) treefs.Kind {
	switch k {
	case tree.NodeKind_File:
		return treefs.File
	case tree.NodeKind_Directory:
		return treefs.Directory
	default:
		return treefs.Opaque
	}
}

func treeError(e tree.TreeError) error {
	switch e.Tag() {
	case tree.TreeError_NotFound:
		return treefs.ErrNotFound
	case tree.TreeError_NotADirectory:
		return treefs.ErrNotDirectory
	case tree.TreeError_IsADirectory:
		return treefs.ErrIsDirectory
	case tree.TreeError_Denied:
		return treefs.ErrDenied
	case tree.TreeError_TooLarge:
		return treefs.TooLargeError{Limit: e.TooLarge()}
	default:
		return errors.New(e.Failed())
	}
}
