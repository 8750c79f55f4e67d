package render_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"plumbline.dev/plugins/gosdk/treefs"
	"plumbline.dev/plugins/kustomize/render"
)

func TestEveryFileThatIsNotAKubernetesObjectIsNamed(t *testing.T) {
	_, errs := renderAt(t, treefs.Memory{
		"apps/values.yaml": "replicas: 3\n",
		"apps/good.yaml":   configMap("good"),
		"apps/broken.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a\n",
	}, `{"path": "apps"}`)
	if len(errs) != 2 {
		t.Fatalf("got %v", errs)
	}
	for i, file := range []string{"apps/broken.yaml", "apps/values.yaml"} {
		if errs[i].File != file || errs[i].Kind != render.InvalidInput {
			t.Errorf("got %+v, want an error in %s", errs[i], file)
		}
		if !strings.HasPrefix(errs[i].Message, "failed to decode Kubernetes YAML from "+file) {
			t.Errorf("got %q", errs[i].Message)
		}
	}
	if errs[0].Line == 0 {
		t.Errorf("the broken file has no line: %v", errs[0])
	}
}

func TestWhatIsNotAllowedIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		kustomization string
		kind          render.Kind
		line          int
		message       string
	}{
		"a repository":         {"namePrefix: a-\nresources:\n- https://github.com/org/repo//base?ref=v1\n", render.Denied, 3, "remote resources are not allowed"},
		"a repository by ssh":  {"resources: [\"git@example.com:org/repo\"]\n", render.Denied, 1, "remote resources are not allowed"},
		"GitHub in short":      {"resources: [github.com/org/repo]\n", render.Denied, 1, "remote resources are not allowed"},
		"a file of the host":   {"bases: [\"file:///etc\"]\n", render.Denied, 1, "remote resources are not allowed"},
		"a remote component":   {"components: [\"ssh://git@example.com/org/repo\"]\n", render.Denied, 1, "remote resources are not allowed"},
		"a remote patch":       {"patches:\n- path: https://example.com/p.yaml\n", render.Denied, 2, "remote files are not allowed"},
		"a remote schema":      {"openapi: {path: \"http://example.com/s.json\"}\n", render.Denied, 1, "remote files are not allowed"},
		"a remote value":       {"configMapGenerator:\n- name: a\n  files: [\"k=https://example.com/v\"]\n", render.Denied, 3, "remote files are not allowed"},
		"a chart":              {"helmCharts: [{name: a, repo: \"https://example.com\"}]\n", render.Unsupported, 1, "helmCharts"},
		"a function":           {"generators: [fn.yaml]\n", render.Denied, 0, "external plugins disabled"},
		"a containerised one":  {"transformers: [container.yaml]\n", render.Denied, 0, "external plugins disabled"},
		"a validator likewise": {"resources: [ok.yaml]\nvalidators: [container.yaml]\n", render.Denied, 0, "external plugins disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := treefs.Memory{
				"app/kustomization.yaml":  "resources: [../base]\n",
				"base/kustomization.yaml": test.kustomization,
				"base/ok.yaml":            configMap("ok"),
				"base/fn.yaml": "apiVersion: example.com/v1\nkind: Gen\nmetadata:\n  name: gen\n" +
					"  annotations: {config.kubernetes.io/function: \"exec: {path: ./run.sh}\"}\n",
				"base/container.yaml": "apiVersion: example.com/v1\nkind: Gen\nmetadata:\n  name: gen\n" +
					"  annotations: {config.kubernetes.io/function: \"container: {image: example.com/fn}\"}\n",
			}
			_, errs := renderAt(t, tree, `{"path": "app"}`)
			if len(errs) != 1 {
				t.Fatalf("got %v", errs)
			}
			e := errs[0]
			if e.Kind != test.kind || e.File != "base/kustomization.yaml" || !strings.Contains(e.Message, test.message) || e.Hint == "" {
				t.Errorf("got %v %+v", e.Kind, e)
			}
			if e.Line != test.line {
				t.Errorf("the line is %d, want %d", e.Line, test.line)
			}
		})
	}
}

func TestErrorsNameFileAndLine(t *testing.T) {
	for name, test := range map[string]struct {
		files treefs.Memory
		want  render.Error
	}{
		"a resource that does not exist": {
			treefs.Memory{
				"app/kustomization.yaml":  "resources: [../base]\n",
				"base/kustomization.yaml": "resources:\n- here.yaml\n- missing.yaml\n",
				"base/here.yaml":          configMap("here"),
			},
			render.Error{Kind: render.NotFound, File: "base/kustomization.yaml", Line: 3, Message: "no such file or directory"},
		},
		"a patch that does not exist": {
			treefs.Memory{"app/kustomization.yaml": "namePrefix: a-\npatches:\n- path: missing.yaml\n"},
			render.Error{Kind: render.NotFound, File: "app/kustomization.yaml", Line: 3, Message: "no such file or directory"},
		},
		"a directory without a kustomization": {
			treefs.Memory{"app/kustomization.yaml": "resources: [../base]\n", "base/a.yaml": configMap("a")},
			render.Error{Kind: render.NotFound, File: "base", Message: "unable to find one of"},
		},
		"YAML that is broken": {
			treefs.Memory{
				"app/kustomization.yaml": "resources: [a.yaml]\n",
				"app/a.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n bad: indent\n", // Which the YAML library reports a line early.
			},
			render.Error{Kind: render.InvalidInput, File: "app/a.yaml", Line: 4, Message: "yaml: line 4"},
		},
		"a kustomization that is broken": {
			treefs.Memory{"app/kustomization.yaml": "resources:\n- a.yaml\n b: c\n"},
			render.Error{Kind: render.InvalidInput, File: "app/kustomization.yaml", Line: 3, Message: "invalid Kustomization"},
		},
		"a patch without a target": {
			treefs.Memory{
				"app/kustomization.yaml": "resources: [a.yaml]\npatches:\n- patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}'\n",
				"app/a.yaml":             configMap("a"),
			},
			render.Error{Kind: render.InvalidInput, File: "app/kustomization.yaml", Message: "no resource matches strategic merge patch"},
		},
		"an object that cannot be written out": {
			treefs.Memory{
				"app/kustomization.yaml": "resources: [a.yaml]\n",
				"app/a.yaml":             configMap("a") + "data: {a: b, a: c}\n",
			},
			render.Error{Kind: render.InvalidInput, Message: `mapping key "a" already defined`},
		},
		"one object twice": {
			treefs.Memory{
				"app/kustomization.yaml": "resources: [a.yaml, b.yaml]\n",
				"app/a.yaml":             configMap("a"),
				"app/b.yaml":             configMap("a"),
			},
			render.Error{Kind: render.InvalidInput, File: "app/b.yaml", Message: "may not add resource with an already registered id"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := renderAt(t, test.files, `{"path": "app"}`)
			if len(errs) != 1 {
				t.Fatalf("got %v", errs)
			}
			got := *errs[0]
			if got.Kind != test.want.Kind || got.File != test.want.File || got.Line != test.want.Line ||
				!strings.Contains(got.Message, test.want.Message) {
				t.Errorf("got %v %q:%d %s", got.Kind, got.File, got.Line, got.Message)
			}
		})
	}
}

func TestThePathItselfIsChecked(t *testing.T) {
	tree := treefs.Memory{"app/a.yaml": configMap("a")}
	for parameters, want := range map[string]render.Error{
		`{"path": "nope"}`:       {Kind: render.NotFound, Message: `kustomization path not found: "nope"`},
		`{"path": "app/a.yaml"}`: {Kind: render.InvalidInput, Message: "is not a directory"},
		`{"pth": "app"}`:         {Kind: render.InvalidInput, Message: `unknown field "pth"`},
		`{"path": "app", "overlay": {"components": ["https://x"]}}`:  {Kind: render.InvalidInput, Message: "component path 'https://x' must be local and relative"},
		`{"path": "app", "overlay": {"components": ["/absolute"]}}`:  {Kind: render.InvalidInput, Message: "component path '/absolute' must be local and relative"},
		`{"path": "app", "overlay": {"components": ["../nothing"]}}`: {Kind: render.NotFound, Message: "no such file or directory"},
	} {
		_, errs := renderAt(t, tree, parameters)
		if len(errs) != 1 || errs[0].Kind != want.Kind || !strings.Contains(errs[0].Message, want.Message) {
			t.Errorf("%s: got %+v", parameters, errs)
		}
	}
}

func TestErrorsOfTheTreeAreThoseOfGo(t *testing.T) {
	if !errors.Is(treefs.ErrNotFound, fs.ErrNotExist) {
		t.Error("a missing file must be fs.ErrNotExist")
	}
}

func TestAnErrorOfAPatchDoesNotQuoteIt(t *testing.T) {
	_, errs := renderAt(t, treefs.Memory(map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\npatches:\n- patch: hunter2\n  target: {kind: ConfigMap}\n",
		"a.yaml":             configMap("a"),
	}), `{"path": ""}`)
	if len(errs) != 1 || errs[0].Message != "trouble configuring builtin PatchTransformer: unable to parse SM or JSON patch from [patch]" {
		t.Errorf("%v", errs)
	}
}
