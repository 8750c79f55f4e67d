// Package export_wit_world has the functions that the component exports beside its interfaces.
package export_wit_world

import (
	"fmt"
	"runtime/debug"

	// Zones of functions such as dateInZone: a component has no files to read them from.
	_ "time/tzdata"

	"plumbline.dev/plugins/helm/render"
)

// heapLimit is where Go's collector sets in after all.
const heapLimit = 256 << 20

func init() {
	// An instance renders once and is thrown away: collecting garbage would be wasted, up to a limit.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimit)
}

// Initialize is called once, while the component is built; what it leaves in memory is what every instance
// starts with. It goes through the parts of Helm that set themselves up on first use. It must not call an import.
func Initialize() {
	if err := render.Initialize(); err != nil {
		panic(fmt.Sprint("cannot initialise the plugin: ", err))
	}
}
