//! The `radllama` command line.

fn main() {}
