//! SMPP 3.3, 3.4 and 5.0: bytes ↔ views.
//!
//! Owns: nothing. Takes: octets that a link has read. Gives: whole PDUs, checked views into them, statuses for
//! what is wrong, and writers. Never: allocates while reading, panics on any octets, knows a session.
//!
//! `frame` cuts a stream into PDUs, `check` says whether a request is sound, and one view per layout reads it:
//! `bind` (bind, its response, outbind), `sm` (submit_sm, deliver_sm), `data`, `multi`, `operations` (query, cancel,
//! replace, alert), `broadcast`, `v33` (what 3.4 removed) and `response` (whatever carries a message_id). Beneath
//! them: `cursor` reads fields, `tlv` the optional ones, `times` the dates, `command` and `status` name the numbers.
//! Requests are read strictly, responses leniently: a response that is refused loses an accepted message.
//!
//! The text inside: `gsm7`, `ucs2` and `latin1` are the alphabets, `segment` cuts and joins parts, `receipt` reads and
//! rewrites receipts by `message_state`, `id_form` compares message ids, `convert` is for peers of version 3.3, and
//! `tpdu` reads what a modem gives.
#![deny(clippy::indexing_slicing)]

pub mod bind;
pub mod broadcast;
pub mod check;
pub mod command;
pub mod convert;
pub mod cursor;
pub mod data;
pub mod frame;
pub mod gsm7;
pub mod id_form;
pub mod latin1;
pub mod message_state;
pub mod multi;
pub mod operations;
pub mod receipt;
pub mod response;
pub mod segment;
pub mod sm;
pub mod status;
pub mod times;
pub mod tlv;
pub mod tpdu;
pub mod ucs2;
pub mod v33;
