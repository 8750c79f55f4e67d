package render

import "regexp"

// kustomize's errors quote what they are about, and that can be a Secret: the configuration of a builtin transformer, with the
// patch that is in it, and the value that is not of the kind that it should be.
var concealed = []struct {
	quoted *regexp.Regexp
	shown  string
}{
	// The configuration is YAML, in which no line can begin with a backtick.
	{regexp.MustCompile("(?s) with config: `\n.*?\n`(:|$)"), "$1"},
	{regexp.MustCompile(`(?s)(patch and path can't be set at the same time)\n.*`), "$1"},
	{regexp.MustCompile(`(?s)(must specify a target for patch) .*`), "$1"},
	{regexp.MustCompile(`\[patch: "(?:[^"\\]|\\.)*"\]`), "[patch]"},
	{regexp.MustCompile(`(?s)(wrong node kind: expected \w+ but got \w+): node contents:\n.*`), "$1"},
}

// conceal takes out of an error of kustomize what it quotes of the files. Their names stay.
func conceal(text string) string {
	for _, c := range concealed {
		text = c.quoted.ReplaceAllString(text, c.shown)
	}
	return text
}
