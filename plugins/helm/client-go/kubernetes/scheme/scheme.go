// Package scheme has what Helm names of client-go's package of the same name.
package scheme

import "k8s.io/apimachinery/pkg/runtime"

// Scheme knows the versions of Kubernetes' own APIs. It has no types: Helm asks for the names alone.
var Scheme = runtime.NewScheme()
