//! What the load generator is told. Owns: the settings and their names on the command line. Takes: text. Gives:
//! values. Never: a setting that nothing acts on.

use super::mix::Mix;
use super::threshold::Threshold;
use crate::throttle::Rate;
use crate::time::Duration;
use crate::tools::units::{self, Credentials, NumberRange, Share};
use clap::ValueEnum;
use std::path::PathBuf;

/// The schedule when nobody says one.
const RATE: Rate = Rate { units: 1000, per: Duration::from_secs(1) };
/// How long a schedule lasts when nobody says it.
const SPAN: Duration = Duration::from_secs(10);
/// How many messages a closed loop sends when nobody says it.
const MESSAGES: u64 = 100_000;

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
    /// Send this many messages after the warm-up; without it and without --for: 100000 with --closed
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=4_000_000_000))]
    pub messages: Option<u64>,
    /// Send for this long after the warm-up; without it and without --messages: 10s unless --closed
    #[arg(long = "for", value_parser = units::duration)]
    pub span: Option<Duration>,
    /// Let messages flow so long before anything is measured; they are checked like all others [default: 0, ramp: 1s]
    #[arg(long, value_parser = units::duration)]
    pub warmup: Option<Duration>,
    /// Send at this rate, on schedule whatever the answers do (open loop): latency counts from the intended time
    /// [default: 1000/s unless --closed]
    #[arg(long, value_parser = units::rate, conflicts_with = "closed")]
    pub rate: Option<Rate>,
    /// Send whenever a session's window has room (closed loop): shows what can be had at most, hides waiting
    #[arg(long)]
    pub closed: bool,
    /// Ask for a receipt and wait for it, for every message or for this share of them
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_value = "0%", default_missing_value = "100%",
          hide_default_value = true)]
    pub receipts: Share,
    /// Wait this long for receipts after the last response
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    pub receipt_wait: Duration,
    /// Wait this long for responses after the last submit
    #[arg(long, default_value = "30s", value_parser = units::duration)]
    pub response_timeout: Duration,
    /// The text after the message's number
    #[arg(long, default_value = "The quick brown fox jumps over the lazy dog. ")]
    pub text: String,
    /// Octets of text in all: it is repeated or cut, 12 to 254. Parts of long messages and UCS2 have their own length
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
    #[arg(long, default_value_t = 0, conflicts_with = "mix")]
    pub data_coding: u8,
    /// Kinds of messages and their weights, for example gsm7:80,ucs2:15,long:5. long: three parts, each counts as a
    /// message; the end of the run may cut the last ones
    #[arg(long, default_value = "", hide_default_value = true, value_parser = mix)]
    pub mix: Mix,
    /// The same seed sends the same messages
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Exit with 10 unless this holds, for example 'submit.p99<5ms', 'lost==0', 'refused<1%', 'rate>=4900/s'; repeatable.
    /// submit and receipt have p50, p90, p99, p99.9 and max; also doubled, misdirected, unknown, late
    #[arg(long = "threshold", value_name = "METRIC<BOUND")]
    pub thresholds: Vec<Threshold>,
    /// The result is invalid when over this share of the sends left more than 1 ms after their time though there was room
    /// for them: the generator was the limit
    #[arg(long, default_value = "1%")]
    pub late_max: Share,
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

    /// The schedule; none in a closed loop.
    #[must_use]
    pub fn schedule(&self) -> Option<Rate> {
        (!self.closed).then(|| self.rate.unwrap_or(RATE))
    }

    /// How long nothing is measured.
    #[must_use]
    pub fn warmup(&self) -> Duration {
        self.warmup.unwrap_or_default()
    }

    /// How many messages are sent after the warm-up, `None` while only time limits them.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match (self.messages, self.span) {
            (None, None) if self.closed => Some(MESSAGES),
            (messages, _) => messages,
        }
    }

    /// How long messages are sent after the warm-up, `None` while only their number limits them.
    #[must_use]
    pub fn span(&self) -> Option<Duration> {
        match (self.messages, self.span) {
            (None, None) if !self.closed => Some(SPAN),
            (_, span) => span,
        }
    }
}

/// No mix at all, or what `Mix` reads.
fn mix(text: &str) -> Result<Mix, String> {
    if text.is_empty() { Ok(Mix::default()) } else { text.parse() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn a_run_ends_by_count_or_by_time() {
        Alone::command().debug_assert();
        let read = |line: &str| Alone::try_parse_from(line.split(' ')).unwrap().settings;
        let ends = |line: &str| {
            let settings = read(line);
            (settings.total(), settings.span().map(|span| span.as_secs()))
        };
        assert_eq!(ends("load --closed"), (Some(100_000), None));
        assert_eq!(ends("load"), (None, Some(10)));
        assert_eq!(ends("load --for 30s"), (None, Some(30)));
        assert_eq!(ends("load --closed --for 30s"), (None, Some(30)));
        assert_eq!(ends("load --for 30s --messages 5"), (Some(5), Some(30)));
        assert_eq!(ends("load --messages 5"), (Some(5), None));
        let many = read("load --account a:b --account c:d --bind tx+rx --to 381-389 --to 50");
        assert_eq!((many.credentials().len(), many.bind, many.to.len()), (2, BindKind::TxRx, 2));
        assert_eq!(Settings::default().credentials().len(), 1);
        for wrong in [
            "--length 11",
            "--binds 0",
            "--window 0",
            "--to 9-1",
            "--rate 5",
            "--from 1 --numbers 2",
            "--rate 5/s --closed",
            "--receipts 90",
            "--mix gsm7:1 --data-coding 8",
            "--mix x",
            "--threshold lost",
            "--late-max 1",
        ] {
            let line = format!("load {wrong}");
            assert!(Alone::try_parse_from(line.split(' ')).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_open_loop_is_the_default_and_receipts_take_a_share_or_none() {
        let read = |line: &str| Alone::try_parse_from(line.split(' ')).unwrap().settings;
        assert_eq!(read("load").schedule(), Some(RATE));
        assert_eq!(read("load --closed").schedule(), None);
        assert_eq!(read("load --rate 50k/s").schedule().map(|rate| rate.units), Some(50_000));
        let share = |line: &str| read(line).receipts;
        assert_eq!((share("load"), share("load --receipts")), (Share::NONE, Share::ALL));
        assert_eq!(share("load --receipts 90% --closed"), "90%".parse().unwrap());
        assert_eq!(share("load --receipts --closed"), Share::ALL);
        let held = read("load --threshold lost==0 --threshold submit.p99<5ms");
        assert_eq!(held.thresholds.len(), 2);
        assert_eq!(read("load --warmup 2s").warmup(), Duration::from_secs(2));
    }
}
