package treefs

import (
	"slices"
	"strings"
)

// Memory is a tree in memory: the content of files by their path. It has no links.
type Memory map[string]string

// List returns the names in a directory.
func (m Memory) List(p string) ([]Entry, error) {
	p = Clean(p)
	node, err := m.Stat(p)
	if err != nil {
		return nil, err
	}
	if node.Kind != Directory {
		return nil, ErrNotDirectory
	}
	names := map[string]Kind{}
	for file := range m {
		below, ok := m.below(p, file)
		if !ok {
			continue
		}
		name, _, deeper := strings.Cut(below, "/")
		names[name] = File
		if deeper {
			names[name] = Directory
		}
	}
	entries := make([]Entry, 0, len(names))
	for name, kind := range names {
		entries = append(entries, Entry{name, kind})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Stat returns what is at a path.
func (m Memory) Stat(p string) (Node, error) {
	p = Clean(p)
	if content, ok := m[p]; ok {
		return Node{Kind: File, Size: int64(len(content)), Resolved: p}, nil
	}
	for file := range m {
		if _, ok := m.below(p, file); ok {
			return Node{Kind: Directory, Resolved: p}, nil
		}
	}
	return Node{}, ErrNotFound
}

// Read returns the content of a file.
func (m Memory) Read(p string) ([]byte, error) {
	node, err := m.Stat(p)
	if err != nil {
		return nil, err
	}
	if node.Kind == Directory {
		return nil, ErrIsDirectory
	}
	return []byte(m[node.Resolved]), nil
}

// below is the rest of a file's path after a directory's.
func (Memory) below(directory, file string) (string, bool) {
	if directory == "" {
		return file, true
	}
	return strings.CutPrefix(file, directory+"/")
}
