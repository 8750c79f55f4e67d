// The oracle says what upstream kustomize makes of the conformance cases, natively and from the real disk.
//
//	oracle render CASES      one JSON line a case: what it renders to, or the error
//	oracle substitute FILE   one JSON line a case of the file: what Flux makes of it after the build, or the error
//	oracle fields            every field of a kustomization and every builtin plugin that kustomize knows, one a line
//	oracle used CASES        one JSON line a case: which of those fields and plugins it uses
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "render":
		if err := forbidNetwork(); err != nil {
			return err
		}
		return eachCase(args[1], func(name, root string) (any, error) { return renderCase(name, root) })
	case len(args) == 2 && args[0] == "substitute":
		if err := forbidNetwork(); err != nil {
			return err
		}
		return substituteFile(args[1])
	case len(args) == 1 && args[0] == "fields":
		for _, field := range knownFields() {
			fmt.Println(field)
		}
		return nil
	case len(args) == 2 && args[0] == "used":
		return eachCase(args[1], func(name, root string) (any, error) { return usedFields(name, root) })
	}
	return errors.New("usage: oracle render CASES | oracle fields | oracle used CASES | oracle substitute FILE")
}

// eachCase writes what `work` makes of each directory in `cases`, in the order of their names.
func eachCase(cases string, work func(name, root string) (any, error)) error {
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
		// kustomize follows links before it names a file, so the root that is taken off its messages must not hold one.
		root, err := filepath.Abs(filepath.Join(cases, entry.Name()))
		if err == nil {
			root, err = filepath.EvalSymlinks(root)
		}
		if err != nil {
			return err
		}
		line, err := work(entry.Name(), root)
		if err != nil {
			return fmt.Errorf("case %s: %w", entry.Name(), err)
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("the oracle has no network")
}

// forbidNetwork takes away the only two ways in which kustomize reaches the network. It takes an entry of `resources` for
// remote only when it reads like a URL (`https://…`, `git@host:…`, `github.com/…`), never because a file is missing, and no
// case has such an entry; should one get in, it must fail here rather than depend on the network.
func forbidNetwork() error {
	// Files: kustomize makes an http.Client without a transport of its own.
	http.DefaultTransport = noNetwork{}
	// Repositories: kustomize runs the program `git`. Helm charts: it runs `helm`.
	return os.Setenv("PATH", "")
}
