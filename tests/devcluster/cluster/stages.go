package cluster

import (
	_ "embed"
	"fmt"

	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodeheartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/yaml"
)

// podWaiting holds the containers of a pod in the waiting state that its annotation names.
//
//go:embed pod-waiting.yaml
var podWaiting string

// stages is the configuration of the fake kubelet: kwok's own stages, in which every pod becomes
// ready at once, and ours for pods that must not.
func stages() ([]byte, error) {
	podReady, err := exceptWaitingPods(podfast.DefaultPodReady)
	if err != nil {
		return nil, fmt.Errorf("cannot change kwok's stage pod-ready: %w", err)
	}
	documents := []string{
		nodefast.DefaultNodeInit,
		nodeheartbeat.DefaultNodeHeartbeat,
		podReady,
		podfast.DefaultPodComplete,
		podfast.DefaultPodDelete,
		podWaiting,
	}
	var all []byte
	for _, document := range documents {
		all = append(all, "---\n"...)
		all = append(all, document...)
		all = append(all, '\n')
	}
	return all, nil
}

// exceptWaitingPods makes a stage pass over the pods that podWaiting takes.
func exceptWaitingPods(document string) (string, error) {
	var stage struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       struct {
			ResourceRef map[string]any `json:"resourceRef"`
			Selector    struct {
				MatchExpressions []any `json:"matchExpressions"`
			} `json:"selector"`
			Next map[string]any `json:"next"`
		} `json:"spec"`
	}
	// Strict, so that a field of a newer kwok is not lost on the way.
	if err := yaml.UnmarshalStrict([]byte(document), &stage); err != nil {
		return "", err
	}
	stage.Spec.Selector.MatchExpressions = append(stage.Spec.Selector.MatchExpressions, map[string]any{
		"key":      `.metadata.annotations["devcluster.plumbline.dev/waiting"]`,
		"operator": "DoesNotExist",
	})
	out, err := yaml.Marshal(stage)
	return string(out), err
}
