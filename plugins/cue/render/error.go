package render

import (
	"fmt"
	"slices"
	"strings"

	cueerrors "cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/token"

	"plumbline.dev/plugins/gosdk/failure"
)

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

// at is an error about what begins at a position.
func at(pos token.Pos, kind Kind, hint, format string, args ...any) *Error {
	e := &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Hint: hint}
	if isOfTree(pos) {
		e.File, e.Line = pos.Filename(), pos.Line()
	}
	return e
}

// isOfTree tells whether a position is in a file that the user can open, and not in the parameters or in CUE's library.
func isOfTree(pos token.Pos) bool {
	name := pos.Filename()
	return name != "" && !strings.HasPrefix(name, parameterFile) && strings.HasSuffix(name, ".cue")
}

// unread is an error of a path that could not be read or listed.
func unread(file string, err error) *Error {
	return &Error{Kind: failure.KindOf(err), File: file, Message: fmt.Sprintf("the file %q cannot be read: %v", file, err)}
}

// fromCUE is all that CUE reports at once. `positionOf` finds the place of a field by its path, for errors that have none.
func fromCUE(err error, positionOf func(path []string) token.Pos) []*Error {
	var found []*Error
	for _, one := range cueerrors.Errors(err) {
		e := oneFromCUE(one, positionOf)
		if !slices.ContainsFunc(found, func(known *Error) bool { return *known == *e }) {
			found = append(found, e)
		}
	}
	return found
}

func oneFromCUE(err cueerrors.Error, positionOf func(path []string) token.Pos) *Error {
	text := cueerrors.String(err)
	var places []token.Pos
	for _, pos := range cueerrors.Positions(err) {
		if isOfTree(pos) {
			places = append(places, pos)
		} else if name := pos.Filename(); strings.HasPrefix(name, parameterFile) && !strings.HasPrefix(text, name) {
			text = name + ": " + text
		}
	}
	if len(places) == 0 && positionOf != nil {
		places = []token.Pos{positionOf(err.Path())}
	}
	if others := elsewhere(places); len(others) > 0 {
		text += fmt.Sprintf(" (see also %s)", strings.Join(others, ", "))
	}
	pos := token.NoPos
	if len(places) > 0 {
		pos = places[0]
	}
	return at(pos, InvalidInput, hintFor(text), "%s", text)
}

// elsewhere is the files and lines after the first, each once.
func elsewhere(places []token.Pos) []string {
	var lines []string
	for i, pos := range places {
		line := fmt.Sprintf("%s:%d", pos.Filename(), pos.Line())
		if i > 0 && !slices.Contains(lines, line) && (pos.Filename() != places[0].Filename() || pos.Line() != places[0].Line()) {
			lines = append(lines, line)
		}
	}
	return lines
}

// hintFor goes by the words of CUE's messages: its errors have no public codes.
func hintFor(text string) string {
	switch {
	case strings.Contains(text, "incomplete value"), strings.Contains(text, "non-concrete value"):
		return "Give it a value in the package, by `with.values` or by `with.tags`; or export less with `with.expression`."
	case strings.Contains(text, "conflicting values"):
		return "Both hold at once: change one of them, or make it a default, as in `*1 | int`."
	case strings.Contains(text, "field not allowed"):
		return "A definition closes this struct: correct the name of the field, or add it to the definition."
	case strings.Contains(text, "required but not present"):
		return "Set the field in the package or by `with.values`."
	case strings.Contains(text, "reference") && strings.Contains(text, "not found"):
		return "Check the name; a field of another package needs an import."
	default:
		return ""
	}
}
