// Package discovery has what Helm's engine names of client-go's package of the same name.
package discovery

import (
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/client-go/rest"
)

// DiscoveryClient lists what an API server has.
type DiscoveryClient struct{}

// NewDiscoveryClientForConfig fails: a plugin reaches no API server.
func NewDiscoveryClientForConfig(*rest.Config) (*DiscoveryClient, error) {
	return nil, errors.New("a plugin reaches no API server")
}

// ServerResourcesForGroupVersion fails: a plugin reaches no API server.
func (*DiscoveryClient) ServerResourcesForGroupVersion(string) (*metav1.APIResourceList, error) {
	return nil, errors.New("a plugin reaches no API server")
}
