//go:build wasip1

// Command guest is CUE as a component of the world `renderer`. The packages below it that are not in the
// repository are written from wit/ by `cargo xtask build`.
package main

// The functions that the component exports.
import _ "plumbline.dev/plugins/cue/guest/exports/wit_exports"

// main is not called: the component is a library.
func main() {}
