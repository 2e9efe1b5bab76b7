//! Routes: immutable tables → ordered carriers.
pub mod settings;
