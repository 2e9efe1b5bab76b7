//! The one binary. Owns: nothing. Takes: the command line. Gives: an exit code. Never: decides.

mod cli;
mod demo;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
