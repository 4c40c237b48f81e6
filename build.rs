//! Build script, to be replaced.
fn main() {}
