//! Stored messages whose octets are on the disk only; what is read back of sleeping ones goes to `asleep`.
//!
//! Owns: operations that wait for them. Takes: which messages are wanted, what the journal reads back. Gives: each to what
//! waited for it. Never: makes a turn wait for the disk; asks for more than `JOURNAL_RECALLS_MAX` at a time.

use super::Shard;
use super::mail::Tag;
use super::message::{key_of_tag, tag_of};
use super::moves::Moving;
use super::port::{Level, Outbox};
use super::records::Records;
use crate::counters::Reason;
use crate::ids::{EsmeId, LinkId, PoolId};
use crate::journal::{Lsn, Recall, Recalled, Wanted};
use crate::ledger::{Octets, Stand, StoredKey};
use crate::limits::{JOURNAL_RECALLS_MAX, RECALL_AGAIN, RECALL_OPERATIONS_MAX};
use crate::smpp::frame::Pdu;
use crate::smpp::status::CommandStatus;
use crate::time::Now;

/// What is read back, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Recalling {
    /// Messages that are under way from the disk.
    asked: u64,
    /// Records below this one are to be copied to the end of the journal.
    pub(super) move_below: Lsn,
    operations: Vec<Waiting>,
}

/// cancel_sm or replace_sm of a message, as it came.
#[derive(Debug)]
struct Waiting {
    message: StoredKey,
    asked: (LinkId, EsmeId),
    pdu: Vec<u8>,
}

impl Records {
    /// Where the octets of a message are; those on the disk are on their way then, unless too many are.
    pub(super) fn octets_of(&mut self, key: StoredKey) -> Octets {
        if let Some(recall) = self.stored.recall(key, tag_of(key).0)
            && !self.ask_disk(recall)
        {
            self.stored.not_asked(key);
        }
        self.stored.get(key).map_or(Octets::Lost, |message| message.place())
    }

    /// False: enough is under way.
    pub(super) fn ask_disk(&mut self, recall: Recall) -> bool {
        let asks = self.pen.recorder.recall(recall);
        self.recalling.asked += u64::from(asks);
        asks
    }

    /// Those of the first ones of a pool and class are wanted next.
    pub(super) fn fetch_lane(&mut self, pool: PoolId, class: usize) {
        let away: Vec<StoredKey> = self.stored.away_in_front(pool, class).collect();
        for key in away {
            if self.octets_of(key) == Octets::Away {
                return;
            }
        }
    }

    /// What waits for this one, which leaves now, is wanted as soon as it is answered.
    pub(super) fn fetch_behind(&mut self, key: StoredKey) {
        if let Some(behind) = self.stored.behind(key) {
            self.octets_of(behind);
        }
    }

    /// True while so many are under way that no more are asked for.
    pub(super) fn recalls_enough(&self) -> bool {
        self.recalling.asked >= JOURNAL_RECALLS_MAX
    }

    /// True while something is under way from the disk.
    pub(super) fn is_recalling(&self) -> bool {
        self.recalling.asked > 0
    }
}

impl Shard {
    /// Of stored messages so many octets stay in memory, and queues of at most so many messages; for a simulation, which
    /// has few of them. After `attach`.
    pub fn keep_here(&mut self, octets: u64, near: usize) {
        if let Some(records) = &mut self.records {
            records.stored.keep_here(octets, near);
        }
    }

    /// What was read back goes to what waits for it.
    pub(super) fn take_recalled(&mut self, now: Now, out: &mut Outbox) {
        while let Some(recalled) = self.records.as_mut().and_then(|records| records.pen.recorder.recalled()) {
            self.on_recalled(now, recalled, out);
        }
    }

    fn on_recalled(&mut self, now: Now, recalled: Recalled, out: &mut Outbox) {
        let Some(records) = &mut self.records else { return };
        records.recalling.asked = records.recalling.asked.saturating_sub(1);
        if recalled.recall.wanted == Wanted::Sent {
            return self.on_sent_recalled(now, recalled, out);
        }
        let key: StoredKey = key_of_tag(Tag(recalled.recall.tag));
        let pdu = recalled.content.and_then(|pdu| records.pen.open(recalled.recall.key, pdu));
        let lost = pdu.is_none();
        if !records.stored.came(key, pdu, recalled.origin) {
            return;
        }
        if recalled.recall.lsn < records.recalling.move_below && !lost {
            records.moving.push_back(Moving::Accept(key));
        }
        let over = records.stored.get_mut(key).filter(|message| message.stand() == Stand::Over);
        let end = over.and_then(|message| message.end.take());
        if lost {
            let number = recalled.recall.key;
            self.log(now, out, Level::Error, "journal_message_unreadable", |_| {
                vec![("message", number.to_string()), ("record", recalled.recall.lsn.0.to_string())]
            });
        }
        if let Some(end) = end {
            self.end_stored(now, key, *end, out);
        }
        self.resume_operations(now, key, out);
    }

    /// Lets an operation wait for the octets of its message.
    pub(super) fn operation_waits(
        &mut self,
        message: StoredKey,
        asked: (LinkId, EsmeId),
        pdu: &Pdu<'_>,
    ) -> Result<(), (CommandStatus, Reason)> {
        const FULL: (CommandStatus, Reason) = (CommandStatus::THROTTLED, Reason::Retained);
        let operations =
            self.records.as_mut().map(|records| &mut records.recalling.operations).ok_or(FULL)?;
        if operations.len() >= RECALL_OPERATIONS_MAX {
            return Err(FULL);
        }
        operations.push(Waiting { message, asked, pdu: pdu.bytes().to_vec() });
        Ok(())
    }

    fn resume_operations(&mut self, now: Now, key: StoredKey, out: &mut Outbox) {
        let Some(records) = &mut self.records else { return };
        let ready: Vec<Waiting> =
            records.recalling.operations.extract_if(.., |waiting| waiting.message == key).collect();
        for Waiting { asked: (link, esme), pdu, .. } in ready {
            let Some(pdu) = Pdu::whole(&pdu) else { continue };
            if let Err((status, reason)) = self.on_operation(now, link, esme, &pdu, out) {
                self.refuse(link, esme, &pdu, status, reason, out);
            }
        }
    }

    /// A message that cannot be read now is looked at again later.
    pub(super) fn unreadable(&mut self, now: Now, key: StoredKey) {
        if let Some(records) = &mut self.records {
            records.stored.not_asked(key);
            records.stored.told(key);
            records.stored.wait(key, now.mono.after(RECALL_AGAIN));
        }
    }
}
