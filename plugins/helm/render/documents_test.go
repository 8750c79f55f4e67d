package render

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"

	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/yaml"
)

// odd are documents of which some are not as documents are.
var odd = map[string]string{
	"several": "kind: Service\napiVersion: v1\nmetadata: {name: a}\n---\nkind: ConfigMap\nmetadata: {name: b}\n--- \n# nothing\n---\nkind: Role\n---apiVersion: v1\nkind: Pod",
	"hooks": "kind: Job\nmetadata:\n  name: h\n  annotations: {helm.sh/hook: 'pre-install, Post-Delete', helm.sh/hook-weight: '-5', helm.sh/hook-delete-policy: hook-failed, " +
		"helm.sh/hook-output-log-policy: hook-failed}\n---\nkind: Pod\nmetadata: {name: i, annotations: {helm.sh/hook: someday}}",
	"empty":                    " \n\t\n",
	"_partial":                 "kind: Pod",
	"comment":                  "# kind: Pod\n",
	"null":                     "null",
	"null annotations":         "kind: Pod\nmetadata: {name: none, annotations: }",
	"null metadata":            "kind: Pod\nmetadata:\n",
	"escapes":                  "kind: \"\\u00e4 # \\\"<>&\\u2028\\n--- \\U0001F600\"\nmetadata: {name: e, annotations: {\"--- #1\": \"# 2 #3\"}}",
	"keys":                     "kind: ConfigMap\ndata: {1: a, true: b, y: c, 010: d}",
	"numbers":                  "kind: A\nx: [1, 1.50, 1e3, 0x10, 0o7, 010, 12345678901234567890, -9223372036854775808, 1.0, .5, 100000000000000000000000]",
	"anchors":                  "kind: A\na: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}",
	"dates":                    "kind: A\nx: [2001-01-01, 2001-01-01T00:00:00Z, !!binary aGk=, yes, 'no', ~]",
	"a number as a kind":       "kind: 5\nmetadata: {name: 1.50}",
	"a number as a weight":     "kind: Pod\nmetadata: {name: w, annotations: {helm.sh/hook: test, helm.sh/hook-weight: 7}}",
	"other letters":            "Kind: Pod\nMETADATA: {Name: o, annotations: {helm.sh/hook: test}}",
	"both letters":             "kind: Pod\nKind: Service\n",
	"a key of a fraction":      "kind: A\n1.5: a",
	"no key":                   "kind: A\nnull: a",
	"a key twice":              "kind: A\n1: a\n'1': b",
	"not a number":             "kind: A\nx: .nan",
	"a list":                   "[1, 2]",
	"a text":                   "kind",
	"not YAML":                 "kind: [",
	"annotations are a list":   "kind: A\nmetadata: {annotations: [a]}",
	"annotations have a table": "kind: A\nmetadata: {annotations: {a: {b: c}}}",
	"a table as a kind":        "kind: {a: b}",
	"two documents":            "kind: A\n...\nkind: B",
	"a tab":                    "kind:\tA",
}

// sortBoth sorts files as we do, and as Helm does.
func sortBoth(t *testing.T, files map[string]string) {
	t.Helper()
	hooks, manifests, err := documents{}.sort(maps.Clone(files))
	hooksOfHelm, manifestsOfHelm, errOfHelm := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if (err == nil) != (errOfHelm == nil) || err != nil && err.Error() != errOfHelm.Error() {
		t.Fatalf("got %v, want %v", err, errOfHelm)
	}
	if !reflect.DeepEqual(hooks, hooksOfHelm) || !reflect.DeepEqual(manifests, manifestsOfHelm) {
		got, _ := json.Marshal([]any{hooks, manifests})
		want, _ := json.Marshal([]any{hooksOfHelm, manifestsOfHelm})
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestDocumentsAreSortedAsHelmSortsThem(t *testing.T) {
	for name, text := range odd {
		t.Run(name, func(t *testing.T) { sortBoth(t, map[string]string{"web/templates/" + name: text}) })
	}
	sound := maps.Clone(odd)
	maps.DeleteFunc(sound, func(name, text string) bool {
		_, _, err := releaseutil.SortManifests(map[string]string{name: text}, nil, releaseutil.InstallOrder)
		return err != nil
	})
	if len(sound) == len(odd) {
		t.Fatal("nothing that Helm refuses was tried")
	}
	t.Run("all that Helm takes", func(t *testing.T) { sortBoth(t, sound) })
	t.Run("all", func(t *testing.T) {
		// Which mistake is told first depends on the order of the files only.
		sortBoth(t, odd)
	})
}

func TestDocumentsBecomeTheSameJSON(t *testing.T) {
	for name, text := range odd {
		if name == "a key twice" {
			// Which of the two stays is another one each time.
			continue
		}
		for _, document := range split(strings.TrimSpace(text)) {
			want, err := yaml.YAMLToJSON([]byte(document))
			read := documents{}
			if value, ok := readDocument(document); ok {
				read[document] = value
			}
			value, errOfOurs := read.value(document)
			if (err == nil) != (errOfOurs == nil) || err != nil && err.Error() != errOfOurs.Error() {
				t.Errorf("%s: got %v, want %v", name, errOfOurs, err)
			}
			if err != nil {
				continue
			}
			if got, err := json.Marshal(value); err != nil || string(got) != string(want) {
				t.Errorf("%s: got %s and %v, want %s", name, got, err, want)
			}
		}
	}
}

func TestOddDocumentsAreLeftToHelm(t *testing.T) {
	for _, name := range []string{"a number as a kind", "other letters", "both letters", "a key twice", "not a number", "a list"} {
		if _, _, ok := (documents{}).read(map[string]string{"a": odd[name]}); ok {
			t.Errorf("%s: is read", name)
		}
	}
	for _, name := range []string{"several", "hooks", "null annotations", "escapes", "keys", "numbers", "anchors"} {
		if _, _, ok := (documents{}).read(map[string]string{"a": odd[name]}); !ok {
			t.Errorf("%s: is not read", name)
		}
	}
}
