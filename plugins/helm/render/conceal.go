package render

import "regexp"

// Helm's errors quote what they are about, and that can be a value that is a secret.
var concealed = []struct {
	quoted *regexp.Regexp
	shown  string
}{
	// The text that `tpl` was given, which mostly is a value, with other values in it.
	{regexp.MustCompile(`(cannot parse template) "(?:[^"\\]|\\.)*"`), `$1 "…"`},
	{regexp.MustCompile(`(error during tpl function execution for) "(?:[^"\\]|\\.)*"`), `$1 "…"`},
	// A value that does not fit the schema.
	{regexp.MustCompile(`(?m)'(?:[^'\\\n]|\\.)*' (does not match pattern|is not valid)`), `'…' $1`},
	// A value of a subchart that is no table.
	{regexp.MustCompile(`(?s)(type mismatch on \S+:) %!t\(.*\)`), "$1 …"},
	// A value that is not of the type that it should be.
	{regexp.MustCompile("(cannot unmarshal !!\\w+) `[^`\n]*`"), "$1 `…`"},
}

// conceal takes out of an error of Helm what it quotes of values. The names of files, templates and fields stay.
func conceal(text string) string {
	for _, c := range concealed {
		text = c.quoted.ReplaceAllString(text, c.shown)
	}
	return text
}
