//! Routes: immutable tables → ordered carriers.
//!
//! Owns: the compiled routes and the shares of the pools. Takes: account, source, destination; who is usable. Gives:
//! a pool, and in it the carrier whose turn it is. Never: sends, waits, knows a session.

pub mod balance;
pub mod settings;
pub mod table;

pub use balance::{Balance, Path};
pub use table::{RouteTable, carriers_of, only_carriers, plain_number};
