package render

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Helm's errors are texts. These are the parts that say where they happened; the last place is the innermost.
var (
	inTemplate = regexp.MustCompile(`(?m)(?:^|template: |(?:parse|execution) error at \()([^\s:()]+/templates/[^\s:()]+):(\d+)(?::\d+)?`)
	inManifest = regexp.MustCompile(`^YAML parse error on ([^\s:]+):`)
	atLine     = regexp.MustCompile(`\bline (\d+)\b`)
)

// locate makes an error of Helm one that names a file and a line of the tree. The text stays as it is, but for what it quotes of values.
func (r *renderer) locate(err error) *Error {
	text := err.Error()
	e := &Error{Message: conceal(text)}
	if refused := r.functions.refused; refused != nil && strings.Contains(text, refused.message) {
		e.Kind, e.Hint = refused.kind, refused.hint
	}
	switch {
	case strings.HasPrefix(text, "rendering template failed: "):
		e.Kind = Internal
	case strings.Contains(text, "missing in charts/ directory"):
		e.File = r.chart.file("Chart.yaml")
		e.Hint = "Plumbline fetches no dependencies: add them to charts/ of the source with `helm dependency build`."
	case strings.HasPrefix(text, "chart requires kubeVersion"), strings.HasSuffix(text, "charts are not installable"):
		e.File = r.chart.file("Chart.yaml")
	}
	if found := inManifest.FindStringSubmatch(text); found != nil {
		// The line is of what was rendered, and not of the template.
		e.File = r.chart.templateFile(found[1])
		e.Hint = "The line is counted in what the template renders to."
		return e
	}
	if found := inTemplate.FindAllStringSubmatch(text, -1); len(found) > 0 {
		last := found[len(found)-1]
		e.File = r.chart.templateFile(last[1])
		if e.File != r.chart.root {
			e.Line, _ = strconv.Atoi(last[2])
		}
	}
	return e
}

// file is a file of the chart, from the root of the tree; the archive where it is in one.
func (c *loaded) file(name string) string {
	if c.files == nil {
		return c.root
	}
	return path.Join(c.root, name)
}

// templateFile is the file of a template, of which Helm gives the name with those of the charts it is in. A directory may have another name than the
// chart in it. What is in an archive is in the file of the archive.
func (c *loaded) templateFile(template string) string {
	_, inside, _ := strings.Cut(template, "/")
	var candidates []string
	for _, file := range c.files {
		if file == inside {
			return path.Join(c.root, file)
		}
		if strings.HasPrefix(inside, "charts/") && strings.HasPrefix(file, "charts/") && afterTemplates(file) == afterTemplates(inside) {
			candidates = append(candidates, file)
		}
	}
	if len(candidates) == 1 {
		return path.Join(c.root, candidates[0])
	}
	return c.root
}

func afterTemplates(name string) string {
	_, after, found := strings.Cut(name, "/templates/")
	if !found {
		return name
	}
	return after
}

// lineIn is the line that a text names first; 0 if none.
func lineIn(text string) int {
	found := atLine.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	line, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	return line
}
