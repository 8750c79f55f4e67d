package failure_test

import (
	"fmt"
	"testing"

	"plumbline.dev/plugins/gosdk/failure"
	"plumbline.dev/plugins/gosdk/treefs"
)

func TestAnErrorNamesItsPlace(t *testing.T) {
	for _, c := range []struct {
		failure failure.Error
		want    string
	}{
		{failure.Error{Message: "it is wrong"}, "it is wrong"},
		{failure.Error{Message: "it is wrong", File: "a.yaml"}, "a.yaml: it is wrong"},
		{failure.Error{Message: "it is wrong", File: "a.yaml", Line: 3}, "a.yaml:3: it is wrong"},
	} {
		if got := c.failure.Error(); got != c.want {
			t.Errorf("it is told as %q, not as %q", got, c.want)
		}
	}
}

func TestWhatATreeDidNotAnswerHasAKind(t *testing.T) {
	for err, want := range map[error]failure.Kind{
		treefs.ErrNotFound:                failure.NotFound,
		treefs.ErrDenied:                  failure.Denied,
		treefs.ErrReadOnly:                failure.Denied,
		treefs.ErrIsDirectory:             failure.InvalidInput,
		treefs.TooLargeError{Limit: 1024}: failure.InvalidInput,
	} {
		if got := failure.KindOf(fmt.Errorf("a.yaml: %w", err)); got != want {
			t.Errorf("%v is %v, not %v", err, got, want)
		}
	}
}
