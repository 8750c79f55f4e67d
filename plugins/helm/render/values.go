package render

import (
	"bytes"
	"errors"
	"fmt"

	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"plumbline.dev/plugins/gosdk/failure"
	"plumbline.dev/plugins/gosdk/treefs"
)

// userValues are the values of the files, each over the one before, and over them those of the parameters.
func userValues(tree treefs.Tree, p Parameters) (map[string]any, []*Error) {
	values := map[string]any{}
	var errs []*Error
	for _, name := range p.ValuesFiles {
		file := treefs.Clean(name)
		data, err := tree.Read(file)
		switch {
		case errors.Is(err, treefs.ErrNotFound) && p.IgnoreMissingValuesFiles:
			continue
		case err != nil:
			errs = append(errs, &Error{
				Kind: failure.KindOf(err), File: file, Message: fmt.Sprintf("the values file %q cannot be read: %v", name, err),
				Hint: "`valuesFiles` are named from the root of the source.",
			})
			continue
		}
		current, err := loader.LoadValues(bytes.NewReader(data))
		if err != nil {
			message := conceal(err.Error())
			errs = append(errs, &Error{File: file, Line: lineIn(message), Message: fmt.Sprintf("failed to parse %s: %s", name, message)})
			continue
		}
		values = loader.MergeMaps(values, current)
	}
	return loader.MergeMaps(values, p.Values), errs
}
