//! What the oracle knows of deliveries: what a carrier sent, who was given it, who took it, what the carrier heard.

use crate::messages::Outcome;
use crate::oracle::{Asked, Oracle, What};
use crate::wire::WireId;
use bindery::smpp::command::CommandId;
use bindery::smpp::data::DataSm;
use bindery::smpp::frame::Pdu;
use bindery::smpp::receipt::Receipt;
use bindery::smpp::sm::{Address, Sm};
use bindery::smpp::status::{CommandStatus, StatusClass};
use bindery::time::{Duration, Instant};

/// A carrier offers a refused receipt again within this.
const OFFERED_AGAIN: Duration = Duration::from_secs(25);
/// A carrier of which so many receipts were matched has a form of ids that is known.
const FORM_KNOWN: u64 = 60;

/// A receipt or MO of a carrier.
#[derive(Debug)]
pub(crate) struct Delivery {
    carrier: usize,
    /// The whole PDU.
    pdu: Vec<u8>,
    /// The message of this number of the carrier, when it is a receipt.
    receipt: Option<u64>,
    /// The handset.
    number: Vec<u8>,
    is_final: bool,
    /// An ESME has said ESME_ROK.
    taken: bool,
}

/// The end of a message at one handset.
#[derive(Debug, Default)]
pub(crate) struct Final {
    /// The account has taken it.
    pub(crate) done: bool,
    /// When it has, or has said that it never will.
    pub(crate) over_at: Option<Instant>,
    /// When a carrier first heard that the node keeps it.
    pub(crate) kept_at: Option<Instant>,
    /// A crash may have taken the record that the account has taken it.
    pub(crate) unsure: bool,
    /// A receipt with the id of another message has said so: which of them it ends is not known.
    pub(crate) confused: bool,
    /// When the carrier last heard that nobody takes it.
    refused_at: Option<Instant>,
}

/// A delivery, read.
struct View<'a> {
    source: Address<'a>,
    destination: Address<'a>,
    esm_class: u8,
    data_coding: u8,
    text: &'a [u8],
    receipt: Option<Receipt<'a>>,
}

impl<'a> View<'a> {
    fn of(pdu: &Pdu<'a>) -> Option<Self> {
        if pdu.command_id() == CommandId::DATA_SM {
            let data = DataSm::parse(pdu).ok()?;
            return Some(Self {
                source: data.source,
                destination: data.destination,
                esm_class: data.esm_class,
                data_coding: data.data_coding,
                text: data.text(),
                receipt: Receipt::parse_data(&data),
            });
        }
        let sm = Sm::parse_deliver(pdu).ok()?;
        Some(Self {
            source: sm.source,
            destination: sm.destination,
            esm_class: sm.content.esm_class,
            data_coding: sm.content.data_coding,
            text: sm.content.text(),
            receipt: Receipt::parse(&sm, true),
        })
    }

    /// The word that stands in no other delivery.
    fn word(&self) -> &'a [u8] {
        self.receipt.map_or(self.text, |receipt| receipt.text.text.unwrap_or_default())
    }

    /// Everything but the id of a receipt.
    fn same(&self, other: &Self) -> bool {
        let said = |view: &Self| {
            let receipt = view.receipt.map(|receipt| (receipt.state, receipt.text.stat, receipt.text.err));
            receipt.ok_or(view.text)
        };
        self.source == other.source
            && self.destination == other.destination
            && self.esm_class == other.esm_class
            && self.data_coding == other.data_coding
            && said(self) == said(other)
    }
}

/// An ESME that answers so is not given the same again.
pub(crate) fn for_good(status: CommandStatus) -> bool {
    !matches!(status.class(), StatusClass::Transient | StatusClass::Throttling)
}

impl Oracle {
    pub(crate) fn delivery(&mut self, carrier: usize, pdu: &Pdu<'_>) -> Asked {
        let Some(view) = View::of(pdu) else { return Asked::Other };
        let ids = self.setup.carriers[carrier].ids;
        let index = self.deliveries.len();
        self.by_word.insert(view.word().to_vec(), index);
        self.deliveries.push(Delivery {
            carrier,
            pdu: pdu.bytes().to_vec(),
            receipt: view.receipt.map(|receipt| receipt.id().and_then(|id| ids.of_receipt(id)).unwrap_or(0)),
            number: view.source.digits.to_vec(),
            is_final: view.receipt.is_some_and(|receipt| !receipt.intermediate),
            taken: false,
        });
        Asked::Delivery(index)
    }

    /// The message and the handset that a receipt is about.
    fn about(&self, delivery: usize) -> Option<(usize, Vec<u8>)> {
        let delivery = &self.deliveries[delivery];
        let (message, _) = self.issued.get(&(delivery.carrier, delivery.receipt?))?;
        Some((*message, delivery.number.clone()))
    }

    fn is_done(&self, delivery: usize) -> bool {
        self.about(delivery).and_then(|about| self.finals.get(&about)).is_some_and(|end| end.done)
    }

    /// The carrier gave the id to something that never went to this handset.
    fn is_confused(&self, delivery: usize) -> bool {
        let Delivery { carrier, receipt, number, .. } = &self.deliveries[delivery];
        let issued = receipt.and_then(|id| self.issued.get(&(*carrier, id)));
        issued.is_some_and(|&(message, part)| !self.messages[message].parts[part].numbers.contains(number))
    }

    /// An ESME has said ESME_ROK.
    pub(crate) fn taken(&mut self, now: Instant, delivery: usize, in_time: bool) {
        self.delivered += 1;
        self.deliveries[delivery].taken = true;
        let Delivery { carrier, is_final, .. } = self.deliveries[delivery];
        if in_time
            && is_final
            && let Some(about) = self.about(delivery)
        {
            let confused = self.is_confused(delivery);
            let end = self.finals.entry(about).or_default();
            (end.done, end.over_at) = (true, Some(now));
            end.confused |= confused;
            self.finals_taken[carrier] += 1;
        }
    }

    /// An ESME has refused a delivery.
    pub(crate) fn given_up(&mut self, now: Instant, delivery: usize, status: CommandStatus) {
        if for_good(status)
            && self.deliveries[delivery].is_final
            && let Some(about) = self.about(delivery)
        {
            let confused = self.is_confused(delivery);
            let end = self.finals.entry(about).or_default();
            end.over_at = Some(now);
            end.confused |= confused;
        }
    }

    /// With a journal a receipt of a message that the node knows may be kept: then its account gets it in the end.
    fn may_be_kept(&mut self, now: Instant, delivery: usize) -> bool {
        if self.setup.config.journal.is_none() {
            return false;
        }
        let Some(about) = self.about(delivery) else { return false };
        if self.deliveries[delivery].is_final && !self.is_confused(delivery) {
            self.finals.entry(about).or_default().kept_at.get_or_insert(now);
        }
        true
    }

    pub(crate) fn carrier_hears_ok(&mut self, now: Instant, delivery: usize) {
        if self.may_be_kept(now, delivery) {
            return;
        }
        if !self.deliveries[delivery].taken && !self.is_done(delivery) && !self.is_confused(delivery) {
            let Delivery { carrier, receipt, number, .. } = &self.deliveries[delivery];
            let number = String::from_utf8_lossy(number);
            let what = format!(
                "nobody has taken delivery {delivery}, receipt {receipt:?} of {number}, carrier {carrier} hears ESME_ROK: {:?}",
                self.setup.carriers[*carrier].ids
            );
            self.fail("carrier_ok", what);
        }
    }

    pub(crate) fn carrier_hears_refusal(&mut self, now: Instant, delivery: usize) {
        if self.deliveries[delivery].is_final
            && let Some(about) = self.about(delivery)
        {
            self.finals.entry(about).or_default().refused_at = Some(now);
        }
    }

    /// A delivery is given to an ESME.
    pub(crate) fn give(&mut self, now: Instant, wire: WireId, pdu: &Pdu<'_>) -> Option<What> {
        let Some(view) = View::of(pdu) else {
            self.fail("receipt_octets", format!("link {wire} is given no delivery"));
            return None;
        };
        if let Some(receipt) = &view.receipt
            && view.word().is_empty()
        {
            return Some(self.give_own(now, wire, receipt, view.source.digits));
        }
        let Some(&index) = self.by_word.get(view.word()) else {
            let rule = if view.receipt.is_some() { "receipt_octets" } else { "mo" };
            self.fail(rule, format!("link {wire} is given what no carrier sent"));
            return None;
        };
        let sent = self.deliveries[index].pdu.clone();
        let whole = Pdu::whole(&sent);
        let v33 = self.links[wire].v33;
        let same = whole.is_some_and(|whole| {
            (v33 || whole.command_id() == pdu.command_id())
                && View::of(&whole).is_some_and(|sent| sent.same(&view))
                && (v33 || view.receipt.is_some() || whole.body() == pdu.body())
        });
        match &view.receipt {
            Some(receipt) => self.give_receipt(wire, index, same, receipt),
            None => {
                let account = self.links[wire].account;
                if !same || account.is_none_or(|account| account > 1) {
                    self.fail("mo", format!("MO {index} is changed or went to account {account:?}"));
                }
            }
        }
        Some(What::Give(index))
    }

    fn give_receipt(&mut self, wire: WireId, index: usize, same: bool, receipt: &Receipt<'_>) {
        let Some((message, _)) = self.about(index) else {
            let Delivery { carrier, receipt: id, number, .. } = &self.deliveries[index];
            let (ids, number) = (&self.setup.carriers[*carrier].ids, String::from_utf8_lossy(number));
            let what = format!(
                "link {wire} is given receipt {index} of number {id:?} to {number} of carrier {carrier}, which never \
                 said it: {ids:?}"
            );
            return self.fail("receipt_account", what);
        };
        let done = self.is_done(index) && !self.is_confused(index);
        let message = &self.messages[message];
        if self.links[wire].account != Some(message.account) {
            let Delivery { carrier, receipt: id, number, .. } = &self.deliveries[index];
            let (ids, number) = (&self.setup.carriers[*carrier].ids, String::from_utf8_lossy(number));
            let what = format!(
                "link {wire} is given receipt {index} of account {}: number {id:?} to {number} of carrier {carrier}, {ids:?}",
                message.account
            );
            return self.fail("receipt_account", what);
        }
        // An intermediate one that an ESME left unanswered may come again whenever it likes.
        // A message that went twice may have two receipts.
        let doubled = message.parts.iter().any(|part| part.copies.len() > 1);
        if done && self.deliveries[index].is_final && !(doubled && message.stored) {
            let crashes = &self.crashes;
            let what = format!("receipt {index} was taken already: {message:?}, {crashes:?}");
            return self.fail("receipt_twice", what);
        }
        let other = &self.links[message.wire];
        if let Some((given, end)) = &message.given {
            let tlv = receipt.tlv_id.is_none_or(|tlv| tlv == given);
            if receipt.text_id() != Some(given) || !tlv {
                let what = format!("receipt {index} says {:?}, not {given:?}", receipt.text_id());
                return self.fail("receipt_id", what);
            }
            if message.wire != wire && !other.down && other.taken < *end {
                let what = format!("receipt {index} came before the response was written: {message:?}");
                return self.fail("receipt_early", what);
            }
        } else if !message.answered && !other.down {
            let what = format!("receipt {index} came before its response: {message:?}");
            return self.fail("receipt_early", what);
        }
        if !same {
            self.fail("receipt_octets", format!("receipt {index} was changed"));
        }
    }

    /// All is quiet: what carriers still offer must have been taken.
    pub(crate) fn check_receipts_lost(&mut self, hushed_at: Instant) {
        let journal = self.setup.config.journal.is_some();
        let waits = |end: &Final| !end.done && (!journal || end.over_at.is_none());
        let offered =
            |end: &Final| waits(end) && end.refused_at.is_some_and(|at| at.after(OFFERED_AGAIN) >= hushed_at);
        let mut lost: Vec<_> =
            self.finals.iter().filter(|(_, end)| offered(end)).map(|(key, _)| key).collect();
        lost.sort();
        let owed = lost.into_iter().find(|(message, number)| self.is_owed(*message, number));
        if let Some((message, number)) = owed {
            let number = String::from_utf8_lossy(number);
            let what = format!(
                "message {message} to {number} ended, its account never heard: {:?}, {:?}, {:?}",
                self.messages[*message], self.setup.carriers, self.crashes
            );
            self.fail("receipt_lost", what);
        }
    }

    /// Whether the node knows enough of a message to find the receipts of a handset.
    fn is_owed(&self, message: usize, number: &[u8]) -> bool {
        let message = &self.messages[message];
        message.parts.iter().filter(|part| part.numbers.iter().any(|of| of == number)).any(|part| {
            // Of two that were accepted it may be the one whose answer a crash has taken.
            let sure = part.copies.iter().all(|copy| copy.outcome != Outcome::Forgotten);
            sure && part.copies.iter().any(|copy| {
                let known = matches!(copy.outcome, Outcome::Accepted | Outcome::AcceptedLate);
                let ids = &self.setup.carriers[copy.carrier].ids;
                let form = ids.said || !ids.dense() || self.finals_taken[copy.carrier] >= FORM_KNOWN;
                known && form && !copy.failed.iter().any(|failed| failed == number)
            })
        })
    }
}
