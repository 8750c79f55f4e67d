//! One behaviour a file, against a real API server
