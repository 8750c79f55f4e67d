package treefs_test

import (
	"errors"
	"io/fs"
	"reflect"
	"testing"

	"plumbline.dev/plugins/gosdk/treefs"
)

func TestATreeInMemoryAnswersLikeTheHost(t *testing.T) {
	tree := treefs.Memory{"a/b.yaml": "b", "a/c/d.yaml": "d", "e": ""}
	entries, err := tree.List("/a/")
	want := []treefs.Entry{{Name: "b.yaml", Kind: treefs.File}, {Name: "c", Kind: treefs.Directory}}
	if err != nil || !reflect.DeepEqual(entries, want) {
		t.Errorf("a has %v, %v", entries, err)
	}
	node, err := tree.Stat("a/../a/b.yaml")
	if err != nil || node != (treefs.Node{Kind: treefs.File, Size: 1, Resolved: "a/b.yaml"}) {
		t.Errorf("a/b.yaml is %v, %v", node, err)
	}
	data, err := tree.Read("a/c/d.yaml")
	if err != nil || string(data) != "d" {
		t.Errorf("a/c/d.yaml holds %q, %v", data, err)
	}
}

func TestWhatIsNotThereIsToldInTheWordsOfLinux(t *testing.T) {
	tree := treefs.Memory{"a/b.yaml": "b"}
	_, missing := tree.Read("a/c.yaml")
	_, directory := tree.Read("a")
	_, file := tree.List("a/b.yaml")
	for _, c := range []struct {
		err  error
		want error
		text string
	}{
		{missing, fs.ErrNotExist, "no such file or directory"},
		{directory, treefs.ErrIsDirectory, "is a directory"},
		{file, treefs.ErrNotDirectory, "not a directory"},
	} {
		if !errors.Is(c.err, c.want) || c.err.Error() != c.text {
			t.Errorf("it is told as %v, not as %s", c.err, c.text)
		}
	}
}

func TestAPathNeverLeadsAboveTheRoot(t *testing.T) {
	for path, want := range map[string]string{"": "", "/": "", "a/": "a", "../../a": "a", "a/./b/../c": "a/c"} {
		if got := treefs.Clean(path); got != want {
			t.Errorf("%q is %q, not %q", path, got, want)
		}
	}
}
