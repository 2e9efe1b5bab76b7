//! Accepted messages whose receipts are long in coming: they leave memory, and come back when something may be for them.
//!
//! Owns: which are being read back, and why; the operations that wait for one. Takes: the entries that nobody has asked for in
//! `SLEEP_AFTER`, receipts and operations that may be for a message that sleeps, what the journal reads back. Gives: each
//! message back to the index and to its owner as it was. Never: decides whose a receipt is while a message that it may be for
//! sleeps; lets one sleep whose record is not durable, or that a receipt has come for.
//!
//! ```text
//!   carrier's home ── Sleep ──▶ account's home ── Sleeps ──▶ the index keeps 12 octets, the owner its place in the journal
//!   carrier's home ── Wake ───▶ account's home ··· read back ··· Woken, Gone ──▶ receipts and operations go on
//! ```
//!
//! Its owner also reads one back to copy it to the end of the journal, and to end it when its time is over.

use super::Shard;
use super::mail::{Indexed, Mail, Tag};
use super::moves::Moving;
use super::own_id::OwnIds;
use super::port::{Level, Outbox};
use super::records::Records;
use super::restore::{indexed_of, left, open_of};
use super::timers::Timer;
use crate::config::Config;
use crate::esme::settings::ReceiptsTo;
use crate::ids::{CarrierId, EsmeId, LinkId, ShardId};
use crate::journal::record::NO_REASON;
use crate::journal::{Facts, Kind, Lsn, Recall, Recalled, Record, Wanted};
use crate::ledger::{Destinations, End, EntryKey, Given, IdText, Ledger, OpenKey};
use crate::limits::{
    RECALL_OPERATIONS_MAX, RECEIPT_KEEP, SLEEP_AFTER, SLEEP_LOOK, SLEEPERS_ENDED, SLEEPERS_LOOKED,
    SLEEPS_ASKED_MAX, SLEEPS_PER_TURN,
};
use crate::smpp::receipt::Receipt;
use crate::time::{Duration, Instant, Now, Wall};
use std::collections::{HashMap, VecDeque};

/// Why a message is read back.
#[derive(Debug, Clone, Copy, Default)]
struct Errand {
    /// Somebody may want it; the home of its carrier, and the hash that this one knows it by.
    wakes: bool,
    asked_by: Option<(ShardId, u32)>,
    /// Its time is over.
    ends: bool,
    /// It is to be copied to the end of the journal.
    moves: bool,
}

/// What an operation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleeper {
    /// A message of ours, by its key.
    Own(u64),
    /// One of a carrier of ours, by the hash of its id.
    Hash(u32),
}

/// query_sm, cancel_sm or replace_sm of a message that may sleep.
#[derive(Debug)]
struct Waiting {
    sleeper: Sleeper,
    asked: (ShardId, Tag),
    esme: EsmeId,
    session: (LinkId, Instant),
    frame: Vec<u8>,
}

/// A message that may leave memory as soon as its response has left us: its receipt must not be there first.
#[derive(Debug)]
struct Tired {
    asked: (ShardId, Tag),
    open: OpenKey,
    /// Where its session's stream was when that was asked.
    written: (LinkId, u64),
}

/// True for the text of an id that is found by the index alone.
fn is_short(id: &[u8]) -> bool {
    matches!(Given::of_text(id), Given::Short(_))
}

/// The places of accounts and carriers, in the order of their names.
#[derive(Debug)]
struct Names {
    esmes: Box<[u32]>,
    carriers: Box<[u32]>,
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Box<[u32]> {
    let mut all: Vec<(&str, u32)> = names.zip(0..).collect();
    all.sort_unstable();
    all.into_iter().map(|(_, place)| place).collect()
}

impl Names {
    fn esme(&self, config: &Config, name: &[u8]) -> Option<EsmeId> {
        let of = |place: &u32| config.esme_name(EsmeId(*place)).as_bytes();
        let at = self.esmes.binary_search_by(|place| of(place).cmp(name)).ok()?;
        self.esmes.get(at).copied().map(EsmeId)
    }

    fn carrier(&self, config: &Config, name: &[u8]) -> Option<CarrierId> {
        let of = |place: &u32| config.carrier_name(CarrierId(*place)).as_bytes();
        let at = self.carriers.binary_search_by(|place| of(place).cmp(name)).ok()?;
        self.carriers.get(at).copied().map(CarrierId)
    }
}

/// See the room's header.
#[derive(Debug)]
pub(super) struct Sleeping {
    names: Names,
    after: Duration,
    /// The timer runs.
    armed: bool,
    /// Entries that may leave memory are looked for until there is none.
    looks: bool,
    /// Owners that have not answered whether theirs may.
    asked: usize,
    /// Ours whose responses may still be here.
    tired: Vec<Tired>,
    errands: HashMap<u64, Errand>,
    /// Those of them that the disk has not been asked for yet.
    unread: VecDeque<u64>,
    operations: Vec<Waiting>,
    /// By the hash of a message that is to wake: the ids of receipts that wait for it. It may be another one's whose hash is
    /// the same.
    roused: HashMap<u32, Vec<(CarrierId, IdText)>>,
    /// Those with records below this one are looked for, to be copied.
    copy_below: Option<Lsn>,
}

impl Sleeping {
    pub(super) fn new(config: &Config) -> Self {
        let esmes = sorted(config.esmes.iter().map(|esme| esme.name.as_str()));
        let carriers = sorted(config.carriers.iter().map(|carrier| carrier.name.as_str()));
        Self {
            names: Names { esmes, carriers },
            after: SLEEP_AFTER,
            armed: false,
            looks: false,
            asked: 0,
            tired: Vec::new(),
            errands: HashMap::new(),
            unread: VecDeque::new(),
            operations: Vec::new(),
            roused: HashMap::new(),
            copy_below: None,
        }
    }

    /// True while something is to be read that is not durable yet, or that the disk had no time for.
    pub(super) fn waits(&self) -> bool {
        !self.unread.is_empty()
    }

    /// True while messages are looked for that are to be copied.
    pub(super) const fn copies(&self) -> bool {
        self.copy_below.is_some()
    }
}

impl Records {
    /// A message is read back, once, whatever for.
    fn read_back(&mut self, key: u64, why: impl FnOnce(&mut Errand)) {
        let mut is_new = false;
        why(self.sleeping.errands.entry(key).or_insert_with(|| {
            is_new = true;
            Errand::default()
        }));
        if is_new && !self.read_sleeper(key) {
            self.sleeping.unread.push_back(key);
        }
    }

    /// False: not now.
    fn read_sleeper(&mut self, key: u64) -> bool {
        let Some(lsn) = self.pen.book.rests(key) else { return false };
        lsn <= self.pen.recorder.durable() && self.ask_disk(Recall { wanted: Wanted::Sent, lsn, key, tag: 0 })
    }

    /// True when the next one that waits to be read can be.
    pub(super) fn may_read_sleeper(&self) -> bool {
        let next = self.sleeping.unread.front().and_then(|key| self.pen.book.rests(*key));
        next.is_some_and(|lsn| lsn <= self.pen.recorder.durable()) && !self.recalls_enough()
    }

    fn read_sleepers(&mut self) {
        while let Some(key) = self.sleeping.unread.front()
            && self.pen.book.rests(*key).is_none()
        {
            debug_assert!(false, "what is to be read sleeps until it was");
            self.sleeping.errands.remove(key);
            self.sleeping.unread.pop_front();
        }
        while self.may_read_sleeper()
            && let Some(key) = self.sleeping.unread.pop_front()
        {
            if !self.read_sleeper(key) {
                return self.sleeping.unread.push_front(key);
            }
        }
    }

    /// Those with records below this one are to be copied.
    pub(super) fn copy_sleepers(&mut self, below: Lsn) {
        if !self.open.asleep.is_empty() {
            self.open.asleep.begin();
            self.sleeping.copy_below = Some(below);
        }
    }

    /// Looks through some for those that are.
    pub(super) fn find_sleepers_to_copy(&mut self) {
        let Some(below) = self.sleeping.copy_below else { return };
        let Self { open, pen, moving, .. } = self;
        let is_last = open.asleep.look(|key| {
            let lsn = pen.book.rests(*key);
            moving.extend(lsn.filter(|lsn| *lsn < below).map(|_| Moving::Asleep(*key)));
            lsn.is_some()
        });
        if is_last {
            self.sleeping.copy_below = None;
        }
    }

    pub(super) fn copy_sleeper(&mut self, key: u64) {
        // It may have been copied since it was found.
        if self.pen.book.rests(key).is_some_and(|lsn| lsn < self.recalling.move_below) {
            self.read_back(key, |errand| errand.moves = true);
        }
    }

    /// Its copy takes its place; it sleeps on.
    fn copy_read(&mut self, now: Now, recalled: &Recalled, payload: &[u8], facts: &Facts<'_>) {
        let Recall { key, lsn: from, .. } = recalled.recall;
        let (origin, kind) = (recalled.origin, Kind::Sent as u8);
        let copy = Record::Move { from, origin, kind, version: 1, wall: facts.submitted, payload };
        if self.pen.append(now, key, &copy, Some(from)).is_none() {
            self.moving.push_front(Moving::Asleep(key));
        }
    }
}

impl Shard {
    /// Messages stay in memory for so long after they were accepted, in place of `SLEEP_AFTER`; for a simulation, which has
    /// less time. After `attach`.
    pub fn sleeps_after(&mut self, after: Duration) {
        if let Some(records) = &mut self.records {
            records.sleeping.after = after;
        }
    }

    /// Once a turn.
    pub(super) fn turn_asleep(&mut self, now: Now, out: &mut Outbox) {
        let Some(records) = &mut self.records else { return };
        let Sleeping { armed, after, .. } = &mut records.sleeping;
        if !*armed && (self.ledger.awaited() > 0 || !records.open.asleep.is_empty()) {
            *armed = true;
            let at = now.mono.after((*after).clamp(SLEEP_LOOK / 50, SLEEP_LOOK));
            self.timers.push_once(at, Timer::Asleep);
        }
        records.read_sleepers();
        let tired = &mut records.sleeping.tired;
        let ready: Vec<Tired> =
            tired.extract_if(.., |tired| out.is_flushed(tired.written.0, tired.written.1)).collect();
        for Tired { asked, open, .. } in ready {
            self.let_sleep(now, asked, open, out);
        }
        let Some(records) = &mut self.records else { return };
        if records.sleeping.looks {
            self.ask_tired(now, out);
        }
    }

    /// Once in a while.
    pub(super) fn tick_asleep(&mut self, now: Now, out: &mut Outbox) {
        let Some(records) = &mut self.records else { return };
        records.sleeping.armed = false;
        records.sleeping.looks = true;
        if !records.sleeping.copies() {
            let Records { open, pen, .. } = &mut **records;
            (0..SLEEPERS_LOOKED).any(|_| open.asleep.look(|key| pen.book.rests(*key).is_some()));
        }
        for _ in 0..SLEEPERS_ENDED {
            let Some(key) = records.open.asleep.first() else { break };
            let rests = records.pen.book.rests(key).is_some();
            if rests && !left(RECEIPT_KEEP, OwnIds::wall_of(key), now.wall).is_zero() {
                break;
            }
            records.open.asleep.drop_first();
            if rests {
                records.read_back(key, |errand| errand.ends = true);
            }
        }
        self.turn_asleep(now, out);
    }

    /// Asks the owners of the oldest messages whether these may leave memory.
    fn ask_tired(&mut self, now: Now, out: &mut Outbox) {
        for _ in 0..SLEEPS_PER_TURN {
            let Some(sleeping) = self.records.as_mut().map(|records| &mut records.sleeping) else { return };
            if sleeping.asked >= SLEEPS_ASKED_MAX {
                return;
            }
            let since = now.mono.since(Instant::ZERO).saturating_sub(sleeping.after);
            let Some((entry, esme, (link, record))) = self.ledger.tired(Instant::ZERO.after(since)) else {
                sleeping.looks = false;
                return;
            };
            sleeping.asked += 1;
            let mail = Mail::Sleep { tag: Tag(entry.number()), record, link };
            self.send_mail(now, self.position.homes.of_esme(esme), mail, out);
        }
    }

    /// A message of ours has an entry elsewhere that may leave memory.
    pub(super) fn on_sleep(
        &mut self,
        now: Now,
        asked: (ShardId, Tag),
        record: u64,
        link: LinkId,
        out: &mut Outbox,
    ) {
        let (open, written) = (OpenKey::of(record), (link, out.position(link)));
        match &mut self.records {
            Some(records) if !out.is_flushed(written.0, written.1) => {
                records.sleeping.tired.push(Tired { asked, open, written });
            }
            _ => self.let_sleep(now, asked, open, out),
        }
    }

    fn let_sleep(&mut self, now: Now, (from, tag): (ShardId, Tag), open: OpenKey, out: &mut Outbox) {
        let key = if self.may_sleep_here(open) { self.put_to_sleep(open) } else { None };
        self.send_mail(now, from, Mail::Sleeps { tag, key: key.unwrap_or(0) }, out);
    }

    fn may_sleep_here(&self, open: OpenKey) -> bool {
        let Some(records) = &self.records else { return false };
        let recorder = &records.pen.recorder;
        let Some(message) = records.open.get(open) else { return false };
        let is_safe =
            message.lsn != Lsn::NONE && message.lsn <= recorder.durable() && recorder.failed().is_none();
        let is_plain = message.awaited == 1 && message.end.is_none() && records.open.again(open).is_none();
        is_safe && is_plain && self.gave(message.key) && self.is_asked_by_any(message.esme)
    }

    fn put_to_sleep(&mut self, open: OpenKey) -> Option<u64> {
        let records = self.records.as_mut()?;
        let key = records.open.get(open)?.key;
        // With a second record something of it waits for its account.
        if !records.pen.book.rest(key, true) {
            return None;
        }
        records.open.sleep(open)
    }

    /// A message of another shard that a carrier of ours has sleeps, or does not.
    pub(super) fn on_sleeps(&mut self, now: Now, tag: Tag, key: u64, out: &mut Outbox) {
        if let Some(records) = &mut self.records {
            records.sleeping.asked = records.sleeping.asked.saturating_sub(1);
        }
        let entry = EntryKey::of(tag.0);
        let known = if key == 0 { self.ledger.stays(entry) } else { self.ledger.sleeps(entry, key) };
        let Some((carrier, id)) = known.filter(|_| !self.parked.is_empty()) else { return };
        if key == 0 {
            return self.unpark(now, carrier, &id, out);
        }
        self.wake_for_parked(now, carrier, &id, out);
    }

    /// What came for a message before it was known that it sleeps.
    pub(super) fn wake_for_parked(&mut self, now: Now, carrier: CarrierId, id: &[u8], out: &mut Outbox) {
        if self.parked.has_for(carrier, id) {
            self.wake_all(now, carrier, id, out);
        }
    }

    /// A message of the last run needs nothing of memory: true, and it sleeps on.
    pub(super) fn sleeps_on(
        &mut self,
        now: Now,
        (key, (lsn, awaited)): (u64, (Lsn, u16)),
        esme: EsmeId,
        facts: &Facts<'_>,
    ) -> bool {
        let is_ours = self.gave(key) && self.is_asked_by_any(esme);
        let Some(records) = &mut self.records else { return false };
        let is_old = left(records.sleeping.after, Wall(facts.accepted), now.wall).is_zero();
        let is_one = awaited == 1 && !facts.destination.contains(&b',');
        let is_plain = is_one && !facts.message_id.is_empty() && !is_short(facts.id);
        let is_safe = lsn <= records.pen.recorder.durable();
        let sleeps = is_ours && is_old && is_plain && is_safe && records.pen.book.rest(key, true);
        if sleeps {
            records.open.asleep.push(key);
        }
        sleeps
    }

    /// Any session of the account may have its receipts: who submitted a message is not known any more when it wakes.
    fn is_asked_by_any(&self, esme: EsmeId) -> bool {
        let account = self.accounts.get(esme.index());
        account.is_some_and(|account| account.settings.receipts == ReceiptsTo::Any)
    }

    /// True for a key that we gave: a carrier's home finds us by it.
    fn gave(&self, key: u64) -> bool {
        OwnIds::shard_of(key) == self.position.shard.0
    }

    /// Wakes the messages that sleep and may be of a receipt with this id.
    fn wake_all(&mut self, now: Now, carrier: CarrierId, id: &[u8], out: &mut Outbox) {
        if let Some(records) = &mut self.records {
            for hash in self.ledger.sleeper_hashes(carrier, id) {
                let roused = records.sleeping.roused.entry(hash).or_default();
                if !roused.iter().any(|(other, known)| *other == carrier && known.as_slice() == id) {
                    roused.push((carrier, IdText::from_slice(id)));
                }
            }
        }
        for (key, hash) in self.ledger.sleepers(carrier, id) {
            self.wake(now, key, hash, out);
        }
    }

    fn wake(&mut self, now: Now, key: u64, hash: u32, out: &mut Outbox) {
        let owner = ShardId::new(OwnIds::shard_of(key) as usize);
        self.send_mail(now, owner, Mail::Wake { key, hash }, out);
    }

    /// True when a message that this receipt may be for sleeps.
    pub(super) fn may_sleep(&self, carrier: CarrierId, receipt: &Receipt<'_>) -> bool {
        let ids = [receipt.tlv_id, receipt.text_id()];
        ids.into_iter().flatten().any(|id| self.ledger.may_sleep(carrier, id))
    }

    /// Wakes the messages that a receipt may be for. Gives the id by which one of them sleeps: the receipt waits for it.
    pub(super) fn rouse<'a>(
        &mut self,
        now: Now,
        carrier: CarrierId,
        receipt: &Receipt<'a>,
        out: &mut Outbox,
    ) -> Option<&'a [u8]> {
        let mut sleeps = None;
        for id in [receipt.tlv_id, receipt.text_id()].into_iter().flatten() {
            if self.ledger.may_sleep(carrier, id) {
                self.wake_all(now, carrier, id, out);
                sleeps = sleeps.or(Some(id));
            }
        }
        sleeps
    }

    /// A message of ours may be wanted where its carrier is at home.
    pub(super) fn on_wake(&mut self, now: Now, from: ShardId, (key, hash): (u64, u32), out: &mut Outbox) {
        let Some(records) = &mut self.records else { return };
        if records.pen.book.rests(key).is_some() {
            records.read_back(key, |errand| {
                errand.wakes = true;
                errand.asked_by = Some((from, hash));
            });
        } else {
            // When it is awake, that was told before: the index knows it by then.
            self.send_mail(now, from, Mail::Gone { key, hash, over: true }, out);
        }
    }

    /// One was read back.
    pub(super) fn on_sent_recalled(&mut self, now: Now, recalled: Recalled, out: &mut Outbox) {
        let Some(records) = &mut self.records else { return };
        let (key, lsn) = (recalled.recall.key, recalled.recall.lsn);
        let Some(errand) = records.sleeping.errands.remove(&key) else { return };
        if records.pen.book.rests(key) != Some(lsn) {
            return debug_assert!(false, "nobody else moves or ends it while it is read");
        }
        let payload = recalled.content.as_deref().unwrap_or_default();
        let config = std::sync::Arc::clone(&self.config);
        let known = match Record::read(Kind::Sent, 1, payload) {
            Some(Record::Sent { awaited, facts, .. }) => {
                let names = &records.sleeping.names;
                let of = (names.esme(&config, facts.esme), names.carrier(&config, facts.carrier));
                if let (Some(esme), Some(carrier)) = of {
                    Some((awaited, facts, (esme, carrier)))
                } else {
                    None
                }
            }
            _ => None,
        };
        let Some((awaited, facts, (esme, carrier))) = known else {
            return self.sleeper_lost(now, (key, lsn), errand, out);
        };
        if !errand.wakes && !errand.ends {
            return records.copy_read(now, &recalled, payload, &facts);
        }
        let mut open = open_of(key, (esme, carrier), &facts);
        (open.awaited, open.lsn, open.origin) = (awaited, lsn, recalled.origin);
        if errand.ends {
            records.open.asleep.wakes();
            let hash = Ledger::sleep_hash(carrier, facts.message_id);
            records.end(now, open, End::no_receipt(), &config, &self.counters.journal_left_out);
            let home = self.home_of(carrier);
            self.send_mail(now, home, Mail::Gone { key, hash, over: true }, out);
            return self.resume_sleeper(now, Sleeper::Own(key), true, out);
        }
        let age = RECEIPT_KEEP - left(RECEIPT_KEEP, Wall(facts.accepted), now.wall);
        let handle = records.open.wake(open, now.mono.after(RECEIPT_KEEP - age));
        records.pen.book.rest(key, false);
        if errand.moves {
            records.moving.push_back(Moving::Message(handle));
        }
        let to_come = (Destinations::of_text(facts.destination), awaited);
        let indexed = indexed_of(&facts, (esme, carrier), to_come, handle);
        self.send_mail(now, self.home_of(carrier), Mail::Woken { key, age, indexed }, out);
        self.resume_sleeper(now, Sleeper::Own(key), true, out);
    }

    /// One cannot be read: its receipt is refused for now, and the next one asks again. Its time ends it all the same.
    fn sleeper_lost(&mut self, now: Now, (key, lsn): (u64, Lsn), errand: Errand, out: &mut Outbox) {
        self.log(now, out, Level::Error, "journal_message_unreadable", |_| {
            vec![("message", key.to_string()), ("record", lsn.0.to_string())]
        });
        if let Some(records) = self.records.as_mut().filter(|_| errand.ends) {
            records.open.asleep.wakes();
            if records.pen.append(now, key, &Record::Tombstone { reason: NO_REASON }, None).is_none() {
                self.counters.journal_left_out.bump();
            }
        }
        if let Some((home, hash)) = errand.asked_by {
            self.send_mail(now, home, Mail::Gone { key, hash, over: errand.ends }, out);
        }
        self.resume_sleeper(now, Sleeper::Own(key), false, out);
    }

    /// A message that a carrier of ours has is awake.
    pub(super) fn on_woken(
        &mut self,
        now: Now,
        (key, age): (u64, Duration),
        indexed: &Indexed,
        out: &mut Outbox,
    ) {
        self.ledger.wakes(now.mono, key, age, &indexed.entry(0));
        let hash = Ledger::sleep_hash(indexed.carrier, &indexed.id);
        self.unpark_roused(now, hash, out);
        self.resume_sleeper(now, Sleeper::Hash(hash), true, out);
    }

    /// Receipts that waited for a message with this hash go on, unless they wait for another one still.
    fn unpark_roused(&mut self, now: Now, hash: u32, out: &mut Outbox) {
        let roused = self.records.as_mut().and_then(|records| records.sleeping.roused.remove(&hash));
        let Some(roused) = roused.filter(|_| !self.parked.is_empty()) else { return };
        for (carrier, id) in &roused {
            self.unpark(now, *carrier, id, out);
        }
        if let Some(records) = self.records.as_mut().filter(|_| self.ledger.has_sleeper(hash)) {
            records.sleeping.roused.insert(hash, roused);
        }
    }

    /// One is over, or cannot be read.
    pub(super) fn on_gone(&mut self, now: Now, (key, hash): (u64, u32), over: bool, out: &mut Outbox) {
        self.ledger.gone(hash, key, over);
        self.unpark_roused(now, hash, out);
        self.resume_sleeper(now, Sleeper::Hash(hash), over, out);
    }

    /// Wakes the message that an account may call by this id.
    pub(super) fn sleeper(&mut self, now: Now, esme: EsmeId, id: &[u8], out: &mut Outbox) -> Option<Sleeper> {
        let carriers = self.carriers.len() as u32;
        let (is_own, records) = (self.is_own(esme), self.records.as_mut()?);
        if let Given::Own(key) = Given::of_text(id)
            && is_own
            && records.pen.book.rests(key).is_some()
        {
            records.read_back(key, |errand| errand.wakes = true);
            return Some(Sleeper::Own(key));
        }
        let all = self.ledger.sleepers_of_account(id, carriers);
        for (carrier, _) in &all {
            self.wake_all(now, *carrier, id, out);
        }
        all.first().map(|(_, hash)| Sleeper::Hash(*hash))
    }

    /// True when one more operation may wait for a message.
    pub(super) fn has_room_for_sleeper(&self) -> bool {
        let records = self.records.as_ref();
        records.is_some_and(|records| records.sleeping.operations.len() < RECALL_OPERATIONS_MAX)
    }

    /// An operation waits until the message is awake, or over.
    pub(super) fn await_sleeper(
        &mut self,
        sleeper: Sleeper,
        asked: (ShardId, Tag),
        esme: EsmeId,
        session: (LinkId, Instant),
        frame: Vec<u8>,
    ) {
        if let Some(records) = &mut self.records {
            records.sleeping.operations.push(Waiting { sleeper, asked, esme, session, frame });
        }
    }

    /// Operations that waited for a message go on; when it cannot be read, none of ours is known by that id.
    fn resume_sleeper(&mut self, now: Now, sleeper: Sleeper, read: bool, out: &mut Outbox) {
        let Some(records) = &mut self.records else { return };
        let ready: Vec<Waiting> =
            records.sleeping.operations.extract_if(.., |waiting| waiting.sleeper == sleeper).collect();
        for Waiting { asked, esme, session, frame, .. } in ready {
            if read {
                self.on_guest_operation(now, asked, esme, session, frame, out);
            } else {
                self.retained.reuse(frame);
                self.send_mail(now, asked.0, Mail::NotFound { tag: asked.1 }, out);
            }
        }
    }
}
