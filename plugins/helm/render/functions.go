package render

import (
	"errors"
	"fmt"
	"math/rand"
	randv2 "math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/huandu/xstrings"
	"k8s.io/apimachinery/pkg/util/json"
)

// Functions of templates whose result depends on randomness.
// randInt and shuffle are not among them: they use a generator of their own, and are replaced.
var random = []string{
	"bcrypt", "encryptAES", "genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert",
	"genSignedCertWithKey", "htpasswd", "randAlpha", "randAlphaNum", "randAscii", "randBytes", "randNumeric", "uuidv4",
}

// Functions of templates whose result depends on the time, whatever their arguments are.
var timed = []string{"ago", "genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey", "now"}

// Functions of templates that take a date, and fall back to the time when it is none. durationRound, which takes the time since a date, is by itself.
var dated = []string{"date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone"}

// largestText is how many bytes a function may return, and largestList how many elements. Beyond it the memory of the plugin would be exhausted, and
// nobody could be told where.
const (
	largestText = 64 << 20
	largestList = 1 << 20
)

// functions are those functions of templates that are not Helm's own, or that ask the host first.
type functions struct {
	host Host
	// generator is what randInt and shuffle use; nil until there is a seed.
	generator *rand.Rand
	hasTime   bool
	// refused is what was asked for and not granted.
	refused *deniedError
}

// deniedError is something that a template needs and the step does not have.
type deniedError struct {
	message, hint string
	kind          Kind
}

func (e *deniedError) Error() string { return e.message }

func (f *functions) all() template.FuncMap {
	upstream := sprig.TxtFuncMap()
	replaced := template.FuncMap{
		"lookup":    f.lookup,
		"repeat":    repeat,
		"until":     until(upstream),
		"untilStep": untilStep(upstream),
		"randInt": func(low, high int) (int, error) {
			if err := f.seed("randInt"); err != nil {
				return 0, err
			}
			return f.generator.Intn(high-low) + low, nil
		},
		"shuffle": func(text string) (string, error) {
			if err := f.seed("shuffle"); err != nil {
				return "", err
			}
			return xstrings.ShuffleSource(text, f.generator), nil
		},
	}
	for _, name := range random {
		replaced[name] = after(upstream[name], func([]reflect.Value) error { return f.seed(name) })
	}
	for _, name := range timed {
		previous, ok := replaced[name]
		if !ok {
			previous = upstream[name]
		}
		replaced[name] = after(previous, func([]reflect.Value) error { return f.time(name) })
	}
	for _, name := range dated {
		replaced[name] = after(upstream[name], func(arguments []reflect.Value) error {
			if slices.ContainsFunc(arguments, isDate) {
				return nil
			}
			return f.time(name)
		})
	}
	replaced["durationRound"] = after(upstream["durationRound"], func(arguments []reflect.Value) error {
		if _, isTime := arguments[0].Interface().(time.Time); isTime {
			return f.time("durationRound")
		}
		return nil
	})
	return replaced
}

// isDate tells whether an argument of sprig's functions for dates is one. Formats and zones are of type string, not interface{}.
func isDate(argument reflect.Value) bool {
	if argument.Kind() != reflect.Interface {
		return false
	}
	switch argument.Interface().(type) {
	case time.Time, *time.Time, int, int32, int64:
		return true
	default:
		return false
	}
}

// after is a function of templates that first does something that can fail. What it returns beside is the same.
func after(function any, first func(arguments []reflect.Value) error) any {
	value := reflect.ValueOf(function)
	kind := value.Type()
	in := make([]reflect.Type, kind.NumIn())
	for i := range in {
		in[i] = kind.In(i)
	}
	failure := reflect.TypeFor[error]()
	fails := kind.NumOut() == 2
	wrapped := reflect.FuncOf(in, []reflect.Type{kind.Out(0), failure}, kind.IsVariadic())
	return reflect.MakeFunc(wrapped, func(arguments []reflect.Value) []reflect.Value {
		if err := first(arguments); err != nil {
			return []reflect.Value{reflect.Zero(kind.Out(0)), reflect.ValueOf(&err).Elem()}
		}
		var out []reflect.Value
		if kind.IsVariadic() {
			out = value.CallSlice(arguments)
		} else {
			out = value.Call(arguments)
		}
		if !fails {
			out = append(out, reflect.Zero(failure))
		}
		return out
	}).Interface()
}

// seed asks the host for randomness when it is first needed.
func (f *functions) seed(function string) error {
	if f.generator != nil {
		return nil
	}
	seed, granted := f.host.Seed()
	if !granted {
		return f.refuse(&deniedError{
			kind:    Denied,
			message: fmt.Sprintf("the function %s needs randomness, which this step is not granted", function),
			hint:    "Add `capabilities: {random: true}` to the step, or give the chart the value that it would make up.",
		})
	}
	// math/rand's own generator is the same in each instance of the plugin.
	f.generator = rand.New(source{randv2.NewChaCha8(seed)})
	return nil
}

// source is a generator of math/rand/v2 for math/rand.
type source struct{ *randv2.ChaCha8 }

func (s source) Int63() int64 { return int64(s.Uint64() >> 1) }
func (source) Seed(int64)     {}

// time asks the host for the time when it is first needed.
func (f *functions) time(function string) error {
	if f.hasTime {
		return nil
	}
	if f.hasTime = f.host.SetTime(); !f.hasTime {
		return f.refuse(&deniedError{
			kind:    Denied,
			message: fmt.Sprintf("the function %s needs to know what time it is, which this step is not granted", function),
			hint:    "Add `capabilities: {clock: true}` to the step, or give the chart a date as a value.",
		})
	}
	return nil
}

func (f *functions) refuse(err *deniedError) error {
	if f.refused == nil {
		f.refused = err
	}
	return err
}

// errNoCluster is why there is nothing to look up while the plugin is built.
var errNoCluster = errors.New("there is no cluster")

// LookupError is why the cluster was not read. The text says what to do.
type LookupError struct {
	Kind    Kind
	Message string
}

func (e *LookupError) Error() string { return e.Message }

// lookup is what it is in Helm, but that it fails where it may not read: what is empty there has to be empty in the cluster.
func (f *functions) lookup(apiVersion, kind, namespace, name string) (map[string]any, error) {
	object := map[string]any{}
	if name != "" {
		text, err := f.host.Get(apiVersion, kind, namespace, name)
		if err == nil && text != "" {
			err = json.Unmarshal([]byte(text), &object)
		}
		return object, f.notRead(apiVersion, kind, namespace, name, err)
	}
	texts, err := f.host.List(apiVersion, kind, namespace)
	if err != nil {
		return object, f.notRead(apiVersion, kind, namespace, "", err)
	}
	items := make([]any, 0, len(texts))
	for _, text := range texts {
		var item map[string]any
		if err := json.Unmarshal([]byte(text), &item); err != nil {
			return object, err
		}
		items = append(items, item)
	}
	return map[string]any{"apiVersion": apiVersion, "kind": kind + "List", "metadata": map[string]any{}, "items": items}, nil
}

func (f *functions) notRead(apiVersion, kind, namespace, name string, err error) error {
	if err == nil {
		return nil
	}
	denied := &deniedError{
		message: fmt.Sprintf("lookup of %s %s %q in namespace %q: %v", apiVersion, kind, name, namespace, err),
	}
	var lookup *LookupError
	if errors.As(err, &lookup) {
		denied.kind = lookup.Kind
	}
	if denied.kind == Denied {
		denied.hint = fmt.Sprintf("Add `capabilities: {clusterRead: [{apiVersion: %s, kind: %s}]}` to the step.", apiVersion, kind)
	}
	return f.refuse(denied)
}

func repeat(count int, text string) (string, error) {
	if count > 0 && len(text) > largestText/count {
		return "", fmt.Errorf("repeat: %d times %d bytes is more than the limit of %d bytes", count, len(text), largestText)
	}
	return strings.Repeat(text, count), nil
}

func untilStep(upstream template.FuncMap) any {
	return func(start, stop, step int) ([]int, error) {
		if step == 0 {
			return []int{}, nil
		}
		if count := (stop - start) / step; count > largestList {
			return nil, tooLong("untilStep", count)
		}
		return upstream["untilStep"].(func(int, int, int) []int)(start, stop, step), nil
	}
}

func until(upstream template.FuncMap) any {
	return func(count int) ([]int, error) {
		if max(count, -count) > largestList {
			return nil, tooLong("until", max(count, -count))
		}
		return upstream["until"].(func(int) []int)(count), nil
	}
}

func tooLong(name string, count int) error {
	return fmt.Errorf("%s: a list of %d elements is longer than the limit of %d", name, count, largestList)
}
