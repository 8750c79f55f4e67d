//! Turns a tree into objects by running steps
