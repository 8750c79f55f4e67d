package render

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plugins/gosdk/failure"
	"plumbline.dev/plugins/gosdk/treefs"
)

// prepare sees to it that the directory has the kustomization file that it should be rendered with: the one that is there,
// or one that lists what is below it, and with what the Flux Kustomization adds.
func (r *renderer) prepare(overlay *Overlay) []*Error {
	file, exists := r.kustomizationFile(r.root())
	var data []byte
	if exists {
		var err error
		if data, err = r.fs.ReadFile(file); err != nil {
			return []*Error{{Kind: failure.KindOf(err), Message: err.Error(), File: treefs.Clean(file)}}
		}
		if overlay == nil {
			return nil
		}
	} else {
		resources, errs := r.scan()
		if len(errs) > 0 {
			return errs
		}
		var err error
		if data, err = yaml.Marshal(generated(resources)); err != nil {
			return []*Error{{Kind: Internal, Message: err.Error()}}
		}
	}
	if overlay != nil {
		merged, err := r.merge(data, exists, overlay)
		if err != nil {
			err.File = treefs.Clean(file)
			return []*Error{err}
		}
		data = merged
	}
	r.fs.Replace(file, data)
	return nil
}

// kustomizationFile is the file that makes a directory a kustomization, or the one that would.
func (r *renderer) kustomizationFile(dir string) (file string, exists bool) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if file := path.Join(dir, name); r.fs.IsFile(file) {
			return file, true
		}
	}
	return path.Join(dir, konfig.DefaultKustomizationFileName()), false
}

// generated is the kustomization of a directory that has none.
func generated(resources []string) types.Kustomization {
	k := emptyKustomization()
	k.Resources = resources
	if len(resources) == 0 {
		// kustomize refuses a kustomization that says nothing. Flux says this.
		k.Namespace = "_placeholder"
	}
	return k
}

func emptyKustomization() types.Kustomization {
	return types.Kustomization{
		TypeMeta: types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
	}
}

// scan lists the manifests below the directory, as Flux does for its generated kustomization: every YAML file of Kubernetes
// objects, and every directory that has a kustomization of its own, which is not looked into. Paths start at the directory.
func (r *renderer) scan() (resources []string, errs []*Error) {
	base := r.root()
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	walkErr := r.fs.Walk(base, func(p string, info fs.FileInfo, err error) error {
		switch {
		case err != nil:
			errs = append(errs, &Error{Kind: failure.KindOf(err), Message: err.Error(), File: treefs.Clean(p)})
		case p == base:
		case info.IsDir():
			if neverFetched[info.Name()] {
				return filepath.SkipDir
			}
			if _, exists := r.kustomizationFile(p); exists {
				resources = append(resources, relativeTo(base, p))
				return filepath.SkipDir
			}
		case isManifest(info.Name()):
			if failed := r.decode(p, func(data []byte) error {
				_, err := factory.SliceFromBytes(data)
				return err
			}); failed != nil {
				errs = append(errs, failed)
			} else {
				resources = append(resources, relativeTo(base, p))
			}
		}
		return nil
	})
	if walkErr != nil {
		errs = append(errs, &Error{Kind: failure.KindOf(walkErr), Message: walkErr.Error(), File: r.dir})
	}
	return resources, errs
}

// neverFetched are the names that Flux's source-controller leaves out of what it fetches, of those that a scan could
// come upon. https://fluxcd.io/flux/components/source/gitrepositories/#default-exclusions
var neverFetched = map[string]bool{
	".git": true, ".github": true, ".circleci": true,
	".travis.yml": true, ".gitlab-ci.yml": true, "appveyor.yml": true, ".drone.yml": true, "cloudbuild.yaml": true,
	"codeship-services.yml": true, "codeship-steps.yml": true,
	".goreleaser.yml": true, ".goreleaser.brew.yml": true, ".sops.yaml": true, ".flux.yaml": true,
}

func isManifest(name string) bool {
	extension := path.Ext(name)
	return (extension == ".yaml" || extension == ".yml") && !neverFetched[name]
}

func relativeTo(base, p string) string {
	return "./" + strings.TrimPrefix(strings.TrimPrefix(p, base), "/")
}

// decode reads a file and tries to understand it. kustomize can panic on what it did not expect.
func (r *renderer) decode(file string, understand func([]byte) error) (failed *Error) {
	data, err := r.fs.ReadFile(file)
	if err != nil {
		return &Error{Kind: failure.KindOf(err), Message: err.Error(), File: treefs.Clean(file)}
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			failed = &Error{
				Kind:    InvalidInput,
				Message: fmt.Sprintf("recovered from panic while parsing YAML file %s: %v", path.Base(file), panicked),
				File:    treefs.Clean(file),
			}
		}
	}()
	if err := understand(data); err != nil {
		return &Error{
			Kind:    InvalidInput,
			Message: fmt.Sprintf("failed to decode Kubernetes YAML from %s: %v", treefs.Clean(file), err),
			File:    treefs.Clean(file),
			Line:    lineIn(err.Error()),
			Hint: "Every YAML file below a directory without a kustomization.yaml must hold Kubernetes objects. " +
				"Add a kustomization.yaml that lists those that do.",
		}
	}
	return nil
}

// merge adds what the Flux Kustomization says to the kustomization file, and returns the file's new content.
func (r *renderer) merge(data []byte, exists bool, o *Overlay) ([]byte, *Error) {
	invalid := func(err error) *Error {
		return &Error{Kind: InvalidInput, Message: err.Error(), Line: lineIn(err.Error())}
	}
	if exists {
		r.warnUnknownFields(data)
	}
	k := emptyKustomization()
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil, invalid(err)
	}
	if exists && len(k.Resources) == 0 {
		// kustomize refuses a kustomization that says nothing. Flux says this.
		k.BuildMetadata = []string{types.OriginAnnotations}
	}
	if o.TargetNamespace != nil {
		k.Namespace = *o.TargetNamespace
	}
	if o.NamePrefix != nil {
		k.NamePrefix = *o.NamePrefix
	}
	if o.NameSuffix != nil {
		k.NameSuffix = *o.NameSuffix
	}
	for _, patch := range o.Patches {
		k.Patches = append(k.Patches, types.Patch{Patch: patch.Patch, Target: patch.Target.kustomize()})
	}
	for _, component := range o.Components {
		if isRemote(component) || path.IsAbs(component) {
			return nil, invalid(fmt.Errorf("component path '%s' must be local and relative", component))
		}
		if o.IgnoreMissingComponents && !r.fs.Exists(path.Join(r.root(), component)) {
			continue
		}
		k.Components = append(k.Components, component)
	}
	for _, image := range o.Images {
		k.Images = mergeImage(k.Images, image)
	}
	if len(o.BuildMetadata) > 0 {
		k.BuildMetadata = o.BuildMetadata
	}
	merged, err := yaml.Marshal(k)
	if err != nil {
		return nil, &Error{Kind: Internal, Message: err.Error()}
	}
	return merged, nil
}

// warnUnknownFields makes up for Flux's leniency: unlike kustomize, it passes over fields that it does not know.
func (r *renderer) warnUnknownFields(data []byte) {
	var strict types.Kustomization
	if err := strict.Unmarshal(data); err != nil && strings.Contains(err.Error(), "unknown field") {
		file, _ := r.kustomizationFile(r.root())
		r.warn("%s: %v; the field is ignored", treefs.Clean(file), err)
	}
}

// mergeImage changes the entry for the image, or adds one. A tag and a digest both choose the version, so they are replaced together.
func mergeImage(images []types.Image, image Image) []types.Image {
	i := slices.IndexFunc(images, func(other types.Image) bool { return other.Name == image.Name })
	if i < 0 {
		return append(images, types.Image{
			Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest,
		})
	}
	if image.NewName != "" {
		images[i].NewName = image.NewName
	}
	if image.NewTag != "" || image.Digest != "" {
		images[i].NewTag, images[i].Digest = image.NewTag, image.Digest
	}
	return images
}
