//! Messages, receipts and MO with a journal: what waits for it, what a restart brings back, what it is told.

use super::pdus::{Dlr, Heard, answer, bind, mo, multi, receipt, refusal, submit, submit_text};
use super::rig::{EIO, Rig, config, member};
use crate::config::{Config, Homes};
use crate::esme::settings::{Durability, MessageIdSource, Waiting};
use crate::ids::{CarrierId, EsmeId, LinkId, ShardId};
use crate::journal::frame::{Head, frame_len, write};
use crate::journal::recover::Place;
use crate::journal::{
    AppendRefused, Cipher, DiskError, Fault, Frame, Kind, Lsn, Opener, Recall, Recalled, Record, Recorder,
    Sealer,
};
use crate::ledger::Restored;
use crate::limits::{RECEIPT_AGAIN, RECEIPT_KEEP};
use crate::route::settings::{MoRouteSettings, Nobody};
use crate::session::BindKind;
use crate::shard::{Strays, port::Input};
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now, Wall};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

pub(super) const NUMBER: &str = "38267000001";
pub(super) const OTHER: &str = "38267000002";

/// What a journal in memory and whoever plays its disk tell each other.
#[derive(Debug, Default)]
pub(super) struct Said {
    appended: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    front: AtomicU64,
    full: AtomicBool,
    failed: AtomicI32,
    used_percent: AtomicU64,
    pub(super) full_percent: AtomicU64,
    /// From this record on all is durable as soon as it is appended; zero: nothing is.
    quick_from: AtomicU64,
    /// What was appended cannot be read back.
    unreadable: AtomicBool,
}

/// A shard's end of a journal in memory.
#[derive(Debug, Clone)]
pub(super) struct Pen {
    to: Sender<Vec<u8>>,
    pub(super) said: Arc<Said>,
    /// All that was appended, and what is to be read back of it.
    frames: Vec<Vec<u8>>,
    recalls: Vec<Recall>,
}

/// A journal in memory, which survives its shard; nothing is written or durable before it is told so.
#[derive(Debug)]
pub(super) struct Paper {
    pub(super) pen: Pen,
    from: Receiver<Vec<u8>>,
    pub(super) frames: Vec<Vec<u8>>,
    /// What messages are sealed with.
    pub(super) keys: Vec<[u8; 32]>,
}

impl Default for Paper {
    fn default() -> Self {
        let (to, from) = channel();
        Self {
            pen: Pen { to, said: Arc::default(), frames: Vec::new(), recalls: Vec::new() },
            from,
            frames: Vec::new(),
            keys: Vec::new(),
        }
    }
}

impl Paper {
    pub(super) fn read(&mut self, visit: &mut dyn FnMut(&Frame<'_>)) {
        self.frames.extend(self.from.try_iter());
        self.frames.iter().for_each(|octets| visit(&Frame::unsealed(octets).unwrap().0));
    }

    pub(super) fn restored(&mut self) -> Restored {
        let mut restored = Restored::new(10_000).with_keys(Opener::new(&self.keys));
        self.read(&mut |frame| {
            let (octets, wall) = (frame_len(frame.payload.len()) as u32, Wall(1_790_000_000_000_000));
            restored.take(frame, &Place { segment: 1, at: 0, wall, octets, is_over: false });
        });
        restored
    }

    fn is_over(&self) -> bool {
        let (front, appended) = (get(&self.pen.said.front), get(&self.pen.said.appended));
        appended == 0 || front == appended + 1
    }
}

fn get(number: &AtomicU64) -> u64 {
    number.load(Ordering::SeqCst)
}

impl Recorder for Pen {
    fn append(&mut self, _: Now, key: u64, record: &Record<'_>) -> Result<Lsn, AppendRefused> {
        if self.said.full.load(Ordering::SeqCst) {
            return Err(AppendRefused::Full);
        }
        let lsn = Lsn(self.said.appended.fetch_add(1, Ordering::SeqCst) + 1);
        let mut octets = vec![0; frame_len(record.len())];
        write(&mut octets, &Head { lsn, key, time_ms: 0 }, record, record.len());
        self.frames.push(octets.clone());
        self.to.send(octets).unwrap();
        if (1..=lsn.0).contains(&get(&self.said.quick_from)) {
            self.said.written.store(lsn.0, Ordering::SeqCst);
            self.said.durable.store(lsn.0, Ordering::SeqCst);
        }
        Ok(lsn)
    }

    fn kick(&self) {}

    fn written(&self) -> Lsn {
        Lsn(get(&self.said.written))
    }

    fn durable(&self) -> Lsn {
        Lsn(get(&self.said.durable))
    }

    fn failed(&self) -> Option<DiskError> {
        DiskError::of(self.said.failed.load(Ordering::SeqCst))
    }

    fn accepting(&self) -> bool {
        true
    }

    fn full_percent(&mut self) -> u64 {
        get(&self.said.full_percent)
    }

    fn used_percent(&self) -> u64 {
        get(&self.said.used_percent)
    }

    fn needs_from(&self, front: Lsn) {
        self.said.front.store(front.0, Ordering::SeqCst);
    }

    fn recall(&mut self, recall: Recall) -> bool {
        assert!(recall.lsn <= self.durable(), "only what is durable is on the disk");
        self.recalls.push(recall);
        true
    }

    fn recalled(&mut self) -> Option<Recalled> {
        let recall = self.recalls.pop()?;
        let frame = Frame::unsealed(&self.frames[recall.lsn.0 as usize - 1]).unwrap().0;
        let readable = !self.said.unreadable.load(Ordering::SeqCst);
        Some(recall.found(Some(&frame).filter(|_| readable)))
    }

    fn has_recalled(&self) -> bool {
        !self.recalls.is_empty()
    }

    fn sleeps(&self, written: Lsn, durable: Lsn) -> bool {
        self.written() == written && self.durable() == durable
    }
}

/// A rig whose shards have journals.
pub(super) struct Kept {
    pub(super) rig: Rig,
    pub(super) papers: Vec<Paper>,
    strays: Vec<Strays>,
    unknown: u64,
}

impl Kept {
    pub(super) fn up(config: Config) -> Self {
        Self::again(config, Vec::new())
    }

    /// A restart on these journals.
    pub(super) fn again(config: Config, papers: Vec<Paper>) -> Self {
        Self::on(Rig::new(config), papers, |_, _| ())
    }

    /// The same; `first` is what a node does before the shards run.
    pub(super) fn on(
        mut rig: Rig,
        mut papers: Vec<Paper>,
        first: impl FnOnce(&mut Rig, &mut [Strays]),
    ) -> Self {
        let keys = papers.first().map(|paper| paper.keys.clone()).unwrap_or_default();
        papers.resize_with(rig.shards.len(), || Paper { keys: keys.clone(), ..Paper::default() });
        let mut strays = Vec::new();
        for (shard, paper) in rig.shards.iter_mut().zip(&mut papers) {
            let restored = paper.restored();
            let pen = Pen { frames: paper.frames.clone(), ..paper.pen.clone() };
            strays.push(shard.attach(Box::new(pen), restored));
            if let Some(first) = paper.keys.first() {
                let salt = [paper.frames.len() as u8; 16];
                let sealer = Sealer::new(first, salt).unwrap();
                shard.seal_with(Cipher { sealer, opener: Opener::new(&paper.keys) });
            }
        }
        first(&mut rig, &mut strays);
        let now = rig.now;
        let unknown = rig.shards.iter_mut().map(|shard| shard.take_up(now)).sum();
        let mut kept = Self { rig: rig.with_carriers(), papers, strays, unknown };
        kept.answer_receipts_until(Instant::from_nanos(u64::MAX));
        kept.turn();
        kept
    }

    /// As if all accounts had answered a receipt late: until then the others are written down before they get them.
    pub(super) fn answer_receipts_until(&mut self, late: Instant) {
        let accounts = self.rig.shards.iter_mut().flat_map(|shard| shard.accounts.iter_mut());
        accounts.for_each(|account| account.answers_late_until = late);
    }

    pub(super) fn turn(&mut self) {
        self.rig.input_all(|| Input::Time);
        self.rig.advance(Duration::from_millis(1));
    }

    pub(super) fn written(&mut self) {
        for Paper { pen, .. } in &self.papers {
            pen.said.written.store(get(&pen.said.appended), Ordering::SeqCst);
        }
        self.turn();
    }

    pub(super) fn durable(&mut self) {
        self.written();
        for Paper { pen, .. } in &self.papers {
            pen.said.durable.store(get(&pen.said.appended), Ordering::SeqCst);
        }
        self.turn();
    }

    /// The oldest record that some shard needs.
    pub(super) fn front(&self) -> u64 {
        self.papers.iter().map(|paper| get(&paper.pen.said.front)).max().unwrap_or_default()
    }

    pub(super) fn used(&mut self, percent: u64) {
        self.papers.iter().for_each(|paper| paper.pen.said.used_percent.store(percent, Ordering::SeqCst));
    }

    /// True when these octets stand in some record.
    pub(super) fn says(&mut self, octets: &[u8]) -> bool {
        let mut found = false;
        for paper in &mut self.papers {
            paper.read(&mut |frame| found |= frame.payload.windows(octets.len()).any(|part| part == octets));
        }
        found
    }

    /// What is on the disk cannot be read.
    pub(super) fn unreadable(&mut self, unreadable: bool) {
        self.papers.iter().for_each(|paper| paper.pen.said.unreadable.store(unreadable, Ordering::SeqCst));
    }

    pub(super) fn full(&mut self, full: bool) {
        self.papers.iter().for_each(|paper| paper.pen.said.full.store(full, Ordering::SeqCst));
    }

    /// The disk is so quick from this record on that it is done before the shard goes on.
    pub(super) fn quick_from(&mut self, lsn: u64) {
        self.papers.iter().for_each(|paper| paper.pen.said.quick_from.store(lsn, Ordering::SeqCst));
    }

    pub(super) fn failed(&mut self, failed: i32) {
        self.papers.iter().for_each(|paper| paper.pen.said.failed.store(failed, Ordering::SeqCst));
    }

    pub(super) fn kinds(&mut self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        let papers = self.papers.iter_mut();
        papers.for_each(|paper| paper.read(&mut |frame| kinds.push(frame.kind().unwrap())));
        kinds
    }

    /// State, status, reason, fault and attempts of each final record, with the message's id.
    pub(super) fn ends(&mut self) -> Vec<(u8, u32, u8, Fault, u16, String)> {
        let mut ends = Vec::new();
        for paper in &mut self.papers {
            paper.read(&mut |frame| {
                if let Some(Record::Finish { state, status, reason, fault, facts, .. }) = frame.record() {
                    let id = String::from_utf8(facts.message_id.to_vec()).unwrap();
                    ends.push((state, status, reason, fault, facts.attempts, id));
                }
            });
        }
        ends
    }

    pub(super) fn nothing_is_needed(&self) -> bool {
        self.papers.iter().all(Paper::is_over)
    }

    /// An ESME that binds, and what it is given behind the response.
    pub(super) fn binds(&mut self, name: &str, kind: BindKind) -> (LinkId, Vec<Heard>) {
        let link = self.rig.accept();
        self.rig.send(link, &bind(name, "secret", kind, 0x34));
        let mut heard = self.rig.heard(link);
        assert_eq!(heard.remove(0).status(), CommandStatus::OK);
        (link, heard)
    }

    /// The same, of an account for which one receipt or MO waits.
    pub(super) fn takes(&mut self, name: &str) -> (LinkId, Heard) {
        let (link, mut given) = self.binds(name, BindKind::Transceiver);
        assert_eq!(given.len(), 1);
        (link, given.remove(0))
    }

    /// A message with a receipt asked for that the carrier took; nothing is answered yet.
    pub(super) fn accepted(&mut self, link: LinkId, number: &str, sequence: u32, id: &str) {
        let alpha = self.rig.carrier(0);
        self.rig.send(link, &submit(number, sequence));
        let request = self.rig.one(alpha);
        self.rig.send(alpha, &answer(&request, id));
    }
}

pub(super) fn acme() -> Config {
    config(&["acme"], &["alpha"])
}

#[test]
fn a_response_that_promises_a_receipt_waits_for_its_record_as_far_as_its_account_wants() {
    for (durability, at_once, written) in [
        (Durability::Off, true, true),
        (Durability::Process, false, true),
        (Durability::Group, false, false),
        (Durability::Strict, false, false),
    ] {
        let mut config = acme();
        config.esmes[0].durability = Some(durability);
        let mut kept = Kept::up(config);
        let link = kept.rig.trx("acme");
        kept.accepted(link, NUMBER, 1, "A1");
        assert_eq!(kept.kinds(), [Kind::Sent]);
        assert_eq!(kept.rig.unseen(link).count() == 1, at_once, "{durability:?}");
        kept.written();
        assert_eq!(kept.rig.unseen(link).count() == 1, written, "{durability:?}");
        kept.durable();
        let response = kept.rig.one(link);
        assert_eq!(
            (response.status(), response.id(), response.sequence()),
            (CommandStatus::OK, "A1".into(), 1)
        );
    }
}

#[test]
fn what_promises_nothing_waits_for_nothing_and_is_in_the_records_all_the_same() {
    let mut config = acme();
    config.carriers[0].rate = None;
    let mut kept = Kept::up(config);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(link, &submit_text(NUMBER, 1, "no receipt", 0));
    let request = kept.rig.one(alpha);
    kept.rig.send(alpha, &answer(&request, "A1"));
    assert_eq!(kept.rig.one(link).id(), "A1");
    kept.rig.send(link, &submit(NUMBER, 2));
    let request = kept.rig.one(alpha);
    kept.rig.send(alpha, &refusal(&request, CommandStatus::INVALID_DESTINATION));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::INVALID_DESTINATION);
    kept.rig.send(link, &submit("", 3));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::INVALID_DESTINATION);
    kept.rig.send(link, &submit(NUMBER, 4));
    kept.rig.one(alpha);
    kept.rig.advance(Duration::from_secs(30));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::SUBMIT_FAILED);
    let reason = |reason: crate::counters::Reason| reason as u8;
    let none = crate::journal::record::NO_REASON;
    assert_eq!(
        kept.ends(),
        [
            (6, 0, none, Fault::Nobody, 1, "A1".to_owned()),
            (8, CommandStatus::INVALID_DESTINATION.0, none, Fault::Carrier, 1, String::new()),
            (
                8,
                CommandStatus::INVALID_DESTINATION.0,
                reason(crate::counters::Reason::Malformed),
                Fault::Esme,
                0,
                String::new()
            ),
            (
                7,
                CommandStatus::SUBMIT_FAILED.0,
                reason(crate::counters::Reason::Unknown),
                Fault::Carrier,
                1,
                String::new()
            ),
        ]
    );
    kept.turn();
    assert!(kept.nothing_is_needed());
}

#[test]
fn a_receipt_is_answered_when_it_is_safe_and_given_behind_the_response() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
    kept.turn();
    kept.rig.silent(link);
    kept.rig.silent(alpha);
    kept.durable();
    let heard = kept.rig.heard(link);
    assert_eq!(heard.len(), 2);
    assert_eq!((heard[0].status(), heard[0].id()), (CommandStatus::OK, "A1".into()));
    assert_eq!(heard[1].receipt_ids().1.as_deref(), Some("A1"));
    let answered = kept.rig.one(alpha);
    assert_eq!((answered.sequence(), answered.status()), (9, CommandStatus::OK));
    assert!(!kept.nothing_is_needed());
    kept.rig.send(link, &answer(&heard[1], ""));
    kept.turn();
    assert_eq!(kept.kinds(), [Kind::Sent, Kind::DlrIn, Kind::Finish]);
    assert_eq!(kept.ends()[0].0, 2);
    assert!(kept.nothing_is_needed());
    kept.rig.send(alpha, &receipt("A1", NUMBER, 10));
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK, "known, and over");
    kept.rig.silent(link);
    kept.rig.assert_settled();
}

#[test]
fn an_account_that_is_not_bound_gets_its_receipts_in_order_when_it_is() {
    let mut config = acme();
    config.esmes[0].waiting = Waiting { count_max: 2, keep: Duration::from_secs(3600) };
    let mut kept = Kept::up(config);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    for (sequence, id) in [(1, "A1"), (2, "A2"), (3, "A3")] {
        kept.accepted(link, NUMBER, sequence, id);
    }
    kept.durable();
    assert_eq!(kept.rig.heard(link).len(), 3);
    kept.rig.reset(link);
    for (sequence, id) in [(11, "A2"), (12, "A1"), (13, "A3")] {
        kept.rig.send(alpha, &receipt(id, NUMBER, sequence));
        kept.durable();
    }
    let answers: Vec<CommandStatus> = kept.rig.heard(alpha).iter().map(Heard::status).collect();
    let later = CommandStatus::RECEIVER_TEMPORARY;
    assert_eq!(
        answers,
        [CommandStatus::OK, CommandStatus::OK, later],
        "two wait, the carrier keeps the third"
    );
    let (link, given) = kept.binds("acme", BindKind::Receiver);
    let ids: Vec<String> = given.iter().filter_map(|one| one.receipt_ids().1).collect();
    assert_eq!(ids, ["A2", "A1"]);
    given.iter().for_each(|one| kept.rig.send(link, &answer(one, "")));
    kept.turn();
    assert_eq!(kept.ends().len(), 2);
}

#[test]
fn a_restart_brings_back_what_was_promised_and_gives_it_to_who_submitted() {
    let build = || {
        let mut config = config(&["acme", "bank"], &["alpha", "beta"]);
        config.pools[0].members = vec![member(0, 1)];
        config.esmes[1].message_id = MessageIdSource::Own;
        config
    };
    let mut kept = Kept::up(build());
    let (acme, bank) = (kept.rig.trx("acme"), kept.rig.trx("bank"));
    let alpha = kept.rig.carrier(0);
    kept.accepted(acme, NUMBER, 1, "A1");
    kept.accepted(bank, OTHER, 1, "B1");
    kept.accepted(bank, NUMBER, 2, "B2");
    kept.durable();
    let own: Vec<String> = kept.rig.heard(bank).iter().map(Heard::id).collect();
    kept.rig.reset(bank);
    kept.rig.send(alpha, &receipt("B1", OTHER, 7));
    kept.durable();
    assert_eq!(kept.rig.heard(alpha).len(), 1);
    let mut kept = Kept::again(build(), kept.papers);
    assert!(kept.unknown == 0 && kept.strays.iter().all(|strays| strays.moved.is_empty()));
    let (acme, (bank, waited)) = (kept.rig.trx("acme"), kept.takes("bank"));
    let alpha = kept.rig.carrier(0);
    assert_eq!(waited.receipt_ids().1.as_deref(), Some(&*own[0]));
    kept.rig.send(bank, &answer(&waited, ""));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 8));
    kept.rig.send(alpha, &receipt("B2", NUMBER, 9));
    kept.rig.send(alpha, &receipt("B1", OTHER, 10));
    kept.durable();
    let answers: Vec<CommandStatus> = kept.rig.heard(alpha).iter().map(Heard::status).collect();
    assert_eq!(answers, [CommandStatus::OK; 3], "the third is known");
    let (one, two) = (kept.rig.one(acme), kept.rig.one(bank));
    assert_eq!(one.receipt_ids().1.as_deref(), Some("A1"));
    assert_eq!(two.receipt_ids().1.as_deref(), Some(&*own[1]));
    kept.rig.send(acme, &answer(&one, ""));
    kept.rig.send(bank, &answer(&two, ""));
    kept.turn();
    assert_eq!(kept.ends().len(), 3);
    assert!(kept.nothing_is_needed());
    let again = Kept::again(build(), kept.papers);
    assert_eq!(again.rig.sum(|cells| cells.journal_open.get()), 0);
}

#[test]
fn after_a_restart_a_receipt_has_the_id_that_the_esme_was_given_however_the_carrier_writes_it() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "1F");
    kept.durable();
    assert_eq!(kept.rig.one(link).id(), "1F");
    kept.rig.reset(link);
    kept.rig.send(alpha, &receipt("31", NUMBER, 7));
    kept.durable();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    let mut kept = Kept::again(acme(), kept.papers);
    let (_, given) = kept.takes("acme");
    assert_eq!(given.receipt_ids().1.as_deref(), Some("1F"));
}

#[test]
fn a_receipt_that_comes_before_its_restored_message_is_known_to_its_carriers_shard_goes_on_when_it_is() {
    let placed = || Rig::placed(acme(), 1, Homes::fixed(2, vec![ShardId(1)], vec![ShardId(0)]), 8);
    let mut kept = Kept::on(placed(), Vec::new(), |_, _| ());
    let link = kept.rig.trx("acme");
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.reset(link);
    let mut kept = Kept::on(placed(), kept.papers, |rig, _| rig.holds_mail = true);
    let alpha = kept.rig.carrier(0);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.rig.silent(alpha);
    kept.rig.deliver_mail();
    kept.durable();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    let (_, given) = kept.takes("acme");
    assert_eq!(given.receipt_ids().1.as_deref(), Some("A1"));
}

#[test]
fn an_account_that_has_another_home_after_a_restart_gets_what_the_journal_of_the_former_one_has() {
    let placed =
        |home: u32| Rig::placed(acme(), 1, Homes::fixed(2, vec![ShardId(home)], vec![ShardId(0)]), 8);
    let mut kept = Kept::on(placed(0), Vec::new(), |_, _| ());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    for (sequence, id) in [(1, "A1"), (2, "A2")] {
        kept.accepted(link, NUMBER, sequence, id);
    }
    kept.durable();
    kept.rig.reset(link);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.durable();
    // The second time as after a crash between the two steps: both journals have it.
    for (crash, records) in [(true, 3), (false, 0)] {
        let before = kept.kinds().len();
        kept = Kept::on(placed(1), kept.papers, |rig, strays| {
            let moved = core::mem::take(&mut strays[0].moved);
            let keys: Vec<u64> = moved.iter().map(|(_, key, _)| *key).collect();
            assert!(keys.len() == 2 && moved.iter().all(|(home, ..)| *home == ShardId(1)));
            let (now, moved) = (rig.now, moved.into_iter().map(|(_, key, kept)| (key, kept)));
            assert!(rig.shards[1].adopt(now, moved.collect()).is_empty());
            if !crash {
                assert_eq!(rig.shards[0].disown(now, &keys), keys.len());
            }
        });
        let over = if crash { 0 } else { 2 };
        assert_eq!(kept.kinds().len() - before, records + over, "each key is taken once");
        kept.durable();
    }
    let ((link, first), alpha) = (kept.takes("acme"), kept.rig.carrier(0));
    assert_eq!(first.receipt_ids().1.as_deref(), Some("A1"));
    kept.rig.send(link, &answer(&first, ""));
    kept.rig.send(alpha, &receipt("A2", NUMBER, 8));
    kept.durable();
    let second = kept.rig.one(link);
    assert_eq!(second.receipt_ids().1.as_deref(), Some("A2"));
    kept.rig.send(link, &answer(&second, ""));
    kept.durable();
    assert_eq!(kept.ends().len(), 2);
    assert!(kept.nothing_is_needed());
}

#[test]
fn a_receipt_that_the_esme_refuses_for_now_comes_again_and_one_that_it_refuses_for_good_does_not() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    for (sequence, id) in [(1, "A1"), (2, "A2")] {
        kept.accepted(link, NUMBER, sequence, id);
    }
    kept.durable();
    kept.rig.heard(link);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.durable();
    let given = kept.rig.one(link);
    kept.rig.send(link, &refusal(&given, CommandStatus::QUEUE_FULL));
    kept.turn();
    kept.rig.silent(link);
    assert_eq!(kept.ends(), []);
    kept.rig.advance(RECEIPT_AGAIN + Duration::from_millis(10));
    let given = kept.rig.one(link);
    kept.rig.send(link, &answer(&given, ""));
    kept.rig.send(alpha, &receipt("A2", NUMBER, 8));
    kept.durable();
    let given = kept.rig.one(link);
    kept.rig.send(link, &refusal(&given, CommandStatus::INVALID_DESTINATION));
    kept.turn();
    assert_eq!(kept.ends().len(), 2);
    assert_eq!(kept.rig.heard(alpha).len(), 2);
    kept.rig.silent(link);
}

#[test]
fn a_session_that_goes_with_a_receipt_leaves_it_to_the_next() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.heard(link);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.durable();
    kept.rig.one(link);
    kept.rig.reset(link);
    let (link, given) = kept.takes("acme");
    kept.rig.send(link, &answer(&given, ""));
    kept.turn();
    assert_eq!((kept.ends().len(), kept.rig.heard(alpha).len()), (1, 1));
}

#[test]
fn a_journal_without_room_relays_all_the_same() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.full(true);
    kept.accepted(link, NUMBER, 1, "A1");
    assert_eq!(kept.rig.one(link).status(), CommandStatus::OK);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    let given = kept.rig.one(link);
    kept.rig.silent(alpha);
    kept.rig.send(link, &answer(&given, ""));
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    assert_eq!(kept.rig.sum(|cells| cells.journal_left_out.get()), 1);
    kept.rig.send(link, &submit_text(NUMBER, 2, "no receipt", 0));
    let request = kept.rig.one(alpha);
    kept.rig.send(alpha, &answer(&request, "A2"));
    kept.rig.one(link);
    kept.full(false);
    kept.turn();
    assert_eq!(kept.ends().len(), 1, "a final record waits for room");
}

#[test]
fn a_receipt_that_found_no_room_ends_its_message_all_the_same() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.one(link);
    kept.full(true);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    let given = kept.rig.one(link);
    kept.rig.send(link, &answer(&given, ""));
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    kept.full(false);
    kept.turn();
    assert_eq!((kept.ends().len(), kept.ends()[0].0), (1, 2));
    assert!(kept.nothing_is_needed());
}

#[test]
fn a_journal_that_failed_holds_no_relayed_message_back_and_keeps_no_receipt_for_who_is_not_bound() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.rig.silent(link);
    kept.failed(EIO);
    kept.turn();
    assert_eq!(kept.rig.one(link).status(), CommandStatus::OK);
    kept.rig.reset(link);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.turn();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::RECEIVER_TEMPORARY);
}

#[test]
fn a_submit_multi_is_over_with_its_last_receipt() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].durability = Some(Durability::Process);
    let mut kept = Kept::up(config);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(link, &multi(&[NUMBER, OTHER], 1));
    let request = kept.rig.one(alpha);
    kept.rig.send(alpha, &answer(&request, "A1"));
    let asked = kept.kinds() == [Kind::Sent];
    kept.written();
    kept.rig.one(link);
    if !asked {
        return assert_eq!(kept.kinds(), [Kind::Finish], "it asks for no receipt");
    }
    for (number, ends) in [(NUMBER, 0), (OTHER, 1)] {
        kept.rig.send(alpha, &receipt("A1", number, 7));
        kept.written();
        let given = kept.rig.one(link);
        kept.rig.send(link, &answer(&given, ""));
        kept.turn();
        assert_eq!(kept.ends().len(), ends);
    }
    assert!(kept.nothing_is_needed());
}

#[test]
fn an_intermediate_receipt_is_answered_and_the_message_stays_open() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.one(link);
    let early = Dlr { id: "A1", number: NUMBER, stat: "ENROUTE", ..Dlr::default() };
    kept.rig.send(alpha, &early.write(7));
    kept.durable();
    let given = kept.rig.one(link);
    kept.rig.send(link, &answer(&given, ""));
    kept.turn();
    assert_eq!(kept.kinds(), [Kind::Sent, Kind::DlrIn, Kind::DlrOut]);
    kept.rig.advance(RECEIPT_KEEP + Duration::from_secs(1));
    kept.turn();
    assert_eq!(kept.ends().iter().map(|end| end.0).collect::<Vec<_>>(), [7], "no final receipt came");
    assert!(kept.nothing_is_needed());
}

#[test]
fn after_an_intermediate_receipt_and_a_restart_the_final_one_goes_to_who_submitted() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.one(link);
    let early = Dlr { id: "A1", number: NUMBER, stat: "ENROUTE", ..Dlr::default() };
    kept.rig.send(alpha, &early.write(7));
    kept.durable();
    let given = kept.rig.one(link);
    kept.rig.send(link, &answer(&given, ""));
    kept.turn();
    let mut kept = Kept::again(acme(), kept.papers);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 8));
    kept.durable();
    let given = kept.rig.one(link);
    assert_eq!(given.receipt_ids().1.as_deref(), Some("A1"));
    kept.rig.send(link, &answer(&given, ""));
    kept.turn();
    assert_eq!(kept.ends().len(), 1);
    assert!(kept.nothing_is_needed());
}

#[test]
fn an_mo_that_nobody_takes_waits_in_the_journal_when_its_route_says_so() {
    let build = || {
        let mut config = acme();
        config.mo_routes = vec![MoRouteSettings {
            name: "vote".into(),
            carrier: vec![CarrierId(0)],
            to: Vec::new(),
            deliver: vec![EsmeId(0)],
            nobody: Nobody::Queue,
        }];
        config
    };
    let mut kept = Kept::up(build());
    let alpha = kept.rig.carrier(0);
    kept.rig.send(alpha, &mo(NUMBER, "14499", 5));
    kept.turn();
    kept.rig.silent(alpha);
    kept.durable();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    let mut kept = Kept::again(build(), kept.papers);
    let (link, given) = kept.takes("acme");
    assert_eq!(given.text(), "VOTE 7");
    kept.rig.send(link, &answer(&given, ""));
    kept.turn();
    assert_eq!(kept.kinds(), [Kind::MoIn, Kind::Tombstone]);
    assert!(kept.nothing_is_needed());
}

#[test]
fn a_receipt_whose_record_is_safe_at_once_waits_for_the_response_of_its_message() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(link, &submit(NUMBER, 1));
    let request = kept.rig.one(alpha);
    kept.quick_from(2);
    kept.rig.send(alpha, &[answer(&request, "A1"), receipt("A1", NUMBER, 7)].concat());
    let heard = kept.rig.heard(link);
    assert_eq!((heard.len(), heard[0].id()), (2, "A1".to_owned()), "the response, then the receipt");
}
