//go:build wasip1

// Command guest is Helm as a component of the world `renderer`. The packages below it that are not in the
// repository are written from wit/ by `cargo xtask build`.
package main

import (
	// The functions that the component exports.
	_ "plumbline.dev/plugins/helm/guest/exports/wit_exports"
)

// main is not called: the component is a library.
func main() {}
