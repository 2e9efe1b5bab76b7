//! What the last run left. Owns: nothing. Takes: what the journal says is not over. Gives: the messages that wait for
//! receipts to the index of their carriers' homes, the receipts and MO that wait to their accounts. Never: forgets what
//! it cannot place: its records stay needed until the account or carrier is there again.

use super::Shard;
use super::kept::differs;
use super::mail::{Indexed, Mail};
use super::message::{Delivery, Origin};
use super::mo::{Delivered, delivery_of};
use super::port::Outbox;
use super::records::Records;
use super::timers::Timer;
use crate::config::Config;
use crate::ids::{CarrierId, EsmeId, LinkId, ShardId};
use crate::journal::record::NO_REASON;
use crate::journal::{Cursors, Record, Recorder};
use crate::ledger::restored::{Kept, Taken, Written};
use crate::ledger::{AddressTail, Destinations, Given, IdText, NewEntry, OpenKey, OpenMessage, Restored};
use crate::limits::RECEIPT_KEEP;
use crate::smpp::message_state::MessageState;
use crate::time::{Duration, Now, Wall};
use std::collections::HashMap;
use std::sync::Arc;

/// Messages whose carriers' homes are told of them in one turn.
const INDEXED_PER_TURN: usize = 256;

/// Names of the last run and what they are in this one.
struct Known<'a> {
    esmes: HashMap<&'a [u8], EsmeId>,
    carriers: HashMap<&'a [u8], CarrierId>,
}

/// How much of a span is left when it began so long ago; a clock that went back takes nothing away.
fn left(span: Duration, begun: Wall, now: Wall) -> Duration {
    let ago = Duration::from_micros(u64::try_from(now.0.saturating_sub(begun.0)).unwrap_or(0));
    span.saturating_sub(ago)
}

fn destinations(text: &[u8]) -> Destinations {
    if !text.contains(&b',') {
        return Destinations::One(AddressTail::of(text));
    }
    Destinations::Several(text.split(|octet| *octet == b',').map(AddressTail::of).collect())
}

/// What a shard found in its journal and cannot give to anybody here.
#[derive(Debug, Default)]
pub struct Strays {
    /// By key, what belongs to accounts that are at home on another shard now.
    pub moved: Vec<(ShardId, u64, Kept)>,
    /// Keys of accounts or carriers that the configuration does not know: they stay where they are.
    pub unknown: u64,
}

impl<'a> Known<'a> {
    fn of(config: &'a Config) -> Self {
        let (esmes, carriers) = (config.esmes.iter().enumerate(), config.carriers.iter().enumerate());
        Self {
            esmes: esmes.map(|(index, esme)| (esme.name.as_bytes(), EsmeId::new(index))).collect(),
            carriers: carriers.map(|(index, one)| (one.name.as_bytes(), CarrierId::new(index))).collect(),
        }
    }

    fn owner(&self, kept: &Kept) -> Option<EsmeId> {
        let taken = kept.taken.values().find_map(|taken| taken.esme.as_deref());
        let name = kept.accepted.as_ref().map(|accepted| accepted.facts().esme).or(taken)?;
        self.esmes.get(name).copied()
    }
}

impl Shard {
    /// Gives the shard its journal and what the last run left in it, before its first turn. What is not for it comes back.
    pub fn attach(&mut self, now: Now, recorder: Box<dyn Recorder>, restored: Restored) -> Strays {
        let (book, kept) = restored.finish();
        self.records = Some(Box::new(Records::new(recorder, book, &self.config)));
        let config = Arc::clone(&self.config);
        let known = Known::of(&config);
        let mut strays = Strays::default();
        for (key, kept) in kept {
            self.own_ids.above(key);
            let home = known.owner(&kept).map(|esme| self.position.homes.of_esme(esme));
            match home {
                Some(home) if home != self.position.shard => strays.moved.push((home, key, kept)),
                _ => {
                    let found = self.restore(now, key, &kept, &known).is_some();
                    self.restored.extend(found.then_some(key));
                    strays.unknown += u64::from(!found);
                }
            }
        }
        self.index_soon(now);
        strays
    }

    /// Takes what other shards' journals have of our accounts into our own; keys that are here already are left out. True
    /// when all of it was taken: its former keepers may let go of it once `is_all_safe`.
    pub fn adopt(&mut self, now: Now, moved: Vec<(u64, Kept)>) -> bool {
        let config = Arc::clone(&self.config);
        let known = Known::of(&config);
        for (key, mut kept) in moved {
            self.own_ids.above(key);
            if self.restored.contains(&key) {
                continue;
            }
            if !self.write_again(now, key, &mut kept) {
                return false;
            }
            // Whose carrier is not known any more is in our journal now, and stays there.
            self.restore(now, key, &kept, &known);
            self.restored.insert(key);
        }
        self.index_soon(now);
        true
    }

    fn write_again(&mut self, now: Now, key: u64, kept: &mut Kept) -> bool {
        let Some(records) = &mut self.records else { return false };
        let mut again = |record: &Record<'_>| {
            let lsn = records.pen.append(now, key, record, None)?;
            Some(Written { lsn, origin: lsn, wall: now.wall })
        };
        if let Some(accepted) = &mut kept.accepted {
            let awaited = accepted.awaited.saturating_sub(kept.answered);
            let Some(written) = again(&Record::Sent { awaited, facts: accepted.facts() }) else {
                return false;
            };
            (accepted.record, accepted.awaited, kept.answered) = (written, awaited, 0);
        }
        for taken in kept.taken.values_mut() {
            let (carrier, pdu) = (&taken.carrier, &taken.pdu);
            let written = match &taken.esme {
                Some(esme) => again(&Record::MoIn { carrier, esme, pdu }),
                None => again(&Record::DlrIn { carrier, pdu }),
            };
            let Some(written) = written else { return false };
            taken.record = written;
        }
        true
    }

    /// True when everything that was appended is safe, as far as the journal ever makes it so.
    #[must_use]
    pub fn is_all_safe(&self) -> bool {
        self.records.as_ref().is_none_or(|records| records.is_all_safe())
    }

    /// Other shards have these keys now.
    pub fn disown(&mut self, now: Now, keys: &[u64]) {
        let Some(records) = &mut self.records else { return };
        for key in keys {
            let over = Record::Tombstone { reason: NO_REASON };
            if records.pen.append(now, *key, &over, None).is_none() {
                // They are told apart by their keys at the next start.
                return;
            }
        }
    }

    fn index_soon(&mut self, now: Now) {
        if !self.indexing.is_empty() {
            self.tick_later(now.mono, Timer::Restored);
        }
    }

    /// Lets sinks read what is durable, and keeps what they have not got. After `attach`.
    pub fn feed(&mut self, cursors: Arc<Cursors>) {
        if let Some(records) = &mut self.records {
            records.feed(cursors);
        }
    }

    fn restore(&mut self, now: Now, key: u64, kept: &Kept, known: &Known<'_>) -> Option<()> {
        let Some(accepted) = &kept.accepted else {
            return kept.taken.values().try_for_each(|taken| {
                let esme = self.own_account(known, taken.esme.as_deref()?)?;
                self.restore_delivery(now, key, taken, (esme, OpenKey::default()), None, known).map(|_| ())
            });
        };
        let facts = accepted.facts();
        let esme = self.own_account(known, facts.esme)?;
        let carrier = *known.carriers.get(facts.carrier)?;
        let mut open = OpenMessage::new(key, esme, Wall(facts.accepted), facts.source, facts.destination);
        open.carrier = Some(carrier);
        open.submitted = Wall(facts.submitted);
        (open.attempts, open.parts, open.data_coding) = (facts.attempts, facts.parts, facts.data_coding);
        open.given = Given::of_text(facts.id);
        open.message_id = IdText::from_slice(facts.message_id);
        open.awaited = accepted.awaited.saturating_sub(kept.answered);
        (open.lsn, open.origin) = (accepted.record.lsn, accepted.record.origin);
        let (given, awaited) = (open.given, open.awaited);
        let records = self.records.as_mut()?;
        let handle = records.open.insert(open)?;
        let expires = now.mono.after(left(RECEIPT_KEEP, Wall(facts.accepted), now.wall));
        records.open.waits(handle, expires);
        let mut finals = 0;
        for taken in kept.taken.values() {
            let ids = Some((given, facts.message_id));
            let is_final = self.restore_delivery(now, key, taken, (esme, handle), ids, known);
            finals += u16::from(is_final == Some(true));
        }
        let indexed = Indexed {
            carrier,
            id: IdText::from_slice(facts.message_id),
            given,
            esme,
            link: LinkId::default(),
            destination: destinations(facts.destination),
            awaited: awaited.saturating_sub(finals),
            record: handle.number(),
        };
        if self.is_here(carrier) {
            self.index_restored(now, &indexed);
        } else {
            self.indexing.push((self.home_of(carrier), indexed));
        }
        Some(())
    }

    /// An account that is at home here.
    fn own_account(&self, known: &Known<'_>, name: &[u8]) -> Option<EsmeId> {
        known.esmes.get(name).copied().filter(|esme| self.is_own(*esme))
    }

    /// `ids`: what the ESME was given for a receipt's message, and the carrier's id. True when it is a final receipt.
    fn restore_delivery(
        &mut self,
        now: Now,
        key: u64,
        taken: &Taken,
        (esme, record): (EsmeId, OpenKey),
        ids: Option<(Given, &[u8])>,
        known: &Known<'_>,
    ) -> Option<bool> {
        let carrier = *known.carriers.get(&*taken.carrier)?;
        let records = self.records.as_mut()?;
        let delivered = Delivered::kept(&taken.pdu)?;
        let v33 = self.carriers.get(carrier.index()).is_some_and(super::mt::is_v33);
        let receipt = delivered.receipt(v33).filter(|_| taken.esme.is_none());
        let keep = self.accounts.get(esme.index())?.settings.waiting.keep;
        let is_final = receipt.is_some_and(|receipt| !receipt.intermediate);
        let known_as = receipt.zip(ids).and_then(|(receipt, (given, id))| {
            given.text().or_else(|| differs(&receipt, id).then(|| IdText::from_slice(id)))
        });
        let delivery = Delivery {
            origin: Origin::Journal,
            is_receipt: receipt.is_some(),
            known_as,
            is_final,
            state: receipt.and_then(|receipt| receipt.state).unwrap_or(MessageState::Unknown),
            frame: records.frames.take_in(taken.pdu.clone()),
            until: now.mono.after(left(keep, taken.record.wall, now.wall)),
            record,
            key,
            lsn: taken.record.lsn,
            origin_lsn: taken.record.origin,
            came: taken.record.wall,
            ..delivery_of(LinkId::default(), carrier, esme, &delivered.pdu)
        };
        let delivery = self.deliveries.insert(delivery);
        self.queue_kept(now, esme, delivery);
        Some(is_final)
    }

    /// A message of the last run may get its receipts from a carrier of ours.
    fn index_restored(&mut self, now: Now, indexed: &Indexed) {
        let entry =
            self.ledger.insert(now.mono, &NewEntry { awaited: indexed.awaited.max(1), ..indexed.entry(0) });
        if indexed.awaited == 0 {
            // Its last receipt is with us.
            self.ledger.receipt_done(entry, 0);
        }
    }

    /// Another shard has taken back a message that a carrier of ours has: the receipts that came before it go on.
    pub(super) fn on_restored(&mut self, now: Now, indexed: &Indexed, out: &mut Outbox) {
        self.index_restored(now, indexed);
        if !self.parked.is_empty() {
            self.unpark(now, indexed.carrier, &indexed.id, out);
        }
    }

    /// Tells other shards of messages that their carriers have, some in each turn.
    pub(super) fn tell_restored(&mut self, now: Now, out: &mut Outbox) {
        if self.indexing.is_empty() {
            return;
        }
        for _ in 0..INDEXED_PER_TURN {
            let Some((home, indexed)) = self.indexing.pop() else { return };
            self.send_mail(now, home, Mail::Restored(indexed), out);
        }
        self.tick_later(now.mono, Timer::Restored);
    }

    /// The records of a message, as another shard carries them.
    pub(super) fn record_of(&self, open: OpenKey) -> u64 {
        if self.has_records(open) { open.number() } else { 0 }
    }
}
