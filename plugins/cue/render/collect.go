package render

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"
)

// found is the objects of Kubernetes in a value: a struct with apiVersion and kind, in structs and lists of any depth, in their order.
type found struct {
	objects []string
	errors  []*Error
}

func (f *found) take(value cue.Value) {
	// The value was validated: there is one default.
	value, _ = value.Default()
	switch value.IncompleteKind() {
	case cue.ListKind:
		items, err := value.List()
		f.fail(value, err)
		for err == nil && items.Next() {
			f.take(items.Value())
		}
	case cue.StructKind:
		if kind, isObject := kindOf(value); !isObject {
			f.fields(value)
		} else if items := value.LookupPath(cue.ParsePath("items")); items.Exists() && strings.HasSuffix(kind, "List") {
			f.take(items)
		} else {
			f.object(value)
		}
	}
}

func (f *found) fields(value cue.Value) {
	// Definitions, hidden and optional fields are not of the result.
	fields, err := value.Fields()
	f.fail(value, err)
	for err == nil && fields.Next() {
		f.take(fields.Value())
	}
}

// kindOf is the kind of an object, if the value is one.
func kindOf(value cue.Value) (string, bool) {
	kind := value.LookupPath(cue.ParsePath("kind"))
	if !kind.Exists() || !value.LookupPath(cue.ParsePath("apiVersion")).Exists() {
		return "", false
	}
	text, _ := kind.String()
	return text, true
}

// object takes one object. The same one again, as in a list of what other fields have, is not taken.
func (f *found) object(value cue.Value) {
	for _, field := range []string{"apiVersion", "kind", "metadata.name"} {
		text, err := value.LookupPath(cue.ParsePath(field)).String()
		if err != nil || text == "" {
			f.errors = append(f.errors, at(value.Pos(), InvalidInput,
				"An object of Kubernetes has apiVersion, kind and metadata.name, each a string. Hide what is none by a name that begins with `_` or `#`.",
				"%s: %s is missing, or no string", value.Path(), field))
			return
		}
	}
	text, err := value.MarshalJSON()
	if err == nil && !json.Valid(text) {
		err = fmt.Errorf("%s: the value cannot be written as JSON", value.Path())
	}
	f.fail(value, err)
	if err == nil && !slices.Contains(f.objects, string(text)) {
		f.objects = append(f.objects, string(text))
	}
}

func (f *found) fail(value cue.Value, err error) {
	if err == nil {
		return
	}
	for _, e := range fromCUE(err, nil) {
		if e.File == "" {
			e = at(value.Pos(), e.Kind, e.Hint, "%s", e.Message)
		}
		f.errors = append(f.errors, e)
	}
}

// joined is a path as CUE writes it: indices in brackets, names in quotes unless they need none.
func joined(path []string) string {
	selectors := make([]cue.Selector, 0, len(path))
	for _, part := range path {
		if index := strings.TrimLeft(part, "0123456789"); index == "" && part != "" && len(part) < 10 {
			n := 0
			for _, digit := range part {
				n = 10*n + int(digit-'0')
			}
			selectors = append(selectors, cue.Index(n))
			continue
		}
		parsed := cue.ParsePath(part)
		if parsed.Err() != nil || len(parsed.Selectors()) != 1 {
			parsed = cue.MakePath(cue.Str(part))
		}
		selectors = append(selectors, parsed.Selectors()...)
	}
	return cue.MakePath(selectors...).String()
}
