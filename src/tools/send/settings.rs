//! What `send` is told. Owns: the settings and their names on the command line. Takes: text. Gives: values.
//! Never: a setting that nothing acts on.

use crate::time::Duration;
use crate::tools::units;
use clap::ValueEnum;
use std::path::PathBuf;

/// Which alphabet a text is sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// GSM 03.38 when it has every character, else UCS2.
    Auto,
    /// GSM 03.38.
    Gsm7,
    /// UTF-16BE.
    Ucs2,
    /// ISO-8859-1.
    Latin1,
}

/// The settings of `send`.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Send to these numbers; a comma between them
    #[arg(long, value_delimiter = ',', required_unless_present = "list")]
    pub to: Vec<String>,
    /// Send to the numbers in this file, one a line
    #[arg(long)]
    pub list: Option<PathBuf>,
    /// The source address
    #[arg(long, default_value = "")]
    pub from: String,
    /// The text
    #[arg(long, required_unless_present = "hex")]
    pub text: Option<String>,
    /// Octets instead of a text, for example 0102ff
    #[arg(long, conflicts_with = "text")]
    pub hex: Option<String>,
    /// The alphabet of the text
    #[arg(long, value_enum, default_value = "auto")]
    pub encoding: Encoding,
    /// Where to bind, HOST:PORT
    #[arg(long, default_value = "127.0.0.1:2775")]
    pub address: String,
    /// The account to bind as
    #[arg(long, default_value = "demo")]
    pub system_id: String,
    /// Its password
    #[arg(long, default_value = "demo")]
    pub password: String,
    /// Wait this long for receipts; 0: ask for none
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    pub receipt_wait: Duration,
    /// Wait this long for each response
    #[arg(long, default_value = "30s", value_parser = units::duration)]
    pub response_timeout: Duration,
}
