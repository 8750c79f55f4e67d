//! The kustomize plugin against upstream kustomize
