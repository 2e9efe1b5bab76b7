//! The core's root.
pub mod port;
