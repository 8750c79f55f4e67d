package render

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"

	"plumbline.dev/plugins/gosdk/failure"
	"plumbline.dev/plugins/gosdk/treefs"
)

// largestChart is how many bytes the files of a chart may have together, as in Helm.
const largestChart = 100 << 20

var byteOrderMark = []byte{0xEF, 0xBB, 0xBF}

// loaded is a chart, and where it came from.
type loaded struct {
	*chart.Chart
	// root is its path in the tree.
	root string
	// files are the paths of what was read, from root; nil for an archive.
	files []string
}

// load reads the chart at a path of the tree: a directory, or an archive.
func load(tree treefs.Tree, asked string) (*loaded, *Error) {
	root := treefs.Clean(asked)
	node, err := tree.Stat(root)
	if err != nil {
		return nil, &Error{
			Kind: failure.KindOf(err), Message: fmt.Sprintf("the chart %q cannot be read: %v", asked, err),
			Hint: "Set `path` to a directory with a Chart.yaml, or to a chart archive, of this revision of the source.",
		}
	}
	c := &loaded{root: root}
	if node.Kind == treefs.Directory {
		err = c.loadDirectory(tree, node.Resolved)
	} else {
		err = c.loadArchive(tree)
	}
	if err != nil {
		return nil, c.notLoaded(err)
	}
	inOrder(c.Chart)
	return c, nil
}

func (c *loaded) loadArchive(tree treefs.Tree) error {
	data, err := tree.Read(c.root)
	if err != nil {
		return &fileError{c.root, err}
	}
	// As Helm looks at a file before it unpacks it.
	start := make([]byte, 512)
	copy(start, data)
	if found := http.DetectContentType(start); found != "application/x-gzip" && !bytes.HasPrefix(data, []byte("\x1F\x8B\x08")) {
		return fmt.Errorf("file '%s' does not appear to be a gzipped archive; got '%s'", c.root, found)
	}
	c.Chart, err = loader.LoadArchive(bytes.NewReader(data))
	if errors.Is(err, gzip.ErrHeader) {
		return fmt.Errorf("file '%s' does not appear to be a valid chart file (details: %w)", c.root, err)
	}
	return err
}

func (c *loaded) loadDirectory(tree treefs.Tree, resolved string) error {
	rules := ignore.Empty()
	name := path.Join(c.root, ignore.HelmIgnore)
	switch data, err := tree.Read(name); {
	case err == nil:
		if rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return &fileError{name, err}
		}
	case !errors.Is(err, treefs.ErrNotFound):
		return &fileError{name, err}
	}
	rules.AddDefaults()
	w := walk{tree: tree, root: c.root, rules: rules, budget: largestChart}
	if err := w.directory("", []string{resolved}); err != nil {
		return err
	}
	for _, file := range w.files {
		c.files = append(c.files, file.Name)
	}
	var err error
	c.Chart, err = loader.LoadFiles(w.files)
	return err
}

// walk collects the files of a chart's directory as Helm does: what .helmignore names is left out, links are followed.
type walk struct {
	tree   treefs.Tree
	root   string
	rules  *ignore.Rules
	budget int
	files  []*archive.BufferedFile
}

// directory collects the files below a directory. `above` is where it and those around it lead once every link is followed.
func (w *walk) directory(dir string, above []string) error {
	entries, err := w.tree.List(path.Join(w.root, dir))
	if err != nil {
		return &fileError{path.Join(w.root, dir), err}
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name)
		if w.rules.Ignore(name, info{entry}) {
			continue
		}
		if entry.Kind != treefs.Directory {
			if err := w.file(name); err != nil {
				return err
			}
			continue
		}
		node, err := w.tree.Stat(path.Join(w.root, name))
		if err != nil {
			return &fileError{path.Join(w.root, name), err}
		}
		if slices.Contains(above, node.Resolved) {
			return &fileError{path.Join(w.root, name), errors.New("the link leads to a directory that it is in itself")}
		}
		if err := w.directory(name, append(slices.Clone(above), node.Resolved)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) file(name string) error {
	data, err := w.tree.Read(path.Join(w.root, name))
	if err != nil {
		return &fileError{path.Join(w.root, name), err}
	}
	if w.budget -= len(data); w.budget < 0 {
		return fmt.Errorf("chart exceeds maximum decompressed size of %d bytes", largestChart)
	}
	w.files = append(w.files, &archive.BufferedFile{Name: name, Data: bytes.TrimPrefix(data, byteOrderMark)})
	return nil
}

// info is what the rules of .helmignore look at.
type info struct{ treefs.Entry }

func (i info) Name() string     { return i.Entry.Name }
func (i info) IsDir() bool      { return i.Kind == treefs.Directory }
func (info) Size() int64        { return 0 }
func (info) Mode() fs.FileMode  { return 0 }
func (info) ModTime() time.Time { return time.Time{} }
func (info) Sys() any           { return nil }

// fileError is a file or directory of the tree that could not be read.
type fileError struct {
	name string
	err  error
}

func (e *fileError) Error() string { return fmt.Sprintf("error reading %s: %v", e.name, e.err) }
func (e *fileError) Unwrap() error { return e.err }

func (c *loaded) notLoaded(err error) *Error {
	e := &Error{Kind: failure.KindOf(err), Message: conceal(err.Error()), File: c.root}
	var file *fileError
	switch {
	case errors.As(err, &file):
		e.File = file.name
	case c.files == nil:
		// An archive has no lines that one could look up.
		return e
	default:
		for _, name := range []string{"Chart.yaml", "values.yaml", "Chart.lock", "requirements.yaml", "requirements.lock"} {
			if strings.HasPrefix(e.Message, "cannot load "+name+": ") {
				e.File, e.Line = path.Join(c.root, name), lineIn(e.Message)
			}
		}
	}
	return e
}

// inOrder puts dependencies into the order of their names. Helm has them in that of a Go map, another one each time, and it shows in the order of
// CRDs and in which of several mistakes is told.
func inOrder(c *chart.Chart) {
	dependencies := slices.Clone(c.Dependencies())
	slices.SortFunc(dependencies, func(a, b *chart.Chart) int {
		if byName := strings.Compare(a.Name(), b.Name()); byName != 0 {
			return byName
		}
		return strings.Compare(a.Metadata.Version, b.Metadata.Version)
	})
	c.SetDependencies(dependencies...)
	for _, dependency := range dependencies {
		inOrder(dependency)
	}
}
