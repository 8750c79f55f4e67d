package render

import (
	"encoding/json"
	"fmt"
	"math"
	"path"
	"sort"
	"strconv"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/yaml"
)

// documents are the documents of what was rendered as they are in JSON, by their text. Reading YAML is the most of what a large chart costs after its
// templates, so every document is read once.
type documents map[string]any

// sort is Helm's SortManifests: it finds hooks, and sorts both by their kinds. Helm reads every document for its kind and its annotations; it is given these
// alone, as JSON, with the number of the document in a comment. If a document is not as documents are, Helm reads all of them itself, and what it
// says of mistakes is its own.
func (d documents) sort(files map[string]string) ([]*release.Hook, []releaseutil.Manifest, error) {
	heads, texts, ok := d.read(files)
	if !ok {
		return releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	}
	hooks, manifests, err := releaseutil.SortManifests(heads, nil, releaseutil.InstallOrder)
	if err != nil {
		return releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	}
	for _, hook := range hooks {
		if hook.Manifest, ok = numbered(texts, hook.Manifest); !ok {
			return releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
		}
	}
	for i := range manifests {
		if manifests[i].Content, ok = numbered(texts, manifests[i].Content); !ok {
			return releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
		}
	}
	return hooks, manifests, nil
}

// read reads all documents of files. The result are files with their heads, and the texts that belong to them; false if a document is
// not as documents are.
func (d documents) read(files map[string]string) (heads map[string]string, texts []string, ok bool) {
	heads = make(map[string]string, len(files))
	for name, content := range files {
		// As in SortManifests, these have no objects.
		if strings.HasPrefix(path.Base(name), "_") || strings.TrimSpace(content) == "" {
			continue
		}
		var file strings.Builder
		for _, text := range split(content) {
			value, ok := readDocument(text)
			if !ok {
				return nil, nil, false
			}
			head, ok := headOf(value)
			if !ok {
				return nil, nil, false
			}
			d[text] = value
			fmt.Fprintf(&file, "%s #%d\n---\n", head, len(texts))
			texts = append(texts, text)
		}
		heads[name] = file.String()
	}
	return heads, texts, true
}

// split is Helm's SplitManifests in the order of the file.
func split(content string) []string {
	documents := releaseutil.SplitManifests(content)
	keys := make([]string, 0, len(documents))
	for key := range documents {
		keys = append(keys, key)
	}
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = documents[key]
	}
	return texts
}

// numbered is the text of a document by its head.
func numbered(texts []string, head string) (string, bool) {
	number, err := strconv.Atoi(strings.TrimSpace(head[strings.LastIndexByte(head, '#')+1:]))
	if err != nil || number < 0 || number >= len(texts) {
		return "", false
	}
	return texts[number], true
}

// head is what SortManifests looks at.
type head struct {
	APIVersion string        `json:"apiVersion,omitempty"`
	Kind       string        `json:"kind,omitempty"`
	Metadata   *headMetadata `json:"metadata,omitempty"`
}

type headMetadata struct {
	Name        string            `json:"name,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// headOf is the head of a document as JSON. It is false where something is not text that should be, or a field is in other letters: what Helm makes of
// that is its own.
func headOf(value any) ([]byte, bool) {
	if value == nil {
		return []byte("{}"), true
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	var h head
	var m headMetadata
	var metadata, annotations map[string]any
	read := take(object, "apiVersion", &h.APIVersion) && take(object, "kind", &h.Kind) && take(object, "metadata", &metadata) &&
		take(metadata, "name", &m.Name) && take(metadata, "annotations", &annotations)
	if !read {
		return nil, false
	}
	if len(annotations) > 0 {
		m.Annotations = make(map[string]string, len(annotations))
		for key := range annotations {
			text, ok := annotations[key].(string)
			if !ok {
				return nil, false
			}
			m.Annotations[key] = text
		}
	}
	if metadata != nil {
		h.Metadata = &m
	}
	text, err := json.Marshal(h)
	return text, err == nil
}

// take reads a field, which may be missing or null. It is false if the field is of another type, or another field is the same in other letters.
func take[T any](object map[string]any, name string, into *T) bool {
	for key := range object {
		if key != name && strings.EqualFold(key, name) {
			return false
		}
	}
	value := object[name]
	if value == nil {
		return true
	}
	taken, ok := value.(T)
	*into = taken
	return ok
}

// deepest is how deep brackets may nest in a document that is read here. Deeper ones need more of the stack than there is beside what this program does
// with them, so they are left to Helm.
const deepest = 1000

// isDeep counts brackets wherever they are: of a text that has many, Helm makes the same.
func isDeep(text string) bool {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		if depth > deepest {
			return true
		}
	}
	return false
}

// readDocument is a document as it is in JSON; false if it is no YAML, or nothing that can be in JSON.
func readDocument(text string) (any, bool) {
	if isDeep(text) {
		return nil, false
	}
	var value any
	if err := yamlv2.Unmarshal([]byte(text), &value); err != nil {
		return nil, false
	}
	return inJSON(value)
}

// inJSON has keys that are text, as sigs.k8s.io/yaml makes them; false for what it does not take, or takes in its own way.
func inJSON(value any) (any, bool) {
	switch value := value.(type) {
	case map[any]any:
		object := make(map[string]any, len(value))
		for key, field := range value {
			name, ok := keyInJSON(key)
			if !ok {
				return nil, false
			}
			if object[name], ok = inJSON(field); !ok {
				return nil, false
			}
		}
		// Two keys that are the same in JSON: which of them stays is not said anywhere.
		return object, len(object) == len(value)
	case []any:
		list := make([]any, len(value))
		for i, element := range value {
			var ok bool
			if list[i], ok = inJSON(element); !ok {
				return nil, false
			}
		}
		return list, true
	case float64:
		return value, !math.IsNaN(value) && !math.IsInf(value, 0)
	case nil, string, bool, int, int64, uint64:
		return value, true
	default:
		return nil, false
	}
}

func keyInJSON(key any) (string, bool) {
	switch key := key.(type) {
	case string:
		return key, true
	case int:
		return strconv.Itoa(key), true
	case bool:
		return strconv.FormatBool(key), true
	default:
		return "", false
	}
}

// value is a document as it is in JSON, from what was read already where it was.
func (d documents) value(text string) (any, error) {
	if value, ok := d[text]; ok {
		return value, nil
	}
	converted, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	var value any
	decoder := json.NewDecoder(strings.NewReader(string(converted)))
	// Numbers stay as they are written.
	decoder.UseNumber()
	return value, decoder.Decode(&value)
}
