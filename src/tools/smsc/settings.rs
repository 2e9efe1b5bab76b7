//! What a simulated carrier is told. Owns: the settings and their names on the command line. Takes: text. Gives:
//! values. Never: a setting that nothing acts on.

use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::Duration;
use crate::tools::units::{self, Credentials, NumberRange, Share};
use clap::{Parser, ValueEnum};
use core::net::SocketAddr;
use core::str::FromStr;
use std::path::PathBuf;

/// How a receipt says what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReceiptForm {
    /// In short_message, no TLVs.
    Text,
    /// In receipted_message_id and message_state, no text.
    Tlv,
    /// In both.
    Both,
    /// The text in message_payload.
    Payload,
}

/// Which session gets a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReceiptSession {
    /// The one that submitted, if it can receive; else any of the account.
    Same,
    /// The next of the account's receiving sessions.
    Any,
}

/// How message ids are written, in responses and in receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IdForm {
    /// Decimal.
    Dec,
    /// Hexadecimal, lower case.
    #[value(name = "hex")]
    Hex,
    /// Hexadecimal, upper case.
    #[value(name = "HEX")]
    HexUpper,
    /// Hexadecimal in the response, decimal in the receipt.
    #[value(name = "resp_hex_receipt_dec")]
    RespHexReceiptDec,
    /// Decimal in the response, hexadecimal in the receipt.
    #[value(name = "resp_dec_receipt_hex")]
    RespDecReceiptHex,
    /// A UUID.
    Uuid,
    /// Sixteen hexadecimal digits with leading zeros in the response, without them in the receipt.
    Padded,
}

/// Which SMPP a simulated carrier speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// No transceiver, no TLVs, no data_sm.
    #[value(name = "3.3")]
    V33,
    /// The usual one.
    #[value(name = "3.4")]
    V34,
    /// With broadcast.
    #[value(name = "5.0")]
    V50,
}

impl Version {
    /// interface_version.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::V33 => 0x33,
            Self::V34 => 0x34,
            Self::V50 => 0x50,
        }
    }
}

/// A status and how often it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusShare {
    /// What is answered.
    pub status: CommandStatus,
    /// To this share of the submits.
    pub share: Share,
}

impl FromStr for StatusShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, share) = text.split_once(':').ok_or("STATUS:SHARE, for example ESME_RSYSERR:5%")?;
        let status = CommandStatus::from_name(name).ok_or_else(|| format!("{name} is no status"))?;
        if status.is_ok() {
            return Err("ESME_ROK is no error".to_owned());
        }
        Ok(Self { status, share: share.parse()? })
    }
}

/// A final state and how often a receipt says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateShare {
    /// What the receipt says.
    pub state: MessageState,
    /// In this share of the receipts.
    pub share: Share,
}

impl FromStr for StateShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stat, share) = text.split_once(':').ok_or("STAT:SHARE, for example UNDELIV:5%")?;
        let state = MessageState::from_stat(stat.as_bytes()).ok_or_else(|| format!("{stat} is no stat"))?;
        Ok(Self { state, share: share.parse()? })
    }
}

/// The settings of a simulated carrier.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Listen here; port 0: any free one
    #[arg(long, default_value = "127.0.0.1:2776")]
    pub listen: SocketAddr,
    /// Accept this account, SYSTEM_ID:PASSWORD; repeatable. None: anybody may bind
    #[arg(long = "account", value_name = "ID:PASSWORD")]
    pub accounts: Vec<Credentials>,
    /// The carrier's own system_id in bind responses
    #[arg(long, default_value = "SMSC")]
    pub system_id: String,
    /// A name that goes into a vendor TLV (0x1501) of responses and receipts and to the front of a receipt's text
    #[arg(long)]
    pub name: Option<String>,
    /// The SMPP version that it speaks
    #[arg(long, value_enum, default_value = "3.4")]
    pub version: Version,
    /// Answer a submit after this; 0: in the same turn
    #[arg(long, default_value = "0", value_parser = units::duration)]
    pub delay: Duration,
    /// Answer ESME_RTHROTTLED over this rate of submits, over all sessions
    #[arg(long, value_parser = units::rate)]
    pub throttle: Option<Rate>,
    /// Throttle only from so long after the first submit on
    #[arg(long, default_value = "0", value_parser = units::duration, requires = "throttle")]
    pub throttle_after: Duration,
    /// Throttle only for so long
    #[arg(long, value_parser = units::duration, requires = "throttle")]
    pub throttle_for: Option<Duration>,
    /// Refuse a share of the submits with a status, for example ESME_RSYSERR:5%; repeatable
    #[arg(long = "error", value_name = "STATUS:SHARE")]
    pub errors: Vec<StatusShare>,
    /// Never answer this share of the submits; they count as never seen
    #[arg(long, default_value = "0%")]
    pub drop: Share,
    /// Answer this share of the messages that are accepted later than the others
    #[arg(long, default_value = "0%")]
    pub late: Share,
    /// So much later
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    pub late_by: Duration,
    /// Send a receipt for this share of the messages that ask for one
    #[arg(long, default_value = "100%")]
    pub receipts: Share,
    /// Send a receipt this long after the submit
    #[arg(long, default_value = "0", value_parser = units::duration)]
    pub receipt_delay: Duration,
    /// Send this share of the receipts before the response, which follows up to 5 ms later
    #[arg(long, default_value = "0%")]
    pub receipt_early: Share,
    /// Send this share of the receipts twice
    #[arg(long, default_value = "0%")]
    pub receipt_duplicate: Share,
    /// Lose this share of the receipts
    #[arg(long, default_value = "0%")]
    pub receipt_lost: Share,
    /// Send receipts out of order: delays vary by half the receipt delay, at least by 10 ms
    #[arg(long)]
    pub receipt_shuffle: bool,
    /// Report another state in a share of the receipts, for example UNDELIV:5%; repeatable
    #[arg(long = "receipt-state", value_name = "STAT:SHARE")]
    pub receipt_states: Vec<StateShare>,
    /// Where a receipt says it (always as text to a bind of version 3.3)
    #[arg(long, value_enum, default_value = "both")]
    pub receipt_form: ReceiptForm,
    /// Which session of the account gets it
    #[arg(long, value_enum, default_value = "same")]
    pub receipt_session: ReceiptSession,
    /// How message ids are written
    #[arg(long, value_enum, default_value = "dec")]
    pub id_form: IdForm,
    /// The first message id
    #[arg(long, default_value_t = 1_000_000_001)]
    pub id_first: u64,
    /// Answer this many submits of a session, then nothing any more, without closing it
    #[arg(long)]
    pub hang_after: Option<u64>,
    /// Answer this many submits of a session, then read nothing any more
    #[arg(long)]
    pub half_open_after: Option<u64>,
    /// Answer this many submits of a session, then close the TCP link
    #[arg(long)]
    pub close_after: Option<u64>,
    /// Close the TCP link of each session at a random time, on average so long after its bind
    #[arg(long, value_parser = units::duration)]
    pub close_every: Option<Duration>,
    /// Refuse more binds of an account than this with ESME_RALYBND
    #[arg(long)]
    pub binds_max: Option<u32>,
    /// Send messages (MO) at this rate, spread over the receiving sessions
    #[arg(long, value_parser = units::rate)]
    pub mo: Option<Rate>,
    /// The destinations of MO messages, in turn
    #[arg(long, value_name = "FIRST-LAST", default_value = "14499")]
    pub mo_to: NumberRange,
    /// The source of MO messages
    #[arg(long, default_value = "38267123456")]
    pub mo_from: String,
    /// Unanswered deliver_sm per session, 1 to 16384
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub window: u32,
    /// Send a deliver_sm again when it is not answered for this long
    #[arg(long, default_value = "30s", value_parser = units::duration)]
    pub response_timeout: Duration,
    /// Send a deliver_sm again this long after a temporary refusal
    #[arg(long, default_value = "1s", value_parser = units::duration)]
    pub retry_delay: Duration,
    /// Send a deliver_sm at most this often
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    pub attempts: u8,
    /// The same seed makes the same faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep the last submits as octets, this many
    #[arg(long, default_value_t = 0)]
    pub keep: usize,
    /// Remember this many messages for query_sm, cancel_sm and replace_sm
    #[arg(long, default_value_t = 10_000)]
    pub remember: usize,
    /// Append a line to this file before each response and after each answer to a receipt, tabs between its fields:
    /// submit STATUS ID DESTINATION TEXT (its first 20 octets) and receipt STATUS ID
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

#[derive(Parser)]
struct Alone {
    #[command(flatten)]
    settings: Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Alone::parse_from(["smsc"]).settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_defaults_are_a_carrier_without_faults() {
        Alone::command().debug_assert();
        let settings = Settings::default();
        assert_eq!(
            (settings.delay, settings.drop, settings.receipts),
            (Duration::ZERO, Share::NONE, Share::ALL)
        );
        assert_eq!((settings.id_form, settings.errors.len(), settings.throttle), (IdForm::Dec, 0, None));
    }

    #[test]
    fn every_fault_has_its_words() {
        let line = "smsc --error ESME_RSYSERR:5% --error 0x400:1% --receipt-state UNDELIV:5% --id-form HEX \
                    --id-form resp_hex_receipt_dec --throttle 100/s --account a:b --version 5.0";
        let parsed = Alone::try_parse_from(line.split_whitespace().filter(|word| *word != "HEX"));
        assert!(parsed.is_err(), "an option without its value");
        let line = line.replacen("--id-form HEX ", "", 1);
        let settings = Alone::try_parse_from(line.split_whitespace()).unwrap().settings;
        assert_eq!(settings.errors.len(), 2);
        assert_eq!(settings.errors[1].status, CommandStatus(0x400));
        assert_eq!(settings.receipt_states[0].state, MessageState::Undeliverable);
        assert_eq!((settings.id_form, settings.version), (IdForm::RespHexReceiptDec, Version::V50));
        for wrong in [
            "--error ESME_ROK:5%",
            "--error x:5%",
            "--receipt-state 5%",
            "--window 0",
            "--drop 5",
            "--throttle-for 5s",
        ] {
            let line = format!("smsc {wrong}");
            assert!(Alone::try_parse_from(line.split_whitespace()).is_err(), "{wrong}");
        }
    }
}
