//! Runs plugins: sandboxed WebAssembly components
