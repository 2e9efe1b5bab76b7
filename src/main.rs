//! The one binary. Owns: nothing. Takes: the command line. Gives: an exit code. Never: decides.

fn main() {}
