// Package export_wit_world has the functions that the component exports beside its interfaces.
package export_wit_world

import (
	"fmt"
	"runtime/debug"

	"plumbline.dev/plugins/gosdk/treefs"
	"plumbline.dev/plugins/kustomize/render"
)

// heapLimit is where Go's collector sets in after all.
const heapLimit = 256 << 20

func init() {
	// An instance renders once and is thrown away: collecting garbage would be wasted, up to a limit.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimit)
}

// Initialize is called once, while the component is built; what it leaves in memory is what every instance
// starts with. It loads the OpenAPI schema of Kubernetes and goes through the parts of kustomize that set themselves up
// on first use. It must not call an import.
func Initialize() {
	render.Reset()
	result, errs := render.Render(treefs.Memory{
		"kustomization.yaml": kustomization,
		"deployment.yaml":    deployment,
	}, `{"path": "", "overlay": {}}`)
	if len(errs) > 0 || len(result.Objects) != 2 {
		panic(fmt.Sprint("cannot initialise the plugin: ", len(result.Objects), " objects, errors ", errs))
	}
}

const kustomization = `
resources: [deployment.yaml]
namePrefix: a-
namespace: b
labels: [{pairs: {a: b}, includeSelectors: true}]
commonAnnotations: {a: b}
configMapGenerator: [{name: c, literals: [a=b]}]
images: [{name: x, newTag: "1"}]
replicas: [{name: d, count: 2}]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: d}
    spec: {template: {spec: {containers: [{name: c, env: [{name: a, value: b}]}]}}}
- target: {kind: Deployment}
  patch: |-
    - {op: add, path: /metadata/annotations/c, value: d}
`

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: x, envFrom: [{configMapRef: {name: c}}]}]}
`
