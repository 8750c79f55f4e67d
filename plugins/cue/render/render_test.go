package render

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"plumbline.dev/plugins/gosdk/treefs"
)

// moduleFile makes a directory a module.
const moduleFile = "module: \"example.com/app@v0\"\nlanguage: version: \"v0.9.0\"\n"

// configMap is a CUE struct with the name that it is called with.
func configMap(name string) string {
	return `{apiVersion: "v1", kind: "ConfigMap", metadata: name: "` + name + `"}`
}

func names(t *testing.T, result Result) []string {
	t.Helper()
	var found []string
	for _, text := range result.Objects {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		found = append(found, object.Metadata.Name)
	}
	return found
}

func TestObjectsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		files      treefs.Memory
		parameters string
		expected   []string
	}{
		"in fields and lists, in their order": {
			treefs.Memory{"a.cue": "z: one: " + configMap("z") + "\na: [" + configMap("b") + ", [" + configMap("a") + "]]\nreplicas: 3"},
			`{"path": ""}`, []string{"z", "b", "a"},
		},
		"alone, as the package itself": {
			treefs.Memory{"dir/a.cue": "package app\n" + strings.Trim(configMap("a"), "{}")}, `{"path": "dir"}`, []string{"a"},
		},
		"in a List": {
			treefs.Memory{"a.cue": `l: {apiVersion: "v1", kind: "List", items: [` + configMap("a") + "," + configMap("b") + "]}"},
			`{"path": ""}`, []string{"a", "b"},
		},
		"once, though a list repeats them": {
			treefs.Memory{"a.cue": "maps: {a: " + configMap("a") + "}\nobjects: [for m in maps {m}]"}, `{"path": ""}`, []string{"a"},
		},
		"but not in definitions, hidden and optional fields": {
			treefs.Memory{"a.cue": "#d: " + configMap("d") + "\n_h: " + configMap("h") + "\no?: " + configMap("o") + "\na: " + configMap("a")},
			`{"path": ""}`, []string{"a"},
		},
		"of the expression only": {
			treefs.Memory{"a.cue": "a: " + configMap("a") + "\nb: " + configMap("b") + "\nreplicas: int"},
			`{"path": "", "expression": "[b]"}`, []string{"b"},
		},
		"with the values of the step": {
			treefs.Memory{"a.cue": "names: [...string]\nobjects: [for n in names {" + strings.Trim(configMap(`\(n)-x`), "{}") + "}]"},
			`{"path": "", "values": {"names": ["b", "a"]}}`, []string{"b-x", "a-x"},
		},
		"with tags, of all types": {
			treefs.Memory{"a.cue": `
				env: *"test" | "prod" @tag(env,short=test|prod)
				n: int @tag(n,type=int)
				f: number @tag(f,type=number)
				b: bool @tag(b,type=bool)
				a: ` + strings.Replace(configMap("X"), `"X"`, `"\(env)-\(n+1)-\(f)-\(b)"`, 1)},
			`{"path": "", "tags": {"prod": true, "n": 2, "f": "-1.5", "b": false}}`, []string{"prod-3--1.5-false"},
		},
		"in the files that tags switch on": {
			treefs.Memory{
				"a.cue": "@if(prod && !test)\n\npackage p\n\na: " + configMap("a"),
				"b.cue": "@if(test)\n\npackage p\n\nb: " + configMap("b"),
				"c.cue": "@ignore()\n\npackage p\n\nc: " + configMap("c"),
			},
			`{"path": "", "tags": {"prod": true}}`, []string{"a"},
		},
		"not in files for tests, commands or nobody": {
			treefs.Memory{
				"a.cue": "package p\n\na: " + configMap("a"), "a_test.cue": "package p\n\nb: int", "a_tool.cue": "package p\n\nc: int",
				"_d.cue": "package p\n\nd: int", ".e.cue": "e: int", "f.yaml": "f: int",
			},
			`{"path": ""}`, []string{"a"},
		},
		"in one of several packages": {
			treefs.Memory{"a.cue": "package a\n\na: " + configMap("a"), "b.cue": "package b\n\nb: " + configMap("b")},
			`{"path": "", "package": "b"}`, []string{"b"},
		},
		"of a module, with the files above and what is imported": {
			treefs.Memory{
				"m/cue.mod/module.cue":                  moduleFile,
				"m/cue.mod/gen/k8s.io/api/v1/types.cue": "package v1\n\n#Map: {apiVersion: \"v1\", kind: \"ConfigMap\", metadata: name: string}",
				"m/cue.mod/usr/k8s.io/api/v1/more.cue":  "package v1\n\n#Map: metadata: name: !=\"\"",
				"m/lib/lib.cue":                         "package other\n\nimport \"strings\"\n\n#up: {in: string, out: strings.ToUpper(in)}",
				"m/all.cue":                             "package app\n\nprefix: \"pre\"",
				"m/noise.cue":                           "package noise\n\nx: int",
				"above.cue":                             "package app\n\nnever: int",
				"m/dir/a.cue": "package app\n\nimport (\n\t\"k8s.io/api/v1\"\n\tl \"example.com/app/lib:other\"\n)\n\n" +
					"a: v1.#Map & {metadata: name: \"\\(prefix)-\\((l.#up & {in: \"a\"}).out)\"}",
			},
			`{"path": "./m/dir/"}`, []string{"pre-A"},
		},
		"nowhere, with a warning": {treefs.Memory{"a.cue": "a: 1"}, `{"path": ""}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			result, errs := Render(c.files, c.parameters)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			if found := names(t, result); !slices.Equal(found, c.expected) {
				t.Errorf("got %q, want %q", found, c.expected)
			}
			if (len(c.expected) == 0) != (len(result.Warnings) == 1) {
				t.Errorf("warnings: %q", result.Warnings)
			}
			again, _ := Render(c.files, c.parameters)
			if !slices.Equal(result.Objects, again.Objects) {
				t.Errorf("not the same again: %q, %q", result.Objects, again.Objects)
			}
		})
	}
}

func TestValuesStayWhatTheyAre(t *testing.T) {
	files := treefs.Memory{"a.cue": `a: {apiVersion: "v1", kind: "ConfigMap", metadata: name: "a", data: {yes: "yes", n: "0644", long: """
		two
		lines
		"""}, x: [1.50, 9223372036854775807, true, null, *"d" | string]}`}
	result, errs := Render(files, `{"path": ""}`)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	const expected = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},` +
		`"data":{"yes":"yes","n":"0644","long":"two\nlines"},"x":[1.50,9223372036854775807,true,null,"d"]}`
	if result.Objects[0] != expected {
		t.Errorf("got  %s\nwant %s", result.Objects[0], expected)
	}
}

func TestMistakesAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		files      treefs.Memory
		parameters string
		kind       Kind
		// expected is how each error begins, with its file and line.
		expected []string
	}{
		"incomplete values, each": {
			treefs.Memory{"d/a.cue": "a: int\nb: c: string\nd: 1"}, `{"path": "d"}`, InvalidInput,
			[]string{"d/a.cue:1: a: incomplete value int", "d/a.cue:2: b.c: incomplete value string"},
		},
		"conflicts, each": {
			treefs.Memory{"a.cue": "package p\n\na: 1\nb: x: \"s\"", "b.cue": "package p\n\nb: x: \"t\"\na: 2"}, `{"path": ""}`, InvalidInput,
			[]string{"a.cue:3: a: conflicting values 2 and 1 (see also b.cue:4)", "a.cue:4: b.x: conflicting values \"t\" and \"s\" (see also b.cue:3)"},
		},
		"a value of the step that conflicts": {
			treefs.Memory{"a.cue": "\nn: <3"}, `{"path": "", "values": {"n": 4}}`, InvalidInput, []string{"a.cue:2: with.values: n: invalid value 4 (out of bound <3)"},
		},
		"a field that a definition does not have": {
			treefs.Memory{"a.cue": "#d: {a: int}\nx: #d & {\n\tb: 1\n\ta: 1\n}"}, `{"path": ""}`, InvalidInput, []string{"a.cue:3: x.b: field not allowed"},
		},
		"syntax, in every file": {
			treefs.Memory{"a.cue": "a: {", "b.cue": "\nb: ]"}, `{"path": ""}`, InvalidInput, []string{"a.cue:1: ", "b.cue:2: "},
		},
		"a name that is not there": {
			treefs.Memory{"a.cue": "a: b"}, `{"path": ""}`, InvalidInput, []string{"a.cue:1: a: reference \"b\" not found"},
		},
		"an expression that is not there": {
			treefs.Memory{"a.cue": "a: 1"}, `{"path": "", "expression": "b"}`, InvalidInput, []string{"with.expression: reference \"b\" not found"},
		},
		"a registry": {
			treefs.Memory{"cue.mod/module.cue": moduleFile, "a.cue": "package a\n\nimport (\n\t\"example.org/x@v0\"\n\t\"example.org/y\"\n)\n\na: x.a & y.a"},
			`{"path": ""}`, Denied,
			[]string{"a.cue:4: the import \"example.org/x@v0\" is neither", "a.cue:5: the import \"example.org/y\" is neither"},
		},
		"a package of the module that is not there": {
			treefs.Memory{"cue.mod/module.cue": moduleFile, "a.cue": "package a\n\nimport \"example.com/app/x\"\n\na: x.a"}, `{"path": ""}`, NotFound,
			[]string{"a.cue:3: the import \"example.com/app/x\": the directory \"x\" has no files of the package \"x\""},
		},
		"a package of CUE that is not there": {
			treefs.Memory{"a.cue": "import \"nothing\"\n\na: nothing.x"}, `{"path": ""}`, InvalidInput, []string{"a.cue:1: "},
		},
		"a circle of imports": {
			treefs.Memory{
				"cue.mod/module.cue": moduleFile, "a.cue": "package a\n\nimport \"example.com/app/x\"\n\na: x.a",
				"x/x.cue": "package x\n\nimport \"example.com/app/y\"\n\na: y.a", "y/y.cue": "package y\n\nimport \"example.com/app/x\"\n\na: x.a",
			}, `{"path": ""}`, InvalidInput,
			[]string{"y/y.cue:3: the packages import each other: example.com/app/x → example.com/app/y → example.com/app/x"},
		},
		"a module file": {
			treefs.Memory{"cue.mod/module.cue": "module: 1\n", "a.cue": "a: 1"}, `{"path": ""}`, InvalidInput, []string{"cue.mod/module.cue"},
		},
		"embedded files": {
			treefs.Memory{"cue.mod/module.cue": moduleFile, "a.cue": "@extern(embed)\n\npackage a\n\na: _ @embed(file=\"/etc/passwd\",type=text)"}, `{"path": ""}`, Unsupported,
			[]string{"a.cue:1: @extern(embed) is not supported"},
		},
		"several packages": {
			treefs.Memory{"a.cue": "package a", "b.cue": "package b"}, `{"path": ""}`, InvalidInput, []string{"the directory \"\" has several packages: a, b"},
		},
		"no path":       {treefs.Memory{"a.cue": "a: 1"}, `{"path": "../b"}`, NotFound, []string{"the path \"../b\" cannot be rendered"}},
		"no directory":  {treefs.Memory{"a.cue": "a: 1"}, `{"path": "a.cue"}`, InvalidInput, []string{"the directory \"a.cue\" of the package cannot be read: not a directory"}},
		"no files":      {treefs.Memory{"a.yaml": "a: 1"}, `{"path": ""}`, NotFound, []string{"the directory \"\" has no CUE files"}},
		"no such field": {treefs.Memory{}, `{"path": "", "tag": {}}`, InvalidInput, []string{"the parameters of the step cue are not valid"}},
		"tags": {
			treefs.Memory{"a.cue": "a: int @tag(a,type=int)\nb: bool @tag(b,type=bool)"}, `{"path": "", "tags": {"a": "x", "b": 1, "c": "d"}}`, InvalidInput,
			[]string{"a.cue:1: with.tags.a: \"x\" is no int", "a.cue:2: with.tags.b: \"1\" is no bool", "with.tags.c: no file"},
		},
		"objects without names": {
			treefs.Memory{"a.cue": "\na: {apiVersion: \"v1\", kind: \"ConfigMap\"}\nb: {apiVersion: 1, kind: \"ConfigMap\", metadata: name: \"b\"}"}, `{"path": ""}`, InvalidInput,
			[]string{"a.cue:2: a: metadata.name is missing", "a.cue:3: b: apiVersion is missing, or no string"},
		},
		// Attack 27 (Plugins): recursion without end, and nesting that exhausts a stack.
		"a struct of itself":   {treefs.Memory{"a.cue": "a: b: a"}, `{"path": ""}`, InvalidInput, []string{"a.cue:1: a.b: structural cycle"}},
		"values of each other": {treefs.Memory{"a.cue": "a: b + 1\nb: a + 1"}, `{"path": ""}`, InvalidInput, []string{"a.cue:2: b: cycle with field: a", "a.cue:1: a: cycle with field: b"}},
		"brackets":             {treefs.Memory{"a.cue": "a: " + strings.Repeat("[", 100_000)}, `{"path": ""}`, InvalidInput, []string{"a.cue:1: the file is nested deeper"}},
		"operators":            {treefs.Memory{"a.cue": "a: " + strings.Repeat("-", 100_000) + "1"}, `{"path": ""}`, InvalidInput, []string{"a.cue:1: the file is nested deeper"}},
		"sums":                 {treefs.Memory{"a.cue": "a: 1" + strings.Repeat("+1", 100_000)}, `{"path": ""}`, InvalidInput, []string{"a.cue:1: the file is nested deeper"}},
		"fields":               {treefs.Memory{"a.cue": strings.Repeat("a: ", 100_000) + "1"}, `{"path": ""}`, InvalidInput, []string{"a.cue:1: the file is nested deeper"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := Render(c.files, c.parameters)
			if len(errs) != len(c.expected) {
				t.Fatalf("got %q, want %q", errs, c.expected)
			}
			for i, e := range errs {
				if !strings.HasPrefix(e.Error(), c.expected[i]) || e.Kind != c.kind {
					t.Errorf("got  %v of kind %d\nwant %v of kind %d", e, e.Kind, c.expected[i], c.kind)
				}
			}
		})
	}
}
