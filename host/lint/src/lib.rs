//! Finds common mistakes in what a GitOps repository says.
#![forbid(unsafe_code)]
