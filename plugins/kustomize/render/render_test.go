package render_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"plumbline.dev/plugins/gosdk/treefs"
	"plumbline.dev/plugins/kustomize/fsys"
	"plumbline.dev/plugins/kustomize/render"
)

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n"
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1.0"}]}
`

func renderAt(t *testing.T, tree treefs.Tree, parameters string) (render.Result, []*render.Error) {
	t.Helper()
	render.Reset()
	return render.Render(tree, parameters)
}

// objects renders what must succeed.
func objects(t *testing.T, tree treefs.Tree, parameters string) []map[string]any {
	t.Helper()
	result, errs := renderAt(t, tree, parameters)
	if len(errs) > 0 {
		t.Fatalf("unexpected errors: %v", errs)
	}
	out := make([]map[string]any, len(result.Objects))
	for i, text := range result.Objects {
		if err := json.Unmarshal([]byte(text), &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func names(objects []map[string]any) (names []string) {
	for _, object := range objects {
		metadata := object["metadata"].(map[string]any)
		name := fmt.Sprint(object["kind"], "/", metadata["name"])
		if namespace, ok := metadata["namespace"]; ok {
			name = fmt.Sprint(name, ".", namespace)
		}
		names = append(names, name)
	}
	return names
}

func expectNames(t *testing.T, tree treefs.Tree, parameters string, want ...string) {
	t.Helper()
	if got := names(objects(t, tree, parameters)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// field follows keys and indices into an object.
func field(t *testing.T, value any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			value = value.(map[string]any)[step]
		case int:
			value = value.([]any)[step]
		}
	}
	return value
}

func TestPatchesMayLieAnywhereInTheTree(t *testing.T) {
	tree := treefs.Memory{
		"clusters/production/kustomization.yaml": "resources: [../../base]\n" +
			"patches: [{path: ../../overlays/production/replicas.yaml}]\n",
		"base/kustomization.yaml":           "resources: [deployment.yaml]\n",
		"base/deployment.yaml":              deployment,
		"overlays/production/replicas.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n",
	}
	for _, path := range []string{"clusters/production", "./clusters/production/", "/clusters//production"} {
		got := objects(t, tree, fmt.Sprintf(`{"path": %q}`, path))
		if replicas := field(t, got[0], "spec", "replicas"); replicas != 3.0 {
			t.Errorf("%s: replicas are %v", path, replicas)
		}
	}
}

func TestADirectoryWithoutAKustomizationGetsOneGenerated(t *testing.T) {
	tree := treefs.Memory{
		"apps/b.yaml":                   configMap("b"),
		"apps/a.yml":                    configMap("a"),
		"apps/deep/er/c.yaml":           configMap("c1") + "---\n" + configMap("c2"),
		"apps/own/kustomization.yml":    "namePrefix: own-\nresources: [d.yaml]\n",
		"apps/own/d.yaml":               configMap("d"),
		"apps/own/not-listed.yaml":      configMap("not-listed"),
		"apps/README.md":                "not: [YAML",
		"apps/values.json":              `{"not": "looked at"}`,
		"apps/.sops.yaml":               "creation_rules: []\n",
		"apps/.github/workflows/x.yaml": "on: push\n",
		"outside.yaml":                  configMap("outside"),
	}
	want := []string{"ConfigMap/a", "ConfigMap/b", "ConfigMap/c1", "ConfigMap/c2", "ConfigMap/own-d"}
	expectNames(t, tree, `{"path": "apps"}`, want...)
	expectNames(t, tree, `{"path": "apps", "overlay": {}}`, want...)
}

func TestADirectoryWithNothingInItRendersToNothing(t *testing.T) {
	expectNames(t, treefs.Memory{"apps/README.md": "hello"}, `{"path": "apps", "overlay": {}}`)
}

func TestTheOverlayIsMergedAsFluxDoes(t *testing.T) {
	tree := treefs.Memory{
		"app/kustomization.yaml": "namespace: from-file\nnamePrefix: file-\nresources: [deployment.yaml]\n" +
			"images: [{name: nginx, newName: registry.example/nginx, newTag: \"1.1\"}]\n",
		"app/deployment.yaml":              deployment,
		"app/component/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nlabels: [{pairs: {from: component}}]\n",
	}
	for name, test := range map[string]struct {
		overlay string
		path    []any
		want    any
	}{
		"the namespace is replaced":     {`{"targetNamespace": "other"}`, []any{"metadata", "namespace"}, "other"},
		"the prefix is replaced":        {`{"namePrefix": "flux-"}`, []any{"metadata", "name"}, "flux-web"},
		"a suffix is added":             {`{"nameSuffix": "-end"}`, []any{"metadata", "name"}, "file-web-end"},
		"nothing is said, nothing done": {`{}`, []any{"metadata", "name"}, "file-web"},
		"a tag is replaced, the name stays": {
			`{"images": [{"name": "nginx", "newTag": "2"}]}`,
			[]any{"spec", "template", "spec", "containers", 0, "image"}, "registry.example/nginx:2",
		},
		"a digest replaces a tag": {
			`{"images": [{"name": "nginx", "digest": "sha256:abc"}]}`,
			[]any{"spec", "template", "spec", "containers", 0, "image"}, "registry.example/nginx@sha256:abc",
		},
		"a strategic merge patch": {
			`{"patches": [{"patch": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 7}"}]}`,
			[]any{"spec", "replicas"}, 7.0,
		},
		"a JSON patch with a target": {
			`{"patches": [{"patch": "- {op: add, path: /spec/replicas, value: 8}", "target": {"kind": "Deployment", "name": "web"}}]}`,
			[]any{"spec", "replicas"}, 8.0,
		},
		"a component": {`{"components": ["component"]}`, []any{"metadata", "labels", "from"}, "component"},
		"a missing component that may be missing": {
			`{"components": ["nope"], "ignoreMissingComponents": true}`, []any{"metadata", "name"}, "file-web",
		},
		"build metadata": {
			`{"buildMetadata": ["originAnnotations"]}`,
			[]any{"metadata", "annotations", "config.kubernetes.io/origin"}, "path: deployment.yaml\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := objects(t, tree, fmt.Sprintf(`{"path": "app", "overlay": %s}`, test.overlay))
			if value := field(t, got[0], test.path...); !reflect.DeepEqual(value, test.want) {
				t.Errorf("%v is %v, want %v", test.path, value, test.want)
			}
		})
	}
}

func TestAnEmptyKustomizationIsAnErrorForKustomizeButNotForFlux(t *testing.T) {
	tree := treefs.Memory{"app/kustomization.yaml": "kind: Kustomization\n"}
	expectNames(t, tree, `{"path": "app", "overlay": {}}`)
	_, errs := renderAt(t, tree, `{"path": "app"}`)
	if len(errs) != 1 || errs[0].Message != "kustomization.yaml is empty" || errs[0].File != "app/kustomization.yaml" {
		t.Errorf("got %+v", errs)
	}
}

func TestAnUnknownFieldIsAnErrorForKustomizeAndAWarningForFlux(t *testing.T) {
	tree := treefs.Memory{"kustomization.yaml": "resource: [a.yaml]\nnamePrefix: a-\n"}
	result, errs := renderAt(t, tree, `{"path": "", "overlay": {}}`)
	if len(errs) > 0 || len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], `unknown field "resource"`) {
		t.Errorf("got %v, %v", result, errs)
	}
	_, errs = renderAt(t, tree, `{"path": ""}`)
	if len(errs) != 1 || !strings.Contains(errs[0].Message, `unknown field "resource"`) {
		t.Errorf("got %v", errs)
	}
}

func TestAListIsExpandedAndValuesAreReadAsKustomizeReadsThem(t *testing.T) {
	tree := treefs.Memory{
		"kustomization.yaml": "resources: [list.yaml, values.yaml]\n",
		"list.yaml": "apiVersion: v1\nkind: List\nitems:\n" +
			"- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n" +
			"- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}\n",
		"values.yaml": "apiVersion: example.com/v1\nkind: Values\nmetadata: {name: values}\n" +
			"spec: {yes: yes, quoted: \"yes\", octal: 0644, text: \"0644\", float: 1.0}\n",
	}
	expectNames(t, tree, `{"path": ""}`, "ConfigMap/one", "ConfigMap/two", "Values/values")
	spec := objects(t, tree, `{"path": ""}`)[2]["spec"]
	// kustomize itself reads by YAML 1.2, where `yes` is text, but keeps the octal numbers of YAML 1.1.
	want := map[string]any{"yes": "yes", "quoted": "yes", "octal": 420.0, "text": "0644", "float": 1.0}
	if !reflect.DeepEqual(spec, want) {
		t.Errorf("got %v, want %v", spec, want)
	}
}

// TestTextsAreThoseOfKustomizeOnDisk compares output and errors with kustomize itself.
func TestTextsAreThoseOfKustomizeOnDisk(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"it works":            {"app/kustomization.yaml": "resources: [a.yaml]\nconfigMapGenerator: [{name: c, files: [a.yaml]}]\n", "app/a.yaml": deployment},
		"a missing file":      {"app/kustomization.yaml": "resources: [a.yaml]\n"},
		"a missing directory": {"app/kustomization.yaml": "resources: [x/y/z]\n", "app/x/f": ""},
		"a file as directory": {"app/kustomization.yaml": "resources: [a.yaml/b]\n", "app/a.yaml": deployment},
		"no kustomization":    {"app/kustomization.yaml": "resources: [../base]\n", "base/a.yaml": deployment},
		"a cycle":             {"app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "resources: [../app]\n"},
		"two files":           {"app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "", "base/kustomization.yml": ""},
		"a missing value":     {"app/kustomization.yaml": "configMapGenerator: [{name: c, files: [v]}]\n"},
		"a missing schema":    {"app/kustomization.yaml": "openapi: {path: s.json}\n"},
		"broken YAML":         {"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": "a: [\n"},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range files {
				path := filepath.Join(root, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want := kustomizeOnDisk(filepath.Join(root, "app"))
			disk, err := fsys.OpenDisk(root)
			if err != nil {
				t.Fatal(err)
			}
			for name, tree := range map[string]treefs.Tree{"disk": disk, "memory": treefs.Memory(files)} {
				result, errs := renderAt(t, tree, `{"path": "app"}`)
				got := len(result.Objects)
				if len(errs) > 0 {
					if text := errs[0].Message; text != strings.ReplaceAll(want.text, root, "") {
						t.Errorf("%s:\n got %s\nwant %s", name, text, strings.ReplaceAll(want.text, root, ""))
					}
				} else if want.text != "" || got != want.objects {
					t.Errorf("%s: got %d objects, want %+v", name, got, want)
				}
			}
		})
	}
}

type outcome struct {
	objects int
	text    string
}

func kustomizeOnDisk(dir string) outcome {
	render.Reset()
	result, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return outcome{text: err.Error()}
	}
	return outcome{objects: result.Size()}
}

func TestLinksAreFollowedInsideTheTreeOnly(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"repo/base/a.yaml":            configMap("a"),
		"repo/app/kustomization.yaml": "resources: [linked.yaml]\n",
		"repo/bad/kustomization.yaml": "resources: [outside.yaml]\n",
		"secret.yaml":                 configMap("secret"),
	} {
		path := filepath.Join(root, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Symlink("../base/a.yaml", filepath.Join(root, "repo/app/linked.yaml")),
		os.Symlink("../../secret.yaml", filepath.Join(root, "repo/bad/outside.yaml")),
		os.Symlink(".", filepath.Join(root, "repo/base/circle")),
	); err != nil {
		t.Fatal(err)
	}
	tree, err := fsys.OpenDisk(filepath.Join(root, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	expectNames(t, tree, `{"path": "app"}`, "ConfigMap/a")
	expectNames(t, tree, `{"path": "base"}`, "ConfigMap/a")
	_, errs := renderAt(t, tree, `{"path": "bad"}`)
	if len(errs) != 1 || errs[0].Kind != render.Denied || errs[0].File != "bad/kustomization.yaml" {
		t.Errorf("got %+v", errs)
	}
}

// recorder notes what is asked of a tree.
type recorder struct {
	treefs.Tree
	asked map[string]bool
}

func (r recorder) List(p string) ([]treefs.Entry, error) {
	r.asked["list "+p] = true
	return r.Tree.List(p)
}

func (r recorder) Read(p string) ([]byte, error) {
	r.asked["read "+p] = true
	return r.Tree.Read(p)
}

func TestOnlyWhatIsNeededIsReadAndNoDirectoryIsListed(t *testing.T) {
	r := recorder{treefs.Memory{
		"app/kustomization.yaml": "resources: [a.yaml]\n",
		"app/a.yaml":             configMap("a"),
		"app/other.yaml":         configMap("other"),
		"elsewhere/b.yaml":       configMap("b"),
	}, map[string]bool{}}
	expectNames(t, r, `{"path": "app", "overlay": {"targetNamespace": "n"}}`, "ConfigMap/a.n")
	for asked := range r.asked {
		if strings.HasPrefix(asked, "list") || strings.Contains(asked, "other") || strings.Contains(asked, "elsewhere") {
			t.Errorf("it asked to %s", asked)
		}
	}
}

func TestOutputIsTheSameEveryTime(t *testing.T) {
	tree := treefs.Memory{
		"kustomization.yaml": "resources: [d.yaml]\ncommonAnnotations: {a: b, c: d, e: f, g: h}\n" +
			"configMapGenerator: [{name: c, literals: [a=b, c=d, e=f]}]\nsecretGenerator: [{name: s, literals: [a=b]}]\n",
		"d.yaml": deployment,
	}
	first, errs := renderAt(t, tree, `{"path": ""}`)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for range 20 {
		if again, _ := renderAt(t, tree, `{"path": ""}`); !reflect.DeepEqual(first, again) {
			t.Fatalf("got %v, then %v", first, again)
		}
	}
}
