package treefs

import (
	"slices"
	"strings"
)

// Memory is a tree in memory: the content of files by their path. It has no links.
type Memory map[string]string

// List returns the names in a directory.
func (m Memory) List(p string) ([]Entry, error) {
	p, err := m.Resolve(p)
	if err != nil {
		return nil, err
	}
	if _, ok := m[p]; ok {
		return nil, ErrNotDirectory
	}
	files := map[string]bool{}
	for file := range m {
		if below, ok := below(p, file); ok {
			name, _, deeper := strings.Cut(below, "/")
			files[name] = !deeper
		}
	}
	entries := make([]Entry, 0, len(files))
	for name, file := range files {
		entries = append(entries, Entry{name, file})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Resolve returns the path itself if there is something at it.
func (m Memory) Resolve(p string) (string, error) {
	p = Clean(p)
	if _, ok := m[p]; ok {
		return p, nil
	}
	for file := range m {
		if _, ok := below(p, file); ok {
			return p, nil
		}
	}
	return "", ErrNotFound
}

// Read returns the content of a file.
func (m Memory) Read(p string) ([]byte, error) {
	p, err := m.Resolve(p)
	if err != nil {
		return nil, err
	}
	content, ok := m[p]
	if !ok {
		return nil, ErrIsDirectory
	}
	return []byte(content), nil
}

// below is the rest of a file's path after a directory's.
func below(directory, file string) (string, bool) {
	if directory == "" {
		return file, true
	}
	return strings.CutPrefix(file, directory+"/")
}
