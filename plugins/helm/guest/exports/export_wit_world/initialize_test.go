package export_wit_world

import "testing"

func TestInitializeSucceeds(t *testing.T) {
	Initialize()
}
