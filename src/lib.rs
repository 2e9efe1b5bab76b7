//! Bindery: a thread-per-core SMPP proxy, load balancer and SMS gateway.
//!
//! The house: a folder is a room, its door is `mod.rs`, and a room imports only rooms to its left:
//! `limits time prng split ids` ← `throttle counters` ← `smpp` ← `session` ← `esme carrier route policy journal` ← `ledger config`
//! ← `shard` ← `io` ← `tools sidecar` ← `main`. `tests/tidy.rs` holds the table.

pub mod carrier;
pub mod config;
pub mod counters;
pub mod esme;
pub mod ids;
pub mod io;
pub mod journal;
pub mod ledger;
pub mod limits;
pub mod node;
pub mod policy;
pub mod prng;
pub mod route;
pub mod session;
pub mod shard;
pub mod sidecar;
pub mod smpp;
pub mod split;
pub mod throttle;
pub mod time;
pub mod tools;
