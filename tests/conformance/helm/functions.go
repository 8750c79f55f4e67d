package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/template"
	"text/template/parse"
	_ "unsafe"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	_ "helm.sh/helm/v4/pkg/engine"
)

// engineFunctions is Helm's own list of the functions of templates, which it does not export.
//
//go:linkname engineFunctions helm.sh/helm/v4/pkg/engine.funcMap
func engineFunctions() template.FuncMap

// printFunctions prints every function of templates that Helm knows, one a line.
func printFunctions() {
	for _, name := range slices.Sorted(maps.Keys(engineFunctions())) {
		fmt.Println(name)
	}
}

// used is a line of `oracle used`.
type used struct {
	Case      string   `json:"case"`
	Functions []string `json:"functions"`
}

// usedBy is the functions that the templates of a case call.
func usedBy(name string, root string) (any, error) {
	c, err := open(root)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	loaded, err := c.load()
	// A chart that cannot be loaded is there to show an error, and uses nothing.
	if err == nil {
		collect(loaded, found)
	}
	return used{Case: name, Functions: slices.AppendSeq([]string{}, maps.Keys(found))}, nil
}

func collect(c *chart.Chart, found map[string]bool) {
	for _, file := range c.Templates {
		parsed, err := template.New(file.Name).Funcs(engineFunctions()).Parse(string(file.Data))
		if err != nil {
			continue
		}
		for _, t := range parsed.Templates() {
			if t.Tree != nil {
				walk(t.Tree.Root, found)
			}
		}
	}
	for _, dependency := range c.Dependencies() {
		collect(dependency, found)
	}
}

func walk(node parse.Node, found map[string]bool) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, child := range n.Nodes {
				walk(child, found)
			}
		}
	case *parse.ActionNode:
		walk(n.Pipe, found)
	case *parse.PipeNode:
		if n != nil {
			for _, command := range n.Cmds {
				walk(command, found)
			}
		}
	case *parse.CommandNode:
		for _, argument := range n.Args {
			walk(argument, found)
		}
	case *parse.ChainNode:
		walk(n.Node, found)
	case *parse.IdentifierNode:
		found[n.Ident] = true
	case *parse.IfNode:
		walkBranch(&n.BranchNode, found)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, found)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, found)
	case *parse.TemplateNode:
		walk(n.Pipe, found)
	}
}

func walkBranch(n *parse.BranchNode, found map[string]bool) {
	walk(n.Pipe, found)
	walk(n.List, found)
	walk(n.ElseList, found)
}

// eachCase writes what `work` makes of each directory in `cases`, in the order of their names.
func eachCase(cases string, work func(name, root string) (any, error)) error {
	cases, err := filepath.Abs(cases)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(cases)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(os.Stdout)
	lines.SetEscapeHTML(false)
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		// Helm names files as it was given them: from the root of the case, as the plugin does.
		if err := os.Chdir(filepath.Join(cases, entry.Name())); err != nil {
			return err
		}
		line, err := work(entry.Name(), ".")
		if err != nil {
			return fmt.Errorf("case %s: %w", entry.Name(), err)
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
