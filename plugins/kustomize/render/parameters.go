package render

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
)

// Parameters is what the step is called with.
type Parameters struct {
	// Path is the directory to render, from the root of the tree; "" is the root.
	Path string `json:"path"`
	// Overlay is what a Flux Kustomization adds to the kustomization.yaml of that directory. When it is there, even
	// empty, the directory is rendered as Flux renders it; when it is not, as `kustomize build` does.
	Overlay *Overlay `json:"overlay,omitempty"`
}

// Overlay has those fields of a Flux Kustomization's spec that Flux merges into kustomization.yaml, with the same
// names and meaning. https://fluxcd.io/flux/components/kustomize/kustomizations/
type Overlay struct {
	NamePrefix      *string `json:"namePrefix,omitempty"`
	NameSuffix      *string `json:"nameSuffix,omitempty"`
	TargetNamespace *string `json:"targetNamespace,omitempty"`
	Patches         []Patch `json:"patches,omitempty"`
	Images          []Image `json:"images,omitempty"`
	// Components are directories, from Path.
	Components []string `json:"components,omitempty"`
	// IgnoreMissingComponents leaves out the components that do not exist.
	IgnoreMissingComponents bool     `json:"ignoreMissingComponents,omitempty"`
	BuildMetadata           []string `json:"buildMetadata,omitempty"`
}

// Patch is a strategic merge patch or a JSON 6902 patch.
type Patch struct {
	Patch  string    `json:"patch,omitempty"`
	Target *Selector `json:"target,omitempty"`
}

// Selector says which objects a patch is for.
type Selector struct {
	Group              string `json:"group,omitempty"`
	Version            string `json:"version,omitempty"`
	Kind               string `json:"kind,omitempty"`
	Namespace          string `json:"namespace,omitempty"`
	Name               string `json:"name,omitempty"`
	AnnotationSelector string `json:"annotationSelector,omitempty"`
	LabelSelector      string `json:"labelSelector,omitempty"`
}

// Image replaces the name, tag or digest of an image.
type Image struct {
	Name    string `json:"name"`
	NewName string `json:"newName,omitempty"`
	NewTag  string `json:"newTag,omitempty"`
	Digest  string `json:"digest,omitempty"`
}

func parseParameters(text string) (Parameters, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	var p Parameters
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("the parameters of the step kustomize are not valid: %w", err)
	}
	return p, nil
}

func (s *Selector) kustomize() *types.Selector {
	if s == nil {
		return nil
	}
	return &types.Selector{
		ResId: resid.ResId{
			Gvk:       resid.Gvk{Group: s.Group, Version: s.Version, Kind: s.Kind},
			Name:      s.Name,
			Namespace: s.Namespace,
		},
		AnnotationSelector: s.AnnotationSelector,
		LabelSelector:      s.LabelSelector,
	}
}
