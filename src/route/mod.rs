//! Routes: immutable tables → ordered carriers.
//!
//! Owns: the compiled routes, the shares of the pools and the health of their members, where the parts of long messages
//! went. Takes: account, source, destination; who is usable; how messages ended. Gives: a pool, and in it the carrier
//! whose turn it is. Never: sends, waits, knows a session.

pub mod affinity;
pub mod balance;
pub mod hash;
pub mod health;
pub mod lanes;
mod prefixes;
pub mod settings;
pub mod table;

pub use affinity::Affinity;
pub use balance::{Ask, Balance, Path};
pub use health::{Health, Outcome};
pub use table::{RouteTable, carriers_of, only_carriers, plain_number};
