// Package rest has what Helm's engine names of client-go's package of the same name.
package rest

// Config says how to reach an API server. Here it says nothing: there is none to reach.
type Config struct{}
