//! Keeps a cluster true to Git
