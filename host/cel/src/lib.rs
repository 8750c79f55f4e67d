//! CEL expressions over Kubernetes objects.
#![forbid(unsafe_code)]
