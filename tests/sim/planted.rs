//! Planted bugs: what a broken core would do, done to a sound one on its way out, so that each rule of the oracle is
//! seen to bite.

use crate::wire::{End, WireId};
use bindery::config::Config;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, Pdu, copy_with_sequence, write_header_only, write_pdu};
use bindery::smpp::status::CommandStatus;
use bindery::time::{Duration, Instant};

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident = $rule:literal,)*) => {
        /// A bug, and the rule that must catch it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($(#[$doc])* $bug,)*
        }

        impl Bug {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$bug,)*];

            /// The rule that must catch it.
            pub(crate) const fn rule(self) -> &'static str {
                match self {
                    $(Self::$bug => $rule,)*
                }
            }
        }
    };
}

bugs! {
    /// A refusal is never written.
    ForgetsAnswer = "unanswered",
    /// A response is written twice.
    AnswersTwice = "unasked",
    /// A response has another sequence_number.
    AnswersAnother = "unasked",
    /// A receipt of a carrier is never answered.
    ForgetsReceipt = "unanswered",
    /// A submit is written twice.
    SubmitsTwice = "doubled",
    /// One octet of a submit changes.
    ChangesOctet = "octets",
    /// A refusal becomes ESME_ROK.
    AnswersOk = "accepted",
    /// ESME_ROK becomes a refusal.
    AnswersRefusal = "accepted",
    /// Another id is answered than promised.
    AnswersOtherId = "given_id",
    /// A refusal comes a minute late.
    AnswersLate = "late",
    /// A receipt goes to another session, whoever it is.
    SwapsAccounts = "receipt_account",
    /// A receipt says another id.
    ReceiptOtherId = "receipt_id",
    /// A response is held back, and receipts pass it.
    ReceiptBeforeResponse = "receipt_early",
    /// A receipt is given again after a while.
    ReceiptAgain = "receipt_twice",
    /// A receipt changes.
    ReceiptChanged = "receipt_octets",
    /// An MO changes.
    MoChanged = "mo",
    /// A carrier hears ESME_ROK for what was refused.
    CarrierHearsOk = "carrier_ok",
    /// A window is one too large.
    WindowTooLarge = "window",
    /// A pace is a quarter too fast.
    PaceTooFast = "rate",
    /// A carrier has one socket too many.
    SocketTooMany = "sockets",
    /// A number is used again that is in flight.
    SequenceAgain = "sequence",
    /// A connect that the core asks for is never made.
    ForgetsConnect = "stuck",
}

/// Every so many PDUs that it could touch the bug shows.
const EVERY: u32 = 5;

/// The bug of a run, if it has one.
#[derive(Debug, Default)]
pub(crate) struct Planted {
    pub(crate) bug: Option<Bug>,
    /// PDUs that it could have touched.
    met: u32,
    /// To be written later.
    held: Vec<(Instant, WireId, Vec<u8>)>,
    /// ESME sessions that are bound.
    bound: Vec<WireId>,
}

impl Planted {
    /// The configuration that the broken core believes in.
    pub(crate) fn misread(bug: Option<Bug>, config: &Config) -> Config {
        let mut config = config.clone();
        for carrier in &mut config.carriers {
            match bug {
                Some(Bug::WindowTooLarge) => carrier.window_max += 1,
                Some(Bug::SocketTooMany) => carrier.sessions += 1,
                Some(Bug::PaceTooFast) => {
                    if let Some(rate) = &mut carrier.rate {
                        rate.units += rate.units / 4 + 1;
                    }
                }
                _ => {}
            }
        }
        config
    }

    /// True when the connect that the core asks for is not made, and nobody says so.
    pub(crate) fn forgets_connect(&mut self) -> bool {
        self.met += u32::from(self.bug == Some(Bug::ForgetsConnect));
        self.met > 0 && self.bug == Some(Bug::ForgetsConnect) && self.met.is_multiple_of(EVERY)
    }

    /// What really leaves when the core writes `octets` to a link.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        wire: WireId,
        end: End,
        octets: &[u8],
    ) -> Vec<(WireId, Vec<u8>)> {
        let Some(bug) = self.bug else { return vec![(wire, octets.to_vec())] };
        let mut out = Vec::new();
        let mut rest = octets;
        while let Frame::Whole(pdu, behind) = Frame::next(rest, octets.len()) {
            rest = behind;
            let bind = pdu.command_id() == CommandId::BIND_TRANSCEIVER_RESP;
            if end == End::Esme && bind && pdu.header().command_status == CommandStatus::OK {
                self.bound.push(wire);
            }
            if may_touch(bug, end, &pdu) {
                self.met += 1;
                if self.met.is_multiple_of(EVERY) {
                    self.spoil(bug, now, wire, &pdu, &mut out);
                    continue;
                }
            }
            out.push((wire, pdu.bytes().to_vec()));
        }
        let due = self.held.extract_if(.., |held| held.0 <= now);
        out.extend(due.map(|(_, wire, octets)| (wire, octets)));
        out
    }

    fn spoil(
        &mut self,
        bug: Bug,
        now: Instant,
        wire: WireId,
        pdu: &Pdu<'_>,
        out: &mut Vec<(WireId, Vec<u8>)>,
    ) {
        let octets = pdu.bytes().to_vec();
        let sequence = pdu.sequence_number();
        match bug {
            Bug::ForgetsAnswer | Bug::ForgetsReceipt => {}
            Bug::AnswersTwice | Bug::SequenceAgain => out.extend([(wire, octets.clone()), (wire, octets)]),
            Bug::AnswersAnother => out.push((wire, renumbered(pdu, sequence ^ 0x4000_0000))),
            Bug::SubmitsTwice => {
                out.extend([(wire, octets), (wire, renumbered(pdu, sequence ^ 0x4000_0000))]);
            }
            Bug::ChangesOctet | Bug::ReceiptChanged | Bug::MoChanged => out.push((wire, changed(&octets))),
            Bug::AnswersOk => {
                let mut ok = Vec::new();
                let command = pdu.command_id();
                write_pdu(&mut ok, command, CommandStatus::OK, sequence, |out| out.extend(b"77\0"));
                out.push((wire, ok));
            }
            Bug::AnswersRefusal => {
                let mut refusal = Vec::new();
                write_header_only(&mut refusal, pdu.command_id(), CommandStatus::SUBMIT_FAILED, sequence);
                out.push((wire, refusal));
            }
            Bug::CarrierHearsOk => {
                let mut ok = Vec::new();
                write_pdu(&mut ok, pdu.command_id(), CommandStatus::OK, sequence, |out| out.push(0));
                out.push((wire, ok));
            }
            Bug::AnswersOtherId => {
                let mut other = Vec::new();
                let command = pdu.command_id();
                write_pdu(&mut other, command, CommandStatus::OK, sequence, |out| out.extend(b"77\0"));
                out.push((wire, other));
            }
            Bug::AnswersLate => self.held.push((now.after(Duration::from_secs(60)), wire, octets)),
            Bug::ReceiptBeforeResponse => {
                self.held.push((now.after(Duration::from_secs(4)), wire, octets));
            }
            Bug::SwapsAccounts => {
                let other = self.bound.iter().rev().find(|&&other| other != wire);
                out.push((other.copied().unwrap_or(wire), renumbered(pdu, sequence ^ 0x4000_0000)));
            }
            Bug::ReceiptOtherId => {
                let mut other = octets;
                if let Some(at) = find(&other, b"id:") {
                    other[at + 4] ^= 1;
                }
                out.push((wire, other));
            }
            Bug::ReceiptAgain => {
                let again = renumbered(pdu, sequence ^ 0x4000_0000);
                self.held.push((now.after(Duration::from_secs(3)), wire, again));
                out.push((wire, octets));
            }
            Bug::WindowTooLarge | Bug::PaceTooFast | Bug::SocketTooMany | Bug::ForgetsConnect => {
                out.push((wire, octets));
            }
        }
    }
}

/// Whether the bug concerns such a PDU.
fn may_touch(bug: Bug, end: End, pdu: &Pdu<'_>) -> bool {
    let ok = pdu.header().command_status == CommandStatus::OK;
    let command = pdu.command_id();
    let receipt = find(pdu.bytes(), b"id:").is_some() && command == CommandId::DELIVER_SM;
    let answer = end == End::Esme && command == CommandId::SUBMIT_SM_RESP;
    match bug {
        Bug::AnswersTwice | Bug::AnswersAnother => answer,
        Bug::AnswersOk | Bug::ForgetsAnswer | Bug::AnswersLate => answer && !ok,
        Bug::AnswersRefusal | Bug::AnswersOtherId | Bug::ReceiptBeforeResponse => answer && ok,
        Bug::ForgetsReceipt => end != End::Esme && command == CommandId::DELIVER_SM_RESP,
        Bug::CarrierHearsOk => end != End::Esme && command == CommandId::DELIVER_SM_RESP && !ok,
        Bug::SubmitsTwice | Bug::ChangesOctet => command == CommandId::SUBMIT_SM,
        Bug::SwapsAccounts | Bug::ReceiptOtherId | Bug::ReceiptAgain | Bug::ReceiptChanged => receipt,
        Bug::MoChanged | Bug::SequenceAgain => command == CommandId::DELIVER_SM && !receipt,
        Bug::WindowTooLarge | Bug::PaceTooFast | Bug::SocketTooMany | Bug::ForgetsConnect => false,
    }
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|window| window == what)
}

fn renumbered(pdu: &Pdu<'_>, sequence: u32) -> Vec<u8> {
    let mut copy = Vec::new();
    copy_with_sequence(&mut copy, pdu, sequence);
    copy
}

/// A digit of the source address, which stands in the clear in every message, is another.
fn changed(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    // service_type is empty: header, NUL, ton, npi, digits.
    if let Some(digit) = octets.get_mut(19) {
        *digit ^= 1;
    }
    octets
}
