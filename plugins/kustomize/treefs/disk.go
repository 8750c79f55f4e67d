package treefs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
func (d Disk) List(p string) ([]Entry, error) {
	node, err := d.Stat(p)
	if err != nil {
		return nil, err
	}
	if node.Kind != Directory {
		return nil, ErrNotDirectory
	}
	found, err := os.ReadDir(filepath.Join(d.root, node.Resolved))
	if err != nil {
		return nil, translate(err)
	}
	entries := make([]Entry, len(found))
	for i, e := range found {
		entries[i] = Entry{Name: e.Name(), Kind: Opaque}
		if node, err := d.Stat(filepath.Join(p, e.Name())); err == nil {
			entries[i].Kind = node.Kind
		}
	}
	return entries, nil
}

// Stat returns what is at a path.
func (d Disk) Stat(p string) (Node, error) {
	resolved, err := filepath.EvalSymlinks(filepath.Join(d.root, Relative(p)))
	if err != nil {
		return Node{}, translate(err)
	}
	if resolved != d.root && !strings.HasPrefix(resolved, d.root+"/") {
		return Node{}, ErrDenied
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return Node{}, translate(err)
	}
	node := Node{Kind: File, Size: info.Size(), Resolved: Relative(strings.TrimPrefix(resolved, d.root))}
	if info.IsDir() {
		node.Kind, node.Size = Directory, 0
	}
	return node, nil
}

// Read returns the content of a file.
func (d Disk) Read(p string) ([]byte, error) {
	node, err := d.Stat(p)
	if err != nil {
		return nil, err
	}
	if node.Kind == Directory {
		return nil, ErrIsDirectory
	}
	data, err := os.ReadFile(filepath.Join(d.root, node.Resolved))
	return data, translate(err)
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return ErrNotFound
	default:
		return err
	}
}
