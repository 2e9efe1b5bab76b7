//! Accounts that bind to us.
pub mod settings;
pub use settings::Settings;
