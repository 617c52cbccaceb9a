//! Command line of Microtome.

fn main() {}
