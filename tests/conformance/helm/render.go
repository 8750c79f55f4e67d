package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/action"
	ci "helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// testCase is a case: a directory with `case.json`, which has the parameters of the step, and a chart.
type testCase struct {
	root       string
	Parameters parameters `json:"parameters"`
	// Not for the oracle.
	OwnWords any `json:"own_words"`
}

// parameters are those of the plugin that cases use.
type parameters struct {
	Path    string `json:"path"`
	Release struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		IsUpgrade bool   `json:"isUpgrade"`
	} `json:"release"`
	ValuesFiles  []string       `json:"valuesFiles"`
	Values       map[string]any `json:"values"`
	Capabilities struct {
		KubeVersion           string   `json:"kubeVersion"`
		AdditionalAPIVersions []string `json:"additionalAPIVersions"`
	} `json:"capabilities"`
	SkipSchemaValidation bool `json:"skipSchemaValidation"`
}

// rendered is a line of `oracle render`, in the words of the plugin's RenderedRelease.
type rendered struct {
	Case     string          `json:"case"`
	Manifest string          `json:"manifest"`
	Hooks    []hook          `json:"hooks"`
	CRDs     []crd           `json:"crds"`
	Notes    string          `json:"notes"`
	Chart    json.RawMessage `json:"chart"`
	Config   map[string]any  `json:"config"`
	Values   map[string]any  `json:"values"`
	// What Helm says instead.
	Error *string `json:"error"`
}

type hook struct {
	Name              string                        `json:"name"`
	Kind              string                        `json:"kind"`
	Path              string                        `json:"path"`
	Manifest          string                        `json:"manifest"`
	Events            []release.HookEvent           `json:"events"`
	Weight            int                           `json:"weight"`
	DeletePolicies    []release.HookDeletePolicy    `json:"deletePolicies"`
	OutputLogPolicies []release.HookOutputLogPolicy `json:"outputLogPolicies"`
}

type crd struct {
	Name     string `json:"name"`
	Source   string `json:"source"`
	Manifest string `json:"manifest"`
}

func open(root string) (*testCase, error) {
	c := &testCase{root: root}
	c.Parameters.Path = "chart"
	c.Parameters.Release.Name, c.Parameters.Release.Namespace = "release-name", "default"
	text, err := os.ReadFile(filepath.Join(root, "case.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(c)
	}
	return c, err
}

func (c *testCase) load() (*chart.Chart, error) {
	loaded, err := loader.Load(filepath.Join(c.root, c.Parameters.Path))
	if err == nil {
		inOrder(loaded)
	}
	return loaded, err
}

// inOrder puts dependencies into the order of their names, as the plugin does. Helm has them in that of a Go map.
func inOrder(c *chart.Chart) {
	dependencies := slices.Clone(c.Dependencies())
	slices.SortFunc(dependencies, func(a, b *chart.Chart) int {
		return strings.Compare(a.Name()+" "+a.Metadata.Version, b.Name()+" "+b.Metadata.Version)
	})
	c.SetDependencies(dependencies...)
	for _, dependency := range dependencies {
		inOrder(dependency)
	}
}

func (c *testCase) values() (map[string]any, error) {
	values := map[string]any{}
	for _, name := range c.Parameters.ValuesFiles {
		text, err := os.ReadFile(filepath.Join(c.root, name))
		if err != nil {
			return nil, err
		}
		current, err := loader.LoadValues(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("failed to parse %s: %w", name, err)
		}
		values = loader.MergeMaps(values, current)
	}
	return loader.MergeMaps(values, c.Parameters.Values), nil
}

func render(name, root string) (any, error) {
	c, err := open(root)
	if err != nil {
		return nil, err
	}
	line, err := c.render()
	line.Case = name
	if err != nil {
		message := err.Error()
		line.Error = &message
	}
	return line, nil
}

// render does what `helm template` does.
func (c *testCase) render() (rendered, error) {
	loaded, err := c.load()
	if err != nil {
		return rendered{}, err
	}
	values, err := c.values()
	if err != nil {
		return rendered{}, err
	}
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return rendered{}, fmt.Errorf("%s charts are not installable", kind)
	}
	var wanted []ci.Dependency
	for _, dependency := range loaded.Metadata.Dependencies {
		wanted = append(wanted, dependency)
	}
	if err := action.CheckDependencies(loaded, wanted); err != nil {
		return rendered{}, fmt.Errorf("an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to fetch missing dependencies: %w", err)
	}
	released, err := c.install(loaded, values)
	if err != nil {
		return rendered{}, err
	}
	return describe(released)
}

func (c *testCase) install(loaded *chart.Chart, values map[string]any) (*release.Release, error) {
	p := c.Parameters
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy = action.DryRunClient
	install.Replace = true
	install.ReleaseName, install.Namespace, install.IsUpgrade = p.Release.Name, p.Release.Namespace, p.Release.IsUpgrade
	install.SkipSchemaValidation = p.SkipSchemaValidation
	install.APIVersions = p.Capabilities.AdditionalAPIVersions
	if p.Capabilities.KubeVersion != "" {
		version, err := common.ParseKubeVersion(p.Capabilities.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("invalid kube version '%s': %w", p.Capabilities.KubeVersion, err)
		}
		install.KubeVersion = version
	}
	released, err := install.RunWithContext(context.Background(), loaded, values)
	if err != nil {
		return nil, err
	}
	return released.(*release.Release), nil
}

func describe(released *release.Release) (rendered, error) {
	out := rendered{Manifest: released.Manifest, Notes: released.Info.Notes, Config: released.Config, Hooks: []hook{}, CRDs: []crd{}}
	for _, h := range released.Hooks {
		out.Hooks = append(out.Hooks, hook{
			h.Name, h.Kind, h.Path, h.Manifest, h.Events, h.Weight, h.DeletePolicies, h.OutputLogPolicies,
		})
	}
	for _, file := range released.Chart.CRDObjects() {
		out.CRDs = append(out.CRDs, crd{file.Name, file.Filename, string(file.File.Data)})
	}
	var err error
	if out.Values, err = util.CoalesceValues(released.Chart, released.Config); err != nil {
		return out, err
	}
	out.Chart, err = json.Marshal(released.Chart)
	return out, err
}
