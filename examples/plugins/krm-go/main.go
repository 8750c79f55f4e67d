// A KRM function as anybody writes one, with the framework of kustomize: it gives every workload of a list of kinds the same number of replicas. It
// knows nothing of Plumbline, reads a ResourceList from standard input and writes one to standard output.
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/kustomize/kyaml/fn/framework"
	"sigs.k8s.io/kustomize/kyaml/fn/framework/command"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// SetReplicas is the functionConfig.
type SetReplicas struct {
	Spec struct {
		// Replicas is how many pods there are to be.
		Replicas int `yaml:"replicas"`
		// Kinds are the kinds that are changed. Without any it is Deployments.
		Kinds []string `yaml:"kinds"`
	} `yaml:"spec"`
}

// Default is called by the framework before the items are.
func (f *SetReplicas) Default() error {
	if len(f.Spec.Kinds) == 0 {
		f.Spec.Kinds = []string{"Deployment"}
	}
	return nil
}

// Validate is called by the framework after Default.
func (f *SetReplicas) Validate() error {
	if f.Spec.Replicas < 0 {
		return fmt.Errorf("spec.replicas is %d, and has to be 0 or more", f.Spec.Replicas)
	}
	return nil
}

func (f *SetReplicas) filter(items []*yaml.RNode) ([]*yaml.RNode, error) {
	selected, err := (&framework.Selector{Kinds: f.Spec.Kinds}).Filter(items)
	if err != nil {
		return nil, err
	}
	for _, item := range selected {
		replicas := yaml.NewScalarRNode(fmt.Sprint(f.Spec.Replicas))
		if err := item.PipeE(yaml.LookupCreate(yaml.MappingNode, "spec"), yaml.SetField("replicas", replicas)); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func main() {
	config := new(SetReplicas)
	processor := framework.SimpleProcessor{Config: config, Filter: kioFilter(config.filter)}
	if err := command.Build(processor, command.StandaloneDisabled, false).Execute(); err != nil {
		os.Exit(1)
	}
}

type kioFilter func([]*yaml.RNode) ([]*yaml.RNode, error)

// Filter implements kio.Filter.
func (f kioFilter) Filter(items []*yaml.RNode) ([]*yaml.RNode, error) { return f(items) }
