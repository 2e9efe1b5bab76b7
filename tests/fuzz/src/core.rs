//! The core of the program, compiled for the fuzzer from its own sources: it needs neither sockets nor the crates that they
//! need, so it is built in seconds, and only what the targets reach is counted.

#[path = "../../../src/carrier/mod.rs"]
pub mod carrier;
#[path = "../../../src/config/mod.rs"]
pub mod config;
#[path = "../../../src/counters.rs"]
pub mod counters;
#[path = "../../../src/esme/mod.rs"]
pub mod esme;
#[path = "../../../src/ids.rs"]
pub mod ids;
#[path = "../../../src/journal/mod.rs"]
pub mod journal;
#[path = "../../../src/ledger/mod.rs"]
pub mod ledger;
#[path = "../../../src/limits.rs"]
pub mod limits;
#[path = "../../../src/policy/mod.rs"]
pub mod policy;
#[path = "../../../src/prng.rs"]
pub mod prng;
#[path = "../../../src/route/mod.rs"]
pub mod route;
#[path = "../../../src/session/mod.rs"]
pub mod session;
#[path = "../../../src/shard/mod.rs"]
pub mod shard;
#[path = "../../../src/smpp/mod.rs"]
pub mod smpp;
#[path = "../../../src/split.rs"]
pub mod split;
#[path = "../../../src/throttle.rs"]
pub mod throttle;
#[path = "../../../src/time.rs"]
pub mod time;
