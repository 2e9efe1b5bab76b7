//! What limits each carrier and account now: the bottleneck by name, with the rate that is and the one that its window
//! allows.
//!
//! Owns: what the cells said over the last seconds. Takes: the cells, once a second. Gives: a limit for each, a rate, a
//! latency. Never: asks a shard; names a limit where nothing waits.
//!
//! What waits for a carrier is counted by what it waits for, each time that the carrier's home looks: a free slot of a
//! window, its own pace, a pace that the carrier's throttling has cut. A window that is full is the limit only while
//! the carrier answers as fast as it can: when it answers slowly, its latency is.

use super::View;
use super::cpu::{Had, Threads};
use crate::config::{Config, Homes};
use crate::counters::{CarrierCounters, Reason, SLOT_STATES};
use crate::ids::{CarrierId, PoolId};
use crate::route::carriers_of;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// Seconds over which it is looked at.
const OVER: usize = 5;
/// A carrier that takes so long to answer is slow, microseconds.
const SLOW_US: u64 = 300_000;
/// So is one that takes so many times what it took at best, if it is no mere flicker.
const SLOW_TIMES: u64 = 3;
const SLOW_LEAST_US: u64 = 20_000;
/// One of so many submits finds others waiting, at least.
const HELD_OF: u64 = 10;
/// Answers in a second that make a mean.
const MEAN_OF: u64 = 10;
/// A shard that works for this share of its time has no more to give, thousandths.
const BUSY: u64 = 950;
/// Accounts whose carriers are looked up in a second.
const LIMITED_ACCOUNTS_MAX: usize = 64;

/// What may limit a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Its windows are full, and it answers as fast as it can.
    Window,
    /// Its `rate`.
    Rate,
    /// It answers slowly, so its windows are full.
    Latency,
    /// What its accounts may send.
    Quota,
    /// Its shard has no more time.
    Cpu,
    /// It throttles.
    Throttled,
    /// No session that sends is bound.
    Sessions,
}

impl Limit {
    pub(super) const ALL: [Self; 7] =
        [Self::Window, Self::Rate, Self::Latency, Self::Quota, Self::Cpu, Self::Throttled, Self::Sessions];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Rate => "rate",
            Self::Latency => "latency",
            Self::Quota => "quota",
            Self::Cpu => "cpu",
            Self::Throttled => "throttled",
            Self::Sessions => "sessions",
        }
    }
}

/// How a carrier is of late, for whoever asks.
#[derive(Debug, Default)]
pub(super) struct CarrierState {
    /// The place of its limit, from 1; 0: nothing limits it.
    limit: AtomicU8,
    rate: AtomicU64,
    latency_us: AtomicU64,
}

impl CarrierState {
    pub(super) fn limit(&self) -> Option<Limit> {
        let place = usize::from(self.limit.load(Ordering::Relaxed)).checked_sub(1)?;
        Limit::ALL.get(place).copied()
    }

    /// Submits that it answered in a second.
    pub(super) fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// From written to answered, microseconds; none: it answered nothing.
    pub(super) fn latency_us(&self) -> Option<u64> {
        Some(self.latency_us.load(Ordering::Relaxed)).filter(|latency| *latency > 0)
    }

    /// What so many slots of windows would let through in a second at this latency.
    pub(super) fn expected(&self, window_max: u64) -> Option<u64> {
        self.latency_us().map(|latency| window_max * 1_000_000 / latency)
    }
}

/// How an account is of late: for so many seconds more it counts as limited.
#[derive(Debug, Default)]
pub(super) struct AccountState {
    rate: AtomicU8,
    window: AtomicU8,
}

impl AccountState {
    pub(super) fn limit(&self) -> Option<&'static str> {
        let holds = |left: &AtomicU8| left.load(Ordering::Relaxed) > 0;
        if holds(&self.rate) {
            return Some(Reason::Rate.name());
        }
        holds(&self.window).then_some(Reason::Window.name())
    }
}

/// What the cells of a carrier said.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    held_window: u64,
    held_pace: u64,
    held_throttled: u64,
    submits: u64,
    answers: u64,
    sum_us: u64,
}

impl Said {
    fn of(cells: &CarrierCounters) -> Self {
        Self {
            held_window: cells.held_window.get(),
            held_pace: cells.held_pace.get(),
            held_throttled: cells.held_throttled.get(),
            submits: cells.submits.get(),
            answers: cells.submit_spans.cumulated().last().map_or(0, |(_, count)| count),
            sum_us: cells.submit_spans.sum_us(),
        }
    }

    const fn since(&self, before: &Self) -> Self {
        Self {
            held_window: self.held_window.saturating_sub(before.held_window),
            held_pace: self.held_pace.saturating_sub(before.held_pace),
            held_throttled: self.held_throttled.saturating_sub(before.held_throttled),
            submits: self.submits.saturating_sub(before.submits),
            answers: self.answers.saturating_sub(before.answers),
            sum_us: self.sum_us.saturating_sub(before.sum_us),
        }
    }
}

/// What is known of a carrier when its limit is named.
#[derive(Debug, Clone, Copy)]
struct Known {
    said: Said,
    /// Its mean of late and its best, microseconds.
    latency_us: Option<u64>,
    best_us: u64,
    sends: bool,
    busy: u64,
    /// Accounts that lead to it were refused.
    quota: bool,
}

fn limit_of(known: &Known) -> Option<Limit> {
    let Known { said, latency_us, best_us, sends, busy, quota } = *known;
    if !sends {
        return Some(Limit::Sessions);
    }
    let held = said.held_window.max(said.held_pace).max(said.held_throttled);
    if busy >= BUSY && (held > 0 || said.submits > 0) {
        return Some(Limit::Cpu);
    }
    // A burst that waits for a moment is no limit.
    if held == 0 || held * HELD_OF < said.submits {
        return quota.then_some(Limit::Quota);
    }
    if said.held_throttled == held {
        return Some(Limit::Throttled);
    }
    if said.held_pace == held {
        return Some(Limit::Rate);
    }
    let slow = latency_us.is_none_or(|latency| {
        latency >= SLOW_US || (latency >= SLOW_LEAST_US && latency >= best_us.saturating_mul(SLOW_TIMES))
    });
    Some(if slow { Limit::Latency } else { Limit::Window })
}

/// What was seen at one moment.
struct Seen {
    at: Duration,
    carriers: Vec<Said>,
    shards: Vec<Had>,
}

/// Thousandths of a span in which a shard had work to do: it worked, or waited for a CPU that somebody else had. What it
/// looks for work in vain is none of it, and what it waited in the midst of its work counts once.
fn load_of(busy: u64, had: Had, span: Duration) -> u64 {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1);
    let of = |part: u64| u64::try_from(u128::from(part) * 1000 / u128::from(nanos)).unwrap_or(1000);
    busy.max((busy + of(had.waited)).min(of(had.ran + had.waited)))
}

/// Where the carriers are at home, and what was seen of late.
pub(super) struct Watch {
    homes: Homes,
    seen: VecDeque<Seen>,
    threads: Threads,
    best_us: Vec<u64>,
    /// By account: refused for its rate, and found over its window.
    accounts: Vec<(u64, u64)>,
}

impl Watch {
    pub(super) fn new(view: &View) -> Self {
        Self {
            homes: Homes::of(&view.config, view.counters.loops.len().max(1)),
            seen: VecDeque::new(),
            threads: Threads::new(view.counters.loops.len()),
            best_us: vec![u64::MAX; view.config.carriers.len()],
            accounts: vec![(0, 0); view.config.esmes.len()],
        }
    }

    /// Looks at the cells, so long after the start.
    pub(super) fn look(&mut self, at: Duration, view: &View) {
        let quota = self.look_at_accounts(view);
        let now: Vec<Said> = view.counters.carriers.iter().map(Said::of).collect();
        let shards = self.threads.look();
        if let Some(last) = self.seen.back() {
            for ((said, before), best) in now.iter().zip(&last.carriers).zip(&mut self.best_us) {
                let second = said.since(before);
                if let Some(mean) = second.sum_us.checked_div(second.answers)
                    && second.answers >= MEAN_OF
                {
                    *best = (*best).min(mean);
                }
            }
        }
        if let Some(first) = self.seen.front() {
            let span = at.saturating_sub(first.at);
            let loads = shards.iter().zip(&first.shards).zip(&view.busy);
            let loads: Vec<u64> = loads
                .map(|((had, before), busy)| load_of(busy.load(Ordering::Relaxed), had.since(*before), span))
                .collect();
            for (index, (said, before)) in now.iter().zip(&first.carriers).enumerate() {
                let load = loads.get(self.homes.of_carrier(CarrierId::new(index)).index()).copied();
                self.tell(view, index, (span, load.unwrap_or(0)), said.since(before), &quota);
            }
        }
        self.seen.push_back(Seen { at, carriers: now, shards });
        if self.seen.len() > OVER {
            self.seen.pop_front();
        }
    }

    fn tell(
        &self,
        view: &View,
        index: usize,
        (span, busy): (Duration, u64),
        said: Said,
        quota: &BTreeSet<CarrierId>,
    ) {
        let (Some(state), Some(cells)) = (view.carriers.get(index), view.counters.carriers.get(index)) else {
            return;
        };
        let id = CarrierId::new(index);
        let bound = |bind: usize| cells.slots.at(bind * SLOT_STATES.len() + 3).get();
        let known = Known {
            said,
            latency_us: said.sum_us.checked_div(said.answers),
            best_us: self.best_us.get(index).copied().unwrap_or(u64::MAX),
            sends: bound(0) + bound(2) > 0,
            busy,
            quota: quota.contains(&id),
        };
        let place = limit_of(&known).and_then(|limit| Limit::ALL.iter().position(|other| *other == limit));
        state.limit.store(place.map_or(0, |place| place as u8 + 1), Ordering::Relaxed);
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
        state.rate.store(said.answers * 1000 / millis, Ordering::Relaxed);
        state.latency_us.store(known.latency_us.unwrap_or(0), Ordering::Relaxed);
    }

    /// Which accounts are limited, and the carriers that those lead to who were refused for their rate.
    fn look_at_accounts(&mut self, view: &View) -> BTreeSet<CarrierId> {
        let mut limited = Vec::new();
        let cells = view.accounts.iter().zip(view.counters.esmes.iter()).zip(&mut self.accounts);
        for (index, ((state, cells), seen)) in cells.enumerate() {
            let now = (cells.refusals.at(Reason::Rate as usize).get(), cells.window_full.get());
            let before = core::mem::replace(seen, now);
            for (left, grew) in [(&state.rate, now.0 > before.0), (&state.window, now.1 > before.1)] {
                let held = left.load(Ordering::Relaxed);
                let next = if grew { OVER as u8 } else { held.saturating_sub(1) };
                if next != held {
                    left.store(next, Ordering::Relaxed);
                }
            }
            if state.rate.load(Ordering::Relaxed) > 0 && limited.len() < LIMITED_ACCOUNTS_MAX {
                limited.push(index);
            }
        }
        limited.into_iter().flat_map(|index| carriers_of_account(&view.config, index)).collect()
    }
}

/// The carriers that an account's messages may take.
fn carriers_of_account(config: &Config, index: usize) -> BTreeSet<CarrierId> {
    let own = config.esmes.get(index).and_then(|esme| esme.pool);
    let takes = |esmes: &[crate::ids::EsmeId]| esmes.is_empty() || esmes.iter().any(|it| it.index() == index);
    let routed = config.routes.iter().filter(|route| takes(&route.esme)).map(|route| route.pool);
    let pools: BTreeSet<PoolId> = own.into_iter().chain(routed).collect();
    pools.into_iter().flat_map(|pool| carriers_of(&config.pools, pool)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Known = Known {
        said: Said {
            held_window: 0,
            held_pace: 0,
            held_throttled: 0,
            submits: 100,
            answers: 100,
            sum_us: 2_000_000,
        },
        latency_us: Some(20_000),
        best_us: 19_000,
        sends: true,
        busy: 500,
        quota: false,
    };

    #[test]
    fn a_burst_that_waits_for_a_moment_is_no_limit() {
        assert_eq!(limit_of(&held(9, 0, 0)), None);
        assert_eq!(limit_of(&held(10, 0, 0)), Some(Limit::Window));
    }

    fn held(window: u64, pace: u64, throttled: u64) -> Known {
        let said = Said { held_window: window, held_pace: pace, held_throttled: throttled, ..CALM.said };
        Known { said, ..CALM }
    }

    #[test]
    fn nothing_limits_a_carrier_for_which_nothing_waits() {
        assert_eq!(limit_of(&CALM), None);
        assert_eq!(limit_of(&Known { quota: true, ..CALM }), Some(Limit::Quota));
        assert_eq!(limit_of(&Known { sends: false, ..CALM }), Some(Limit::Sessions));
        assert_eq!(limit_of(&Known { busy: 990, ..CALM }), Some(Limit::Cpu));
        let idle = Known { said: Said::default(), busy: 990, ..CALM };
        assert_eq!(limit_of(&idle), None, "somebody else's work");
    }

    #[test]
    fn what_is_waited_for_most_is_the_limit() {
        assert_eq!(limit_of(&held(90, 1, 0)), Some(Limit::Window));
        assert_eq!(limit_of(&held(1, 90, 0)), Some(Limit::Rate));
        assert_eq!(limit_of(&held(1, 2, 90)), Some(Limit::Throttled));
        assert_eq!(limit_of(&Known { quota: true, ..held(90, 0, 0) }), Some(Limit::Window));
    }

    #[test]
    fn a_full_window_of_a_carrier_that_answers_slowly_is_latency() {
        let full = |latency_us: Option<u64>, best_us: u64| {
            limit_of(&Known { latency_us, best_us, ..held(90, 0, 0) })
        };
        assert_eq!(full(Some(20_000), 19_000), Some(Limit::Window));
        assert_eq!(full(Some(60_000), 19_000), Some(Limit::Latency), "three times its best");
        assert_eq!(full(Some(6_000), 1_000), Some(Limit::Window), "a flicker");
        assert_eq!(full(Some(400_000), 390_000), Some(Limit::Latency));
        assert_eq!(full(None, u64::MAX), Some(Limit::Latency), "it answers nothing");
    }

    #[test]
    fn a_shard_that_waits_for_a_cpu_is_as_loaded_as_one_that_works() {
        let load = |busy: u64, ran: u64, waited: u64| {
            load_of(busy, Had { ran: ran * 1_000_000, waited: waited * 1_000_000 }, Duration::from_secs(1))
        };
        assert_eq!(load(20, 20, 970), 990, "it works little, since it waits");
        assert_eq!(load(990, 20, 970), 990, "it waits in the midst of its work");
        assert_eq!(load(300, 990, 0), 300, "it looks for work in vain");
        assert_eq!(load(400, 400, 0), 400);
        assert_eq!(load(960, 0, 0), 960, "the kernel does not tell");
    }

    #[test]
    fn the_rate_that_a_window_allows_is_its_slots_by_the_latency() {
        let state = CarrierState::default();
        assert_eq!((state.expected(50), state.limit()), (None, None));
        state.latency_us.store(20_000, Ordering::Relaxed);
        assert_eq!(state.expected(50), Some(2_500));
    }
}
