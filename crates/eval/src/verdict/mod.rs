//! The rules that turn intervals into words.
