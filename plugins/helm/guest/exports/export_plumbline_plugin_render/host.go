//go:build wasip1

package export_plumbline_plugin_render

import (
	"time"

	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"plumbline.dev/plugins/helm/guest/adapter"
	clock "plumbline.dev/plugins/helm/guest/imports/plumbline_plugin_clock"
	cluster "plumbline.dev/plugins/helm/guest/imports/plumbline_plugin_cluster_read"
	random "plumbline.dev/plugins/helm/guest/imports/plumbline_plugin_random"
	"plumbline.dev/plugins/helm/render"
)

// host is what the plugin contract has besides the tree.
type host struct{}

func (host) Seed() (seed [32]byte, granted bool) {
	answer := random.Seed()
	if answer.IsNone() || len(answer.Some()) != len(seed) {
		return seed, false
	}
	copy(seed[:], answer.Some())
	adapter.Seed(seed)
	return seed, true
}

func (host) SetTime() bool {
	now := clock.Now()
	if now.IsNone() {
		return false
	}
	adapter.SetTime(time.Unix(int64(now.Some()), 0))
	return true
}

func (host) UnseededCalls() uint32 { return adapter.UnseededCalls() }

func (host) Get(apiVersion, kind, namespace, name string) (string, error) {
	result := cluster.Get(cluster.Kind{ApiVersion: apiVersion, Kind: kind}, unlessEmpty(namespace), name)
	if result.IsErr() {
		return "", readError(result.Err())
	}
	if object := result.Ok(); object.IsSome() {
		return object.Some(), nil
	}
	return "", nil
}

func (host) List(apiVersion, kind, namespace string) ([]string, error) {
	result := cluster.List(cluster.Kind{ApiVersion: apiVersion, Kind: kind}, unlessEmpty(namespace), witTypes.None[string]())
	if result.IsErr() {
		return nil, readError(result.Err())
	}
	return result.Ok(), nil
}

func readError(e cluster.ReadError) error {
	switch e.Tag() {
	case cluster.ReadError_Denied:
		return &render.LookupError{Kind: render.Denied, Message: e.Denied()}
	case cluster.ReadError_Forbidden:
		return &render.LookupError{Kind: render.Denied, Message: e.Forbidden()}
	case cluster.ReadError_UnknownKind:
		return &render.LookupError{Kind: render.NotFound, Message: "the cluster does not have this kind"}
	case cluster.ReadError_NoCluster:
		return &render.LookupError{Kind: render.Denied, Message: e.NoCluster()}
	default:
		return &render.LookupError{Kind: render.InvalidInput, Message: e.Failed()}
	}
}
