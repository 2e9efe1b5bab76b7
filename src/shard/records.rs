//! What the journal is told of messages, and what waits until it has it.
//!
//! Owns: the shard's end of the journal, the book of what is needed, the messages that are not over, the responses that
//! wait for their record. Takes: what becomes of messages. Gives: each response once what it promises survives what its
//! account wants it to survive; each message exactly one final record. Never: makes wait what promises nothing; refuses
//! a relayed message because the journal cannot take it, which is counted (`journal_left_out_total`).

use super::Shard;
use super::asleep::Sleeping;
use super::at_once::{Asker, Patience};
use super::message::{DeliveryKey, Kind as MessageKind, Message, Retained};
use super::moves::{Copying, Moving};
use super::mt::Body;
use super::port::Outbox;
use super::recalls::Recalling;
use super::timers::Timer;
use crate::config::Config;
use crate::counters::{Counter, Reason};
use crate::esme::settings::Durability;
use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::journal::cipher::is_sealed;
use crate::journal::frame::frame_len;
use crate::journal::record::{NO_REASON, Role};
use crate::journal::{Book, Cipher, Cursors, Erasing, Facts, Lsn, Record, Recorder};
use crate::ledger::{
    AddressTail, Destinations, End, Given, IdRoom, IdText, OpenKey, OpenMessage, OpenMessages, Stored,
    StoredKey,
};
use crate::limits::{JOURNAL_MOVES_PER_TURN, JOURNAL_UNFINISHED_MAX, JOURNAL_WAITING_MAX, RECEIPT_KEEP};
use crate::route::lanes::Turns;
use crate::session::Session;
use crate::smpp::command::CommandId;
use crate::smpp::frame::Pdu;
use crate::smpp::multi::{Destination, SubmitMulti, SubmitMultiResp};
use crate::smpp::segment::part_of;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now, Wall};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The octets of a response that waits, and whose.
pub(super) struct HeldResponse {
    asked: (LinkId, EsmeId, CommandId),
    status: CommandStatus,
    octets: Vec<u8>,
}

/// What waits for a record.
pub(super) enum Held {
    Response(HeldResponse),
    /// A receipt or MO: its carrier is answered, and its account gets it.
    Delivery(EsmeId, DeliveryKey),
    /// A receipt without a record: its account gets it.
    Relay(DeliveryKey),
    /// A receipt that may need no record of its own.
    Turn(EsmeId, DeliveryKey),
    /// A receipt is over: its carrier is answered.
    Asker(Asker),
    /// Stored messages: their ESME is answered, and they may leave.
    Stored(HeldStored),
    /// A stored message goes to this carrier.
    Sending(StoredKey, CarrierId),
}

/// The answer that stored messages promise themselves with.
pub(super) struct HeldStored {
    pub(super) asked: (LinkId, EsmeId, CommandId),
    pub(super) sequence: u32,
    pub(super) octets: Vec<u8>,
    pub(super) keys: SmallVec<[StoredKey; 1]>,
}

/// What a record has to survive before that which waits for it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Nothing,
    Written,
    Durable,
}

impl From<Durability> for Wait {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Off => Self::Nothing,
            Durability::Process => Self::Written,
            Durability::Group | Durability::Strict => Self::Durable,
        }
    }
}

/// Writes records and keeps the book.
pub(super) struct Pen {
    pub(super) recorder: Box<dyn Recorder>,
    pub(super) book: Book,
    /// Seals what messages say; `None`: it is written as it is.
    pub(super) cipher: Option<Cipher>,
    /// Something was appended since the committer was last told.
    pub(super) appended: bool,
}

impl Pen {
    pub(super) fn new(recorder: Box<dyn Recorder>, book: Book) -> Self {
        Self { recorder, book, cipher: None, appended: false }
    }

    /// Appends a record; `of`: the one that it is a copy of, or answers. `None`: there is no room for it.
    pub(super) fn append(&mut self, now: Now, key: u64, record: &Record<'_>, of: Option<Lsn>) -> Option<Lsn> {
        let Self { recorder, book, cipher, appended } = self;
        let kind = record.kind();
        let adds = match kind.role() {
            Role::Adds | Role::Latest => true,
            // It takes the place of what is there of its key.
            Role::Replaces | Role::Renews => !book.holds(key),
            Role::Steers => book.steers(key).is_none(),
            Role::Follows => !book.has_attempt(key),
            Role::Moves | Role::Answers | Role::Closes => false,
        };
        if adds && !book.has_room() {
            return None;
        }
        let mut write = |record: &Record<'_>| {
            Some((recorder.append(now, key, record).ok()?, frame_len(record.len()) as u32))
        };
        let (lsn, octets) = match cipher {
            Some(cipher) => write(&cipher.sealer.seal(key, record)),
            None => write(record),
        }?;
        let noted = book.appended(lsn, key, Some(kind), of, octets);
        debug_assert!(noted.is_ok(), "asked before");
        *appended = true;
        Some(lsn)
    }

    /// What a record is in a copy of it.
    pub(super) fn payload(&mut self, key: u64, record: &Record<'_>, to: &mut Vec<u8>) {
        match &mut self.cipher {
            Some(cipher) => cipher.sealer.seal(key, record).payload(to),
            None => record.payload(to),
        }
    }

    /// The PDU of a record as it was; `None`: it is sealed with a key that is not here.
    pub(super) fn open(&mut self, key: u64, pdu: Vec<u8>) -> Option<Vec<u8>> {
        match &mut self.cipher {
            Some(cipher) => cipher.opener.open(key, pdu),
            None => Some(pdu).filter(|pdu| !is_sealed(pdu)),
        }
    }

    /// Others have these keys now. Gives how many it has let go of.
    pub(super) fn disown(&mut self, now: Now, keys: &[u64]) -> usize {
        let over = Record::Tombstone { reason: NO_REASON };
        keys.iter().take_while(|key| self.append(now, **key, &over, None).is_some()).count()
    }

    /// True when everything that was appended is in step with the disk. Also where a response waits for less: what is let go
    /// of elsewhere was in step before.
    pub(super) fn is_all_safe(&self) -> bool {
        self.recorder.kick();
        self.recorder.durable() >= self.book.last()
    }
}

/// See the room's header.
pub(super) struct Records {
    pub(super) pen: Pen,
    pub(super) open: OpenMessages,
    pub(super) stored: Stored,
    /// By pool: whose turn it is.
    pub(super) turns: Vec<Turns>,
    /// Stored messages that were under way when the last run ended, and how long ago.
    pub(super) unknown: Vec<(StoredKey, Duration)>,
    /// How far an operator's question has come, and the last record of what one has said.
    pub(super) asked_upto: usize,
    pub(super) steered: Lsn,
    /// By name, pools that operators have sent messages to and that there are no more: how many of those go by their routes.
    pub(super) pools_gone: BTreeMap<Vec<u8>, u64>,
    /// By carrier: stored messages that leave as soon as their record is written.
    pub(super) leaving: Vec<u32>,
    /// New messages hear ESME_RTHROTTLED until the ring is emptier.
    pub(super) throttled: bool,
    /// What waits until its record is written, in their order; and until it is durable.
    held: [VecDeque<(Lsn, Held)>; 2],
    /// Stored messages that a carrier has accepted, and whose SENT found no room yet.
    unsent: VecDeque<OpenKey>,
    /// Final records that found no room yet.
    unfinished: VecDeque<(OpenMessage, End)>,
    /// Receipts that their ESMEs have, and whose records are left out if the answers come before this.
    pub(super) at_once: VecDeque<(Instant, DeliveryKey)>,
    /// How soon that is, and what comes of an account that was later.
    pub(super) patience: Patience,
    /// Octets of receipts and MO that wait for their accounts.
    pub(super) frames: Retained,
    /// What responses wait for, unless their account says otherwise.
    pub(super) wait: Wait,
    front: Lsn,
    pub(super) moving: VecDeque<Moving>,
    /// What is read back from the disk.
    pub(super) recalling: Recalling,
    /// Messages that are on the disk alone.
    pub(super) sleeping: Sleeping,
    /// When what is copied to the end of the journal.
    pub(super) copying: Copying,
    /// How far the sinks of call detail records are, and how far they may read.
    cursors: Option<Arc<Cursors>>,
    /// What the sinks were told.
    told: Lsn,
}

impl Records {
    pub(super) fn new(recorder: Box<dyn Recorder>, mut book: Book, config: &Config) -> Self {
        let privacy = &config.privacy;
        let erasing = Erasing { keep: privacy.keep_text, within: privacy.erase_within };
        book.erasing(&erasing);
        let durability = config.journal.as_ref().map_or(Durability::Group, |journal| journal.durability);
        Self {
            pen: Pen::new(recorder, book),
            open: OpenMessages::new(),
            stored: Stored::new(config.pools.len(), config.classes.len() + 1),
            turns: vec![Turns::default(); config.pools.len()],
            unknown: Vec::new(),
            asked_upto: 0,
            steered: Lsn::NONE,
            pools_gone: BTreeMap::new(),
            leaving: vec![0; config.carriers.len()],
            throttled: false,
            held: [VecDeque::new(), VecDeque::new()],
            unsent: VecDeque::new(),
            unfinished: VecDeque::new(),
            at_once: VecDeque::new(),
            patience: Patience::default(),
            frames: Retained::up_to(JOURNAL_WAITING_MAX),
            wait: durability.into(),
            front: Lsn::NONE,
            moving: VecDeque::new(),
            recalling: Recalling::default(),
            sleeping: Sleeping::new(config),
            copying: Copying::new(erasing),
            cursors: None,
            told: Lsn::NONE,
        }
    }

    /// How far what waits for `wait` may go. While nothing can be promised, relayed messages go on: their carriers have
    /// taken them.
    fn reached(&self, wait: Wait) -> Lsn {
        if self.pen.recorder.failed().is_some() { Lsn(u64::MAX) } else { self.safe(wait) }
    }

    /// How far what waits for `wait` is kept for certain, whatever else may go.
    pub(super) fn safe(&self, wait: Wait) -> Lsn {
        match wait {
            Wait::Nothing => Lsn(u64::MAX),
            Wait::Written => self.pen.recorder.written(),
            Wait::Durable => self.pen.recorder.durable(),
        }
    }

    /// True when something that waits may go.
    pub(super) fn has_news(&self) -> bool {
        let may = |(held, wait): (&VecDeque<(Lsn, Held)>, Wait)| {
            held.front().is_some_and(|(lsn, _)| *lsn <= self.reached(wait))
        };
        let untold = self.cursors.is_some() && self.told < self.pen.recorder.durable();
        untold
            || self.pen.recorder.has_recalled()
            || self.may_read_sleeper()
            || self.held.iter().zip([Wait::Written, Wait::Durable]).any(may)
    }

    /// The shard goes to sleep: it wants to be woken while something waits. False: it must look once more.
    pub(super) fn sleeps(&self) -> bool {
        // Sinks want what was appended last, too.
        let untold = self.cursors.is_some() && self.told < self.pen.book.last();
        let waits = untold
            || self.is_recalling()
            || self.sleeping.waits()
            || self.held.iter().any(|held| !held.is_empty());
        let recorder = &self.pen.recorder;
        !waits || (recorder.sleeps(recorder.written(), recorder.durable()) && !self.has_news())
    }

    /// What waits until it is written; for what its account does not want to survive anything, nothing does.
    pub(super) fn is_written(&self, nothing: bool, lsn: Lsn) -> bool {
        lsn <= self.reached(if nothing { Wait::Nothing } else { Wait::Written })
    }

    pub(super) fn hold_written(&mut self, lsn: Lsn, held: Held) {
        let [written, _] = &mut self.held;
        written.push_back((lsn, held));
    }

    fn next_released(&mut self) -> Option<(Held, bool)> {
        for (at, wait) in [Wait::Written, Wait::Durable].into_iter().enumerate() {
            let (reached, safe) = (self.reached(wait), self.safe(wait));
            let held = self.held.get_mut(at)?;
            if held.front().is_some_and(|(lsn, _)| *lsn <= reached) {
                return held.pop_front().map(|(lsn, held)| (held, lsn <= safe));
            }
        }
        None
    }
}

/// The names that a record has in place of handles.
pub(super) fn facts_of<'a>(message: &'a OpenMessage, config: &'a Config, room: &'a mut IdRoom) -> Facts<'a> {
    let esme = config.esme_name(message.esme);
    let carrier = message.carrier.map_or("", |carrier| config.carrier_name(carrier));
    let id = message.given.text_in(room).unwrap_or_default();
    message.facts(esme.as_bytes(), carrier.as_bytes(), id)
}

/// What a carrier has, and what is still to come of it.
pub(super) fn sent_of<'a>(message: &'a OpenMessage, config: &'a Config, room: &'a mut IdRoom) -> Record<'a> {
    let (awaited, over) = (message.awaited, message.over.bits());
    let kept = message.may_go_again();
    Record::Sent { awaited, kept, over, facts: facts_of(message, config, room) }
}

fn wall_of(now: Now, at: Instant) -> Wall {
    let ago = i64::try_from(now.mono.since(at).as_micros()).unwrap_or(i64::MAX);
    Wall(now.wall.0.saturating_sub(ago))
}

/// The destinations of a submit_multi with commas between.
fn joined(multi: &SubmitMulti<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    for destination in multi.destinations.iter() {
        if !all.is_empty() {
            all.push(b',');
        }
        all.extend_from_slice(match destination {
            Destination::Address(address) => address.digits,
            Destination::List(name) => name,
        });
    }
    all
}

impl Shard {
    /// A message has come and is about to be placed: its records begin.
    pub(super) fn open_message(&mut self, now: Now, message: &mut Message, body: &Body<'_>) {
        let Some(records) = &mut self.records else { return };
        let key = self.own_ids.next(now.wall);
        let (esme, source) = (message.esme, body.source());
        let mut open = match body {
            Body::Multi(multi) => OpenMessage::new(key, esme, now.wall, source, &joined(multi)),
            _ => OpenMessage::new(key, esme, now.wall, source, body.destination()),
        };
        open.data_coding = body.data_coding();
        if message.part.is_some()
            && let Body::Sm(sm) = body
        {
            open.parts = part_of(&sm.content).map_or(1, |part| part.total);
        }
        let Some(handle) = records.open.insert(open) else {
            return self.counters.journal_left_out.bump();
        };
        message.open = handle;
        if message.id_from == super::message::IdFrom::Own {
            message.id_from = super::message::IdFrom::Already(Given::Own(key));
        }
    }

    /// A message was not taken after all: what refused it writes its record.
    pub(super) fn forget_open(&mut self, open: OpenKey) {
        if let Some(records) = &mut self.records {
            records.open.remove(open);
        }
    }

    /// A carrier has accepted a message: the record that its response waits for, when a receipt may come.
    pub(super) fn record_accepted(
        &mut self,
        now: Now,
        message: &Message,
        id: &[u8],
        given: Given,
        response: Option<&Pdu<'_>>,
    ) -> Option<Lsn> {
        let Self { records, config, counters, .. } = self;
        let records = records.as_mut()?;
        let open = records.open.get_mut(message.open)?;
        open.carrier = Some(message.carrier);
        open.submitted = wall_of(now, message.sent_at);
        open.attempts = u16::try_from(message.attempts).unwrap_or(u16::MAX);
        open.given = given;
        open.message_id = IdText::from_slice(id);
        open.awaited = if id.is_empty() { 0 } else { message.awaited };
        if let (Destinations::Several(_), Some(response)) = (&message.destination, response) {
            for failure in SubmitMultiResp::parse(response).unsuccess.iter() {
                open.ends_for(Some(AddressTail::of(failure.destination.digits)));
            }
        }
        if open.awaited == 0 {
            self.close_message(now, message.open, End::accepted());
            return None;
        }
        let mut room = IdRoom::default();
        let Some(lsn) = records.pen.append(now, open.key, &sent_of(open, config, &mut room), None) else {
            if matches!(message.kind, MessageKind::Stored(_)) {
                // It has earlier records: this one must follow.
                records.open.waits(message.open, now.mono.after(RECEIPT_KEEP));
                records.unsent.push_back(message.open);
                return Some(Lsn::NONE);
            }
            counters.journal_left_out.bump();
            records.open.remove(message.open);
            return None;
        };
        (open.lsn, open.origin) = (lsn, lsn);
        records.open.waits(message.open, now.mono.after(RECEIPT_KEEP));
        Some(lsn)
    }

    /// A message is over.
    pub(super) fn end_message(&mut self, now: Now, message: &Message, end: End) {
        let Some(records) = &mut self.records else { return };
        if let Some(open) = records.open.get_mut(message.open) {
            open.attempts = u16::try_from(message.attempts).unwrap_or(u16::MAX);
            if message.attempts > 0 {
                open.carrier = Some(message.carrier);
                open.submitted = wall_of(now, message.sent_at);
            }
        }
        self.close_message(now, message.open, end);
    }

    /// Writes the final record.
    pub(super) fn close_message(&mut self, now: Now, open: OpenKey, end: End) {
        let Self { records, config, counters, .. } = self;
        let Some(records) = records else { return };
        let Some(message) = records.open.remove(open) else { return };
        records.end(now, message, end, config, &counters.journal_left_out);
    }

    /// We refused a submit: it has a final record like all others.
    pub(super) fn record_refusal(
        &mut self,
        now: Now,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        (status, reason): (CommandStatus, Reason),
    ) {
        let Self { records, config, counters, own_ids, .. } = self;
        let Some(records) = records else { return };
        let body = Body::again(pdu);
        let destination = match &body {
            Body::Multi(multi) => joined(multi),
            other => other.destination().to_vec(),
        };
        let key = own_ids.next(now.wall);
        let mut message = OpenMessage::new(key, esme, now.wall, body.source(), &destination);
        message.data_coding = body.data_coding();
        let end = End::refused_by_us(status, reason);
        records.end(now, message, end, config, &counters.journal_left_out);
    }

    /// Answers a request, at once or when its record survives what the account wants.
    pub(super) fn answer_after(
        &mut self,
        now: Now,
        asked: (LinkId, EsmeId, CommandId),
        lsn: Option<Lsn>,
        out: &mut Outbox,
        write: impl FnOnce(&Session, &mut Vec<u8>) -> CommandStatus,
    ) {
        let Some(lsn) = lsn.filter(|lsn| !self.may_go(asked.1, *lsn)) else {
            return self.answer_with(now, asked, out, write);
        };
        let mut octets = self.retained.buffer(&[]);
        let Some(slot) = super::links::live(&self.links, asked.0) else {
            self.retained.reuse(octets);
            return self.ignored(crate::counters::Ignored::ResponseEsmeGone);
        };
        let status = write(&slot.session, &mut octets);
        self.hold(asked.1, lsn, Held::Response(HeldResponse { asked, status, octets }));
    }

    fn wait_of(&self, esme: EsmeId) -> Wait {
        let own = self.accounts.get(esme.index()).and_then(|account| account.settings.durability);
        let all = self.records.as_ref().map_or(Wait::Nothing, |records| records.wait);
        own.map_or(all, Wait::from)
    }

    pub(super) fn promises_nothing(&self, esme: EsmeId) -> bool {
        self.wait_of(esme) == Wait::Nothing
    }

    /// True when a record survives what the account wants, and nothing of accounts that want the same waits before it: its
    /// record may be safe since a moment ago.
    pub(super) fn may_go(&self, esme: EsmeId, lsn: Lsn) -> bool {
        let Some(records) = &self.records else { return true };
        let wait = self.wait_of(esme);
        let queue = records.held.get(usize::from(wait == Wait::Durable));
        let first = wait == Wait::Nothing || queue.is_none_or(VecDeque::is_empty);
        first && lsn <= records.reached(wait)
    }

    /// True when a record survives what the account wants. What may go while nothing can be promised does not.
    pub(super) fn is_safe(&self, esme: EsmeId, lsn: Lsn) -> bool {
        let wait = self.wait_of(esme);
        self.records.as_ref().is_none_or(|records| lsn <= records.safe(wait))
    }

    /// The last record that something of accounts that want the same waits for.
    pub(super) fn last_held(&self, esme: EsmeId) -> Option<Lsn> {
        let wait = self.wait_of(esme);
        let queue = self.records.as_ref()?.held.get(usize::from(wait == Wait::Durable))?;
        queue.back().map(|(lsn, _)| *lsn).filter(|_| wait != Wait::Nothing)
    }

    /// Lets something wait for a record.
    pub(super) fn hold(&mut self, esme: EsmeId, lsn: Lsn, held: Held) {
        let at = usize::from(self.wait_of(esme) == Wait::Durable);
        let Some(records) = &mut self.records else { return };
        if let Some(queue) = records.held.get_mut(at) {
            queue.push_back((lsn, held));
        }
    }

    /// Once a turn: what waited long enough goes, what was appended is on its way.
    pub(super) fn turn_records(&mut self, now: Now, out: &mut Outbox) {
        if self.records.is_none() {
            return;
        }
        while let Some((held, safe)) = self.records.as_mut().and_then(|records| records.next_released()) {
            match held {
                Held::Response(HeldResponse { asked, status, octets }) => {
                    self.answer_with(now, asked, out, |_, to| {
                        to.extend_from_slice(&octets);
                        status
                    });
                    self.retained.reuse(octets);
                }
                Held::Delivery(esme, key) => {
                    if let Some(account) = self.accounts.get_mut(esme.index()) {
                        account.held = account.held.saturating_sub(1);
                    }
                    self.let_go(now, key, safe, out);
                }
                Held::Relay(key) => self.relay_kept(now, key, out),
                Held::Turn(esme, key) => self.take_turn(now, esme, key, out),
                Held::Asker(asker) => self.answer_asker(now, asker, out),
                Held::Stored(held) => self.keep_promise(now, held, safe, out),
                Held::Sending(key, carrier) => self.send_stored(now, key, carrier, safe, out),
            }
        }
        // What paused links had to say goes on in this turn.
        while let Some(link) = self.wake.pop() {
            self.resume(now, link, out);
        }
        for _ in 0..JOURNAL_MOVES_PER_TURN {
            let expired = self.records.as_mut().and_then(|records| records.open.expired(now.mono));
            let Some(open) = expired else { break };
            self.close_message(now, open, End::no_receipt());
        }
        self.take_recalled(now, out);
        self.turn_asleep(now, out);
        self.pump_stored(now, out);
        self.look_later();
        self.plan_moves(now);
        self.move_some(now);
        let Self { records, config, counters, position, timers, .. } = self;
        let shard = position.shard.index();
        let Some(records) = records else { return };
        records.send_unsent(now, config);
        records.end_unfinished(now, config);
        counters.journal_open.set(records.open.len() as u64);
        counters.journal_asleep.set(records.open.asleep.len() as u64);
        counters.stored.set(records.stored.len() as u64);
        records.stored.leave_memory(records.pen.recorder.durable());
        counters.stored_octets.set(records.stored.octets());
        records.tell_sinks(shard);
        let front = records.pen.book.front();
        if front != records.front {
            records.front = front;
            records.pen.recorder.needs_from(front);
        }
        if core::mem::take(&mut records.pen.appended) {
            records.pen.recorder.kick();
            records.copying.appended(now.mono, records.pen.book.last());
        }
        if let Some(at) = records.looks_again(now.mono) {
            timers.push_once(at, Timer::Erase);
        }
    }
}

impl Records {
    /// There are sinks: what they have not got is kept.
    pub(super) fn feed(&mut self, cursors: Arc<Cursors>) {
        self.cursors = Some(cursors);
    }

    fn tell_sinks(&mut self, shard: usize) {
        let Some(cursors) = &self.cursors else { return };
        let durable = self.pen.recorder.durable();
        if durable > self.told {
            self.told = durable;
            cursors.tell_durable(shard, durable);
        }
        self.pen.book.keep_from(cursors.keep_from(shard));
    }

    /// Writes the final record of a message, or lets it wait for room.
    pub(super) fn end(
        &mut self,
        now: Now,
        message: OpenMessage,
        end: End,
        config: &Config,
        left_out: &Counter,
    ) {
        let mut room = IdRoom::default();
        let record = end.record(facts_of(&message, config, &mut room));
        if self.pen.append(now, message.key, &record, None).is_some() {
            return;
        }
        if self.unfinished.len() >= JOURNAL_UNFINISHED_MAX {
            self.unfinished.pop_front();
            left_out.bump();
        }
        self.unfinished.push_back((message, end));
    }

    fn send_unsent(&mut self, now: Now, config: &Config) {
        while let Some(&key) = self.unsent.front() {
            if let Some(open) = self.open.get_mut(key) {
                let mut room = IdRoom::default();
                let record = sent_of(open, config, &mut room);
                let Some(lsn) = self.pen.append(now, open.key, &record, None) else { return };
                (open.lsn, open.origin) = (lsn, lsn);
            }
            self.unsent.pop_front();
        }
    }

    fn end_unfinished(&mut self, now: Now, config: &Config) {
        while let Some((message, end)) = self.unfinished.front() {
            let mut room = IdRoom::default();
            let record = end.record(facts_of(message, config, &mut room));
            if self.pen.append(now, message.key, &record, None).is_none() {
                return;
            }
            self.unfinished.pop_front();
        }
    }
}
