//! What a journal says is not over. Owns: the open messages and what waits, by key. Takes: the records of the last run in
//! order. Gives: them once the last one was taken, with the book of what is still needed. Never: what was closed.

use super::remains::{Lone, Remains, Still};
use super::{Over, mix};
use crate::journal::cipher::is_sealed;
use crate::journal::octets::{Reader, Sink, Writer};
use crate::journal::record::Role;
use crate::journal::recover::Place;
use crate::journal::{Book, Erasing, Facts, Frame, Kind, Lsn, Opener, Record};
use crate::smpp::message_state::MessageState;
use crate::time::Wall;
use core::ops::Range;
use hashbrown::HashTable;
use smallvec::SmallVec;

/// A record that is still needed, as it was first written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Where it is now.
    pub lsn: Lsn,
    /// Where it was first.
    pub origin: Lsn,
    /// When it was first written.
    pub wall: Wall,
}

/// A message that a carrier has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its SENT.
    pub record: Written,
    /// Final receipts that were still to come then.
    pub awaited: u16,
    /// Its ACCEPT is needed beside it: it may be sent again.
    pub kept: bool,
    /// Destinations of a submit_multi that none was to come for.
    pub over: Over,
    /// The payload of its SENT.
    payload: Vec<u8>,
}

impl Accepted {
    pub(super) fn new((record, awaited): (Written, u16), kept: bool, over: &[u8], payload: &[u8]) -> Self {
        Self { record, awaited, kept, over: Over::of(over), payload: payload.to_vec() }
    }

    /// What is known of it.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        match Record::read(Kind::Sent, 1, &self.payload) {
            Some(Record::Sent { facts, .. }) => facts,
            _ => Facts::default(),
        }
    }
}

/// The last that is known of a message that we answered and no carrier has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its SENDING or REFUSED.
    pub record: Written,
    /// Which attempt.
    pub number: u16,
    /// The carrier refused it; `None`: it is not known what became of it.
    pub refused: Option<(u32, u32)>,
}

/// A message that we answered and no carrier has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promised {
    /// Its ACCEPT.
    pub record: Written,
    /// Its last attempt.
    pub attempt: Option<Attempt>,
    /// The name of who had it last.
    pub carrier: Vec<u8>,
    /// The payload of its ACCEPT.
    payload: Vec<u8>,
}

impl Promised {
    /// Its ACCEPT.
    #[must_use]
    pub fn accept(&self) -> Option<Record<'_>> {
        Record::read(crate::journal::Kind::Accept, 1, &self.payload)
    }

    /// The same, of which no attempt is under way.
    fn untried(self) -> Self {
        Self { attempt: None, carrier: Vec::new(), ..self }
    }

    /// Who submitted it.
    #[must_use]
    pub fn esme(&self) -> &[u8] {
        match self.accept() {
            Some(Record::Accept { esme, .. }) => esme,
            _ => &[],
        }
    }
}

/// What an operator has said last of a message that we answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steered {
    /// It does not leave.
    pub held: bool,
    /// The name of the pool that it was sent to; empty: it goes by its route.
    pub pool: Vec<u8>,
}

/// A receipt or MO that was taken from a carrier and not answered by its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its DLR_IN or MO_IN.
    pub record: Written,
    /// Who sent it.
    pub carrier: Vec<u8>,
    /// For whom an MO is; `None`: it is a receipt.
    pub esme: Option<Vec<u8>>,
    /// As it came.
    pub pdu: Vec<u8>,
}

/// What is open of one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The message, when a carrier has accepted it.
    pub accepted: Option<Accepted>,
    /// The message, when none has, or when it may be sent again.
    pub promised: Option<Box<Promised>>,
    /// What an operator has said of it, while no carrier has accepted it.
    pub steered: Option<Box<Steered>>,
    /// What waits for its account, in the order of its first records.
    pub taken: Vec<Taken>,
    /// Final receipts that the ESME has answered, as they came.
    pub answered: Vec<Vec<u8>>,
}

impl Kept {
    /// Records that say so; of the copies of one the whole one has the most.
    #[must_use]
    pub fn records(&self) -> usize {
        let promised =
            self.promised.as_ref().map_or(0, |promised| 1 + usize::from(promised.attempt.is_some()));
        let steered = usize::from(self.steered.is_some());
        usize::from(self.accepted.is_some()) + promised + steered + self.taken.len()
    }

    /// A copy takes the place of what it was made of.
    fn takes(&mut self, taken: Taken) {
        let origin = taken.record.origin;
        let at = self.taken.iter().rposition(|other| other.record.origin <= origin);
        match at.and_then(|at| Some((at, self.taken.get_mut(at)?))) {
            Some((_, same)) if same.record.origin == origin => *same = taken,
            Some((at, _)) => self.taken.insert(at + 1, taken),
            None => self.taken.insert(0, taken),
        }
    }

    /// An intermediate receipt ends nothing: the final one is still to come.
    fn answers(&mut self, of: Lsn, state: u8) {
        let is_final = MessageState::from_octet(state).is_none_or(MessageState::is_final);
        if let Some(at) = self.taken.iter().position(|taken| taken.record.origin == of) {
            let taken = self.taken.remove(at);
            self.answered.extend(is_final.then_some(taken.pdu));
        }
    }
}

/// What is known of one key, as far as it was read.
#[derive(Debug, Default)]
struct Story {
    /// `None`: nothing that could go on.
    kept: Option<Kept>,
    /// An attempt, and the name of who had the message, whose ACCEPT has not come: its copy may stand behind this one.
    early: Option<(Attempt, Vec<u8>)>,
    /// Its last message or delivery was sealed with a key that is not here.
    is_sealed: bool,
}

impl Story {
    /// The next record of the key.
    fn take(&mut self, frame: &Frame<'_>, wall: Wall, opener: &mut Opener) {
        let Some(record) = frame.record() else { return };
        let written = Written { lsn: frame.lsn, origin: frame.lsn, wall };
        match record {
            Record::Move { from: _, origin, kind, version, wall, payload } => {
                let written = Written { lsn: frame.lsn, origin, wall: Wall(wall) };
                if let Some(kind) = Kind::of(kind)
                    && let Some(record) = Record::read(kind, version, payload)
                {
                    self.add(frame.key, written, (&record, payload), opener);
                }
            }
            other => self.add(frame.key, written, (&other, frame.payload), opener),
        }
    }

    fn add(&mut self, key: u64, record: Written, content: (&Record<'_>, &[u8]), opener: &mut Opener) {
        let (content, payload) = content;
        if let Some(pdu) = content.pdu().filter(|pdu| is_sealed(pdu)) {
            return self.add_sealed(key, record, content, pdu.to_vec(), opener);
        }
        let taken = |carrier: &[u8], esme: Option<&[u8]>, pdu: &[u8]| {
            let (carrier, esme, pdu) = (carrier.to_vec(), esme.map(<[u8]>::to_vec), pdu.to_vec());
            Taken { record, carrier, esme, pdu }
        };
        match *content {
            Record::Sent { awaited, kept: stays, over, .. } => {
                self.is_sealed &= stays;
                let accepted = Accepted::new((record, awaited), stays, over, payload);
                // A copy says what was still to come when it was made.
                let kept = self.kept();
                let promised = kept.promised.take().filter(|_| stays);
                kept.promised = promised.map(|promised| Box::new(promised.untried()));
                (kept.accepted, kept.steered) = (Some(accepted), None);
                kept.answered.clear();
            }
            Record::Accept { .. } if self.is_accepted(record.origin) => {
                let promised =
                    Promised { record, attempt: None, carrier: Vec::new(), payload: payload.to_vec() };
                self.kept().promised = Some(Box::new(promised));
            }
            Record::Accept { .. } => {
                let early = self.early.take().filter(|(attempt, _)| attempt.record.origin > record.origin);
                let kept = self.kept();
                // A copy says nothing of its attempts; another one that took its place has had none.
                let same = kept.promised.take().filter(|former| former.record.origin == record.origin);
                let same = same.and_then(|same| Some((same.attempt?, same.carrier))).or(early);
                let (attempt, carrier) =
                    same.map_or((None, Vec::new()), |(attempt, carrier)| (Some(attempt), carrier));
                let promised = Promised { record, attempt, carrier, payload: payload.to_vec() };
                // What came for it before it began anew is over. What an operator has said holds, and its copy may stand
                // before that of the message.
                let steered = kept.steered.take();
                *kept = Kept { promised: Some(Box::new(promised)), steered, ..Kept::default() };
            }
            Record::Sending { attempt, carrier } => {
                self.tried(Attempt { record, number: attempt, refused: None }, carrier);
            }
            Record::Refused { attempt, status, wait_ms, carrier } => {
                self.tried(Attempt { record, number: attempt, refused: Some((status, wait_ms)) }, carrier);
            }
            Record::Steer { held, pool } => {
                self.kept().steered = Some(Box::new(Steered { held, pool: pool.to_vec() }));
            }
            Record::DlrIn { carrier, pdu } => self.kept().takes(taken(carrier, None, pdu)),
            Record::MoIn { carrier, esme, pdu } => self.kept().takes(taken(carrier, Some(esme), pdu)),
            Record::DlrOut { of, state, .. } => {
                if let Some(kept) = &mut self.kept {
                    kept.answers(of, state);
                }
            }
            _ => {}
        }
    }

    /// True when a carrier has accepted what this ACCEPT says, and it is a copy of what is needed beside.
    fn is_accepted(&self, accept: Lsn) -> bool {
        let accepted = self.kept.as_ref().and_then(|kept| kept.accepted.as_ref());
        accepted.is_some_and(|accepted| accepted.kept && accept < accepted.record.origin)
    }

    /// From now on something is kept of it.
    fn kept(&mut self) -> &mut Kept {
        self.kept.get_or_insert_default()
    }

    /// Adds a record whose PDU was sealed. Nothing starts with one that cannot be opened.
    fn add_sealed(
        &mut self,
        key: u64,
        record: Written,
        content: &Record<'_>,
        pdu: Vec<u8>,
        opener: &mut Opener,
    ) {
        let Some(pdu) = opener.open(key, pdu).filter(|pdu| !is_sealed(pdu)) else {
            self.is_sealed = true;
            return;
        };
        let opened = content.with_pdu(&pdu);
        let mut payload = Vec::new();
        opened.payload(&mut payload);
        self.add(key, record, (&opened, &payload), opener);
    }

    fn tried(&mut self, attempt: Attempt, carrier: &[u8]) {
        // A copy of an attempt may stand behind that of its message, and before it.
        let Some(promised) = self.kept.as_mut().and_then(|kept| kept.promised.as_mut()) else {
            self.early = Some((attempt, carrier.to_vec()));
            return;
        };
        if promised.attempt.is_none_or(|former| former.record.origin <= attempt.record.origin) {
            promised.attempt = Some(attempt);
            promised.carrier = carrier.to_vec();
        }
    }
}

/// One key that is not closed.
#[derive(Debug, Default)]
pub(super) struct Open {
    key: u64,
    /// Its records as they came: most keys are closed before anybody needs to know what they say.
    unread: SmallVec<[u8; BESIDE]>,
    /// Those before.
    story: Option<Box<Story>>,
}

/// So many octets of unread records stand with their key: those of a SENT, mostly.
const BESIDE: usize = 128;

/// A key that has more octets than this is read at once: it may be tried for days.
const UNREAD_MAX: usize = 4096;

/// Records whose places in memory are looked for together: one after the other, each would wait for memory alone.
const TOGETHER: usize = 16;

/// A record that was taken and has not reached its key.
#[derive(Debug)]
struct Coming {
    key: u64,
    kind: Kind,
    /// In `Restored::octets`, as `Open::unread` has it.
    at: Range<usize>,
}

/// Octets before the payload of an unread record.
const UNREAD_HEAD: usize = 30;

/// Writes a record as `Open::unread` has it.
fn push(octets: &mut Vec<u8>, frame: &Frame<'_>, place: &Place) {
    let mut head = [0; UNREAD_HEAD];
    let mut to = Writer::new(&mut head);
    to.u32(frame.payload.len() as u32);
    to.u32(place.octets);
    to.u64(frame.lsn.0);
    to.u64(place.wall.0.cast_unsigned());
    to.u32(frame.time_ms);
    to.put(&[frame.kind, frame.version]);
    octets.extend_from_slice(&head);
    octets.extend_from_slice(frame.payload);
}

impl Open {
    /// Reads what came; gives how many records that are needed found no room in the book.
    fn read(&mut self, book: &mut Book, opener: &mut Opener) -> u64 {
        let (mut left_out, mut from) = (0, Reader::new(&self.unread));
        let story = self.story.get_or_insert_default();
        while let Some((frame, octets, wall)) = next_unread(self.key, &mut from) {
            left_out += u64::from(book.noted(&frame, octets).is_err());
            story.take(&frame, wall, opener);
        }
        self.unread = SmallVec::new();
        left_out
    }

    /// Its one record, when there is no other and it says that a carrier has accepted the message.
    fn lone(&self) -> Option<(Frame<'_>, u32, Wall)> {
        let mut from = Reader::new(&self.unread);
        let (frame, octets, wall) = next_unread(self.key, &mut from)?;
        let is_sent = match frame.kind()? {
            Kind::Sent => true,
            Kind::Move => matches!(frame.original(), Some(Record::Sent { kept: false, .. })),
            _ => false,
        };
        (is_sent && from.all().is_empty() && self.story.is_none()).then_some((frame, octets, wall))
    }

    /// What is open, after all of it was read or is lone.
    pub(super) fn still(&self) -> Option<Still<'_>> {
        match &self.story {
            Some(story) => story.kept.as_ref().map(Still::Kept),
            None => self.lone().and_then(|(frame, _, wall)| Lone::of(&frame, wall)).map(Still::Lone),
        }
    }
}

fn next_unread<'a>(key: u64, from: &mut Reader<'a>) -> Option<(Frame<'a>, u32, Wall)> {
    let (length, octets, lsn) = (from.u32()?, from.u32()?, Lsn(from.u64()?));
    let (wall, time_ms) = (Wall(from.i64()?), from.u32()?);
    let (kind, version) = (from.u8()?, from.u8()?);
    let payload = from.take(length as usize)?;
    Some((Frame { lsn, key, time_ms, kind, version, flags: 0, payload }, octets, wall))
}

/// See the room's header.
#[derive(Debug)]
pub struct Restored {
    book: Book,
    /// Where each key is in `open`.
    places: HashTable<u32>,
    /// A place is used again when its key was closed, so that most records touch memory that is warm.
    open: Vec<Open>,
    free: Vec<u32>,
    coming: Vec<Coming>,
    octets: Vec<u8>,
    left_out: u64,
    /// The highest key of a message, over or not.
    highest: u64,
    /// Opens what messages say.
    opener: Opener,
    is_settled: bool,
}

fn key_at(open: &[Open], at: u32) -> Option<u64> {
    open.get(at as usize).map(|open| open.key)
}

impl Restored {
    /// Nothing yet; there is room for so many records that are needed.
    #[must_use]
    pub fn new(needed_max: usize) -> Self {
        Self {
            book: Book::new(needed_max),
            places: HashTable::new(),
            open: Vec::new(),
            free: Vec::new(),
            coming: Vec::with_capacity(TOGETHER),
            octets: Vec::new(),
            left_out: 0,
            highest: 0,
            opener: Opener::default(),
            is_settled: false,
        }
    }

    /// The same for a journal in which messages may be sealed.
    #[must_use]
    pub fn with_keys(self, opener: Opener) -> Self {
        Self { opener, ..self }
    }

    /// The same for a journal whose texts are erased like this.
    #[must_use]
    pub fn erasing(mut self, erasing: &Erasing) -> Self {
        self.book.erasing(erasing);
        self
    }

    /// Takes the next record of the shard.
    pub fn take(&mut self, frame: &Frame<'_>, place: &Place) {
        debug_assert!(!self.is_settled, "that was the last record");
        self.book.was(place.wall);
        self.book.passed(frame.lsn, place.octets);
        let Some(kind) = frame.kind() else { return };
        if matches!(kind, Kind::Accept | Kind::Sent | Kind::SentKept | Kind::Finish) {
            self.highest = self.highest.max(frame.key);
        }
        // Whatever was and is to be said of it, in the end nothing is kept.
        if place.is_over {
            return;
        }
        let at = self.octets.len();
        push(&mut self.octets, frame, place);
        self.coming.push(Coming { key: frame.key, kind, at: at..self.octets.len() });
        if self.coming.len() == TOGETHER {
            self.take_coming();
        }
    }

    fn find(&self, key: u64) -> Option<u32> {
        self.places.find(mix(key), |at| key_at(&self.open, *at) == Some(key)).copied()
    }

    fn take_coming(&mut self) {
        let coming = core::mem::take(&mut self.coming);
        // None of these waits for another; what they found is looked for again in memory that is near.
        let found = coming.iter().filter(|coming| self.find(coming.key).is_some()).count();
        core::hint::black_box(found);
        for coming in &coming {
            self.take_one(coming);
        }
        self.octets.clear();
        self.coming = coming;
        self.coming.clear();
    }

    fn take_one(&mut self, coming: &Coming) {
        let at = match (self.find(coming.key), coming.kind.role()) {
            (None, Role::Closes | Role::Answers) => return,
            (Some(_), Role::Closes) => return self.close(coming),
            (Some(at), _) => at,
            (None, _) => self.begin(coming.key),
        };
        let Self { open, octets, book, opener, .. } = self;
        let Some(open) = open.get_mut(at as usize) else { return };
        let octets = octets.get(coming.at.clone()).unwrap_or_default();
        open.unread.reserve_exact(octets.len());
        open.unread.extend_from_slice(octets);
        if open.story.is_some() || open.unread.len() > UNREAD_MAX {
            self.left_out += open.read(book, opener);
        }
    }

    fn begin(&mut self, key: u64) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.open.push(Open::default());
            (self.open.len() - 1) as u32
        });
        if let Some(open) = self.open.get_mut(at as usize) {
            open.key = key;
        }
        let open = &self.open;
        self.places.insert_unique(mix(key), at, |at| key_at(open, *at).map_or(0, mix));
        at
    }

    /// Nothing of a key is kept any more.
    fn close(&mut self, coming: &Coming) {
        let Self { places, open, .. } = self;
        let key = coming.key;
        let Ok(found) = places.find_entry(mix(key), |at| key_at(open, *at) == Some(key)) else { return };
        let at = found.remove().0;
        if let Some(open) = self.open.get_mut(at as usize) {
            open.unread = SmallVec::new();
            if open.story.take().is_some() {
                self.book.close(key);
            }
        }
        self.free.push(at);
    }

    /// Reads what was taken, after the last record; of a key with a lone SENT only that it is one.
    pub fn settle(&mut self) {
        if core::mem::replace(&mut self.is_settled, true) {
            return;
        }
        self.take_coming();
        self.book.make_room(self.places.len());
        for open in &mut self.open {
            if let Some((frame, octets, _)) = open.lone() {
                self.left_out += u64::from(self.book.noted(&frame, octets).is_err());
            } else if !open.unread.is_empty() {
                self.left_out += open.read(&mut self.book, &mut self.opener);
            }
        }
        self.book.settle();
    }

    /// After `settle`: messages and deliveries that are not over, and were sealed with a key that is not here.
    #[must_use]
    pub fn unopened(&self) -> usize {
        self.open.iter().filter(|open| open.story.as_ref().is_some_and(|story| story.is_sealed)).count()
    }

    /// The highest key of a message, over or not: an id of ours that was given, whatever the clock says now.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// After `settle`: records that are needed and found no room in the book. Their segments may be given back too early.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The book, and what is open in the order of the keys, which is that in which they were given.
    #[must_use]
    pub fn finish(self) -> (Book, Vec<(u64, Kept)>) {
        let (book, remains) = self.remains();
        (book, remains.iter().map(|(key, still)| (key, still.to_kept())).collect())
    }

    /// The same, each to be looked at where it is.
    #[must_use]
    pub fn remains(mut self) -> (Book, Remains) {
        self.settle();
        let is_open = |open: &Open| open.story.is_some() || !open.unread.is_empty();
        let all = self.open.iter().zip(0..).filter(|(open, _)| is_open(open));
        let mut order: Vec<(u64, u32)> = all.map(|(open, at)| (open.key, at)).collect();
        order.sort_unstable();
        (self.book, Remains::new(self.open, order))
    }
}

#[cfg(test)]
mod tests;
