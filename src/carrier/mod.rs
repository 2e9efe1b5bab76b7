//! Accounts we bind to.
pub mod settings;
pub use settings::Settings;
