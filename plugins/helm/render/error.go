package render

import (
	"errors"
	"fmt"

	"plumbline.dev/plugins/helm/treefs"
)

// Kind is what kind of mistake an error reports, in the words of the plugin contract.
type Kind int

// The kinds of mistakes, in the order of the contract.
const (
	InvalidInput Kind = iota
	NotFound
	Denied
	Unsupported
	Internal
)

// Error is why a chart could not be rendered.
type Error struct {
	Kind    Kind
	Message string
	// File is the file with the mistake, from the root of the tree; "" when it is not known.
	File string
	// Line is counted from 1; 0 when it is not known.
	Line int
	// Hint says what to do; "" when it is not known.
	Hint string
}

func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Message
	case e.Line == 0:
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	default:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
	}
}

// kindOf is what kind of mistake it is that the tree did not answer.
func kindOf(err error) Kind {
	switch {
	case errors.Is(err, treefs.ErrNotFound):
		return NotFound
	case errors.Is(err, treefs.ErrDenied):
		return Denied
	default:
		return InvalidInput
	}
}
