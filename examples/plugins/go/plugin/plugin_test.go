package plugin

import (
	"testing"

	"team-label/plumbline"
)

func TestANamespaceWithoutATeamIsTold(t *testing.T) {
	object := plumbline.Object{"kind": "Pod", "metadata": map[string]any{"name": "web", "namespace": "shop"}}
	_, errs := Transform([]plumbline.Object{object}, `{"teams": {}}`)
	if len(errs) != 1 || errs[0].Hint != "Add shop to teams." {
		t.Errorf("errors: %v", errs)
	}
}
