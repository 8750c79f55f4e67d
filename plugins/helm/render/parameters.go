package render

import (
	"bytes"
	"encoding/json"
	"fmt"

	"helm.sh/helm/v4/pkg/chart/common"
)

// Parameters is what the step is called with.
type Parameters struct {
	// Path is a directory with a Chart.yaml, or a chart archive, from the root of the tree.
	Path string `json:"path"`
	// As is what comes out: Objects or Release.
	As      Form    `json:"as"`
	Release Release `json:"release"`
	// ValuesFiles are files of the tree, from its root, each over the one before.
	ValuesFiles []string `json:"valuesFiles"`
	// IgnoreMissingValuesFiles leaves out those that do not exist.
	IgnoreMissingValuesFiles bool `json:"ignoreMissingValuesFiles"`
	// Values go over the files.
	Values       map[string]any `json:"values"`
	Capabilities Capabilities   `json:"capabilities"`
	// IncludeCRDs is whether the files of crds/ are among the objects. It has no meaning for a release, which always has them.
	IncludeCRDs bool `json:"includeCRDs"`
	// Hooks is whether hooks are among the objects. It has no meaning for a release.
	Hooks bool `json:"hooks"`
	// Tests is whether test hooks are among the hooks. It has no meaning for a release.
	Tests                bool `json:"tests"`
	SkipSchemaValidation bool `json:"skipSchemaValidation"`
}

// Form is what a chart is rendered to.
type Form string

// The forms.
const (
	// Objects is what `helm template` shows.
	Objects Form = "objects"
	// RenderedRelease is one object with all that a release record is made of.
	RenderedRelease Form = "release"
)

// Release is what templates see as `.Release`.
type Release struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Revision  int    `json:"revision"`
	IsUpgrade bool   `json:"isUpgrade"`
}

// Capabilities is what templates see as `.Capabilities`.
type Capabilities struct {
	// KubeVersion is the version of Kubernetes; by default the one that this Helm was made for.
	KubeVersion string `json:"kubeVersion"`
	// APIVersions are all that the cluster has; by default those that Kubernetes itself has in that version.
	APIVersions []string `json:"apiVersions"`
	// AdditionalAPIVersions are there besides, as with `helm template --api-versions`.
	AdditionalAPIVersions []string `json:"additionalAPIVersions"`
}

func parseParameters(text string) (Parameters, error) {
	p := Parameters{
		As:          Objects,
		Release:     Release{Name: "release-name", Namespace: "default", Revision: 1},
		IncludeCRDs: true,
		Hooks:       true,
		Tests:       true,
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("the parameters of the step helm are not valid: %w", err)
	}
	if p.As != Objects && p.As != RenderedRelease {
		return p, fmt.Errorf("the parameter as of the step helm is %q; it may be %q or %q", p.As, Objects, RenderedRelease)
	}
	return p, nil
}

// helm is the capabilities as Helm has them.
func (c Capabilities) helm() (*common.Capabilities, error) {
	caps := common.DefaultCapabilities.Copy()
	if c.KubeVersion != "" {
		version, err := common.ParseKubeVersion(c.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("invalid kube version '%s': %w", c.KubeVersion, err)
		}
		caps.KubeVersion = *version
	}
	if len(c.APIVersions) > 0 {
		caps.APIVersions = c.APIVersions
	}
	caps.APIVersions = append(append(common.VersionSet{}, caps.APIVersions...), c.AdditionalAPIVersions...)
	return caps, nil
}
