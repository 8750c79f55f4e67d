// Package render turns a Helm chart of a tree into Kubernetes objects with upstream Helm's own engine.
//
// It is the plugin without the plugin: it runs just as well over files in memory.
package render

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"

	"plumbline.dev/plugins/gosdk/treefs"
)

// Result is what a chart renders to.
type Result struct {
	// Objects are the objects, each as the text of a JSON object, in Helm's order.
	Objects []string
	// Warnings are what the author of the files should change, though it works.
	Warnings []string
}

// Render renders the chart that the parameters, a JSON object, name. Helm can panic on what it did not expect; that is an error like others.
//
// Helm writes its warnings to the process's log, from where they are taken: whoever renders more than once in a process never does so twice at the
// same time.
func Render(tree treefs.Tree, host Host, parameters string) (result Result, failed []*Error) {
	var w warnings
	defer w.collect()()
	defer func() {
		if panicked := recover(); panicked != nil {
			result, failed = Result{}, []*Error{{
				Kind: Internal, Message: fmt.Sprintf("Helm panicked: %v", panicked),
				Hint: "This is a mistake in Helm, set off by what it read. Try what the same files do with `helm template`.",
			}}
		}
	}()
	p, err := parseParameters(parameters)
	if err != nil {
		return Result{}, []*Error{{Message: err.Error()}}
	}
	c, failure := load(tree, p.Path)
	if failure != nil {
		return Result{}, []*Error{failure}
	}
	values, failed := userValues(tree, p)
	if len(failed) > 0 {
		return Result{}, failed
	}
	r := renderer{Parameters: p, chart: c, user: values, functions: functions{host: host}, documents: documents{}, warnings: &w}
	objects, failed := r.render()
	return Result{Objects: objects, Warnings: w.texts}, failed
}

// renderer is one call of [Render].
type renderer struct {
	Parameters
	chart *loaded
	// user is what the user gives, coalesced what templates see.
	user, coalesced map[string]any
	functions       functions
	documents       documents
	warnings        *warnings
}

// rendered is what Helm makes of a chart.
type rendered struct {
	manifests []releaseutil.Manifest
	hooks     []*release.Hook
	notes     string
}

func (r *renderer) render() ([]string, []*Error) {
	unseeded := r.functions.host.UnseededCalls()
	helm, err := r.helm()
	if err != nil {
		return nil, []*Error{r.locate(err)}
	}
	if r.functions.host.UnseededCalls() != unseeded {
		return nil, []*Error{{
			Kind: Internal, Message: "a function of the chart used random bytes that are the same on every machine",
			Hint: "This is a mistake in the plugin helm: it does not know the function. Report the chart.",
		}}
	}
	decoded, failed := r.decode(helm)
	if len(failed) > 0 {
		return nil, failed
	}
	texts, err := r.texts(helm, decoded)
	if err != nil {
		return nil, []*Error{{Kind: Internal, Message: fmt.Sprintf("what was rendered cannot be written as JSON: %v", err)}}
	}
	return texts, nil
}

// texts is what the host is given.
func (r *renderer) texts(helm rendered, decoded decoded) ([]string, error) {
	if r.As == Objects {
		return decoded.texts()
	}
	text, err := json.Marshal(r.release(helm, decoded))
	return []string{string(text)}, err
}

// helm does what `helm template` does, in its order and with its words.
func (r *renderer) helm() (rendered, error) {
	if kind := r.chart.Metadata.Type; kind != "" && kind != "application" {
		return rendered{}, fmt.Errorf("%s charts are not installable", kind)
	}
	if err := checkDependencies(r.chart.Chart); err != nil {
		return rendered{}, err
	}
	if err := chartutil.ValidateReleaseName(r.Release.Name); err != nil {
		return rendered{}, fmt.Errorf("release name check failed: release name %q: %w", r.Release.Name, err)
	}
	if err := chartutil.ProcessDependencies(r.chart.Chart, r.user); err != nil {
		return rendered{}, fmt.Errorf("chart dependencies processing failed: %w", err)
	}
	caps, err := r.Capabilities.helm()
	if err != nil {
		return rendered{}, err
	}
	options := common.ReleaseOptions{
		Name: r.Release.Name, Namespace: r.Release.Namespace, Revision: r.Release.Revision,
		IsInstall: !r.Release.IsUpgrade, IsUpgrade: r.Release.IsUpgrade,
	}
	values, err := util.ToRenderValuesWithSchemaValidation(r.chart.Chart, r.user, options, caps, r.SkipSchemaValidation)
	if err != nil {
		return rendered{}, err
	}
	r.coalesced, _ = values["Values"].(common.Values)
	if wanted := r.chart.Metadata.KubeVersion; wanted != "" && !chartutil.IsCompatibleRange(wanted, caps.KubeVersion.String()) {
		return rendered{}, fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", wanted, caps.KubeVersion.Version)
	}
	files, err := engine.Engine{CustomTemplateFuncs: r.functions.all()}.RenderWithContext(context.Background(), r.chart.Chart, values)
	if err != nil {
		return rendered{}, err
	}
	return r.sorted(files)
}

// sorted takes the notes out of the files, and sorts the rest into manifests and hooks.
func (r *renderer) sorted(files map[string]string) (out rendered, err error) {
	const notes = "NOTES.txt"
	out.notes = files[path.Join(r.chart.Name(), "templates", notes)]
	for name := range files {
		if strings.HasSuffix(name, notes) {
			delete(files, name)
		}
	}
	out.hooks, out.manifests, err = r.documents.sort(files)
	return out, err
}

// checkDependencies tells what Chart.yaml names and charts/ does not have.
func checkDependencies(c *chart.Chart) error {
	var missing []string
	for _, wanted := range c.Metadata.Dependencies {
		found := false
		for _, dependency := range c.Dependencies() {
			found = found || dependency.Name() == wanted.Name
		}
		if !found {
			missing = append(missing, wanted.Name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("an error occurred while checking for chart dependencies. "+
		"You may need to run 'helm dependency build' to fetch missing dependencies: "+
		"found in Chart.yaml, but missing in charts/ directory: %s", strings.Join(missing, ", "))
}
