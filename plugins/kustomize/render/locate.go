package render

import (
	"errors"
	"path"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"plumbline.dev/plugins/gosdk/treefs"
)

// kustomize's errors are texts within texts. These are the parts that say where the innermost one happened.
var (
	inDirectory = regexp.MustCompile(
		`(?:recursed accumulation of path|couldn't make target for path|recursed merging from path) '([^']*)'`)
	inResource = regexp.MustCompile(`(?:accumulating|merging) resources from '([^']*)'`)
	inFile     = regexp.MustCompile(`(?:open|read|lstat) (/[^ :]*):`)
	atLine     = regexp.MustCompile(`\bline (\d+)\b`)
)

// locate makes an error of kustomize's one that names a file and line. The text stays as it is, but for what it quotes of files.
func (r *renderer) locate(err error) *Error {
	text := err.Error()
	if object, ok := errors.AsType[*objectError](err); ok {
		return &Error{Kind: InvalidInput, Message: conceal(text), Hint: "Look at the object " + object.object + "."}
	}
	e := &Error{Kind: InvalidInput, Message: conceal(text), Line: lineIn(text)}
	switch {
	case strings.HasPrefix(text, "recovered from"):
		e.Kind = Internal
		e.Hint = "This is a mistake in kustomize, set off by what it read. Look for a field of an unexpected type."
	case types.IsErrOnlyBuiltinPluginsAllowed(err), strings.Contains(text, "external plugins disabled"):
		e.Kind = Denied
		e.Hint = "Functions that run programs or containers are not allowed. " +
			"Use one of kustomize's own transformers."
	case strings.Contains(text, treefs.ErrDenied.Error()):
		e.Kind = Denied
		e.Hint = "A link must lead to something in the same repository."
	case strings.Contains(text, treefs.ErrNotFound.Error()), strings.Contains(text, "unable to find one of"):
		e.Kind = NotFound
	}
	e.File, e.Line = r.place(text, e.Line)
	return e
}

// place is the file that an error is about, and the line in it.
func (r *renderer) place(text string, line int) (string, int) {
	dir, rest := r.root(), text
	if places := inDirectory.FindAllStringSubmatchIndex(text, -1); len(places) > 0 {
		last := places[len(places)-1]
		dir, rest = text[last[2]:last[3]], text[last[1]:]
	}
	kustomization, exists := r.kustomizationFile(dir)
	if !exists {
		// The one that names the directory would be a guess.
		return treefs.Clean(dir), 0
	}
	kustomization = treefs.Clean(kustomization)
	if _, err := r.fs.ReadOriginal(kustomization); err != nil {
		// It was generated: nobody can open it.
		kustomization = ""
	}
	if resource := inResource.FindStringSubmatch(rest); resource != nil {
		if file := path.Join(dir, resource[1]); r.fs.IsFile(file) {
			return treefs.Clean(file), line
		}
		return kustomization, r.lineOf(kustomization, resource[1])
	}
	if file := inFile.FindStringSubmatch(rest); file != nil {
		return kustomization, r.lineOf(kustomization, relative(dir, file[1]))
	}
	if r.fs.Replaced(kustomization) {
		// What kustomize read is not what the repository holds: the lines differ.
		line = 0
	}
	return kustomization, line
}

func relative(dir, file string) string {
	return strings.TrimPrefix(strings.TrimPrefix(file, dir), "/")
}

// lineOf is the line of the repository's file that a value is on; 0 when it is nowhere, or comes from elsewhere.
func (r *renderer) lineOf(file, value string) int {
	data, err := r.fs.ReadOriginal(file)
	if err != nil {
		return 0
	}
	document, err := yaml.Parse(string(data))
	if err != nil {
		return 0
	}
	return lineOfNode(document.YNode(), value)
}

func lineOfNode(n *yaml.Node, value string) int {
	if n.Kind == yaml.ScalarNode && (n.Value == value || path.Clean(n.Value) == path.Clean(value)) {
		return n.Line
	}
	for _, child := range n.Content {
		if line := lineOfNode(child, value); line > 0 {
			return line
		}
	}
	return 0
}

func lineIn(text string) int {
	found := atLine.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	line, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	return line
}
