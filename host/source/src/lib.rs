//! Git repositories as trees
