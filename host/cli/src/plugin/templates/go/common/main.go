//go:build wasip1

// Command NAME is the plugin as a component. What it does is in the package plugin; internal/wit is written by `plumb plugin build`.
package main

import _ "NAME/internal/wit/exports/wit_exports"

// main is not called: the component is a library.
func main() {}
