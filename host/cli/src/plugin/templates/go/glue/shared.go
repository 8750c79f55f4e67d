//go:build wasip1

package PACKAGE

// What the Go sides of all interfaces have in common. It is written by `plumb plugin build`.

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	log "NAME/internal/wit/imports/plumbline_plugin_log"
	types "NAME/internal/wit/imports/plumbline_plugin_types"
	"NAME/plumbline"
)

func init() {
	plumbline.Warn = func(message string) { log.Write(log.Level_Warn, message) }
	plumbline.Info = func(message string) { log.Write(log.Level_Info, message) }
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

func print(objects []plumbline.Object) ([]types.Object, []plumbline.Error) {
	texts := make([]types.Object, len(objects))
	for i, object := range objects {
		text, err := object.JSON()
		if err != nil {
			return nil, []plumbline.Error{{Kind: plumbline.Internal, Message: err.Error()}}
		}
		texts[i] = text
	}
	return texts, nil
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
