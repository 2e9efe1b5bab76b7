//! Commands of the one binary that stand at either end of a proxy: a simulated carrier, a load generator, a sender; and
//! those that read a journal and the files of its sinks.
//!
//! Owns: their cores, each a state machine that a driver of `io` runs. Takes: settings. Gives: PDUs, counters,
//! reports. Never: decides anything for the proxy.

pub mod against;
pub mod cdr;
pub mod digits;
pub mod journal;
pub mod json;
pub mod load;
pub mod record;
pub mod run;
pub mod send;
pub mod smsc;
pub mod stream;
pub mod timed;
pub mod units;
#[cfg(test)]
mod wire;
