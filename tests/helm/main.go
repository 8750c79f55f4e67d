// Says what Helm and Flux make of values and records, for the tests of plumb-helm: one request a line, one answer a line.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/chartutil"
	"github.com/go-logr/logr"
	"github.com/opencontainers/go-digest"
	"helm.sh/helm/v4/pkg/chart/common"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// request is what is asked.
type request struct {
	// Values: the values of references and of a spec.
	References []meta.ValuesReference       `json:"references"`
	Objects    map[string]map[string]string `json:"objects"`
	Values     map[string]any               `json:"values"`
	// Read: what a Secret stores.
	Secret *corev1.Secret `json:"secret"`
	// Write: the Secret of a release.
	Release json.RawMessage `json:"release"`
	// Parse: what Helm and kubectl read from YAML.
	YAML string `json:"yaml"`
}

// answer is what upstream makes of it.
type answer struct {
	Error   string         `json:"error,omitempty"`
	Values  map[string]any `json:"values,omitempty"`
	YAML    string         `json:"yaml,omitempty"`
	Digest  string         `json:"digest,omitempty"`
	Secret  *corev1.Secret `json:"secret,omitempty"`
	Release any            `json:"release,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		said, err := respond(asked)
		if err != nil {
			said = answer{Error: err.Error()}
		}
		if err := out.Encode(said); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func respond(asked request) (answer, error) {
	switch {
	case asked.Secret != nil:
		return read(asked.Secret)
	case asked.Release != nil:
		return write(asked.Release)
	case asked.YAML != "":
		var parsed answer
		err := yaml.Unmarshal([]byte(asked.YAML), &parsed.Values)
		return parsed, err
	}
	values, err := chartutil.ChartValuesFromReferences(context.Background(), logr.Discard(), objects{data: asked.Objects},
		"team", asked.Values, asked.References...)
	if err != nil {
		return answer{}, err
	}
	return describe(values)
}

// describe gives the digest of values, and the YAML that it is of.
func describe(values common.Values) (answer, error) {
	var text bytes.Buffer
	if len(values) > 0 {
		if err := chartutil.Encode(&text, values, chartutil.SortMapSlice); err != nil {
			return answer{}, err
		}
	}
	return answer{
		Values: values,
		YAML:   text.String(),
		Digest: chartutil.DigestValues(digest.SHA256, values).String(),
	}, nil
}

// objects has the ConfigMaps and Secrets of a request.
type objects struct {
	client.Client
	data map[string]map[string]string
}

func (o objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind := "ConfigMap"
	if _, ok := into.(*corev1.Secret); ok {
		kind = "Secret"
	}
	found, ok := o.data[kind+"/"+key.Name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, key.Name)
	}
	switch into := into.(type) {
	case *corev1.Secret:
		into.Data = map[string][]byte{}
		for name, value := range found {
			into.Data[name] = []byte(value)
		}
	case *corev1.ConfigMap:
		into.Data = found
	}
	return nil
}
