//! What a run measures, second by second. Owns: the measured span, the histograms. Takes: sends, answers, receipts and
//! the time. Gives: a `Second` at the end of each, and the sums. Never: measures what was due in the warm-up.

use super::counts::Counts;
use super::latency::Latency;
use super::report::{Health, LATE, Measured};
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now, Wall};
use core::fmt;

/// How long a `Second` is.
const SECOND: Duration = Duration::from_secs(1);
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// What happened in one second of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Second {
    /// When the run began.
    pub run_began: Wall,
    /// From the run's begin to its begin.
    pub at: Duration,
    /// How long it was; the last one is shorter.
    pub span: Duration,
    /// False while the warm-up lasts.
    pub measured: bool,
    /// Messages sent.
    pub submitted: u64,
    /// Messages answered.
    pub answered: u64,
    /// Of these, with ESME_ROK.
    pub accepted: u64,
    /// Receipts matched.
    pub receipts: u64,
    /// Without a response at its end.
    pub in_flight: u64,
    /// Sessions bound at its end.
    pub bound: u64,
    /// Everything that must not be, since the run began.
    pub faults: u64,
    /// Submit to response; during the warm-up too.
    pub response: Latency,
    /// Submit to receipt; during the warm-up too.
    pub receipt: Latency,
}

/// What a run tells while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The warm-up is over.
    Measuring(Wall),
    /// The measured span is over: messages answered within it.
    Measured(Wall, u64),
    /// A second is over.
    Second(Box<Second>),
}

/// Who is told; or nobody.
#[derive(Default)]
pub(super) struct Listener(pub(super) Option<Box<dyn FnMut(Notice) + Send>>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    submitted: u64,
    answered: u64,
    accepted: u64,
    receipts: u64,
}

impl Mark {
    fn of(counts: &Counts) -> Self {
        Self {
            submitted: counts.submitted.get(),
            answered: counts.answered.get(),
            accepted: counts.responses.of(CommandStatus::OK),
            receipts: counts.receipts_matched.get(),
        }
    }
}

/// Where the measured span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Within,
    After,
}

#[derive(Debug)]
pub(super) struct Meter {
    pub(super) listener: Listener,
    stage: Stage,
    started: Instant,
    started_wall: Wall,
    /// What is due earlier is not measured.
    from: Instant,
    /// When the measured span ends by the clock.
    until: Option<Instant>,
    from_mark: Mark,
    /// When `from_mark` was taken: at `from` or a little later.
    marked: Instant,
    measured: Measured,
    health: Health,
    /// The second under way.
    second_at: Instant,
    second_mark: Mark,
    response: Latency,
    receipt: Latency,
    /// Those of all seconds that are over and measured.
    responses: Latency,
    receipts: Latency,
    warm_response: Latency,
    warm_receipt: Latency,
    /// When something is to be done next.
    next: Instant,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            listener: Listener::default(),
            stage: Stage::Before,
            started: Instant::ZERO,
            started_wall: Wall::default(),
            from: NEVER,
            until: None,
            from_mark: Mark::default(),
            marked: Instant::ZERO,
            measured: Measured::default(),
            health: Health::default(),
            second_at: NEVER,
            second_mark: Mark::default(),
            response: Latency::default(),
            receipt: Latency::default(),
            responses: Latency::default(),
            receipts: Latency::default(),
            warm_response: Latency::default(),
            warm_receipt: Latency::default(),
            next: NEVER,
        }
    }
}

impl Meter {
    /// The run begins: it measures after `warmup`, and until `until` when the clock ends it.
    pub(super) fn start(&mut self, now: Now, warmup: Duration, until: Option<Instant>, counts: &Counts) {
        assert!(self.stage == Stage::Before && self.from == NEVER, "a run begins once");
        self.started = now.mono;
        self.started_wall = now.wall;
        self.from = now.mono.after(warmup);
        self.until = until;
        self.second_at = now.mono;
        self.next = now.mono;
        self.tick(now, counts);
    }

    /// When it wants to hear the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.next != NEVER).then_some(self.next)
    }

    /// True once it is past the warm-up.
    pub(super) fn is_measuring(&self) -> bool {
        self.stage != Stage::Before
    }

    #[inline]
    pub(super) fn response(&mut self, intended: Instant, now: Instant) {
        let into = if intended >= self.from { &mut self.response } else { &mut self.warm_response };
        into.record(now.since(intended));
    }

    #[inline]
    pub(super) fn receipt(&mut self, intended: Instant, now: Instant) {
        let into = if intended >= self.from { &mut self.receipt } else { &mut self.warm_receipt };
        into.record(now.since(intended));
    }

    /// A message of a schedule was sent `now`. Before `free` there was no room for it.
    #[inline]
    pub(super) fn sent(&mut self, intended: Instant, free: Instant, now: Instant) {
        if intended < self.from {
            return;
        }
        self.health.sends += 1;
        if now.since(intended) <= LATE {
            return;
        }
        let own = now.since(intended.max(free));
        if own > LATE {
            self.health.late += 1;
            self.health.worst = self.health.worst.max(own);
        } else {
            self.health.held += 1;
        }
    }

    /// Must be called before anything is counted at `now`.
    #[inline]
    pub(super) fn clock(&mut self, now: Now, counts: &Counts) {
        if self.next <= now.mono {
            self.tick(now, counts);
        }
    }

    fn tick(&mut self, now: Now, counts: &Counts) {
        while self.second_at.after(SECOND) <= now.mono {
            self.end_second(self.second_at.after(SECOND), counts);
        }
        if self.stage == Stage::Before && self.from <= now.mono {
            self.stage = Stage::Within;
            self.from_mark = Mark::of(counts);
            self.measured.from = now.wall;
            self.marked = now.mono;
            self.tell(Notice::Measuring(now.wall));
        }
        if let Some(until) = self.until
            && until <= now.mono
        {
            self.end_measuring(now, now.mono, counts);
        }
        self.next = self.second_at.after(SECOND);
        if self.stage == Stage::Before {
            self.next = self.next.min(self.from);
        }
        if self.stage == Stage::Within {
            self.next = self.next.min(self.until.unwrap_or(NEVER));
        }
    }

    /// The measured span is over at `end`, unless it is already.
    pub(super) fn end_measuring(&mut self, now: Now, end: Instant, counts: &Counts) {
        if self.stage != Stage::Within {
            return;
        }
        self.stage = Stage::After;
        let (mark, before) = (Mark::of(counts), self.from_mark);
        self.measured.span = end.since(self.marked);
        self.measured.submitted = mark.submitted - before.submitted;
        self.measured.answered = mark.answered - before.answered;
        self.measured.accepted = mark.accepted - before.accepted;
        self.tell(Notice::Measured(now.wall, self.measured.answered));
    }

    fn end_second(&mut self, end: Instant, counts: &Counts) {
        // Both have the same bounds: all of it is added.
        let whole = self.responses.add(&self.response) && self.receipts.add(&self.receipt);
        assert!(whole, "a histogram holds another with its bounds");
        let (mark, before) = (Mark::of(counts), self.second_mark);
        if self.listener.0.is_some() {
            let (mut response, mut receipt) = (self.response.clone(), self.receipt.clone());
            let warm = response.add(&self.warm_response) && receipt.add(&self.warm_receipt);
            assert!(warm, "a histogram holds another with its bounds");
            let over = mark.answered + counts.unanswered.get();
            self.tell(Notice::Second(Box::new(Second {
                run_began: self.started_wall,
                at: self.second_at.since(self.started),
                span: end.since(self.second_at),
                measured: self.stage == Stage::Within,
                submitted: mark.submitted - before.submitted,
                answered: mark.answered - before.answered,
                accepted: mark.accepted - before.accepted,
                receipts: mark.receipts - before.receipts,
                in_flight: mark.submitted.saturating_sub(over),
                bound: counts.bound.get(),
                faults: counts.faults(),
                response,
                receipt,
            })));
        }
        self.response.clear();
        self.receipt.clear();
        self.warm_response.clear();
        self.warm_receipt.clear();
        self.second_mark = mark;
        self.second_at = end;
    }

    fn tell(&mut self, notice: Notice) {
        if let Some(listener) = &mut self.listener.0 {
            listener(notice);
        }
    }

    /// The run is over: what is left is a second that is not whole.
    pub(super) fn finish(&mut self, now: Now, counts: &Counts) {
        self.clock(now, counts);
        if self.second_at < now.mono {
            self.end_second(now.mono, counts);
        }
        self.second_at = NEVER;
        self.next = NEVER;
    }

    /// Submit to response and submit to receipt, of all that was measured.
    pub(super) fn latencies(&self) -> (Latency, Latency) {
        let sum = |whole: &Latency, now: &Latency| {
            let mut sum = whole.clone();
            let all = sum.add(now);
            assert!(all, "a histogram holds another with its bounds");
            sum
        };
        (sum(&self.responses, &self.response), sum(&self.receipts, &self.receipt))
    }

    pub(super) const fn measured(&self) -> Measured {
        self.measured
    }

    pub(super) const fn health(&self) -> Health {
        self.health
    }
}
