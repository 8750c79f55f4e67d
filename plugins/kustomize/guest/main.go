//go:build wasip1

// Command guest is kustomize as a component of the world `renderer`. The packages below it that are not in the
// repository are written from wit/ by `cargo xtask build`.
package main

import (
	"errors"
	"net/http"

	// The functions that the component exports.
	_ "plumbline.dev/plugins/kustomize/guest/exports/wit_exports"
)

func init() {
	// kustomize fetches what looks like an address with the default transport. What does is refused before; this is for
	// what was overlooked.
	http.DefaultTransport = noNetwork{}
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("a plugin has no network")
}

// main is not called: the component is a library.
func main() {}
