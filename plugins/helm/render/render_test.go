package render

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/sprig/v3"

	"plumbline.dev/plugins/gosdk/treefs"
)

// granting is a host that grants everything, and counts how often it is asked.
type granting struct{ seeds, times int }

func (g *granting) Seed() (seed [32]byte, granted bool) {
	g.seeds++
	_, err := rand.Read(seed[:])
	return seed, err == nil
}

func (g *granting) SetTime() bool                                    { g.times++; return true }
func (*granting) UnseededCalls() uint32                              { return 0 }
func (*granting) Get(string, string, string, string) (string, error) { return "", nil }
func (*granting) List(string, string, string) ([]string, error)      { return nil, nil }

// web is a chart of one template, and other files.
func web(template string, files treefs.Memory) treefs.Memory {
	all := treefs.Memory{"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "web/templates/a.yaml": template}
	for name, data := range files {
		all[name] = data
	}
	return all
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

func TestInitialize(t *testing.T) {
	if err := Initialize(); err != nil {
		t.Fatal(err)
	}
}

func TestObjectsAreThoseThatAreAskedFor(t *testing.T) {
	files := web(configMap, treefs.Memory{
		"web/crds/c.yaml":      "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: c}\n",
		"web/templates/h.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: h, annotations: {helm.sh/hook: pre-install}}\n",
		"web/templates/t.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n",
	})
	for parameters, expected := range map[string]string{
		`{"path": "web"}`:                       "c a h t",
		`{"path": "web", "tests": false}`:       "c a h",
		`{"path": "web", "hooks": false}`:       "c a",
		`{"path": "web", "includeCRDs": false}`: "a h t",
	} {
		result, failed := Render(files, noHost{}, parameters)
		var names []string
		for _, object := range result.Objects {
			var value any
			if err := json.Unmarshal([]byte(object), &value); err != nil {
				t.Fatal(err)
			}
			names = append(names, identify(value).name)
		}
		if got := strings.Join(names, " "); got != expected || len(failed) > 0 {
			t.Errorf("%s: got %q and %v, want %q", parameters, got, failed, expected)
		}
	}
}

func TestTheHostIsAskedOnceAndOnlyWhenNeeded(t *testing.T) {
	for template, expected := range map[string]granting{
		"":                                        {},
		`a: {{ date "2006" 5 }}`:                  {},
		`a: {{ durationRound "1h" }}`:             {},
		`a: {{ htpasswd "a:b" "c" | b64enc }}`:    {seeds: 1},
		`a: {{ randAlpha 3 }}{{ randInt 1 2 }}`:   {seeds: 1},
		`a: {{ now | date "2006" }}{{ ago now }}`: {times: 1},
		`a: {{ durationRound now }}`:              {times: 1},
		`a: {{ date "2006" "text" }}`:             {times: 1},
		`a: {{ $_ := genSelfSignedCertWithKey "a" nil nil 1 (genPrivateKey "ed25519") }}`: {seeds: 1, times: 1},
	} {
		host := &granting{}
		if _, failed := Render(web(configMap+template+"\n", nil), host, `{"path": "web"}`); len(failed) > 0 {
			t.Errorf("%s: %v", template, failed)
		}
		if *host != expected {
			t.Errorf("%s: asked %+v, want %+v", template, *host, expected)
		}
	}
}

// A new version of sprig may have new functions, or new names, for what is random or depends on the time.
func TestEveryFunctionOfChanceIsOneOfSprig(t *testing.T) {
	functions := sprig.TxtFuncMap()
	for _, name := range slices.Concat(random, timed, dated) {
		if functions[name] == nil {
			t.Errorf("sprig has no function %s", name)
		}
	}
	for name := range functions {
		suspicious := strings.HasPrefix(name, "rand") || strings.HasPrefix(name, "gen") || strings.Contains(name, "uuid") || strings.Contains(name, "crypt")
		known := slices.Contains(random, name) || name == "randInt" || name == "decryptAES"
		if suspicious && !known {
			t.Errorf("%s may be random", name)
		}
	}
}

// unseeded is a host where something has used random bytes without a seed.
type unseeded struct {
	noHost
	calls *uint32
}

func (u unseeded) UnseededCalls() uint32 { *u.calls++; return *u.calls }

func TestRandomBytesThatNobodySeededDoNotGetOut(t *testing.T) {
	_, failed := Render(web(configMap, nil), unseeded{calls: new(uint32)}, `{"path": "web"}`)
	if len(failed) != 1 || failed[0].Kind != Internal {
		t.Errorf("got %v", failed)
	}
}

func TestWarningsOfHelmAreTold(t *testing.T) {
	files := web(configMap, treefs.Memory{"web/values.yaml": "a: {b: c}\n"})
	result, failed := Render(files, noHost{}, `{"path": "web", "values": {"a": {"b": {"secret": "hunter2"}}}}`)
	if len(failed) > 0 || len(result.Warnings) == 0 || strings.Contains(strings.Join(result.Warnings, "\n"), "hunter2") {
		t.Errorf("got %v, %v", result.Warnings, failed)
	}
}

func TestWhatIsNoDefinitionInCRDsIsLeftOutAndTold(t *testing.T) {
	const definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: c}\n"
	const other = "apiVersion: example.com/v1\nkind: CustomResourceDefinition\nmetadata: {name: o}\n"
	const list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: hunter2}}\n"
	files := web(configMap, treefs.Memory{"web/crds/a.yaml": configMap + "---\n" + definition + "---\n" + other + "---\n" + list})
	left := []string{
		`the ConfigMap "a" of web/crds/a.yaml is left out: crds/ is for CustomResourceDefinitions; it belongs to templates/`,
		`the CustomResourceDefinition "o" of web/crds/a.yaml is left out: crds/ is for CustomResourceDefinitions; it belongs to templates/`,
		`the Secret "s" of web/crds/a.yaml is left out: crds/ is for CustomResourceDefinitions; it belongs to templates/`,
	}
	for parameters, c := range map[string]struct {
		objects  int
		warnings []string
	}{
		`{"path": "web"}`:                       {2, left},
		`{"path": "web", "as": "release"}`:      {1, left},
		`{"path": "web", "includeCRDs": false}`: {1, nil},
	} {
		result, failed := Render(files, noHost{}, parameters)
		if len(failed) > 0 || len(result.Objects) != c.objects || !slices.Equal(result.Warnings, c.warnings) {
			t.Errorf("%s: got %v, %q, %v", parameters, result.Objects, result.Warnings, failed)
		}
		if parameters != `{"path": "web", "as": "release"}` {
			continue
		}
		var release struct {
			CRDs []struct {
				Manifest string
				Objects  []any
			}
		}
		if err := json.Unmarshal([]byte(result.Objects[0]), &release); err != nil {
			t.Fatal(err)
		}
		if crds := release.CRDs; len(crds) != 1 || len(crds[0].Objects) != 1 || identify(crds[0].Objects[0]).name != "c" {
			t.Errorf("got %v", release)
		}
	}
}

func TestEveryDocumentThatIsNoObjectIsTold(t *testing.T) {
	files := web("apiVersion: v1\nmetadata: {name: a}\n---\n"+configMap+"---\nkind: Secret\nmetadata: {}\n", treefs.Memory{
		"web/templates/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n",
	})
	_, failed := Render(files, noHost{}, `{"path": "web"}`)
	var told []string
	for _, e := range failed {
		told = append(told, e.Error())
	}
	slices.Sort(told)
	expected := []string{
		`web/templates/a.yaml: an object of web/templates/a.yaml has no apiVersion, or it is no text (apiVersion "", kind "Secret", name "")`,
		`web/templates/a.yaml: an object of web/templates/a.yaml has no kind, or it is no text (apiVersion "v1", kind "", name "a")`,
		`web/templates/b.yaml: an object of web/templates/b.yaml has no metadata.name, or it is no text (apiVersion "v1", kind "ConfigMap", name "")`,
	}
	if !slices.Equal(told, expected) {
		t.Errorf("got  %q\nwant %q", told, expected)
	}
}

func TestErrorsNameFileAndLine(t *testing.T) {
	for name, c := range map[string]struct {
		files      treefs.Memory
		parameters string
		kind       Kind
		expected   string
	}{
		"no chart":           {treefs.Memory{"a": ""}, `{"path": "web"}`, NotFound, `the chart "web" cannot be read: no such file or directory`},
		"outside":            {treefs.Memory{"a": ""}, `{"path": "../../etc"}`, NotFound, `the chart "../../etc" cannot be read`},
		"a parameter":        {treefs.Memory{}, `{"chart": "web"}`, InvalidInput, `the parameters of the step helm are not valid: json: unknown field "chart"`},
		"a form":             {treefs.Memory{}, `{"path": "", "as": "list"}`, InvalidInput, `the parameter as of the step helm is "list"; it may be "objects" or "release"`},
		"a helper":           {web(`{{ include "h" . }}`, treefs.Memory{"web/templates/_h.tpl": "\n{{ define \"h\" }}\n{{ fail \"no\" }}{{ end }}"}), `{"path": "web"}`, InvalidInput, `web/templates/a.yaml:1: execution error at (web/templates/a.yaml:1:3): no`},
		"a pointer":          {web(`{{ include "h" . }}`, treefs.Memory{"web/templates/_h.tpl": "\n{{ define \"h\" }}\n{{ .a.b.c }}{{ end }}"}), `{"path": "web"}`, InvalidInput, `web/templates/_h.tpl:3: web/templates/a.yaml:1:3`},
		"a subchart":         {web("", treefs.Memory{"web/charts/dir/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "web/charts/dir/templates/x.yaml": "\n{{ .a.b.c }}"}), `{"path": "web"}`, InvalidInput, `web/charts/dir/templates/x.yaml:2: web/charts/sub/templates/x.yaml:2:5`},
		"values":             {web("", treefs.Memory{"web/values.yaml": "a: b\nc: [\n"}), `{"path": "web"}`, InvalidInput, `web/values.yaml:2: cannot load values.yaml`},
		"a values file":      {web("", treefs.Memory{"v.yaml": "a: b\nc: d: e\n"}), `{"path": "web", "valuesFiles": ["v.yaml"]}`, InvalidInput, `v.yaml:2: failed to parse v.yaml`},
		"no values file":     {web("", nil), `{"path": "web", "valuesFiles": ["v.yaml"]}`, NotFound, `v.yaml: the values file "v.yaml" cannot be read: no such file or directory`},
		"rendered":           {web(configMap+"a: b: c\n", nil), `{"path": "web"}`, InvalidInput, `web/templates/a.yaml: YAML parse error on web/templates/a.yaml: error converting YAML to JSON: yaml: line 4`},
		"no random":          {web(configMap+"a: {{ uuidv4 }}\n", nil), `{"path": "web"}`, Denied, `web/templates/a.yaml:4: template: web/templates/a.yaml:4:6: executing "web/templates/a.yaml" at <uuidv4>: error calling uuidv4: the function uuidv4 needs randomness`},
		"secrets in schemas": {web("", treefs.Memory{"web/values.schema.json": `{"properties": {"a": {"pattern": "^x"}}}`}), `{"path": "web", "values": {"a": "hunter2"}}`, InvalidInput, "values don't meet the specifications of the schema(s) in the following chart(s):\nweb:\n- at '/a': '…' does not match"},
		"secrets in tpl":     {web(`{{ tpl .Values.a . }}`, nil), `{"path": "web", "values": {"a": "hunter2 {{ .x.y }}"}}`, InvalidInput, `web/templates/a.yaml:1: template: web/templates/a.yaml:1:3: executing "web/templates/a.yaml" at <tpl .Values.a .>: error calling tpl: error during tpl function execution for "…"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, failed := Render(c.files, noHost{}, c.parameters)
			if len(failed) != 1 || !strings.HasPrefix(failed[0].Error(), c.expected) || failed[0].Kind != c.kind {
				t.Errorf("got  %v\nwant %v of kind %d", failed, c.expected, c.kind)
			}
			for _, e := range failed {
				if strings.Contains(e.Message, "hunter2") {
					t.Errorf("it shows a value: %v", e)
				}
			}
		})
	}
}

func TestTheAPIVersionsAreThoseThatAreGiven(t *testing.T) {
	render := func(capabilities string) (versions []string) {
		files := web(configMap+"data: {v: {{ .Capabilities.APIVersions | toJson | squote }}}\n", nil)
		result, failed := Render(files, noHost{}, `{"path": "web", "capabilities": `+capabilities+`}`)
		if len(failed) > 0 {
			t.Fatal(failed)
		}
		var object struct{ Data struct{ V string } }
		if err := json.Unmarshal([]byte(result.Objects[0]), &object); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(object.Data.V), &versions); err != nil {
			t.Fatal(err)
		}
		return versions
	}
	if got := render(`{"apiVersions": ["v1"], "additionalAPIVersions": ["a/v1"]}`); !slices.Equal(got, []string{"v1", "a/v1"}) {
		t.Errorf("got %v", got)
	}
	if got := render(`{"additionalAPIVersions": ["a/v1"]}`); !slices.Contains(got, "apps/v1") || !slices.Contains(got, "a/v1") {
		t.Errorf("got %v", got)
	}
	if got := render(`{}`); slices.Contains(got, "a/v1") {
		t.Errorf("what was given to one render is seen by another: %v", got)
	}
}
