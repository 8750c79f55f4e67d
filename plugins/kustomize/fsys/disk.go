package fsys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"plumbline.dev/plugins/gosdk/treefs"
)

// Disk is a directory of the local disk as a tree, for tests and comparisons.
type Disk struct{ root string }

// OpenDisk returns the tree of a directory.
func OpenDisk(directory string) (Disk, error) {
	absolute, err := filepath.Abs(directory)
	if err != nil {
		return Disk{}, err
	}
	root, err := filepath.EvalSymlinks(absolute)
	return Disk{root}, err
}

// List returns the names in a directory.
func (d Disk) List(p string) ([]treefs.Entry, error) {
	node, err := d.Stat(p)
	if err != nil {
		return nil, err
	}
	if node.Kind != treefs.Directory {
		return nil, treefs.ErrNotDirectory
	}
	found, err := os.ReadDir(filepath.Join(d.root, node.Resolved))
	if err != nil {
		return nil, translate(err)
	}
	entries := make([]treefs.Entry, len(found))
	for i, e := range found {
		entries[i] = treefs.Entry{Name: e.Name(), Kind: treefs.Opaque}
		if node, err := d.Stat(filepath.Join(p, e.Name())); err == nil {
			entries[i].Kind = node.Kind
		}
	}
	return entries, nil
}

// Stat returns what is at a path.
func (d Disk) Stat(p string) (treefs.Node, error) {
	resolved, err := filepath.EvalSymlinks(filepath.Join(d.root, treefs.Clean(p)))
	if err != nil {
		return treefs.Node{}, translate(err)
	}
	if resolved != d.root && !strings.HasPrefix(resolved, d.root+"/") {
		return treefs.Node{}, treefs.ErrDenied
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return treefs.Node{}, translate(err)
	}
	node := treefs.Node{Kind: treefs.File, Size: info.Size(), Resolved: treefs.Clean(strings.TrimPrefix(resolved, d.root))}
	if info.IsDir() {
		node.Kind, node.Size = treefs.Directory, 0
	}
	return node, nil
}

// Read returns the content of a file.
func (d Disk) Read(p string) ([]byte, error) {
	node, err := d.Stat(p)
	if err != nil {
		return nil, err
	}
	if node.Kind == treefs.Directory {
		return nil, treefs.ErrIsDirectory
	}
	data, err := os.ReadFile(filepath.Join(d.root, node.Resolved))
	return data, translate(err)
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return treefs.ErrNotFound
	default:
		return err
	}
}
