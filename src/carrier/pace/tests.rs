use super::*;
use crate::prng::Prng;
use std::collections::VecDeque;

const TICK_US: u64 = 200;

fn us(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1000)
}

fn at(millis: u64) -> Instant {
    us(millis * 1000)
}

fn per_second(units: u64) -> Rate {
    Rate { units, per: Duration::from_secs(1) }
}

fn settings() -> PaceSettings {
    PaceSettings { min: per_second(10), cut_percent: 50, grow_over: Duration::from_secs(30) }
}

/// How a modelled carrier limits.
#[derive(Clone, Copy)]
enum Limit {
    /// Tokens per second and how many it keeps.
    Bucket(u64, u64),
    /// So many in each second of its clock.
    Window(u64),
    /// Everything passes.
    None,
}

struct Model {
    limit: Limit,
    latency_us: u64,
    jitter_us: u64,
    /// The driver looks only so often.
    looks_us: u64,
    micro_tokens: u64,
    looked_us: u64,
    in_window: u64,
    prng: Prng,
    /// Of what is under way: when the answer comes, when it was written, whether it was accepted.
    under_way: VecDeque<(u64, u64, bool)>,
    arrived_us: u64,
    now_us: u64,
    accepted: u64,
    refused: u64,
}

impl Model {
    fn new(limit: Limit, latency_ms: u64) -> Self {
        let burst = if let Limit::Bucket(_, burst) = limit { burst } else { 0 };
        Self {
            limit,
            latency_us: latency_ms * 1000,
            jitter_us: 0,
            looks_us: TICK_US,
            micro_tokens: burst * 1_000_000,
            looked_us: 0,
            in_window: 0,
            prng: Prng::new(latency_ms + burst),
            under_way: VecDeque::new(),
            arrived_us: 0,
            now_us: 0,
            accepted: 0,
            refused: 0,
        }
    }

    fn admits(&mut self, at_us: u64) -> bool {
        let elapsed = at_us - self.looked_us;
        let turned = at_us / 1_000_000 != self.looked_us / 1_000_000;
        self.looked_us = at_us;
        match self.limit {
            Limit::Bucket(rate, burst) => {
                self.micro_tokens = (self.micro_tokens + elapsed * rate).min(burst * 1_000_000);
                let admits = self.micro_tokens >= 1_000_000;
                self.micro_tokens -= if admits { 1_000_000 } else { 0 };
                admits
            }
            Limit::Window(most) => {
                self.in_window = if turned { 0 } else { self.in_window };
                self.in_window += 1;
                self.in_window <= most
            }
            Limit::None => true,
        }
    }

    /// Offers `offered` per second through `pace` with a window of 50 until `until_ms`; gives what was accepted and
    /// refused meanwhile.
    fn run(&mut self, pace: &mut Pace, offered: u64, until_ms: u64) -> (u64, u64) {
        let before = (self.accepted, self.refused);
        let mut waiting_micro = 0;
        while self.now_us < until_ms * 1000 {
            let now = us(self.now_us);
            while let Some(&(_, sent, accepted)) = self.under_way.front().filter(|way| way.0 <= self.now_us) {
                self.under_way.pop_front();
                if accepted {
                    self.accepted += 1;
                    pace.accepted(us(sent));
                } else {
                    self.refused += 1;
                    waiting_micro += 1_000_000;
                    pace.throttled(now, us(sent));
                }
            }
            while waiting_micro >= 1_000_000 && self.under_way.len() < 50 && pace.take(now) {
                waiting_micro -= 1_000_000;
                self.write();
            }
            self.now_us += self.looks_us;
            waiting_micro = (waiting_micro + self.looks_us * offered).min(10_000_000_000);
        }
        (self.accepted - before.0, self.refused - before.1)
    }

    fn write(&mut self) {
        let way = self.latency_us / 2 + self.prng.below(self.jitter_us + 1);
        let arrives = self.arrived_us.max(self.now_us + way);
        self.arrived_us = arrives;
        let admits = self.admits(arrives);
        self.under_way.push_back((arrives + self.latency_us / 2, self.now_us, admits));
    }
}

/// At least 98 % of `rate` and under 1 % refusals in the 60 s after the first `settle_ms`.
fn assert_used(model: &mut Model, pace: &mut Pace, rate: u64, settle_ms: u64, what: &str) {
    let start = model.now_us / 1000 + settle_ms;
    model.run(pace, 5 * rate, start);
    let (accepted, refused) = model.run(pace, 5 * rate, start + 60_000);
    assert!(accepted * 100 >= 60 * rate * 98, "{what}: accepted {accepted} of {}", 60 * rate);
    assert!(refused * 100 < accepted + refused, "{what}: refused {refused} beside {accepted}");
}

#[test]
fn a_token_buckets_rate_is_used_and_hardly_exceeded() {
    for configured in [None, Some(400), Some(100)] {
        for burst in [1, 10, 100] {
            for latency in [5, 50, 200] {
                let mut pace = Pace::new(at(0), &settings(), configured.map(per_second), 20);
                let mut model = Model::new(Limit::Bucket(100, burst), latency);
                let what = format!("configured {configured:?} burst {burst} latency {latency}");
                assert_used(&mut model, &mut pace, 100, 10_000, &what);
            }
        }
    }
}

#[test]
fn a_limit_per_second_of_the_wall_is_used_and_hardly_exceeded() {
    for configured in [None, Some(400), Some(100)] {
        for latency in [5, 50, 200] {
            for start in [0, 370, 810] {
                let mut pace = Pace::new(at(0), &settings(), configured.map(per_second), 20);
                let mut model = Model::new(Limit::Window(100), latency);
                model.now_us = start * 1000;
                let what = format!("configured {configured:?} latency {latency} from {start} ms");
                assert_used(&mut model, &mut pace, 100, 10_000, &what);
            }
        }
    }
}

#[test]
fn a_rate_is_found_with_few_refusals() {
    let mut pace = Pace::new(at(0), &settings(), None, 20);
    let mut model = Model::new(Limit::Bucket(100, 1), 20);
    let (accepted, refused) = model.run(&mut pace, 500, 10_000);
    assert!(accepted >= 900 && refused < 60, "{accepted} accepted, {refused} refused");
}

#[test]
fn jitter_and_a_driver_that_looks_each_millisecond_change_nothing() {
    for rate in [100, 1000] {
        let mut pace = Pace::new(at(0), &settings(), None, 20);
        let mut model = Model::new(Limit::Bucket(rate, rate / 5), 20);
        (model.jitter_us, model.looks_us) = (3000, 1000);
        assert_used(&mut model, &mut pace, rate, 10_000, &format!("{rate}/s"));
    }
}

#[test]
fn a_rate_that_changes_is_followed() {
    let mut pace = Pace::new(at(0), &settings(), Some(per_second(400)), 20);
    let mut model = Model::new(Limit::Bucket(100, 10), 50);
    assert_used(&mut model, &mut pace, 100, 10_000, "at first");
    model.limit = Limit::Bucket(300, 10);
    assert_used(&mut model, &mut pace, 300, 32_000, "after it rose");
    model.limit = Limit::Bucket(50, 10);
    let (_, refused) = model.run(&mut pace, 500, model.now_us / 1000 + 3000);
    assert!(refused < 200, "{refused} refused when it fell");
    assert_used(&mut model, &mut pace, 50, 7000, "after it fell");
}

#[test]
fn one_refusal_cuts_by_the_percentage_and_is_forgotten_after_grow_over() {
    let mut pace = Pace::new(at(0), &settings(), Some(per_second(200)), 20);
    let mut model = Model::new(Limit::None, 20);
    model.run(&mut pace, 1000, 5000);
    assert_eq!((pace.rate(at(5000)), pace.is_cut()), (Some(200.0), false));
    pace.throttled(at(5000), at(4990));
    let cut = pace.rate(at(5000)).unwrap();
    assert!((99.0..=101.0).contains(&cut), "{cut}");
    let mut before = 0.0;
    for second in 6..=34 {
        model.run(&mut pace, 1000, second * 1000);
        let rate = pace.rate(at(second * 1000)).unwrap();
        assert!(rate >= before && rate <= 200.0 && pace.is_cut(), "{second} s: {rate} after {before}");
        assert!(second < 12 || rate > 199.0, "{second} s: {rate}, the refused rate is near soon");
        before = rate;
    }
    assert_eq!((pace.rate(at(35_100)), pace.is_cut()), (Some(200.0), false));
}

#[test]
fn a_carrier_without_a_rate_is_free_again_after_one_refusal() {
    let mut pace = Pace::new(at(0), &settings(), None, 20);
    assert_eq!((pace.available(at(0)), pace.rate(at(0))), (u32::MAX, None));
    (0..100).for_each(|ms| assert!(pace.take(at(ms))));
    pace.throttled(at(100), at(99));
    let cut = pace.rate(at(100)).unwrap();
    assert!((400.0..=600.0).contains(&cut), "half of 1000/s, not {cut}");
    assert_eq!(pace.rate(at(30_300)), None);
    assert!((0..1000).all(|_| pace.take(at(30_300))));
}

#[test]
fn a_refusal_stops_new_submits_for_a_moment() {
    let mut pace = Pace::new(at(0), &settings(), Some(per_second(100)), 20);
    (0..10).for_each(|_| assert!(pace.take(at(0))));
    pace.throttled(at(20), at(0));
    assert!(!pace.take(at(20)));
    let ready = pace.ready_at(at(20));
    assert!(ready > at(20) && ready <= at(121), "{ready:?}");
    assert!(!pace.take(us(ready.as_nanos() / 1000 - 1)));
    assert!(pace.take(ready));
    assert!(!pace.take(ready), "no burst while it is cut");
}

#[test]
fn refusals_of_what_was_under_way_do_not_cut_again() {
    let mut pace = Pace::new(at(0), &settings(), Some(per_second(100)), 50);
    (0..50).for_each(|_| assert!(pace.take(at(0))));
    pace.throttled(at(100), at(0));
    let cut = pace.rate(at(100)).unwrap();
    (0..40).for_each(|_| pace.throttled(at(100), at(0)));
    assert_eq!(pace.rate(at(100)), Some(cut));
    // Nor do they weigh in with those that come later: one in ten is no reason to settle lower.
    (0..9).for_each(|nth| pace.accepted(at(200 + nth * 20)));
    pace.throttled(at(400), at(390));
    let later = pace.rate(at(400)).unwrap();
    assert!(later >= cut, "{later} after {cut}");
}

#[test]
fn the_pace_is_never_under_its_least_nor_over_the_configured_rate() {
    let mut pace = Pace::new(at(0), &settings(), Some(per_second(100)), 20);
    let (mut taken, mut now_ms) = (0u64, 0);
    for second in 1..=60 {
        while now_ms < second * 1000 {
            now_ms += 1;
            while pace.take(at(now_ms)) {
                taken += 1;
                pace.throttled(at(now_ms), at(now_ms));
            }
        }
        let rate = pace.rate(at(now_ms)).unwrap();
        assert!((9.99..=100.0).contains(&rate), "{rate}");
    }
    assert!((590..=900).contains(&taken), "{taken} in a minute of nothing but refusals");
    while now_ms < 120_000 {
        now_ms += 1;
        taken += u64::from(pace.take(at(now_ms)));
    }
    assert!(taken <= 120 * 100 + 20, "{taken} over the configured rate");
}

#[test]
fn a_burst_never_exceeds_the_configured_rate_when_the_pace_is_free_again() {
    let mut pace = Pace::new(at(0), &settings(), Some(per_second(100)), 20);
    assert!(pace.take(at(0)));
    pace.throttled(at(10), at(0));
    let mut taken = VecDeque::new();
    for ms in 20..60_000 {
        while pace.take(at(ms)) {
            taken.push_back(ms);
        }
        while taken.front().is_some_and(|&first| first + 1000 <= ms) {
            taken.pop_front();
        }
        assert!(taken.len() <= 121, "{} in the second before {ms} ms", taken.len());
    }
}

#[test]
fn a_silence_of_sessions_forgets_nothing() {
    let mut pace = Pace::new(at(0), &settings(), Some(per_second(400)), 20);
    let mut model = Model::new(Limit::Bucket(100, 10), 50);
    model.run(&mut pace, 500, 20_000);
    // The sessions are lost: nothing is answered, nothing offered for two seconds.
    model.under_way.clear();
    let lost_ms = 22_000;
    model.now_us = lost_ms * 1000;
    let (accepted, refused) = model.run(&mut pace, 500, lost_ms + 5000);
    assert!(pace.is_cut() && accepted >= 480 && refused <= 10, "{accepted} accepted, {refused} refused");
}

#[test]
fn slow_rates_and_long_spans_are_kept() {
    let settings = PaceSettings {
        min: Rate { units: 1, per: Duration::from_secs(3600) },
        cut_percent: 50,
        grow_over: Duration::from_secs(7 * 86_400),
    };
    let hourly = Rate { units: 60, per: Duration::from_secs(3600) };
    let mut pace = Pace::new(at(0), &settings, Some(hourly), 1);
    assert!(pace.take(at(0)));
    pace.throttled(at(10), at(0));
    let rate = pace.rate(at(10)).unwrap();
    assert!(rate * 3600.0 >= 1.0 && rate * 3600.0 <= 60.0, "{rate}");
    assert!(pace.rate(at(3 * 86_400_000)).unwrap() <= 60.0 / 3600.0 + 1e-9);
    assert!(!pace.rate(at(8 * 86_400_000)).unwrap().is_nan() && !pace.is_cut());
}

#[test]
fn the_cube_root_is_the_largest_that_fits() {
    for (of, root) in [(0u128, 0u128), (1, 1), (7, 1), (8, 2), (999_999, 99), (1_000_000, 100)] {
        assert_eq!(cube_root(of), root, "{of}");
    }
}
