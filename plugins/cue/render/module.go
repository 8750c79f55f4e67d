package render

import (
	"errors"
	"path"
	"strings"

	"cuelang.org/go/mod/modfile"

	"plumbline.dev/plugins/gosdk/treefs"
)

// module is the CUE module that a directory is in. Without one the fields are empty but root, which is the directory itself.
type module struct {
	// root is the directory that cue.mod is in, from the root of the tree.
	root string
	// path is what imports of the module's own packages begin with.
	path string
	// language is the version of the language that its files are in.
	language string
}

// findModule looks for the nearest cue.mod, in the directory and above.
func findModule(tree treefs.Tree, dir string) (module, []*Error) {
	for root := dir; ; root = parent(root) {
		file := path.Join(root, "cue.mod/module.cue")
		data, err := tree.Read(file)
		switch {
		case err == nil:
			return parseModule(root, file, data)
		case !errors.Is(err, treefs.ErrNotFound) && !errors.Is(err, treefs.ErrNotDirectory):
			return module{}, []*Error{unread(file, err)}
		case root == "":
			return module{root: dir}, nil
		}
	}
}

func parseModule(root, file string, data []byte) (module, []*Error) {
	parsed, err := modfile.ParseNonStrict(data, file)
	if err != nil {
		errs := fromCUE(err, nil)
		for _, e := range errs {
			if e.File == "" {
				e.File = file
			}
		}
		return module{}, errs
	}
	m := module{root: root, path: parsed.ModulePath()}
	if parsed.Language != nil {
		m.language = parsed.Language.Version
	}
	return m, nil
}

// local is the directory of one of the module's own packages, if the import is one.
func (m module) local(importPath string) (string, bool) {
	if m.path == "" {
		return "", false
	}
	if importPath == m.path {
		return m.root, true
	}
	below, ok := strings.CutPrefix(importPath, m.path+"/")
	return path.Join(m.root, below), ok
}

// vendored is where packages of other modules may be: what `cue get go` wrote, what was added to that, and what was copied.
func (m module) vendored(importPath string) []string {
	dirs := make([]string, 0, 3)
	for _, kind := range []string{"gen", "usr", "pkg"} {
		dirs = append(dirs, path.Join(m.root, "cue.mod", kind, importPath))
	}
	return dirs
}

// parent is the directory that a directory is in; "" for the root.
func parent(dir string) string {
	if dir = path.Dir(dir); dir != "." && dir != "/" {
		return dir
	}
	return ""
}
