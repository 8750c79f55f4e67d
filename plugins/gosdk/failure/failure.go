// Package failure is how a plugin says what is wrong, in the words of the plugin contract.
package failure

import (
	"errors"
	"fmt"

	"plumbline.dev/plugins/gosdk/treefs"
)

// Kind is what kind of mistake an error reports.
type Kind int

// The kinds of mistakes, in the order of the contract.
const (
	InvalidInput Kind = iota
	NotFound
	Denied
	Unsupported
	Internal
)

func (k Kind) String() string {
	return [...]string{"invalid-input", "not-found", "denied", "unsupported", "internal"}[k]
}

// KindOf is what kind of mistake it is that a tree did not answer.
func KindOf(err error) Kind {
	switch {
	case errors.Is(err, treefs.ErrNotFound):
		return NotFound
	case errors.Is(err, treefs.ErrDenied), errors.Is(err, treefs.ErrReadOnly):
		return Denied
	default:
		return InvalidInput
	}
}

// Error is why something could not be rendered.
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
