//! The messages of `send`: their parts, responses and receipts. Owns: all of them. Takes: a text, responses,
//! receipts. Gives: submit_sm, and a line per message. Never: takes a message for delivered before all its parts are.

use super::settings::{Encoding, Settings};
use crate::limits::SEQUENCE_MAX;
use crate::smpp::command::CommandId;
use crate::smpp::message_state::MessageState;
use crate::smpp::receipt::Receipt;
use crate::smpp::segment::{self, ConcatForm, ESM_UDHI, Part, Reference, TextEncoding};
use crate::smpp::sm::{Address, Content, Sm};
use crate::smpp::status::CommandStatus;
use crate::smpp::{gsm7, latin1, ucs2};
use crate::time::{Duration, Instant};
use core::fmt;

/// A text as the octets of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    data_coding: u8,
    /// Each with its header, when there is more than one.
    octets: Vec<Vec<u8>>,
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "--hex takes an even number of hexadecimal digits".to_owned();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    let digit = |octet: u8| (octet as char).to_digit(16);
    let one = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    pairs.iter().map(|pair| one(pair).ok_or_else(wrong)).collect()
}

impl Parts {
    /// Encodes and cuts what the settings say.
    ///
    /// # Errors
    /// The text has characters that the alphabet lacks, or needs more than 255 parts.
    pub fn of(settings: &Settings, reference: u8) -> Result<Self, String> {
        let mut octets = Vec::new();
        let text = settings.text.as_deref().unwrap_or_default();
        let encoding = match (&settings.hex, settings.encoding) {
            (Some(_), _) => TextEncoding::Binary,
            (None, Encoding::Auto) => TextEncoding::choose(text),
            (None, Encoding::Gsm7) => TextEncoding::Gsm7,
            (None, Encoding::Ucs2) => TextEncoding::Ucs2,
            (None, Encoding::Latin1) => TextEncoding::Latin1,
        };
        let lacks = |_| "the alphabet lacks a character of the text".to_owned();
        match encoding {
            TextEncoding::Gsm7 => gsm7::encode_unpacked(text, &mut octets).map_err(lacks)?,
            TextEncoding::Latin1 => latin1::encode(text, &mut octets).map_err(lacks)?,
            TextEncoding::Ucs2 => ucs2::encode(text, &mut octets),
            TextEncoding::Binary => octets = hex(settings.hex.as_deref().unwrap_or_default())?,
        }
        let ranges: Vec<_> = segment::parts(&octets, encoding, ConcatForm::Octet).collect();
        let total =
            u8::try_from(ranges.len()).map_err(|_| "the text needs more than 255 parts".to_owned())?;
        let cut = |(number, range): (u8, core::ops::Range<usize>)| {
            let mut part = Vec::new();
            if total > 1
                && let Some(header) = Part::new(Reference::Octet(reference), total, number)
            {
                header.write_udh(&mut part);
            }
            part.extend_from_slice(octets.get(range).unwrap_or_default());
            part
        };
        let parts = (1..=u8::MAX).zip(ranges).map(cut).collect();
        Ok(Self { data_coding: encoding.data_coding(), octets: parts })
    }
}

#[derive(Debug, Clone, Default)]
struct Sent {
    sequence: Option<u32>,
    id: Vec<u8>,
    status: Option<CommandStatus>,
    receipt: Option<(String, String)>,
}

impl Sent {
    fn is_refused(&self) -> bool {
        self.status.is_some_and(|status| !status.is_ok())
    }
}

/// One message to one number.
#[derive(Debug, Clone)]
pub struct Message {
    to: String,
    parts: Vec<Sent>,
    wants_receipt: bool,
    carrier: Option<Vec<u8>>,
    sent_at: Instant,
    last_at: Instant,
    told: bool,
}

impl Message {
    /// True when nothing more is waited for.
    fn is_done(&self) -> bool {
        let done = |part: &Sent| match part.status {
            None => false,
            Some(status) => !self.wants_receipt || !status.is_ok() || part.receipt.is_some(),
        };
        self.parts.iter().all(done)
    }

    fn is_good(&self) -> bool {
        let delivered = |part: &Sent| {
            let receipt = part.receipt.as_ref();
            receipt.map_or(!self.wants_receipt, |(stat, _)| {
                MessageState::from_stat(stat.as_bytes()) == Some(MessageState::Delivered)
            })
        };
        self.parts.iter().all(|part| part.status.is_some_and(CommandStatus::is_ok) && delivered(part))
    }

    /// From the first submit to the last response or receipt.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.last_at.since(self.sent_at)
    }
}

impl fmt::Display for Message {
    /// `38267123456 id=… status=ESME_ROK carrier=alpha receipt=DELIVRD err=000 0.21 s`; of several parts the id of the
    /// first, and the status and the receipt of the first that is not good.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.parts.first();
        let id = first.map_or(&[][..], |part| &part.id);
        let id = if id.is_empty() { "-".into() } else { String::from_utf8_lossy(id) };
        write!(f, "{} id={id}", self.to)?;
        let refused = self.parts.iter().find(|part| part.is_refused());
        let unanswered = self.parts.iter().find(|part| part.status.is_none());
        match refused.or(unanswered).or(first).and_then(|part| part.status) {
            Some(status) => write!(f, " status={status}")?,
            None => write!(f, " status=-")?,
        }
        let carrier = self.carrier.as_deref().map_or("-".into(), String::from_utf8_lossy);
        write!(f, " carrier={carrier}")?;
        let delivered =
            |part: &&Sent| part.receipt.as_ref().is_some_and(|(stat, _)| stat.starts_with("DELIV"));
        let shown = self.parts.iter().find(|part| !delivered(part)).or(first);
        match shown.and_then(|part| part.receipt.as_ref()) {
            Some((stat, err)) => write!(f, " receipt={stat} err={err}")?,
            None => write!(f, " receipt=- err=-")?,
        }
        if self.parts.len() > 1 {
            write!(f, " parts={}", self.parts.len())?;
        }
        write!(f, " {:.2} s", self.took().as_secs_f64())
    }
}

/// All messages of a run.
#[derive(Debug)]
pub struct Messages {
    from: String,
    parts: Parts,
    all: Vec<Message>,
    /// The next part that is to be sent: message and part.
    next: (usize, usize),
    sequence: u32,
    wants_receipt: bool,
}

impl Messages {
    /// The same text to every number.
    #[must_use]
    pub fn new(numbers: &[String], from: &str, parts: Parts, wants_receipt: bool) -> Self {
        let one = |to: &String| Message {
            to: to.clone(),
            parts: vec![Sent::default(); parts.octets.len()],
            wants_receipt,
            carrier: None,
            sent_at: Instant::ZERO,
            last_at: Instant::ZERO,
            told: false,
        };
        let all = numbers.iter().map(one).collect();
        Self { from: from.to_owned(), parts, all, next: (0, 0), sequence: 0, wants_receipt }
    }

    pub(super) const fn next_sequence(&mut self) -> u32 {
        self.sequence = if self.sequence >= SEQUENCE_MAX { 1 } else { self.sequence + 1 };
        self.sequence
    }

    pub(super) fn in_flight(&self) -> usize {
        let waits = |part: &&Sent| part.sequence.is_some() && part.status.is_none();
        self.all.iter().flat_map(|message| &message.parts).filter(waits).count()
    }

    /// Appends the next part; false when there is none.
    pub(super) fn write_next(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let sequence = self.next_sequence();
        let (at, number) = self.next;
        let Some(message) = self.all.get_mut(at) else { return false };
        let (Some(part), Some(octets)) = (message.parts.get_mut(number), self.parts.octets.get(number))
        else {
            return false;
        };
        part.sequence = Some(sequence);
        if number == 0 {
            message.sent_at = now;
        }
        self.next = if number + 1 < message.parts.len() { (at, number + 1) } else { (at + 1, 0) };
        let letters = self.from.bytes().any(|octet| !octet.is_ascii_digit());
        let (ton, npi) = if letters { (5, 0) } else { (0, 1) };
        let sm = Sm {
            service_type: &[],
            source: Address { ton, npi, digits: self.from.as_bytes() },
            destination: Address { ton: 1, npi: 1, digits: message.to.as_bytes() },
            content: Content {
                esm_class: if self.parts.octets.len() > 1 { ESM_UDHI } else { 0 },
                registered_delivery: u8::from(self.wants_receipt),
                data_coding: self.parts.data_coding,
                short_message: octets,
                ..Content::default()
            },
        };
        sm.write(out, CommandId::SUBMIT_SM, sequence);
        true
    }

    /// A response came.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        sequence: u32,
        status: CommandStatus,
        id: &[u8],
        carrier: Option<Vec<u8>>,
    ) {
        for message in &mut self.all {
            let found = message.parts.iter_mut().find(|part| part.sequence == Some(sequence));
            if let Some(part) = found.filter(|part| part.status.is_none()) {
                part.status = Some(status);
                part.id = id.to_vec();
                message.carrier = carrier.or(message.carrier.take());
                message.last_at = now;
                return;
            }
        }
    }

    /// A receipt came; what is not final ends nothing.
    pub(super) fn receipt(&mut self, now: Instant, receipt: &Receipt<'_>, carrier: Option<Vec<u8>>) {
        let Some(id) = receipt.id().filter(|_| !receipt.intermediate) else { return };
        let stat = receipt.text.stat.map(|stat| String::from_utf8_lossy(stat).into_owned());
        let named = receipt.state.map_or("UNKNOWN", |state| state.stat()).to_owned();
        let err = String::from_utf8_lossy(receipt.text.err.unwrap_or(b"-")).into_owned();
        for message in &mut self.all {
            let found = message.parts.iter_mut().find(|part| part.id == id && part.receipt.is_none());
            if let Some(part) = found {
                part.receipt = Some((stat.unwrap_or(named), err));
                message.carrier = carrier.or(message.carrier.take());
                message.last_at = now;
                return;
            }
        }
    }

    pub(super) fn all_answered(&self) -> bool {
        self.all.iter().flat_map(|message| &message.parts).all(|part| part.status.is_some())
    }

    pub(super) fn any_open(&self) -> bool {
        self.all.iter().any(|message| !message.is_done())
    }

    pub(super) fn all_good(&self) -> bool {
        self.all.iter().all(Message::is_good)
    }

    fn take(&mut self, which: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut taken = Vec::new();
        for message in self.all.iter_mut().filter(|message| !message.told && which(message)) {
            message.told = true;
            taken.push(message.clone());
        }
        taken
    }

    /// Messages that are done and were not told of yet.
    pub(super) fn take_done(&mut self) -> Vec<Message> {
        self.take(Message::is_done)
    }

    /// All that were not told of yet.
    pub(super) fn take_open(&mut self) -> Vec<Message> {
        self.take(|_| true)
    }
}
