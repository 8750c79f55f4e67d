//! Measures the controller and the renderer.
#![forbid(unsafe_code)]

fn main() {}
