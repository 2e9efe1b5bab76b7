//! Planted bugs: what a broken core would do, done to a sound one on its way out, so that each rule of the oracle is
//! seen to bite.

use crate::paper::Broken;
use crate::wire::{End, WireId};
use bindery::config::Config;
use bindery::journal::Kind;
use bindery::route::settings::OnUnknown;
use bindery::smpp::bind::Bind;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, Pdu, copy_with_sequence, write_header_only, write_pdu};
use bindery::smpp::multi::SubmitMultiResp;
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, write_tlv};
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

            /// It shows only with a journal.
            pub(crate) const fn of_journal(self) -> bool {
                self as usize >= Self::PromisesEarly as usize
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
    /// A peer of version 3.3 is written a TLV.
    SendsTlv = "v33",
    /// A receipt goes to a session that only sends.
    ToTransmitter = "mode",
    /// A submit goes to another carrier.
    Strays = "route",
    /// The answer to a submit_multi names no destination that was not reached.
    HidesFailures = "unsuccess",
    /// The answer to a query says another id.
    QueryOtherId = "query",
    /// The receipts of some messages never reach their account.
    LosesReceipts = "receipt_lost",
    /// A letter of one shard to another is lost.
    LosesLetter = "unanswered",
    /// A connect that the core asks for is never made.
    ForgetsConnect = "stuck",
    /// The journal says that a record is safe as soon as it has it.
    PromisesEarly = "lost",
    /// A message is given to a carrier and no record says so.
    SendsUnsaid = "doubled",
    /// What was written and never answered is sent again where the pool says that it fails.
    ResendsUnknown = "doubled",
    /// A restart does not find the receipts that were kept.
    ForgetsKept = "receipt_lost",
    /// A restart does not find that messages are over.
    ForgetsEnds = "open",
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
    /// ESME sessions that are bound and receive.
    bound: Vec<WireId>,
    /// ESME sessions that are bound and only send.
    deaf: Vec<WireId>,
    /// Sessions of carriers that we may send on, with their carrier and whether it is of version 3.3.
    lines: Vec<(WireId, End, bool)>,
}

impl Planted {
    /// How the journals of the broken core are broken.
    pub(crate) const fn broken(bug: Option<Bug>) -> Broken {
        match bug {
            Some(Bug::PromisesEarly) => Broken::Lies,
            Some(Bug::SendsUnsaid) => Broken::Loses(Kind::Sending),
            Some(Bug::ForgetsKept) => Broken::Loses(Kind::DlrIn),
            Some(Bug::ForgetsEnds) => Broken::Loses(Kind::Finish),
            _ => Broken::No,
        }
    }

    /// The configuration that the broken core believes in.
    pub(crate) fn misread(bug: Option<Bug>, config: &Config) -> Config {
        let mut config = config.clone();
        for pool in config.pools.iter_mut().filter(|_| bug == Some(Bug::ResendsUnknown)) {
            pool.on_unknown = OnUnknown::Resend;
        }
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

    /// True when a letter of one shard to another is lost.
    pub(crate) fn loses_letter(&mut self) -> bool {
        self.met += u32::from(self.bug == Some(Bug::LosesLetter));
        self.bug == Some(Bug::LosesLetter) && self.met.is_multiple_of(EVERY)
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
            self.note(wire, end, &pdu);
            if self.may_touch(bug, wire, end, &pdu) {
                self.met += 1;
                if self.met.is_multiple_of(EVERY) || bug == Bug::LosesReceipts {
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

    /// Remembers who is bound.
    fn note(&mut self, wire: WireId, end: End, pdu: &Pdu<'_>) {
        let ok = pdu.header().command_status == CommandStatus::OK;
        match pdu.command_id() {
            CommandId::BIND_TRANSCEIVER_RESP | CommandId::BIND_RECEIVER_RESP if ok => self.bound.push(wire),
            CommandId::BIND_TRANSMITTER_RESP if ok => self.deaf.push(wire),
            CommandId::BIND_TRANSCEIVER | CommandId::BIND_TRANSMITTER => {
                let v33 = Bind::parse(pdu).is_ok_and(|bind| bind.interface_version < 0x34);
                self.lines.push((wire, end, v33));
            }
            _ => {}
        }
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
            Bug::ForgetsAnswer | Bug::ForgetsReceipt | Bug::LosesReceipts => {}
            Bug::SendsTlv => out.push((wire, with_tlv(pdu))),
            Bug::ToTransmitter => {
                let to = self.deaf.last().copied().unwrap_or(wire);
                out.push((to, renumbered(pdu, sequence ^ 0x4000_0000)));
            }
            Bug::Strays => {
                let from = self.lines.iter().find(|line| line.0 == wire).map(|line| line.1);
                let other = self.lines.iter().rev().find(|line| Some(line.1) != from);
                out.push((other.map_or(wire, |line| line.0), renumbered(pdu, sequence ^ 0x4000_0000)));
            }
            Bug::AnswersTwice | Bug::SequenceAgain => out.extend([(wire, octets.clone()), (wire, octets)]),
            Bug::AnswersAnother => out.push((wire, renumbered(pdu, sequence ^ 0x4000_0000))),
            Bug::SubmitsTwice => {
                out.extend([(wire, octets), (wire, renumbered(pdu, sequence ^ 0x4000_0000))]);
            }
            Bug::ChangesOctet | Bug::ReceiptChanged | Bug::MoChanged => out.push((wire, changed(&octets))),
            Bug::AnswersOk
            | Bug::AnswersRefusal
            | Bug::AnswersOtherId
            | Bug::CarrierHearsOk
            | Bug::HidesFailures
            | Bug::QueryOtherId => out.push((wire, other_answer(bug, pdu))),
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
            Bug::WindowTooLarge
            | Bug::PaceTooFast
            | Bug::SocketTooMany
            | Bug::LosesLetter
            | Bug::ForgetsConnect
            | Bug::PromisesEarly
            | Bug::SendsUnsaid
            | Bug::ResendsUnknown
            | Bug::ForgetsKept
            | Bug::ForgetsEnds => out.push((wire, octets)),
        }
    }

    /// Whether the bug concerns such a PDU.
    fn may_touch(&self, bug: Bug, wire: WireId, end: End, pdu: &Pdu<'_>) -> bool {
        match bug {
            Bug::SendsTlv => {
                let old = self.lines.iter().any(|line| line.0 == wire && line.2);
                old && pdu.command_id() == CommandId::SUBMIT_SM
            }
            _ => may_touch(bug, end, pdu),
        }
    }
}

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
        Bug::SubmitsTwice | Bug::ChangesOctet | Bug::Strays => command == CommandId::SUBMIT_SM,
        Bug::HidesFailures => {
            let failures = || SubmitMultiResp::parse(pdu).unsuccess.count() > 0;
            end == End::Esme && command == CommandId::SUBMIT_MULTI_RESP && failures()
        }
        Bug::QueryOtherId => end == End::Esme && command == CommandId::QUERY_SM_RESP && ok,
        // The same messages every time: by the last digit of their id.
        Bug::LosesReceipts => receipt && find(pdu.bytes(), b"7 sub:").is_some(),
        Bug::ToTransmitter
        | Bug::SwapsAccounts
        | Bug::ReceiptOtherId
        | Bug::ReceiptAgain
        | Bug::ReceiptChanged => receipt,
        Bug::MoChanged | Bug::SequenceAgain => command == CommandId::DELIVER_SM && !receipt,
        Bug::SendsTlv
        | Bug::WindowTooLarge
        | Bug::PaceTooFast
        | Bug::SocketTooMany
        | Bug::LosesLetter
        | Bug::ForgetsConnect
        | Bug::PromisesEarly
        | Bug::SendsUnsaid
        | Bug::ResendsUnknown
        | Bug::ForgetsKept
        | Bug::ForgetsEnds => false,
    }
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|window| window == what)
}

/// What a broken core answers instead.
fn other_answer(bug: Bug, pdu: &Pdu<'_>) -> Vec<u8> {
    let (command, sequence, ok) = (pdu.command_id(), pdu.sequence_number(), CommandStatus::OK);
    let mut answer = Vec::new();
    match bug {
        Bug::AnswersRefusal => {
            write_header_only(&mut answer, command, CommandStatus::SUBMIT_FAILED, sequence);
        }
        Bug::CarrierHearsOk => write_pdu(&mut answer, command, ok, sequence, |out| out.push(0)),
        Bug::HidesFailures => write_pdu(&mut answer, command, ok, sequence, |out| {
            out.extend_from_slice(SubmitMultiResp::parse(pdu).message_id.unwrap_or_default());
            out.extend([0, 0]);
        }),
        Bug::QueryOtherId => {
            answer.extend_from_slice(pdu.bytes());
            if let Some(digit) = answer.get_mut(17) {
                *digit ^= 1;
            }
        }
        _ => write_pdu(&mut answer, command, ok, sequence, |out| out.extend(b"77\0")),
    }
    answer
}

/// The same with a TLV behind it.
fn with_tlv(pdu: &Pdu<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    write_pdu(&mut octets, pdu.command_id(), CommandStatus::OK, pdu.sequence_number(), |out| {
        out.extend_from_slice(pdu.body());
        write_tlv(out, Tag::USER_MESSAGE_REFERENCE, &[1, 2]);
    });
    octets
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
