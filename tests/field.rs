//! What hurts users of SMPP gateways, each problem with its check, on real shards in virtual time: `up_01_…` to `up_31_…`.
//!
//! Each test prints a line: what was injected, the figure that was reached, its target; `tests/field/table` makes a table
//! of them. `FIELD_LONG=1` runs with counts near those that the problems name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "field/content.rs"]
mod content;
#[path = "field/figures.rs"]
mod figures;
#[path = "field/flow.rs"]
mod flow;
#[path = "field/health.rs"]
mod health;
#[path = "field/heap.rs"]
mod heap;
#[path = "field/limits.rs"]
mod limits;
#[path = "field/loss.rs"]
mod loss;
#[path = "field/net.rs"]
mod net;
#[path = "field/receipts.rs"]
mod receipts;
#[path = "field/smsc.rs"]
mod smsc;
#[path = "field/streams.rs"]
mod streams;
#[path = "field/world.rs"]
mod world;
