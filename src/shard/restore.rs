//! What the last run left. Owns: nothing. Takes: what the journal says is not over. Gives: the messages that wait for
//! receipts to the index of their carriers' homes, the receipts and MO that wait to their accounts. Never: forgets what
//! it cannot place: its records stay needed until the account or carrier is there again.

use super::Shard;
use super::kept::differs;
use super::mail::{Indexed, Mail};
use super::message::{Delivery, Origin};
use super::mo::{Delivered, delivery_of};
use super::mt::Body;
use super::port::{Level, Outbox};
use super::records::Records;
use super::store::{OURSELVES, instant_of, own_receipt};
use super::timers::Timer;
use crate::config::Config;
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId, ShardId};
use crate::journal::record::NO_REASON;
use crate::journal::{Cipher, Cursors, Facts, Lsn, Record, Recorder};
use crate::ledger::restored::{Kept, Promised, Steered, Taken, Written};
use crate::ledger::{
    AddressTail, Destinations, End, Given, IdText, Lone, NewEntry, OpenKey, OpenMessage, Over, Remains,
    Restored, Still, StoredMessage,
};
use crate::limits::RECEIPT_KEEP;
use crate::smpp::frame::Pdu;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Now, Wall};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Messages whose carriers' homes are told of them in one turn.
const INDEXED_PER_TURN: usize = 256;

/// Of a message that no route leads anywhere.
const NOWHERE: PoolId = PoolId(u32::MAX);

/// What is to go on as soon as all of it is there.
#[derive(Debug, Default)]
pub(super) struct TakingUp {
    /// That of this shard's journal.
    remains: Remains,
    /// What other journals had, written again; of one that is in both this is the whole one.
    adopted: BTreeMap<u64, Kept>,
}

/// Messages whose places in the book are looked for together: one after the other, each would wait for memory alone.
const TOGETHER: usize = 16;

/// Something of an account that is at home on this shard now, by its key.
pub type Moved = (ShardId, u64, Kept);

/// Names of the last run and what they are in this one.
pub(super) struct Known<'a> {
    esmes: HashMap<&'a [u8], EsmeId>,
    carriers: HashMap<&'a [u8], CarrierId>,
    pools: HashMap<&'a [u8], PoolId>,
}

/// How much of a span is left when it began so long ago; a clock that went back takes nothing away.
pub(super) fn left(span: Duration, begun: Wall, now: Wall) -> Duration {
    let ago = Duration::from_micros(u64::try_from(now.0.saturating_sub(begun.0)).unwrap_or(0));
    span.saturating_sub(ago)
}

/// Of the destinations of a message, those for which no final receipt is to come when these receipts are through.
fn over_of<'a>(over: &Over, text: &[u8], pdus: impl Iterator<Item = &'a [u8]>) -> Over {
    let (mut over, destinations) = (over.clone(), Destinations::of_text(text));
    for delivered in pdus.filter_map(Delivered::kept) {
        over.take(&destinations, AddressTail::of(delivered.source()));
    }
    over
}

/// A message of which a SENT says this.
pub(super) fn open_of(key: u64, (esme, carrier): (EsmeId, CarrierId), facts: &Facts<'_>) -> OpenMessage {
    let mut open = OpenMessage::new(key, esme, Wall(facts.accepted), facts.source, facts.destination);
    open.carrier = Some(carrier).filter(|carrier| *carrier != OURSELVES);
    open.submitted = Wall(facts.submitted);
    (open.attempts, open.parts, open.data_coding) = (facts.attempts, facts.parts, facts.data_coding);
    open.given = Given::of_text(facts.id);
    open.message_id = IdText::from_slice(facts.message_id);
    open
}

/// What the index of its carrier's home is to say of a message of which a SENT says this.
pub(super) fn indexed_of(
    facts: &Facts<'_>,
    (esme, carrier): (EsmeId, CarrierId),
    (destination, awaited): (Destinations, u16),
    record: OpenKey,
) -> Indexed {
    Indexed {
        carrier,
        id: IdText::from_slice(facts.message_id),
        given: Given::of_text(facts.id),
        esme,
        link: LinkId::default(),
        destination,
        awaited,
        record: record.number(),
    }
}

/// Final receipts of a message that are still to come.
struct ToCome {
    awaited: u16,
    over: Over,
    destinations: Destinations,
}

impl ToCome {
    /// One has come, of this number; false: there was none to come.
    fn take(&mut self, tail: AddressTail) -> bool {
        if self.awaited == 0 {
            return false;
        }
        let before = self.over.clone();
        self.over.take(&self.destinations, tail);
        let is_one = matches!(self.destinations, Destinations::One(_));
        let is_news = is_one || self.over != before;
        self.awaited -= u16::from(is_news);
        is_news
    }
}

/// What a shard found in its journal and cannot give to anybody here.
#[derive(Debug, Default)]
pub struct Strays {
    /// By key, what belongs to accounts that are at home on another shard now.
    pub moved: Vec<Moved>,
}

impl<'a> Known<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        let (esmes, carriers) = (config.esmes.iter().enumerate(), config.carriers.iter().enumerate());
        let pools = config.pools.iter().enumerate();
        Self {
            esmes: esmes.map(|(index, esme)| (esme.name.as_bytes(), EsmeId::new(index))).collect(),
            carriers: carriers.map(|(index, one)| (one.name.as_bytes(), CarrierId::new(index))).collect(),
            pools: pools.map(|(index, pool)| (pool.name.as_bytes(), PoolId::new(index))).collect(),
        }
    }

    pub(super) fn owner(&self, kept: &Kept) -> Option<EsmeId> {
        let taken = kept.taken.iter().find_map(|taken| taken.esme.as_deref());
        let promised = kept.promised.as_ref().map(|promised| promised.esme());
        let name = kept.accepted.as_ref().map(|accepted| accepted.facts().esme).or(promised).or(taken)?;
        self.esmes.get(name).copied()
    }

    fn owner_of(&self, still: &Still<'_>) -> Option<EsmeId> {
        match still {
            Still::Lone(lone) => self.esmes.get(lone.facts.esme).copied(),
            Still::Kept(kept) => self.owner(kept),
        }
    }
}

impl Shard {
    /// Gives the shard its journal and what the last run left in it, before its first turn. What is not for it comes back;
    /// `take_up` is the last step.
    pub fn attach(&mut self, recorder: Box<dyn Recorder>, restored: Restored) -> Strays {
        self.own_ids.above(restored.highest());
        let (book, mut remains) = restored.remains();
        self.own_ids.above(remains.highest());
        self.records = Some(Box::new(Records::new(recorder, book, &self.config)));
        let (config, own) = (Arc::clone(&self.config), self.position.shard);
        let homes = &self.position.homes;
        let mut strays = Strays::default();
        // With nobody at home elsewhere there is nothing to look for.
        if (0..config.esmes.len()).any(|esme| homes.of_esme(EsmeId::new(esme)) != own) {
            let known = Known::of(&config);
            let home = |still: &Still<'_>| known.owner_of(still).map(|esme| homes.of_esme(esme));
            strays.moved = remains.extract(|still| home(still).filter(|home| *home != own));
        }
        self.taking_up.remains = remains;
        strays
    }

    /// Everything that is for this shard goes on, in the order of its keys, which is that in which it came: it may lie in
    /// several journals, since a crash can fall between two steps of a move. Gives how many keys are of accounts or
    /// carriers that the configuration does not know: they stay where they are.
    pub fn take_up(&mut self, now: Now) -> u64 {
        self.restored = HashMap::new();
        let TakingUp { remains, adopted } = core::mem::take(&mut self.taking_up);
        let config = Arc::clone(&self.config);
        let known = Known::of(&config);
        let mut unknown = 0;
        let mut adopted = adopted.into_iter().peekable();
        for (at, (key, still)) in remains.iter().enumerate() {
            if at.is_multiple_of(TOGETHER) {
                self.look_ahead(remains.keys(at).take(TOGETHER));
            }
            while let Some((before, kept)) = adopted.next_if(|(other, _)| *other < key) {
                unknown += u64::from(self.restore(now, before, &kept, &known).is_none());
            }
            let taken_up = match (adopted.next_if(|(other, _)| *other == key), still) {
                (Some((_, kept)), _) => self.restore(now, key, &kept, &known),
                (None, Still::Kept(kept)) => self.restore(now, key, kept, &known),
                (None, Still::Lone(lone)) => self.restore_lone(now, key, &lone, &known),
            };
            unknown += u64::from(taken_up.is_none());
        }
        for (key, kept) in adopted {
            unknown += u64::from(self.restore(now, key, &kept, &known).is_none());
        }
        self.ledger.all_slept();
        if !self.indexing.is_empty() || !self.indexing_sleepers.is_empty() {
            self.tick_later(now.mono, Timer::Restored);
        }
        unknown
    }

    /// None of these waits for another in the book; what they find is looked for again in memory that is near.
    fn look_ahead(&self, keys: impl Iterator<Item = u64>) {
        let Some(records) = &self.records else { return };
        core::hint::black_box(keys.filter(|key| records.pen.book.rests(*key).is_some()).count());
    }

    /// Takes what other shards' journals have of our accounts into our own. Of what is here already, or in two of them,
    /// because a crash fell into a move, the copy with the most records is the whole one. What found no room comes back:
    /// again when `is_all_safe`, which its former keepers wait for, too.
    pub fn adopt(&mut self, now: Now, moved: Vec<(u64, Kept)>) -> Vec<(u64, Kept)> {
        if self.restored.is_empty() {
            let remains = self.taking_up.remains.iter();
            self.restored = remains.map(|(key, still)| (key, still.records())).collect();
        }
        let mut moved = moved.into_iter();
        while let Some((key, mut kept)) = moved.next() {
            self.own_ids.above(key);
            let here = self.restored.get(&key).copied().unwrap_or(0);
            if kept.records() <= here {
                continue;
            }
            if !self.write_again(now, key, &mut kept, here > 0) {
                return core::iter::once((key, kept)).chain(moved).collect();
            }
            self.restored.insert(key, kept.records());
            self.taking_up.adopted.insert(key, kept);
        }
        Vec::new()
    }

    /// `instead`: of what is there of it.
    fn write_again(&mut self, now: Now, key: u64, kept: &mut Kept, instead: bool) -> bool {
        let Some(records) = &mut self.records else { return false };
        let over = Record::Tombstone { reason: NO_REASON };
        if instead && records.pen.append(now, key, &over, None).is_none() {
            return false;
        }
        let mut again = |record: &Record<'_>| {
            let lsn = records.pen.append(now, key, record, None)?;
            Some(Written { lsn, origin: lsn, wall: now.wall })
        };
        if let Some(promised) = &mut kept.promised {
            let Some(accept) = promised.accept() else { return true };
            let Some(written) = again(&accept) else { return false };
            promised.record = written;
            let Promised { attempt, carrier, .. } = &mut **promised;
            if let Some(attempt) = attempt {
                let number = attempt.number;
                let record = match attempt.refused {
                    None => Record::Sending { attempt: number, carrier },
                    Some((status, wait_ms)) => Record::Refused { attempt: number, status, wait_ms, carrier },
                };
                let Some(written) = again(&record) else { return false };
                // Its waits go on from when it was first written.
                attempt.record = Written { wall: attempt.record.wall, ..written };
            }
            if let Some(Steered { held, pool }) = kept.steered.as_deref()
                && again(&Record::Steer { held: *held, pool }).is_none()
            {
                return false;
            }
        }
        if let Some(accepted) = &mut kept.accepted {
            let awaited = accepted.awaited.saturating_sub(kept.answered.len() as u16);
            let answered = kept.answered.iter().map(Vec::as_slice);
            let over = over_of(&accepted.over, accepted.facts().destination, answered);
            let facts = accepted.facts();
            let Some(written) =
                again(&Record::Sent { awaited, kept: accepted.kept, over: over.bits(), facts })
            else {
                return false;
            };
            (accepted.record, accepted.awaited, accepted.over) = (written, awaited, over);
            kept.answered.clear();
        }
        for taken in &mut kept.taken {
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

    /// True when everything that was appended survives what the journal makes it survive.
    #[must_use]
    pub fn is_all_safe(&self) -> bool {
        self.records.as_ref().is_none_or(|records| records.pen.is_all_safe())
    }

    /// Other shards have these keys now. Gives how many it has let go of; for the others there was no room yet, and they
    /// must not be over elsewhere before: a later start would begin them again.
    pub fn disown(&mut self, now: Now, keys: &[u64]) -> usize {
        self.records.as_mut().map_or(0, |records| records.pen.disown(now, keys))
    }

    /// What messages say is sealed from now on. After `attach`.
    pub fn seal_with(&mut self, cipher: Cipher) {
        if let Some(records) = &mut self.records {
            records.pen.cipher = Some(cipher);
        }
    }

    /// Lets sinks read what is durable, and keeps what they have not got. After `attach`.
    pub fn feed(&mut self, cursors: Arc<Cursors>) {
        if let Some(records) = &mut self.records {
            records.feed(cursors);
        }
    }

    fn restore(&mut self, now: Now, key: u64, kept: &Kept, known: &Known<'_>) -> Option<()> {
        if let Some(promised) = kept.promised.as_ref().filter(|_| kept.accepted.is_none()) {
            return self.restore_stored(now, key, (promised, kept.steered.as_deref()), known);
        }
        let Some(accepted) = &kept.accepted else {
            return kept.taken.iter().try_for_each(|taken| {
                let esme = self.own_account(known, taken.esme.as_deref()?)?;
                self.restore_delivery(now, key, taken, (esme, OpenKey::default()), None, known)
            });
        };
        let facts = accepted.facts();
        let (esme, carrier) = self.parties(&facts, known)?;
        let ours = facts.message_id.is_empty();
        let is_lone = kept.taken.is_empty() && kept.answered.is_empty();
        let sent = (accepted.record.lsn, accepted.awaited);
        if is_lone && self.rests(now, (key, sent), (esme, carrier), &facts) {
            return Some(());
        }
        let mut open = open_of(key, (esme, carrier), &facts);
        open.awaited = accepted.awaited.saturating_sub(kept.answered.len() as u16);
        open.over = over_of(&accepted.over, facts.destination, kept.answered.iter().map(Vec::as_slice));
        (open.lsn, open.origin) = (accepted.record.lsn, accepted.record.origin);
        let given = open.given;
        let destinations = Destinations::of_text(facts.destination);
        let mut to_come = ToCome { awaited: open.awaited, over: open.over.clone(), destinations };
        if ours && kept.taken.is_empty() {
            return self.restore_end(now, open, accepted.record);
        }
        let records = self.records.as_mut()?;
        let handle = records.open.insert(open)?;
        let expires = now.mono.after(left(RECEIPT_KEEP, Wall(facts.accepted), now.wall));
        records.open.waits(handle, expires);
        if let Some(promised) = &kept.promised {
            self.restore_again(now, key, (handle, carrier), promised, known);
        }
        for taken in &kept.taken {
            let of = Some((given, facts.message_id, &mut to_come)).filter(|_| !ours);
            self.restore_delivery(now, key, taken, (esme, handle), of, known);
        }
        if ours {
            return Some(());
        }
        let is_to_come = (to_come.destinations, to_come.awaited);
        let indexed = indexed_of(&facts, (esme, carrier), is_to_come, handle);
        if self.is_here(carrier) {
            self.index_restored(now, &indexed, &to_come.over);
        } else {
            self.indexing.push((self.home_of(carrier), indexed, to_come.over));
        }
        Some(())
    }

    /// Most messages need nothing of memory: they are looked at where they were read.
    fn restore_lone(&mut self, now: Now, key: u64, lone: &Lone<'_>, known: &Known<'_>) -> Option<()> {
        let parties = self.parties(&lone.facts, known)?;
        if self.rests(now, (key, (lone.record.lsn, lone.awaited)), parties, &lone.facts) {
            return Some(());
        }
        self.restore(now, key, &lone.to_kept(), known)
    }

    /// Whose message it is, and who has it.
    fn parties(&self, facts: &Facts<'_>, known: &Known<'_>) -> Option<(EsmeId, CarrierId)> {
        let esme = self.own_account(known, facts.esme)?;
        let carrier = known.carriers.get(facts.carrier).copied();
        // One that ended with us waits for its receipt of ours, whoever had it.
        let ours = facts.message_id.is_empty();
        Some((esme, if ours { carrier.unwrap_or(OURSELVES) } else { carrier? }))
    }

    /// A message for which nothing has come: true, and its receipt finds it on the disk.
    fn rests(
        &mut self,
        now: Now,
        (key, sent): (u64, (Lsn, u16)),
        (esme, carrier): (EsmeId, CarrierId),
        facts: &Facts<'_>,
    ) -> bool {
        let rests = self.sleeps_on(now, (key, sent), esme, facts);
        if rests {
            self.index_sleeper(carrier, facts.message_id, key);
        }
        rests
    }

    /// A message that ended with us, and whose receipt was not written any more.
    fn restore_end(&mut self, now: Now, open: OpenMessage, record: Written) -> Option<()> {
        let end = End::expired(CommandStatus::OK);
        let frame = own_receipt(&open, &end, now);
        let records = self.records.as_mut()?;
        let (esme, key) = (open.esme, open.key);
        let mut open = open;
        (open.lsn, open.origin) = (record.lsn, record.origin);
        open.end = Some(Box::new(end));
        let handle = records.open.insert(open)?;
        let keep = self.accounts.get(esme.index())?.settings.waiting.keep;
        let delivery = {
            let pdu = Pdu::whole(&frame)?;
            delivery_of(LinkId::default(), OURSELVES, esme, &pdu)
        };
        let records = self.records.as_mut()?;
        let delivery = Delivery {
            origin: Origin::Journal,
            is_receipt: true,
            is_final: true,
            state: MessageState::Expired,
            frame: records.frames.take_in(frame),
            until: now.mono.after(keep),
            record: handle,
            key,
            came: now.wall,
            origin_lsn: record.origin,
            ..delivery
        };
        let delivery = self.deliveries.insert(Box::new(delivery));
        self.queue_kept(now, esme, delivery);
        Some(())
    }

    /// A message that we answered and no carrier has accepted: it may leave, is tried again at its time, or it is not
    /// known what became of it.
    fn restore_stored(
        &mut self,
        now: Now,
        key: u64,
        (promised, steered): (&Promised, Option<&Steered>),
        known: &Known<'_>,
    ) -> Option<()> {
        let (mut message, due) = self.stored_of(now, key, (promised, steered), known)?;
        if message.pool == NOWHERE {
            return None;
        }
        if let Some(attempt) = promised.attempt {
            message.attempts = attempt.number;
            message.outcome = attempt.record.lsn;
            message.submitted = attempt.record.wall;
            message.status = CommandStatus(attempt.refused.map_or(0, |(status, _)| status));
            message.last = known.carriers.get(&*promised.carrier).copied().unwrap_or(OURSELVES);
            message.unknown = attempt.refused.is_none();
        }
        let unknown = message.unknown;
        let records = self.records.as_mut()?;
        let stored = records.stored.insert(message);
        if due > now.wall {
            records.stored.not_before(stored, instant_of(now, due));
        }
        records.stored.safe(stored);
        if let Some(attempt) = promised.attempt {
            let ago = Duration::from_micros(u64::try_from(now.wall.0 - attempt.record.wall.0).unwrap_or(0));
            let wait = attempt.refused.map_or(Duration::ZERO, |(_, wait)| Duration::from_millis(wait.into()));
            if unknown {
                records.stored.under_way(stored);
                records.unknown.push((stored, ago));
            } else if wait > ago {
                records.stored.postpone(stored, now.mono.after(wait - ago));
            }
        }
        // The disk has it: the octets of a long queue go again at once.
        records.stored.leave_memory(promised.record.lsn);
        self.look_later();
        Some(())
    }

    /// A message of which an ACCEPT says this, and when it may leave.
    fn stored_of(
        &mut self,
        now: Now,
        key: u64,
        (promised, steered): (&Promised, Option<&Steered>),
        known: &Known<'_>,
    ) -> Option<(StoredMessage, Wall)> {
        let Some(Record::Accept { accepted, validity, due, esme, id, pdu }) = promised.accept() else {
            return None;
        };
        let esme = self.own_account(known, esme)?;
        let sent_to = steered.and_then(|steered| self.pool_of(steered, known));
        let (pool, chain, registered) = {
            let pdu = Pdu::whole(pdu)?;
            let body = Body::again(&pdu);
            let pool = sent_to.or_else(|| self.pool_for(esme, body.source(), body.destination()).ok());
            (pool, super::store::chain_of(esme, body.destination()), body.registered_delivery())
        };
        let (pool, expires) = (pool.unwrap_or(NOWHERE), instant_of(now, Wall(validity)));
        let mut message = StoredMessage::new(key, esme, pool, (Wall(accepted), expires), chain, pdu.to_vec());
        message.given = Given::of_text(id);
        (message.lsn, message.origin) = (promised.record.lsn, promised.record.origin);
        message.registered = registered;
        message.class = u8::try_from(self.class_of(esme)).unwrap_or(0);
        if let Some(steered) = steered {
            message = message.steered(steered.held, sent_to.is_some());
        }
        Some((message, Wall(due)))
    }

    /// A carrier has it, and it may be sent again when its receipt says so. Without a pool its record stays all the same, and is
    /// copied with the others.
    fn restore_again(
        &mut self,
        now: Now,
        key: u64,
        (open, carrier): (OpenKey, CarrierId),
        promised: &Promised,
        known: &Known<'_>,
    ) {
        let Some((mut message, _)) = self.stored_of(now, key, (promised, None), known) else { return };
        let Some(records) = &mut self.records else { return };
        if let Some(sent) = records.open.get(open) {
            (message.attempts, message.submitted, message.last) = (sent.attempts, sent.submitted, carrier);
        }
        records.open.may_still_go_again(open, message);
    }

    /// The pool that an operator has sent a message to. One that there is no more is counted.
    fn pool_of(&mut self, steered: &Steered, known: &Known<'_>) -> Option<PoolId> {
        let name = steered.pool.as_slice();
        let pool = known.pools.get(name).copied();
        if pool.is_none()
            && !name.is_empty()
            && let Some(records) = &mut self.records
        {
            *records.pools_gone.entry(name.to_vec()).or_default() += 1;
        }
        pool
    }

    /// What was under way when the last run ended: its pool says what becomes of it, once the shard runs.
    pub(super) fn settle_unknown(&mut self, now: Now, out: &mut Outbox) {
        while let Some((name, messages)) =
            self.records.as_mut().and_then(|records| records.pools_gone.pop_first())
        {
            self.log(now, out, Level::Warn, "queue_pool_gone", |_| {
                vec![
                    ("pool", String::from_utf8_lossy(&name).into_owned()),
                    ("messages", messages.to_string()),
                ]
            });
        }
        while let Some((key, ago)) = self.records.as_mut().and_then(|records| records.unknown.pop()) {
            self.unknown_stored(now, key, ago, out);
        }
    }

    /// An account that is at home here.
    fn own_account(&self, known: &Known<'_>, name: &[u8]) -> Option<EsmeId> {
        known.esmes.get(name).copied().filter(|esme| self.is_own(*esme))
    }

    /// `of`: of a receipt's message what the ESME was given, the carrier's id, and what is still to come. One that says the
    /// end once more stays with the records of its message: what its ESME said to the first may be lost.
    fn restore_delivery(
        &mut self,
        now: Now,
        key: u64,
        taken: &Taken,
        (esme, record): (EsmeId, OpenKey),
        of: Option<(Given, &[u8], &mut ToCome)>,
        known: &Known<'_>,
    ) -> Option<()> {
        let carrier = known.carriers.get(&*taken.carrier).copied();
        let carrier = if taken.carrier.is_empty() { OURSELVES } else { carrier? };
        let records = self.records.as_mut()?;
        let delivered = Delivered::kept(&taken.pdu)?;
        let v33 = self.carriers.get(carrier.index()).is_some_and(super::mt::is_v33);
        let says = delivered.receipt(v33);
        let state = says.and_then(|receipt| receipt.state).unwrap_or(MessageState::Unknown);
        // What is for an account by its name is none, or one that an operator asked for.
        let receipt = says.filter(|_| taken.esme.is_none());
        let keep = self.accounts.get(esme.index())?.settings.waiting.keep;
        let is_final = receipt.is_some_and(|receipt| !receipt.intermediate);
        let mut known_as = None;
        if let (Some(receipt), Some((given, id, to_come))) = (receipt, of) {
            if is_final && !to_come.take(AddressTail::of(delivered.source())) {
                return Some(());
            }
            known_as = given.text().or_else(|| differs(&receipt, id).then(|| IdText::from_slice(id)));
        }
        let delivery = Delivery {
            origin: Origin::Journal,
            is_receipt: receipt.is_some(),
            known_as,
            is_final,
            state,
            frame: records.frames.take_in(taken.pdu.clone()),
            until: now.mono.after(left(keep, taken.record.wall, now.wall)),
            record,
            key,
            lsn: taken.record.lsn,
            origin_lsn: taken.record.origin,
            came: taken.record.wall,
            ..delivery_of(LinkId::default(), carrier, esme, &delivered.pdu)
        };
        let delivery = self.deliveries.insert(Box::new(delivery));
        self.queue_kept(now, esme, delivery);
        Some(())
    }

    /// A message of the last run may get its receipts from a carrier of ours.
    fn index_restored(&mut self, now: Now, indexed: &Indexed, over: &Over) {
        let entry =
            self.ledger.insert(now.mono, &NewEntry { awaited: indexed.awaited.max(1), ..indexed.entry(0) });
        self.ledger.are_over(entry, over);
        if indexed.awaited == 0 {
            // Its last receipt is with us.
            self.ledger.receipt_done(entry, 0);
        }
    }

    /// Another shard has taken back a message that a carrier of ours has: the receipts that came before it go on.
    pub(super) fn on_restored(&mut self, now: Now, indexed: &Indexed, over: &Over, out: &mut Outbox) {
        self.index_restored(now, indexed, over);
        if !self.parked.is_empty() {
            self.unpark(now, indexed.carrier, &indexed.id, out);
        }
    }

    /// A message that stays on the disk may get its receipts from a carrier of ours, or of another shard.
    fn index_sleeper(&mut self, carrier: CarrierId, id: &[u8], key: u64) {
        if self.is_here(carrier) {
            self.ledger.slept_too(carrier, id, key);
        } else {
            self.indexing_sleepers.push((carrier, IdText::from_slice(id), key));
        }
    }

    /// Another shard has a message that a carrier of ours has, on the disk alone.
    pub(super) fn on_slept(
        &mut self,
        now: Now,
        (carrier, id): (CarrierId, &IdText),
        key: u64,
        out: &mut Outbox,
    ) {
        self.ledger.slept(carrier, id, key);
        self.wake_for_parked(now, carrier, id, out);
    }

    /// Tells other shards of messages that their carriers have, some in each turn.
    pub(super) fn tell_restored(&mut self, now: Now, out: &mut Outbox) {
        for _ in 0..INDEXED_PER_TURN {
            if let Some((home, indexed, over)) = self.indexing.pop() {
                self.send_mail(now, home, Mail::Restored(indexed, over), out);
            } else if let Some((carrier, id, key)) = self.indexing_sleepers.pop() {
                self.send_mail(now, self.home_of(carrier), Mail::Slept { carrier, id, key }, out);
            } else {
                return;
            }
        }
        self.tick_later(now.mono, Timer::Restored);
    }

    /// The records of a message, as another shard carries them.
    pub(super) fn record_of(&self, open: OpenKey) -> u64 {
        if self.has_records(open) { open.number() } else { 0 }
    }
}
