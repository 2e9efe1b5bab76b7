//! What each room costs per operation, in time and in instructions.
//!
//! `cargo bench --bench rooms` measures time with criterion; a word behind `--` picks cases by name (`shard/`).
//! `bench/instructions` runs the same cases under callgrind: the program is then called with `--instructions`, does
//! each case's rounds once and says how many operations they were.
//!
//! One file for each room; its header is the sketch of what an operation must touch and what that allows at best.

mod carrier;
mod case;
mod counters;
mod journal;
mod ledger;
mod mail;
mod pdus;
mod route;
mod session;
mod shard;
mod smpp;
mod throttle;

use case::Case;

fn main() {
    let rooms = [
        smpp::CASES,
        session::CASES,
        throttle::CASES,
        carrier::CASES,
        route::CASES,
        journal::CASES,
        ledger::CASES,
        mail::CASES,
        counters::CASES,
        shard::CASES,
    ];
    let cases: Vec<&Case> = rooms.into_iter().flatten().collect();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().position(|argument| argument == "--instructions") {
        Some(at) => case::count(&cases, arguments.get(at + 1).map_or("", String::as_str)),
        None => case::time(&cases),
    }
}
