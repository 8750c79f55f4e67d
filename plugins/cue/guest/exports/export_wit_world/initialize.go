// Package export_wit_world has the functions that the component exports beside its interfaces.
package export_wit_world

import (
	"fmt"
	"runtime/debug"

	"plumbline.dev/plugins/cue/render"
	"plumbline.dev/plugins/gosdk/treefs"
)

// heapLimit is where Go's collector sets in after all.
const heapLimit = 256 << 20

func init() {
	// An instance renders once and is thrown away: collecting garbage would be wasted, up to a limit.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimit)
}

// Initialize is called once, while the component is built; what it leaves in memory is what every instance
// starts with. It goes through the parts of CUE that set themselves up on first use. It must not call an import.
func Initialize() {
	result, errs := render.Render(treefs.Memory{
		"cue.mod/module.cue": "module: \"example.com/app\"\nlanguage: version: \"v0.9.0\"\n",
		"schema/schema.cue":  schema,
		"app.cue":            app,
	}, `{"path": "", "tags": {"env": "production"}, "values": {"replicas": 2}, "expression": "objects"}`)
	if len(errs) > 0 || len(result.Objects) != 2 {
		panic(fmt.Sprint("cannot initialise the plugin: ", len(result.Objects), " objects, errors ", errs))
	}
}

const schema = `
package schema

import "strings"

#Object: {
	apiVersion: string
	kind:       string
	metadata: name: =~"^[a-z-]+$" & strings.MaxRunes(63)
	...
}
`

const app = `
package app

import (
	"encoding/json"
	"list"
	"strings"

	"example.com/app/schema"
)

env: string @tag(env)
replicas: int & >0 | *1
objects: [for name in list.Sort(["b", "a"], list.Ascending) {
	schema.#Object & {
		apiVersion: "v1"
		kind: "ConfigMap"
		metadata: "name": strings.ToLower("\(name)-\(env)")
		data: settings: json.Marshal({"replicas": replicas})
	}
}]
`
