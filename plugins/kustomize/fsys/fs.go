// Package fsys shows a read-only tree of files to kustomize as a file system.
//
// A tree records what it is asked for, so everything here asks for as little as it can.
package fsys

import (
	"bytes"
	"errors"
	"io"
	iofs "io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"plumbline.dev/plugins/gosdk/treefs"
)

// FS is a tree as kustomize's file system. Its paths are absolute with the root of the tree as "/", and a relative path
// starts there too. Nothing can be written but through [FS.Replace], which stays in memory.
type FS struct {
	tree     treefs.Tree
	replaced map[string][]byte
	files    map[string]content
	nodes    map[string]found
}

type content struct {
	data []byte
	err  error
}

type found struct {
	node treefs.Node
	err  error
}

var _ filesys.FileSystem = (*FS)(nil)

// New returns the file system of a tree.
func New(t treefs.Tree) *FS {
	return &FS{tree: t, replaced: map[string][]byte{}, files: map[string]content{}, nodes: map[string]found{}}
}

// Replace makes a path a file with this content, in memory.
func (f *FS) Replace(p string, data []byte) {
	f.replaced[treefs.Clean(p)] = data
}

// Replaced tells whether a path was replaced.
func (f *FS) Replaced(p string) bool {
	_, ok := f.replaced[treefs.Clean(p)]
	return ok
}

// Stat returns what is at a path, links followed.
func (f *FS) Stat(p string) (treefs.Node, error) {
	p = treefs.Clean(p)
	if data, ok := f.replaced[p]; ok {
		return treefs.Node{Kind: treefs.File, Size: int64(len(data)), Resolved: p}, nil
	}
	known, ok := f.nodes[p]
	if !ok {
		known.node, known.err = f.tree.Stat(p)
		f.nodes[p] = known
	}
	return known.node, known.err
}

// List returns the names in a directory, in the order of their bytes.
func (f *FS) List(p string) ([]treefs.Entry, error) {
	entries, err := f.tree.List(treefs.Clean(p))
	if err != nil {
		return nil, &iofs.PathError{Op: "open", Path: p, Err: err}
	}
	return entries, nil
}

// IsDir tells whether there is a directory at a path.
func (f *FS) IsDir(p string) bool {
	node, err := f.Stat(p)
	return err == nil && node.Kind == treefs.Directory
}

// IsFile tells whether there is a file at a path.
func (f *FS) IsFile(p string) bool {
	node, err := f.Stat(p)
	return err == nil && node.Kind == treefs.File
}

// Exists tells whether there is anything at a path.
func (f *FS) Exists(p string) bool {
	_, err := f.Stat(p)
	return err == nil
}

// ReadFile returns all the bytes of a file.
func (f *FS) ReadFile(p string) ([]byte, error) {
	if data, ok := f.replaced[treefs.Clean(p)]; ok {
		return bytes.Clone(data), nil
	}
	return f.ReadOriginal(p)
}

// ReadOriginal returns all the bytes of a file as it is in the tree, whether it was replaced or not.
func (f *FS) ReadOriginal(p string) ([]byte, error) {
	name := treefs.Clean(p)
	known, ok := f.files[name]
	if !ok {
		known.data, known.err = f.tree.Read(name)
		f.files[name] = known
	}
	switch {
	case errors.Is(known.err, treefs.ErrIsDirectory):
		return nil, &iofs.PathError{Op: "read", Path: p, Err: known.err}
	case errors.Is(known.err, iofs.ErrNotExist) && f.belowFile(name):
		return nil, &iofs.PathError{Op: "open", Path: p, Err: treefs.ErrNotDirectory}
	case known.err != nil:
		return nil, &iofs.PathError{Op: "open", Path: p, Err: known.err}
	}
	// The caller may write to what it gets.
	return bytes.Clone(known.data), nil
}

// CleanedAbs follows every link of a path and splits the result into a directory and, for a file, its name.
func (f *FS) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	node, err := f.Stat(p)
	if err != nil {
		return "", "", &evalError{path: p, err: f.firstMissing(treefs.Clean(p), err)}
	}
	resolved := "/" + node.Resolved
	if node.Kind == treefs.Directory {
		return filesys.ConfirmedDir(resolved), "", nil
	}
	return filesys.ConfirmedDir(path.Dir(resolved)), path.Base(resolved), nil
}

// firstMissing words the error as Linux does: it is about the first part of the path that is not there.
func (f *FS) firstMissing(p string, err error) error {
	if !errors.Is(err, iofs.ErrNotExist) {
		return &iofs.PathError{Op: "lstat", Path: "/" + p, Err: err}
	}
	if f.belowFile(p) {
		return treefs.ErrNotDirectory
	}
	for p != "" && !f.Exists(path.Dir("/"+p)) {
		p = treefs.Clean(path.Dir("/" + p))
	}
	return &iofs.PathError{Op: "lstat", Path: "/" + p, Err: err}
}

// belowFile tells whether a path that does not exist goes through a file as if that were a directory.
func (f *FS) belowFile(p string) bool {
	for p != "" {
		p = treefs.Clean(path.Dir("/" + p))
		if node, err := f.Stat(p); err == nil {
			return node.Kind != treefs.Directory
		}
	}
	return false
}

// evalError has the words of kustomize's file system on disk.
type evalError struct {
	path string
	err  error
}

func (e *evalError) Error() string {
	return "evalsymlink failure on '" + e.path + "' : " + e.err.Error()
}
func (e *evalError) Unwrap() error { return e.err }

// ReadDir returns the names in a directory.
func (f *FS) ReadDir(p string) ([]string, error) {
	entries, err := f.List(p)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return names, nil
}

// Glob returns the paths that match a pattern, hidden ones only when the pattern asks for them.
func (f *FS) Glob(pattern string) ([]string, error) {
	parts := strings.Split(treefs.Clean(pattern), "/")
	matches := []string{""}
	for _, part := range parts {
		var next []string
		for _, dir := range matches {
			found, err := f.globPart(dir, part)
			if err != nil {
				return nil, err
			}
			next = append(next, found...)
		}
		matches = next
	}
	if strings.HasPrefix(pattern, "/") {
		for i := range matches {
			matches[i] = "/" + matches[i]
		}
	}
	if filesys.IsHiddenFilePath(pattern) {
		return matches, nil
	}
	return filesys.RemoveHiddenFiles(matches), nil
}

func (f *FS) globPart(dir, part string) ([]string, error) {
	if !strings.ContainsAny(part, `*?[\`) {
		if p := path.Join(dir, part); f.Exists(p) {
			return []string{p}, nil
		}
		return nil, nil
	}
	if !f.IsDir(dir) {
		return nil, nil
	}
	entries, err := f.List(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		ok, err := path.Match(part, e.Name)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, path.Join(dir, e.Name))
		}
	}
	return found, nil
}

// Walk calls fn for a path and everything below it, in the order of names. Links to directories are not followed.
func (f *FS) Walk(p string, fn filepath.WalkFunc) error {
	p = path.Clean("/" + p)
	node, err := f.Stat(p)
	if err != nil {
		return fn(p, nil, &iofs.PathError{Op: "lstat", Path: p, Err: err})
	}
	err = f.walk(p, info{path.Base(p), node}, fn)
	if errors.Is(err, filepath.SkipDir) || errors.Is(err, filepath.SkipAll) {
		return nil
	}
	return err
}

func (f *FS) walk(p string, i info, fn filepath.WalkFunc) error {
	if !i.IsDir() {
		return fn(p, i, nil)
	}
	if err := fn(p, i, nil); err != nil {
		return err
	}
	entries, err := f.List(p)
	if err != nil {
		return fn(p, i, err)
	}
	for _, e := range entries {
		err := f.walk(path.Join(p, e.Name), info{e.Name, f.unlinked(path.Join(p, e.Name), e.Kind)}, fn)
		if err != nil && (!errors.Is(err, filepath.SkipDir) || e.Kind != treefs.Directory) {
			return err
		}
	}
	return nil
}

// unlinked is the node of an entry; a link to a directory is opaque, so that a walk ends even when links form a circle.
func (f *FS) unlinked(p string, kind treefs.Kind) treefs.Node {
	if kind != treefs.Directory {
		return treefs.Node{Kind: kind}
	}
	node, err := f.Stat(p)
	if err != nil || node.Resolved != treefs.Clean(p) {
		return treefs.Node{Kind: treefs.Opaque}
	}
	return node
}

// Open returns a file to read from.
func (f *FS) Open(p string) (filesys.File, error) {
	data, err := f.ReadFile(p)
	if err != nil {
		return nil, err
	}
	return &file{bytes.NewReader(data), info{path.Base(p), treefs.Node{Kind: treefs.File, Size: int64(len(data))}}}, nil
}

// Create fails: the tree is read-only.
func (f *FS) Create(p string) (filesys.File, error) { return nil, readOnly("open", p) }

// Mkdir fails: the tree is read-only.
func (f *FS) Mkdir(p string) error { return readOnly("mkdir", p) }

// MkdirAll fails: the tree is read-only.
func (f *FS) MkdirAll(p string) error { return readOnly("mkdir", p) }

// RemoveAll fails: the tree is read-only.
func (f *FS) RemoveAll(p string) error { return readOnly("unlinkat", p) }

// WriteFile fails: the tree is read-only.
func (f *FS) WriteFile(p string, _ []byte) error { return readOnly("open", p) }

func readOnly(op, p string) error {
	return &iofs.PathError{Op: op, Path: p, Err: treefs.ErrReadOnly}
}

type file struct {
	io.Reader
	info info
}

func (f *file) Write([]byte) (int, error)    { return 0, readOnly("write", f.info.name) }
func (f *file) Close() error                 { return nil }
func (f *file) Stat() (iofs.FileInfo, error) { return f.info, nil }

type info struct {
	name string
	node treefs.Node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.node.Size }
func (i info) IsDir() bool        { return i.node.Kind == treefs.Directory }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) Sys() any           { return nil }

func (i info) Mode() iofs.FileMode {
	switch i.node.Kind {
	case treefs.Directory:
		return iofs.ModeDir | 0o555
	case treefs.Opaque:
		return iofs.ModeSymlink | 0o777
	default:
		return 0o444
	}
}
