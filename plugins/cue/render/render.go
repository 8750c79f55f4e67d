// Package render turns a CUE package of a tree into Kubernetes objects with the library of CUE itself.
//
// It is the plugin without the plugin: it runs just as well over files in memory.
package render

import (
	"errors"
	"fmt"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
	cuejson "cuelang.org/go/encoding/json"

	"plumbline.dev/plugins/gosdk/treefs"
)

// What begins so is in the parameters, and no file.
const (
	parameterFile  = "with."
	valuesFile     = parameterFile + "values"
	expressionFile = parameterFile + "expression"
)

// Result is what a package renders to.
type Result struct {
	// Objects are the objects, each as the text of a JSON object.
	Objects []string
	// Warnings are what the author of the files should change, though it works.
	Warnings []string
}

// Render renders the package that the parameters, a JSON object, name. It returns every error that it found. CUE can panic on what
// it did not expect; that is an error like others.
func Render(tree treefs.Tree, parameters string) (result Result, failed []*Error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result, failed = Result{}, []*Error{{
				Kind: Internal, Message: fmt.Sprintf("CUE panicked: %v", panicked),
				Hint: "This is a mistake in CUE, set off by what it read. Try what the same files do with `cue export`.",
			}}
		}
	}()
	p, err := parseParameters(parameters)
	if err != nil {
		return Result{}, []*Error{{Kind: InvalidInput, Message: err.Error()}}
	}
	root, errs := loadInstance(tree, p)
	if len(errs) > 0 {
		return Result{}, errs
	}
	value, errs := evaluate(root, p.Expression)
	if len(errs) > 0 {
		return Result{}, errs
	}
	var found found
	found.take(value)
	if len(found.errors) > 0 {
		return Result{}, found.errors
	}
	result.Objects = found.objects
	if len(result.Objects) == 0 {
		result.Warnings = []string{"no field of the package is an object of Kubernetes, with apiVersion and kind"}
	}
	return result, nil
}

// loadInstance loads the package and all that it imports, and puts the parameters into it.
func loadInstance(tree treefs.Tree, p Parameters) (*build.Instance, []*Error) {
	node, err := tree.Stat(treefs.Clean(p.Path))
	if err != nil {
		e := unread("", err)
		e.Message = fmt.Sprintf("the path %q cannot be rendered: %v", p.Path, err)
		e.Hint = "Set `path` to a directory of this revision of the source."
		return nil, []*Error{e}
	}
	dir := node.Resolved
	m, errs := findModule(tree, dir)
	if len(errs) > 0 {
		return nil, errs
	}
	l := loader{tree: tree, module: m, tags: newTags(p.Tags), packages: map[string]*pack{}}
	root := l.load(dir, p.Package)
	if len(l.errors) > 0 {
		return nil, l.errors
	}
	if errs := l.tags.inject(root.files); len(errs) > 0 {
		return nil, errs
	}
	if len(p.Values) > 0 {
		values, err := valuesAsFile(p.Values)
		if err != nil {
			return nil, fromCUE(err, nil)
		}
		root.files = append(root.files, values)
	}
	b := builder{loader: &l, context: build.NewContext()}
	instance := b.instance(root)
	return instance, b.errors
}

// valuesAsFile is `with.values` as one more file of the package.
func valuesAsFile(values []byte) (*ast.File, error) {
	expression, err := cuejson.Extract(valuesFile, values)
	if err != nil {
		return nil, err
	}
	object, ok := expression.(*ast.StructLit)
	if !ok {
		return nil, errors.New("with.values must be an object")
	}
	return &ast.File{Filename: valuesFile, Decls: object.Elts}, nil
}

// builder makes instances of packages that were loaded.
type builder struct {
	*loader
	context *build.Context
	errors  []*Error
}

func (b *builder) instance(p *pack) *build.Instance {
	instance := b.context.NewInstance(p.dir, b.imported)
	instance.PkgName, instance.ImportPath = p.name, p.importPath
	instance.Module, instance.Root = b.module.path, b.module.root
	for _, file := range p.files {
		if err := instance.AddSyntax(file); err != nil {
			b.errors = append(b.errors, fromCUE(err, nil)...)
		}
	}
	if err := instance.Complete(); err != nil && len(b.errors) == 0 {
		b.errors = append(b.errors, fromCUE(err, nil)...)
	}
	return instance
}

// imported is asked for each import once. nil stands for a package of CUE's own library.
func (b *builder) imported(_ token.Pos, importPath string) *build.Instance {
	if p := b.packages[importPath]; p != nil {
		return b.instance(p)
	}
	return nil
}

// evaluate is the value of the package, or of an expression in its scope. Everything in it is concrete.
func evaluate(instance *build.Instance, expression string) (cue.Value, []*Error) {
	context := cuecontext.New()
	whole := context.BuildInstance(instance)
	value := whole
	if expression != "" {
		if err := instance.Err; err != nil {
			return value, fromCUE(err, nil)
		}
		parsed, err := parser.ParseExpr(expressionFile, expression)
		if err != nil {
			return value, fromCUE(err, nil)
		}
		value = context.BuildExpr(parsed, cue.Scope(whole), cue.InferBuiltins(true))
	}
	positionOf := func(path []string) token.Pos { return nearest(value, path) }
	if err := value.Validate(cue.Concrete(true), cue.Final()); err != nil {
		return value, fromCUE(err, positionOf)
	}
	return value, nil
}

// nearest is the position of a field, or of the closest around it that has one.
func nearest(value cue.Value, path []string) token.Pos {
	pos := token.NoPos
	for i := range path {
		at := value.LookupPath(cue.ParsePath(joined(path[:i+1])))
		if at.Exists() && at.Pos().IsValid() {
			pos = at.Pos()
		}
	}
	return pos
}
