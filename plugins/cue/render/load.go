package render

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"plumbline.dev/plugins/gosdk/treefs"
)

// pack is the files of one package.
type pack struct {
	// importPath is what other packages call it.
	importPath string
	name       string
	dir        string
	files      []*ast.File
}

// loader reads a package and all that it imports. It is a loader of our own because that of CUE needs a disk and a cache of modules,
// and reads more than it has to.
type loader struct {
	tree   treefs.Tree
	module module
	tags   *tags
	// packages are those that were imported, by their import path. One that is being loaded is there without files.
	packages map[string]*pack
	// stack is the import paths that are being loaded.
	stack  []string
	errors []*Error
}

// load reads the package of a directory. It is the caller's to look at the loader's errors.
func (l *loader) load(dir, name string) *pack {
	files, err := l.read(dir)
	if err != nil {
		e := unread(dir, err)
		e.File = ""
		e.Message = fmt.Sprintf("the directory %q of the package cannot be read: %v", dir, err)
		e.Hint = "Set `path` to a directory of this revision of the source."
		l.errors = append(l.errors, e)
		return nil
	}
	if name == "" {
		if name, err = onlyPackage(files); err != nil {
			l.errors = append(l.errors, &Error{
				Kind: InvalidInput, Message: fmt.Sprintf("the directory %q has %v", dir, err),
				Hint: "Name the one to render by `with.package`.",
			})
			return nil
		}
	}
	p := &pack{name: name, dir: dir, files: ofPackage(files, name), importPath: path.Join(l.module.path, strings.TrimPrefix(dir, l.module.root))}
	if len(p.files) == 0 && len(l.errors) == 0 {
		message := fmt.Sprintf("the directory %q has no CUE files", dir)
		if name != "" {
			message = fmt.Sprintf("the directory %q has no files of the package %q", dir, name)
		}
		l.errors = append(l.errors, &Error{Kind: NotFound, Message: message, Hint: "Set `path` to the directory of a package."})
	}
	p.files = append(l.above(dir, name), p.files...)
	l.imports(p)
	return p
}

// read is the files of a directory that are to be built, whatever their package. Files for tests and commands are left out, as are
// those that begin with `_` or `.`, and those that tags switch off.
func (l *loader) read(dir string) ([]*ast.File, error) {
	entries, err := l.tree.List(dir)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, entry := range entries {
		stem, isCUE := strings.CutSuffix(entry.Name, ".cue")
		if !isCUE || entry.Kind != treefs.File || strings.HasPrefix(stem, "_") || strings.HasPrefix(stem, ".") ||
			strings.HasSuffix(stem, "_test") || strings.HasSuffix(stem, "_tool") {
			continue
		}
		file := l.parse(path.Join(dir, entry.Name))
		if file == nil {
			continue
		}
		if built, err := l.tags.builds(file); err != nil {
			l.errors = append(l.errors, err)
		} else if built {
			files = append(files, file)
		}
	}
	return files, nil
}

func (l *loader) parse(name string) *ast.File {
	data, err := l.tree.Read(name)
	if err != nil {
		l.errors = append(l.errors, unread(name, err))
		return nil
	}
	if deep := tooDeep(name, data); deep != nil {
		l.errors = append(l.errors, deep)
		return nil
	}
	options := []parser.Option{parser.ParseComments, parser.AllErrors}
	if l.module.language != "" {
		options = append(options, parser.Version(l.module.language))
	}
	file, err := parser.ParseFile(name, data, options...)
	if err != nil {
		l.errors = append(l.errors, fromCUE(err, nil)...)
		return nil
	}
	for _, declaration := range file.Decls {
		// What it asks for would be looked for on a disk.
		if attribute, ok := declaration.(*ast.Attribute); ok && attribute.Name() == "extern" {
			l.errors = append(l.errors, at(attribute.Pos(), Unsupported, "Write what is embedded as CUE: `cue import` does it for YAML and JSON.",
				"%s is not supported: no files are embedded, and no other programs run", attribute.Text))
			return nil
		}
	}
	return file
}

// above is the files of the same package in the directories above, up to the module's root: they are part of it. Those above come first.
func (l *loader) above(dir, name string) []*ast.File {
	var files []*ast.File
	for name != "" && dir != l.module.root {
		dir = parent(dir)
		here, err := l.read(dir)
		if err != nil {
			l.errors = append(l.errors, unread(dir, err))
			return nil
		}
		files = append(ofPackage(here, name), files...)
	}
	return files
}

// onlyPackage is the name of the package of files; "" if no file has one.
func onlyPackage(files []*ast.File) (string, error) {
	var names []string
	for _, file := range files {
		if name := file.PackageName(); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch len(names) {
	case 0:
		return "", nil
	case 1:
		return names[0], nil
	default:
		return "", fmt.Errorf("several packages: %s", strings.Join(names, ", "))
	}
}

func ofPackage(files []*ast.File, name string) []*ast.File {
	return slices.DeleteFunc(slices.Clone(files), func(file *ast.File) bool { return file.PackageName() != name })
}

// imports loads what the files of a package import, each package once.
func (l *loader) imports(p *pack) {
	for _, file := range p.files {
		for spec := range file.ImportSpecs() {
			text, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				// The parser has seen to that.
				continue
			}
			l.require(text, spec.Pos())
		}
	}
}

func (l *loader) require(importPath string, pos token.Pos) {
	if slices.Contains(l.stack, importPath) {
		l.errors = append(l.errors, at(pos, InvalidInput, "Move what both need into a package of its own.",
			"the packages import each other: %s", strings.Join(append(slices.Clone(l.stack), importPath), " → ")))
		return
	}
	if l.packages[importPath] != nil {
		return
	}
	parsed := ast.ParseImportPath(importPath)
	local, isLocal := l.module.local(parsed.Path)
	if first, _, _ := strings.Cut(parsed.Path, "/"); !isLocal && !strings.Contains(first, ".") {
		// A package of CUE's own library.
		return
	}
	p := &pack{importPath: importPath, name: parsed.Qualifier, dir: local}
	l.packages[importPath] = p
	dirs := []string{local}
	if !isLocal {
		dirs = l.module.vendored(parsed.Path)
		p.dir = dirs[0]
	}
	for _, dir := range dirs {
		files, err := l.read(dir)
		if err != nil && !errors.Is(err, treefs.ErrNotFound) && !errors.Is(err, treefs.ErrNotDirectory) {
			l.errors = append(l.errors, unread(dir, err))
		}
		p.files = append(p.files, ofPackage(files, p.name)...)
	}
	switch {
	case len(p.files) > 0 && isLocal:
		p.files = append(l.above(local, p.name), p.files...)
	case len(p.files) > 0:
	case isLocal:
		l.errors = append(l.errors, at(pos, NotFound, "Correct the import, or name its package, as in `import \"…/dir:package\"`.",
			"the import %q: the directory %q has no files of the package %q", importPath, local, p.name))
	default:
		l.errors = append(l.errors, at(pos, Denied,
			"Registries are not asked. Copy the package to cue.mod/pkg/"+parsed.Path+", or let `cue get go` write it to cue.mod/gen.",
			"the import %q is neither in this module nor in its cue.mod", importPath))
	}
	l.stack = append(l.stack, importPath)
	l.imports(p)
	l.stack = l.stack[:len(l.stack)-1]
}
