//! What the load generator is told. Owns: the settings and their names on the command line. Takes: text. Gives:
//! values. Never: a setting that nothing acts on.

use crate::throttle::Rate;
use crate::time::Duration;
use crate::tools::units::{self, Credentials, NumberRange};
use clap::ValueEnum;
use std::path::PathBuf;

/// How each account binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BindKind {
    /// Transceivers.
    Trx,
    /// Half transmitters, half receivers; an even number.
    #[value(name = "tx+rx")]
    TxRx,
}

/// The settings of a load run.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where to bind, HOST:PORT
    #[arg(long = "to-address", default_value = "127.0.0.1:2775")]
    pub address: String,
    /// The account to bind as, when no --account is given
    #[arg(long, default_value = "demo")]
    pub system_id: String,
    /// Its password
    #[arg(long, default_value = "demo")]
    pub password: String,
    /// Bind as this account, SYSTEM_ID:PASSWORD; repeatable
    #[arg(long = "account", value_name = "ID:PASSWORD")]
    pub accounts: Vec<Credentials>,
    /// Sessions of each account
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub binds: u32,
    /// How they bind
    #[arg(long, value_enum, default_value = "trx")]
    pub bind: BindKind,
    /// Unanswered submits per session
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub window: u32,
    /// Send this many messages; without it and without --for: 100000
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=4_000_000_000))]
    pub messages: Option<u64>,
    /// Send for this long
    #[arg(long = "for", value_parser = units::duration)]
    pub span: Option<Duration>,
    /// Send at this rate, on schedule whatever the answers do; latency counts from the intended time. Without it a
    /// session sends when its window has room
    #[arg(long, value_parser = units::rate)]
    pub rate: Option<Rate>,
    /// Ask for a receipt for every message and wait for it
    #[arg(long)]
    pub receipts: bool,
    /// Wait this long for receipts after the last response
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    pub receipt_wait: Duration,
    /// Wait this long for responses after the last submit
    #[arg(long, default_value = "30s", value_parser = units::duration)]
    pub response_timeout: Duration,
    /// The text after the message's number
    #[arg(long, default_value = "The quick brown fox jumps over the lazy dog. ")]
    pub text: String,
    /// Octets of text in all: it is repeated or cut, 12 to 254
    #[arg(long, default_value_t = 160, value_parser = clap::value_parser!(u16).range(12..=254))]
    pub length: u16,
    /// Destinations, uniform over these numbers; repeatable
    #[arg(long = "to", value_name = "FIRST-LAST", default_value = "382670000000-382670999999")]
    pub to: Vec<NumberRange>,
    /// The source address
    #[arg(long, default_value = "14499")]
    pub from: String,
    /// Each account has a number of its own, the first account the first of these: the source of its messages. A
    /// receipt or MO for another number is misdirected
    #[arg(long, value_name = "FIRST-LAST", conflicts_with = "from")]
    pub numbers: Option<NumberRange>,
    /// data_coding
    #[arg(long, default_value_t = 0)]
    pub data_coding: u8,
    /// The same seed sends the same messages
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write a line to this file for each response, receipt and MO, tabs between its fields, times in microseconds:
    /// start TIME (since 1970), answer TIME ACCOUNT NUMBER STATUS ID, receipt TIME ACCOUNT ID STAT TEXT, mo TIME
    /// ACCOUNT TO
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

#[derive(clap::Parser)]
struct Alone {
    #[command(flatten)]
    settings: Settings,
}

impl Default for Settings {
    fn default() -> Self {
        <Alone as clap::Parser>::parse_from(["load"]).settings
    }
}

impl Settings {
    /// All accounts.
    #[must_use]
    pub fn credentials(&self) -> Vec<Credentials> {
        if !self.accounts.is_empty() {
            return self.accounts.clone();
        }
        vec![Credentials { system_id: self.system_id.clone(), password: self.password.clone() }]
    }

    /// The account's own number.
    #[must_use]
    pub fn number_of(&self, account: usize) -> Option<u64> {
        let numbers = self.numbers?;
        Some(numbers.first + account as u64 % numbers.count())
    }

    /// How many messages are sent, `None` while only time limits them.
    #[must_use]
    pub const fn total(&self) -> Option<u64> {
        match (self.messages, self.span) {
            (None, None) => Some(100_000),
            (messages, _) => messages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn a_run_ends_by_count_or_by_time() {
        Alone::command().debug_assert();
        let read = |line: &str| Alone::try_parse_from(line.split(' ')).unwrap().settings;
        assert_eq!(Settings::default().total(), Some(100_000));
        assert_eq!(read("load --for 30s").total(), None);
        assert_eq!(read("load --for 30s --messages 5").total(), Some(5));
        let many = read("load --account a:b --account c:d --bind tx+rx --to 381-389 --to 50");
        assert_eq!((many.credentials().len(), many.bind, many.to.len()), (2, BindKind::TxRx, 2));
        assert_eq!(Settings::default().credentials().len(), 1);
        for wrong in
            ["--length 11", "--binds 0", "--window 0", "--to 9-1", "--rate 5", "--from 1 --numbers 2"]
        {
            let line = format!("load {wrong}");
            assert!(Alone::try_parse_from(line.split(' ')).is_err(), "{wrong}");
        }
    }
}
