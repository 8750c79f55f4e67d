package render

import (
	"context"
	"log"
	"log/slog"
	"regexp"
	"strings"
)

// Host is what a chart can ask for besides its files. The guest asks the plugin contract; tests answer themselves.
type Host interface {
	// Seed returns 32 random bytes, and makes crypto/rand follow from them; false if they were not granted.
	Seed() ([32]byte, bool)
	// SetTime sets the clock; false if it was not granted.
	SetTime() bool
	// UnseededCalls is how often random bytes were asked for while there was no seed. They must not get into objects.
	UnseededCalls() uint32
	// Get returns one object of the cluster as JSON, "" if there is none.
	Get(apiVersion, kind, namespace, name string) (string, error)
	// List returns the objects of a kind as JSON; of all namespaces where namespace is "".
	List(apiVersion, kind, namespace string) ([]string, error)
}

// warnings is what the author of the files should change, though it works: what Helm writes to its log while it renders, and what is left out.
type warnings struct{ texts []string }

// Write takes what Helm prints with the package log.
func (w *warnings) Write(text []byte) (int, error) {
	w.add(string(text))
	return len(text), nil
}

func (w *warnings) add(text string) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "warning: ")
	if text = withoutValue.ReplaceAllString(text, ""); !w.has(text) {
		w.texts = append(w.texts, text)
	}
}

func (w *warnings) has(text string) bool {
	for _, known := range w.texts {
		if known == text {
			return true
		}
	}
	return false
}

// withoutValue is what Helm shows of the value that it warns of. It may be a secret.
var withoutValue = regexp.MustCompile(`(?s) \(.*\)$`)

// collect has Helm's warnings collected until the returned function is called.
func (w *warnings) collect() (restore func()) {
	logger, writer, flags := slog.Default(), log.Writer(), log.Flags()
	slog.SetDefault(slog.New(handler{w}))
	log.SetOutput(w)
	log.SetFlags(0)
	return func() {
		slog.SetDefault(logger)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}
}

// handler is warnings for the package slog.
type handler struct{ *warnings }

func (handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (h handler) WithAttrs([]slog.Attr) slog.Handler             { return h }
func (h handler) WithGroup(string) slog.Handler                  { return h }

func (h handler) Handle(_ context.Context, record slog.Record) error {
	text := record.Message
	record.Attrs(func(attribute slog.Attr) bool {
		text += " " + attribute.Key + "=" + conceal(attribute.Value.String())
		return true
	})
	h.add(text)
	return nil
}

// noHost grants nothing. It is what initialisation renders with.
type noHost struct{}

func (noHost) Seed() (seed [32]byte, granted bool)                { return seed, false }
func (noHost) SetTime() bool                                      { return false }
func (noHost) UnseededCalls() uint32                              { return 0 }
func (noHost) Get(string, string, string, string) (string, error) { return "", errNoCluster }
func (noHost) List(string, string, string) ([]string, error)      { return nil, errNoCluster }
