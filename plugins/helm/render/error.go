package render

import "plumbline.dev/plugins/gosdk/failure"

// What is wrong is told in the words of all plugins.
type (
	Kind  = failure.Kind
	Error = failure.Error
)

// The kinds of mistakes.
const (
	InvalidInput = failure.InvalidInput
	NotFound     = failure.NotFound
	Denied       = failure.Denied
	Unsupported  = failure.Unsupported
	Internal     = failure.Internal
)
