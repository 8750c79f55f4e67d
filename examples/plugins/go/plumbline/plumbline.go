// Package plumbline is what a plugin in Go is written with. It knows nothing of WebAssembly, so that what uses it can be tested by `go test`.
package plumbline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Object is a Kubernetes object: JSON with apiVersion, kind and metadata.name. Numbers are json.Number.
type Object map[string]any

// Parse reads the text of a JSON object.
func Parse(text string) (Object, error) {
	var object Object
	decoder := json.NewDecoder(bytes.NewBufferString(text))
	// As they are written: a float64 has not enough digits for some.
	decoder.UseNumber()
	err := decoder.Decode(&object)
	return object, err
}

// JSON is the text of the object.
func (o Object) JSON() (string, error) {
	text, err := json.Marshal(o)
	return string(text), err
}

// Kind is the object's kind.
func (o Object) Kind() string { return text(o["kind"]) }

// Name is the object's name.
func (o Object) Name() string { return text(o.metadata()["name"]) }

// Namespace is the object's namespace, empty if it has none.
func (o Object) Namespace() string { return text(o.metadata()["namespace"]) }

// Label is a label, empty if the object does not have it.
func (o Object) Label(name string) string {
	labels, _ := o.metadata()["labels"].(map[string]any)
	return text(labels[name])
}

// SetLabel sets a label.
func (o Object) SetLabel(name, value string) {
	metadata := o.metadata()
	labels, ok := metadata["labels"].(map[string]any)
	if !ok {
		labels = map[string]any{}
		metadata["labels"] = labels
	}
	labels[name] = value
}

// Annotation is an annotation, empty if the object does not have it.
func (o Object) Annotation(name string) string {
	annotations, _ := o.metadata()["annotations"].(map[string]any)
	return text(annotations[name])
}

// File is the file that the object was written in, where its renderer has told: kustomize does with `buildMetadata: [originAnnotations]`. Empty if not.
func (o Object) File() string {
	for _, line := range strings.Split(o.Annotation("config.kubernetes.io/origin"), "\n") {
		if path, found := strings.CutPrefix(line, "path: "); found {
			return path
		}
	}
	return o.Annotation("config.kubernetes.io/path")
}

func (o Object) metadata() map[string]any {
	metadata, ok := o["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		o["metadata"] = metadata
	}
	return metadata
}

func text(value any) string {
	text, _ := value.(string)
	return text
}

// Parameters reads what a step says under `with:`. A field that the struct does not have is an error.
func Parameters(text string, into any) []Error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return []Error{{
			Kind:    InvalidInput,
			Message: fmt.Sprintf("the parameters cannot be used: %s", strings.TrimPrefix(err.Error(), "json: ")),
			Hint:    "Correct `with` of the step.",
		}}
	}
	return nil
}

// ErrorKind says what kind of mistake an error reports. It decides who is told, and whether trying again can help.
type ErrorKind uint8

// In the order of the contract.
const (
	// InvalidInput: the files, objects or parameters are wrong.
	InvalidInput ErrorKind = iota
	// NotFound: something that the input names does not exist.
	NotFound
	// Denied: the input asks for something that a plugin may not do.
	Denied
	// Unsupported: the input asks for something that this plugin does not do.
	Unsupported
	// Internal: the plugin itself is at fault.
	Internal
)

// Error is one mistake, for whoever can mend it. Never put the value of a secret into it.
type Error struct {
	Kind ErrorKind
	// Message says what is wrong, as a sentence.
	Message string
	// File is the file it is in, from the root of the tree; empty if unknown.
	File string
	// Line is the line in the file, counted from 1; 0 if unknown.
	Line uint32
	// Hint says what to do about it, as a sentence; empty if unknown.
	Hint string
}

// Severity says how much a finding matters.
type Severity uint8

// In the order of the contract.
const (
	// Refused: the objects must not be applied.
	Refused Severity = iota
	// Warning: the objects are applied, and users see the finding as a warning event.
	Warning
)

// Finding is something that is wrong with one object.
type Finding struct {
	Severity Severity
	// Object is its index, counted from 0.
	Object uint32
	// Field is a JSON Pointer; empty for the object as a whole.
	Field string
	// Rule is the name of the rule.
	Rule string
	// Message says what is wrong, as a sentence.
	Message string
}

// Status says how an object is doing, in the words of kstatus.
type Status uint8

// In the order of the contract.
const (
	// Current: it is what its spec asks for.
	Current Status = iota
	// InProgress: it is on its way to what its spec asks for.
	InProgress
	// Failed: it will not get there without help.
	Failed
	// Terminating: it is being deleted.
	Terminating
	// Unknown: the check cannot tell. It never means Current.
	Unknown
)

// Report is what a health check found.
type Report struct {
	Status Status
	// Message says why, as a sentence; empty for Current.
	Message string
}

// Tree is the files that a renderer was handed. Paths are relative to the root, with / between the parts.
type Tree interface {
	// List gives the names in a directory, in the order of their bytes.
	List(path string) ([]Entry, *Error)
	// Read gives all the bytes of a file.
	Read(path string) ([]byte, *Error)
}

// Entry is a name in a directory.
type Entry struct {
	Name        string
	IsDirectory bool
}

// Warn writes a message that users see as a warning event. In `go test` it goes nowhere, unless the test sets it.
var Warn = func(message string) {}

// Info writes a message for whoever operates the host.
var Info = func(message string) {}
