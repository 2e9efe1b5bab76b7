//! How a shard behaves, in virtual time and without sockets: the rig plays the driver, ESMEs and carriers.

mod admission;
mod binds;
mod carriers;
mod classes;
mod deliveries;
mod failover;
mod homes;
mod idle;
mod journal;
mod moves;
mod operations;
mod outcomes;
mod pdus;
mod queues;
mod rates;
mod recalls;
mod receipts;
mod rig;
mod sealed;
mod shares;
mod soak;
mod status;
mod store;
mod surplus;
mod windows;
mod world;
