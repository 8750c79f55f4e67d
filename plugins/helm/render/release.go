package render

import (
	"fmt"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// renderedRelease is all that a release record is made of, as one object.
type renderedRelease struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	// Manifest is what a record stores, byte for byte.
	Manifest string     `json:"manifest"`
	Objects  []manifest `json:"objects"`
	Hooks    []hook     `json:"hooks"`
	CRDs     []crd      `json:"crds"`
	Notes    string     `json:"notes"`
	// Chart is as a record stores it, with its dependencies left out.
	Chart *chart.Chart `json:"chart"`
	// Config is the values of the user, which a record stores, Values the chart's with those over them.
	Config map[string]any `json:"config"`
	Values map[string]any `json:"values"`
}

func (r *renderer) release(helm rendered, decoded decoded) renderedRelease {
	var manifest strings.Builder
	for _, m := range helm.manifests {
		fmt.Fprintf(&manifest, "---\n# Source: %s\n%s\n", m.Name, m.Content)
	}
	out := renderedRelease{
		APIVersion: "plumbline.dev/v1alpha1", Kind: "RenderedRelease", Manifest: manifest.String(), Objects: decoded.manifests,
		Hooks: decoded.hooks, CRDs: decoded.crds, Notes: helm.notes, Chart: r.chart.Chart, Config: r.user, Values: r.coalesced,
	}
	out.Metadata.Name = r.Release.Name
	return out
}
