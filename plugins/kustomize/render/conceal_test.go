package render

import "testing"

// Attack 19 (Secrets): what an error of kustomize quotes of a Secret reaches the status otherwise.
func TestNoErrorQuotesWhatFilesHold(t *testing.T) {
	for text, shown := range map[string]string{
		"trouble configuring builtin PatchTransformer with config: `\npatch: |-\n  stringData:\n    a: hunter2 `: x\n\n  b\ntarget: {}\n`: unable to parse SM or JSON patch from [patch: \"a: \\\"hunter2\\\\\"]": "trouble configuring builtin PatchTransformer: unable to parse SM or JSON patch from [patch]",
		"trouble configuring builtin PatchTransformer with config: `\npath: a\n`: patch and path can't be set at the same time\npatch: hunter2\npath: a\n":                                                        "trouble configuring builtin PatchTransformer: patch and path can't be set at the same time",
		"must specify a target for JSON patch [patch: \"- {op: add, value: hunter2}\"]":                                                                                                                           "must specify a target for JSON patch [patch]",
		"must specify a target for patch [{\"value\": \"hunter2\"}]":                                                                                                                                              "must specify a target for patch",
		"wrong node kind: expected MappingNode but got ScalarNode: node contents:\nhunter2\n":                                                                                                                     "wrong node kind: expected MappingNode but got ScalarNode",
		"unable to parse SM or JSON patch from [path: \"patch.yaml\"]":                                                                                                                                            "unable to parse SM or JSON patch from [path: \"patch.yaml\"]",
	} {
		if got := conceal(text); got != shown {
			t.Errorf("%q\nbecame %q\nand not %q", text, got, shown)
		}
	}
}
