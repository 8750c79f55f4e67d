//go:build wasip1

// Command team-label is the plugin as a component. What it does is in the package plugin; internal/wit is written by `plumb plugin build`.
package main

import _ "team-label/internal/wit/exports/wit_exports"

// main is not called: the component is a library.
func main() {}
