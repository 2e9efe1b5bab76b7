//! SMPP 3.3, 3.4 and 5.0: bytes ↔ views.
//!
//! Owns: nothing. Takes: octets that a link has read. Gives: whole PDUs, checked views into them, statuses for
//! what is wrong, and writers. Never: allocates while reading, panics on any octets, knows a session.
#![deny(clippy::indexing_slicing)]

pub mod command;
pub mod convert;
pub mod cursor;
pub mod frame;
pub mod gsm7;
pub mod id_form;
pub mod latin1;
pub mod message_state;
pub mod receipt;
pub mod segment;
pub mod sm;
pub mod status;
pub mod times;
pub mod tlv;
pub mod ucs2;
