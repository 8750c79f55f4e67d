package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

// tags is `with.tags`: values for the fields with the attribute `@tag`, and what switches files on that have `@if`.
// https://cuelang.org/docs/reference/command/cue-help-injection/
type tags struct {
	values map[string]any
	used   map[string]bool
}

func newTags(values map[string]any) *tags {
	return &tags{values: values, used: map[string]bool{}}
}

// isSet tells whether a tag is true, and so switches something on.
func (t *tags) isSet(name string) bool {
	if _, ok := t.values[name]; ok {
		t.used[name] = true
	}
	return t.values[name] == true
}

// builds tells whether a file is to be built: what stands before its package clause may be `@ignore()`, or `@if(expression)` with tags.
func (t *tags) builds(file *ast.File) (bool, *Error) {
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.CommentGroup:
		case *ast.Attribute:
			switch name, body := d.Split(); name {
			case "ignore":
				return false, nil
			case "if":
				expression, err := parser.ParseExpr("", body)
				if err != nil {
					return false, at(d.Pos(), InvalidInput, "", "@if(%s): %v", body, err)
				}
				on, err := t.judge(expression)
				if err != nil {
					return false, at(d.Pos(), InvalidInput, "Use names of tags, `&&`, `||`, `!` and parentheses.", "@if(%s): %v", body, err)
				}
				if !on {
					return false, nil
				}
			}
		default:
			return true, nil
		}
	}
	return true, nil
}

func (t *tags) judge(expression ast.Expr) (bool, error) {
	switch x := expression.(type) {
	case *ast.Ident:
		return t.isSet(x.Name), nil
	case *ast.ParenExpr:
		return t.judge(x.X)
	case *ast.UnaryExpr:
		if x.Op == token.NOT {
			on, err := t.judge(x.X)
			return !on, err
		}
	case *ast.BinaryExpr:
		// Both sides are looked at, so that what they name is known.
		left, err := t.judge(x.X)
		if err != nil {
			return false, err
		}
		right, err := t.judge(x.Y)
		switch x.Op {
		case token.LAND:
			return left && right, err
		case token.LOR:
			return left || right, err
		}
	}
	return false, fmt.Errorf("this is no condition on tags")
}

// inject puts the values into the fields of a package that have the attribute. They are unified with what the field has.
func (t *tags) inject(files []*ast.File) []*Error {
	var errs []*Error
	replaced := map[ast.Node]ast.Node{}
	for _, file := range files {
		ast.Walk(file, func(n ast.Node) bool {
			field, isField := n.(*ast.Field)
			if !isField {
				// As in CUE: a field in one of these may stand for many.
				_, isList := n.(*ast.ListLit)
				_, isComprehension := n.(*ast.Comprehension)
				return !isList && !isComprehension
			}
			for _, attribute := range field.Attrs {
				if attribute.Name() != "tag" {
					continue
				}
				value, err := t.valueFor(attribute)
				if err != nil {
					errs = append(errs, err)
				} else if value != nil {
					injected := ast.NewBinExpr(token.AND, field.Value, value)
					replaced[field.Value] = injected
					field.Value = injected
				}
			}
			return true
		}, nil)
	}
	// References that are resolved already have to lead to the new values.
	for _, file := range files {
		ast.Walk(file, nil, func(n ast.Node) {
			if ident, ok := n.(*ast.Ident); ok {
				if to, ok := replaced[ident.Node]; ok {
					ident.Node = to
				}
			}
		})
	}
	return append(errs, t.unused()...)
}

// valueFor is what a field with this attribute gets: `@tag(name)`, `@tag(name,type=int)`, `@tag(name,short=a|b)`; nil for nothing.
func (t *tags) valueFor(attribute *ast.Attribute) (ast.Expr, *Error) {
	_, body := attribute.Split()
	arguments := strings.Split(body, ",")
	name, kind, value := strings.TrimSpace(arguments[0]), "string", ast.Expr(nil)
	var shorthands []string
	for _, argument := range arguments[1:] {
		switch key, text, _ := strings.Cut(strings.TrimSpace(argument), "="); key {
		case "type":
			kind = text
		case "short":
			shorthands = strings.Split(text, "|")
		}
	}
	for _, shorthand := range shorthands {
		if t.isSet(shorthand) {
			value = ast.NewString(shorthand)
		}
	}
	given, ok := t.values[name]
	if !ok {
		return value, nil
	}
	t.used[name] = true
	value, err := literal(kind, given)
	if err != nil {
		return nil, at(attribute.Pos(), InvalidInput, "Change `with.tags`.", "with.tags.%s: %v", name, err)
	}
	return value, nil
}

// literal is a value as CUE of the type that the attribute asks for.
func literal(kind string, value any) (ast.Expr, error) {
	text := fmt.Sprint(value)
	_, isNumber := value.(json.Number)
	switch kind {
	case "string":
		return ast.NewString(text), nil
	case "bool":
		if text == "true" || text == "false" {
			return ast.NewBool(text == "true"), nil
		}
	case "int", "number":
		if expression, err := parser.ParseExpr("", text); err == nil && (isNumber || isNumeral(expression)) {
			return expression, nil
		}
	default:
		return nil, fmt.Errorf("@tag knows no type %q", kind)
	}
	return nil, fmt.Errorf("%q is no %s", text, kind)
}

func isNumeral(expression ast.Expr) bool {
	if unary, ok := expression.(*ast.UnaryExpr); ok && (unary.Op == token.SUB || unary.Op == token.ADD) {
		expression = unary.X
	}
	basic, ok := expression.(*ast.BasicLit)
	return ok && (basic.Kind == token.INT || basic.Kind == token.FLOAT)
}

// unused is the tags that no file names: most likely they are misspelt.
func (t *tags) unused() []*Error {
	var errs []*Error
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		if !t.used[name] {
			errs = append(errs, &Error{
				Kind: InvalidInput, Message: fmt.Sprintf("with.tags.%s: no file of the package has @tag(%s) or @if(%s)", name, name, name),
				Hint: "Correct the name, or remove it.",
			})
		}
	}
	return errs
}
