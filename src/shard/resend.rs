//! A receipt once more, because an operator asks for it. Owns: nothing. Takes: what a final record says. Gives: the receipt that
//! follows from it to its account, as safe as an MO that waits; a log line. Never: a second final record.
//!
//! Its record is MO_IN without a carrier, with a key of its own: that is what tells it from the first one, in the journal and in
//! what is counted for its carrier. Such a record is over when the account has answered.

use super::Shard;
use super::message::{Delivery, Origin};
use super::mo::delivery_of;
use super::port::{Level, Outbox};
use super::store::{OURSELVES, own_receipt_of};
use crate::ids::{EsmeId, LinkId};
use crate::journal::Record;
use crate::ledger::End;
use crate::limits::STORE_RING_FULL;
use crate::smpp::frame::Pdu;
use crate::smpp::message_state::MessageState;
use crate::time::{Now, Wall};

/// What the final record of a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resend {
    /// Who submitted it.
    pub esme: EsmeId,
    /// As that knows it.
    pub id: Vec<u8>,
    /// When its submit came, and when it was over.
    pub accepted: Wall,
    /// See above.
    pub over: Wall,
    /// Who sent it.
    pub source: Vec<u8>,
    /// Where it went.
    pub destination: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resent {
    /// The account is at home on another shard.
    Elsewhere,
    /// It goes to the account as soon as its record is safe; `bound`: it has a session that receives.
    Goes {
        /// See above.
        bound: bool,
    },
    /// Too much waits for the account, or the journal has no room.
    Full,
}

impl Resent {
    /// Of two shards.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        if self == Self::Elsewhere { other } else { self }
    }
}

impl Delivery {
    /// True for a receipt that an operator asked for: no carrier delivers it, and nothing of its message is open.
    pub(super) fn is_resent(&self) -> bool {
        !self.is_receipt && self.carrier == OURSELVES
    }
}

impl Shard {
    pub(super) fn on_resend(&mut self, now: Now, resend: &Resend, out: &mut Outbox) -> Resent {
        if !self.is_own(resend.esme) {
            return Resent::Elsewhere;
        }
        let Some((delivery, bound)) = self.resent(now, resend) else { return Resent::Full };
        let lsn = delivery.lsn;
        self.log(now, out, Level::Warn, "receipt_resent", |shard| {
            vec![
                ("esme", shard.config.esme_name(resend.esme).to_owned()),
                ("id", String::from_utf8_lossy(&resend.id).into_owned()),
                ("state", String::from_utf8_lossy(resend.end.state.stat().as_bytes()).into_owned()),
                ("by", "operator".to_owned()),
            ]
        });
        self.keep_until_safe(now, Box::new(delivery), lsn, out);
        Resent::Goes { bound }
    }

    fn resent(&mut self, now: Now, resend: &Resend) -> Option<(Delivery, bool)> {
        let Self { records, accounts, own_ids, config, .. } = self;
        let (records, account) = (records.as_mut()?, accounts.get(resend.esme.index())?);
        let recorder = &mut records.pen.recorder;
        let full = account.waiting.len() >= account.settings.waiting.count_max as usize
            || recorder.failed().is_some()
            || recorder.full_percent() >= STORE_RING_FULL
            || !records.pen.book.has_room();
        if full {
            return None;
        }
        let frame = records.frames.copy(&own_receipt_of(resend))?;
        let key = own_ids.next(now.wall);
        let esme = config.esme_name(resend.esme).as_bytes();
        let Some(lsn) = records.pen.append(now, key, &Record::MoIn { carrier: b"", esme, pdu: &frame }, None)
        else {
            records.frames.release(frame);
            return None;
        };
        let delivery = {
            let pdu = Pdu::whole(&frame)?;
            delivery_of(LinkId::default(), OURSELVES, resend.esme, &pdu)
        };
        let delivery = Delivery {
            origin: Origin::Journal,
            state: resend.end.state,
            until: now.mono.after(account.settings.waiting.keep),
            frame,
            key,
            lsn,
            origin_lsn: lsn,
            came: now.wall,
            ..delivery
        };
        Some((delivery, account.receivers() > 0))
    }
}

/// Parts of a message that are delivered with this state.
pub(super) const fn delivered_of(state: MessageState) -> u16 {
    matches!(state, MessageState::Delivered) as u16
}
