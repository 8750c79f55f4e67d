// Package treefs is the read-only tree of files that a plugin is handed.
package treefs

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
	"strings"
)

// Tree is what the plugin contract calls a dir: one revision of a repository, read-only. Paths are relative to its root,
// separated by slashes, and "" is the root. Links are followed inside the root only.
//
// Whoever implements it records what it is asked for, as the key of a cache. So who uses it asks for as little as he can: a
// file is read rather than its directory listed.
type Tree interface {
	// List returns the names in a directory, in the order of their bytes.
	List(path string) ([]Entry, error)
	// Stat returns what is at a path, links followed.
	Stat(path string) (Node, error)
	// Read returns all the bytes of a file.
	Read(path string) ([]byte, error)
}

// Kind is what a name in a directory stands for, links followed.
type Kind int

// The kinds of entries.
const (
	// File can be read.
	File Kind = iota
	// Directory can be listed.
	Directory
	// Opaque is a link that leads nowhere or outside the root, or a submodule that was not fetched.
	Opaque
)

// Entry is a name in a directory.
type Entry struct {
	Name string
	Kind Kind
}

// Node is what is at a path.
type Node struct {
	Kind Kind
	// Size is that of a file in bytes.
	Size int64
	// Resolved is where the path leads once every link is followed.
	Resolved string
}

// Why a tree did not answer. The texts are those of Linux, on every system, because kustomize and Helm put them into their
// messages and people compare those.
var (
	ErrNotFound     error = linuxError{"no such file or directory", iofs.ErrNotExist}
	ErrNotDirectory error = linuxError{"not a directory", iofs.ErrInvalid}
	ErrIsDirectory  error = linuxError{"is a directory", iofs.ErrInvalid}
	ErrReadOnly     error = linuxError{"read-only file system", iofs.ErrPermission}
	// ErrDenied is a path that leads out of the tree.
	ErrDenied = errors.New("the path leads out of the repository")
)

type linuxError struct {
	text string
	is   error
}

func (e linuxError) Error() string   { return e.text }
func (e linuxError) Is(t error) bool { return t == e.is }

// TooLargeError is a file that is larger than the host hands out.
type TooLargeError struct{ Limit uint64 }

func (e TooLargeError) Error() string {
	return fmt.Sprintf("the file is larger than the limit of %d bytes", e.Limit)
}

// Clean is a path as the plugin contract writes it: from the root, with no slash in front, and never above the root.
func Clean(p string) string {
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}
