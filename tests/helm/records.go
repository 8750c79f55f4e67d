package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
)

// read has Helm's storage find the newest release in a namespace with one Secret.
func read(secret *corev1.Secret) (answer, error) {
	found, err := storage.Init(driver.NewSecrets(&secrets{kept: map[string]*corev1.Secret{secret.Name: secret}})).
		Last(secret.Labels["name"])
	if err != nil {
		return answer{}, err
	}
	stored := found.(*release.Release)
	return answer{Release: stored, Digest: observed(stored)}, nil
}

// write has Helm's storage keep a release.
func write(asked json.RawMessage) (answer, error) {
	var stored release.Release
	if err := json.Unmarshal(asked, &stored); err != nil {
		return answer{}, err
	}
	kept := &secrets{kept: map[string]*corev1.Secret{}}
	if err := storage.Init(driver.NewSecrets(kept)).Create(&stored); err != nil {
		return answer{}, err
	}
	for _, secret := range kept.kept {
		return answer{Secret: secret, Digest: observed(&stored)}, nil
	}
	return answer{}, nil
}

// observed is the digest of what Flux's helm-controller observes of a release (its internal/release).
func observed(stored *release.Release) string {
	observation := struct {
		Name          string         `json:"name"`
		Version       int            `json:"version"`
		Info          release.Info   `json:"info"`
		ChartMetadata chart.Metadata `json:"chartMetadata"`
		Config        map[string]any `json:"config"`
		Manifest      string         `json:"manifest"`
		Hooks         []release.Hook `json:"hooks"`
		Namespace     string         `json:"namespace"`
		OCIDigest     string         `json:"ociDigest,omitempty"`
	}{Name: stored.Name, Version: stored.Version, Manifest: stored.Manifest, Namespace: stored.Namespace}
	if stored.Info != nil {
		observation.Info = *stored.Info
	}
	if stored.Chart != nil && stored.Chart.Metadata != nil {
		observation.ChartMetadata = *stored.Chart.Metadata
	}
	if len(stored.Config) > 0 {
		observation.Config = stored.Config
	}
	for _, hook := range stored.Hooks {
		if !slices.Contains(hook.Events, release.HookTest) {
			observation.Hooks = append(observation.Hooks, *hook)
		}
	}
	digester := digest.SHA256.Digester()
	if err := json.NewEncoder(digester.Hash()).Encode(observation); err != nil {
		return err.Error()
	}
	return digester.Digest().String()
}

// secrets are the Secrets of a namespace, in memory.
type secrets struct {
	typed.SecretInterface
	kept map[string]*corev1.Secret
}

func (s *secrets) Create(_ context.Context, secret *corev1.Secret, _ metav1.CreateOptions) (*corev1.Secret, error) {
	s.kept[secret.Name] = secret
	return secret, nil
}

func (s *secrets) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.Secret, error) {
	if secret, ok := s.kept[name]; ok {
		return secret, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
}

func (s *secrets) List(_ context.Context, options metav1.ListOptions) (*corev1.SecretList, error) {
	selector, err := labels.Parse(options.LabelSelector)
	if err != nil {
		return nil, err
	}
	var list corev1.SecretList
	for _, secret := range s.kept {
		if selector.Matches(labels.Set(secret.Labels)) {
			list.Items = append(list.Items, *secret)
		}
	}
	return &list, nil
}
