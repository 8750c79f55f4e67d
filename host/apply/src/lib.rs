//! Plans and carries out changes to a cluster
