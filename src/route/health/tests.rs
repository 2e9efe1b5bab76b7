use super::*;
use crate::prng::Prng;

const FOR: u64 = 30_000;
const SETTINGS: EjectSettings =
    EjectSettings { errors_percent: 30, over: Duration::from_secs(10), for_time: Duration::from_millis(FOR) };

fn at(millis: u64) -> Instant {
    // Not at the origin: a shard's clock has run for a while.
    Instant::from_nanos((1_000_000 + millis) * 1_000_000)
}

fn errors(health: &mut Health, now: Instant, esmes: &[u32]) -> bool {
    esmes.iter().any(|&esme| health.record(now, EsmeId(esme), Outcome::Error))
}

fn goods(health: &mut Health, now: Instant, count: usize) {
    (0..count).for_each(|_| assert!(!health.record(now, EsmeId(1), Outcome::Good)));
}

#[test]
fn errors_of_two_accounts_over_the_share_eject() {
    let mut health = Health::new(&SETTINGS);
    goods(&mut health, at(0), 5);
    assert!(!errors(&mut health, at(10), &[1]));
    assert!(!errors(&mut health, at(2000), &[2]), "2 of 7 are under 30 %");
    assert!(errors(&mut health, at(4000), &[2]));
    assert_eq!(health.state(at(4000)), State::Ejected { until: at(4000 + FOR) });
}

#[test]
fn one_account_alone_ejects_only_with_many_messages() {
    let mut health = Health::new(&SETTINGS);
    for nth in 1..EJECT_MESSAGES {
        assert!(!errors(&mut health, at(u64::from(nth) * 300), &[7]), "{nth}");
    }
    assert_eq!(health.state(at(6000)), State::Healthy);
    assert!(errors(&mut health, at(6000), &[7]));
}

#[test]
fn errors_under_the_share_never_eject() {
    let mut health = Health::new(&SETTINGS);
    let mut prng = Prng::new(5);
    for ms in 0..100_000 {
        let esme = EsmeId(prng.below(9) as u32);
        let outcome = if ms % 4 == 3 { Outcome::Error } else { Outcome::Good };
        assert!(!health.record(at(ms), esme, outcome), "{ms}");
    }
}

#[test]
fn what_is_older_than_the_span_does_not_count() {
    let mut health = Health::new(&SETTINGS);
    errors(&mut health, at(0), &[1]);
    assert!(!errors(&mut health, at(10_100), &[2]), "the first is forgotten");
    let mut health = Health::new(&SETTINGS);
    goods(&mut health, at(0), 1000);
    for ms in [9500, 10_500, 11_500] {
        errors(&mut health, at(ms), &[1, 2]);
    }
    assert!(matches!(health.state(at(11_500)), State::Ejected { .. }), "the good ones are forgotten");
}

#[test]
fn it_returns_in_steps_and_is_well_after_a_like_time() {
    let mut health = Health::new(&SETTINGS);
    errors(&mut health, at(0), &[1, 2]);
    let mut shares = Vec::new();
    for ms in (0..=3 * FOR).step_by(100) {
        goods(&mut health, at(ms), 1);
        let share = health.state(at(ms)).share_percent();
        if shares.last() != Some(&(share)) {
            shares.push(share);
        }
        assert_eq!(share == 0, ms < FOR, "{ms}");
        assert_eq!(share == 100, ms >= 2 * FOR, "{ms}");
    }
    assert_eq!(shares, [0, 10, 25, 50, 75, 100]);
}

#[test]
fn late_answers_to_what_was_under_way_do_not_prolong_it() {
    let mut health = Health::new(&SETTINGS);
    errors(&mut health, at(0), &[1, 2]);
    for ms in 1..FOR {
        assert!(!errors(&mut health, at(ms), &[1, 2, 3]));
    }
    assert_eq!(health.state(at(FOR)).share_percent(), 10);
    assert!(!errors(&mut health, at(FOR), &[1]), "counted afresh");
}

#[test]
fn errors_from_before_an_ejection_do_not_count_when_it_returns() {
    let settings = EjectSettings { for_time: Duration::from_secs(2), ..SETTINGS };
    let mut health = Health::new(&settings);
    assert!(errors(&mut health, at(0), &[1, 2]));
    assert!(!errors(&mut health, at(2100), &[1]), "the two are still in the span");
    assert!(errors(&mut health, at(2200), &[2]));
}

#[test]
fn errors_while_it_returns_eject_it_for_longer_up_to_a_bound() {
    let mut health = Health::new(&SETTINGS);
    let (mut now, mut times) = (0, Vec::new());
    for _ in 0..6 {
        assert!(errors(&mut health, at(now), &[1, 2]));
        let State::Ejected { until } = health.state(at(now)) else { panic!("not ejected") };
        times.push(until.since(at(now)).as_millis() as u64 / FOR);
        now = now + until.since(at(now)).as_millis() as u64 + 100;
    }
    assert_eq!(times, [1, 2, 4, 8, 8, 8]);
    // Well for a moment only.
    now += FOR;
    assert_eq!(health.state(at(now)), State::Healthy);
    assert!(errors(&mut health, at(now), &[1, 2]));
    assert_eq!(health.state(at(now)), State::Ejected { until: at(now + 8 * FOR) });
    now += 8 * FOR;
    // Well for long enough: the next is a first again.
    now += 2 * FOR + 100;
    assert!(errors(&mut health, at(now), &[1, 2]));
    assert_eq!(health.state(at(now)), State::Ejected { until: at(now + FOR) });
}

#[test]
fn a_member_that_stays_broken_is_ejected_at_most_once_per_hold_time() {
    let mut health = Health::new(&SETTINGS);
    let mut prng = Prng::new(9);
    let (mut last, mut ejections) = (None, 0u64);
    for ms in (0..3_600_000).step_by(50) {
        let share = health.state(at(ms)).share_percent();
        if prng.below(100) >= u64::from(share) {
            continue;
        }
        let outcome = if prng.chance(60, 100) { Outcome::Error } else { Outcome::Good };
        if health.record(at(ms), EsmeId(prng.below(20) as u32), outcome) {
            assert!(last.is_none_or(|last| ms >= last + FOR), "{last:?} and {ms}");
            last = Some(ms);
            ejections += 1;
        }
    }
    assert!((5..=20).contains(&ejections), "{ejections} in an hour");
}

#[test]
fn a_pool_is_never_empty() {
    let gone = State::Ejected { until: at(1) };
    let back = State::Returning { share_percent: 10 };
    assert_eq!(allowed([State::Healthy, gone, back].into_iter()), 0b101);
    assert_eq!(allowed([gone, gone, gone].into_iter()), 0b111);
    assert_eq!(allowed([gone; 64].into_iter()), u64::MAX);
    assert_eq!(allowed([].into_iter()), 0);
}
