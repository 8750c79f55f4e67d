//! What whole-system tests share: a Git server, a repository, a cluster
