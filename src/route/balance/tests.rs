use super::super::settings::{EjectSettings, MemberSettings};
use super::*;
use crate::time::Duration;

fn pool(members: &[(Member, u32, u32)]) -> PoolSettings {
    let members = members.iter().map(|&(member, weight, tier)| MemberSettings { member, weight, tier });
    PoolSettings::weighted("", members.collect())
}

fn carrier(id: u32) -> Member {
    Member::Carrier(CarrierId(id))
}

fn shares(balance: &mut Balance, quanta: usize, usable: &mut dyn FnMut(CarrierId) -> bool) -> [u32; 4] {
    let mut shares = [0; 4];
    for _ in 0..quanta {
        let Some(path) = balance.pick(PoolId(0), usable) else { break };
        for _ in 0..QUANTUM {
            balance.charge(&path);
            shares[path.carrier.index()] += 1;
        }
    }
    shares
}

#[test]
fn shares_follow_the_weights_within_one_quantum() {
    let mut balance = Balance::new(&[pool(&[(carrier(0), 5, 1), (carrier(1), 3, 1), (carrier(2), 2, 1)])]);
    let shares = shares(&mut balance, 1000, &mut |_| true);
    for (share, weight) in shares.iter().zip([5, 3, 2]) {
        assert!(share.abs_diff(64_000 / 10 * weight) <= QUANTUM, "{shares:?}");
    }
}

#[test]
fn a_member_that_was_away_catches_up_one_quantum_and_no_more() {
    let mut balance = Balance::new(&[pool(&[(carrier(0), 1, 1), (carrier(1), 1, 1)])]);
    shares(&mut balance, 1000, &mut |id| id.0 == 0);
    let after = shares(&mut balance, 100, &mut |_| true);
    assert!(after[1] <= after[0] + 2 * QUANTUM, "{after:?}");
    assert!(after[1] >= after[0], "{after:?}");
}

#[test]
fn a_tier_rests_while_a_lower_one_can_take() {
    let mut balance = Balance::new(&[pool(&[(carrier(0), 1, 1), (carrier(1), 9, 2)])]);
    assert_eq!(shares(&mut balance, 10, &mut |_| true)[1], 0);
    assert_eq!(shares(&mut balance, 10, &mut |id| id.0 == 1)[0], 0);
    assert_eq!(balance.pick(PoolId(0), &mut |_| false), None);
}

#[test]
fn nested_pools_share_by_their_own_weights() {
    let outer = pool(&[(carrier(0), 1, 1), (Member::Pool(PoolId(1)), 1, 1)]);
    let inner = pool(&[(carrier(1), 3, 1), (carrier(2), 1, 1)]);
    let mut balance = Balance::new(&[outer, inner]);
    let shares = shares(&mut balance, 800, &mut |_| true);
    let total: u32 = shares.iter().sum();
    assert!(shares[0].abs_diff(total / 2) <= QUANTUM, "{shares:?}");
    assert!(shares[1].abs_diff(total * 3 / 8) <= 2 * QUANTUM, "{shares:?}");
}

#[test]
fn weight_zero_takes_nothing() {
    let mut balance = Balance::new(&[pool(&[(carrier(0), 0, 1), (carrier(1), 1, 2)])]);
    assert_eq!(shares(&mut balance, 5, &mut |_| true)[0], 0);
}

fn by(balance: BalanceBy, members: &[(Member, u32, u32)]) -> PoolSettings {
    PoolSettings { balance, ..pool(members) }
}

fn ejecting(members: &[(Member, u32, u32)]) -> PoolSettings {
    let eject = EjectSettings {
        errors_percent: 30,
        over: Duration::from_secs(10),
        for_time: Duration::from_secs(30),
    };
    PoolSettings { eject: Some(eject), ..pool(members) }
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn fail(balance: &mut Balance, now: Instant, carrier: u32) {
    let before = balance.ejections();
    for esme in [1, 2] {
        balance.record(now, CarrierId(carrier), EsmeId(esme), Outcome::Error);
    }
    assert_eq!(balance.ejections(), before + 1);
}

/// One message; `None` when nobody takes it.
fn one(
    balance: &mut Balance,
    now: Instant,
    destination: &[u8],
    usable: &mut dyn FnMut(CarrierId) -> bool,
) -> Option<u32> {
    let ask = Ask { now, destination, outstanding: &|_| 0 };
    let path = balance.choose(PoolId(0), &ask, usable)?;
    balance.charge(&path);
    Some(path.carrier.0)
}

fn counts(balance: &mut Balance, now: Instant, messages: usize) -> [u32; 4] {
    let mut counts = [0; 4];
    for _ in 0..messages {
        let carrier = one(balance, now, b"", &mut |_| true).unwrap();
        counts[carrier as usize] += 1;
    }
    counts
}

#[test]
fn the_least_busy_per_weight_is_next_and_ties_go_by_weight() {
    let members = [(carrier(0), 3, 1), (carrier(1), 1, 1)];
    let mut balance = Balance::new(&[by(BalanceBy::LeastOutstanding, &members)]);
    let mut pick = |busy: [u32; 2]| {
        let ask = Ask { now: at(0), destination: b"", outstanding: &|id| busy[id.index()] };
        let path = balance.choose(PoolId(0), &ask, &mut |_| true).unwrap();
        balance.charge(&path);
        path.carrier.0
    };
    assert_eq!((pick([10, 0]), pick([0, 1])), (1, 0));
    assert_eq!((pick([29, 10]), pick([31, 10])), (0, 1));
    let ties = (0..400).filter(|_| pick([3, 1]) == 0).count();
    assert!((299..=301).contains(&ties), "{ties}");
}

#[test]
fn a_slow_carrier_gets_as_much_as_it_answers() {
    let members = [(carrier(0), 1, 1), (carrier(1), 1, 1)];
    let mut balance = Balance::new(&[by(BalanceBy::LeastOutstanding, &members)]);
    let (mut busy, mut sent) = ([0u32; 2], [0u32; 2]);
    for tick in 0..10_000u32 {
        let ask = Ask { now: at(0), destination: b"", outstanding: &|id| busy[id.index()] };
        let path = balance.choose(PoolId(0), &ask, &mut |_| true).unwrap();
        balance.charge(&path);
        busy[path.carrier.index()] += 1;
        sent[path.carrier.index()] += 1;
        // The first answers four times in five, the second once.
        let answers = if tick % 5 == 0 { 1 } else { 0 };
        busy[answers] = busy[answers].saturating_sub(1);
    }
    assert!(sent[0].abs_diff(8000) < 100, "{sent:?}");
}

#[test]
fn a_nested_pool_is_as_busy_as_its_carriers_together() {
    let outer = by(BalanceBy::LeastOutstanding, &[(carrier(0), 1, 1), (Member::Pool(PoolId(1)), 1, 1)]);
    let inner = pool(&[(carrier(1), 1, 1), (carrier(2), 1, 1)]);
    let mut balance = Balance::new(&[outer, inner]);
    let mut pick = |busy: [u32; 3]| {
        let ask = Ask { now: at(0), destination: b"", outstanding: &|id| busy[id.index()] };
        balance.choose(PoolId(0), &ask, &mut |_| true).unwrap().carrier.0
    };
    assert_eq!(pick([5, 3, 3]), 0);
    assert_ne!(pick([7, 3, 3]), 0);
}

fn destinations() -> impl Iterator<Item = Vec<u8>> {
    (0..10_000u32).map(|nth| format!("38267{nth:06}").into_bytes())
}

#[test]
fn a_destination_keeps_its_member_and_weights_hold() {
    let members = [(carrier(0), 5, 1), (carrier(1), 3, 1), (carrier(2), 2, 1)];
    let mut balance = Balance::new(&[by(BalanceBy::HashDestination, &members)]);
    let mut counts = [0u32; 3];
    for destination in destinations() {
        let first = one(&mut balance, at(0), &destination, &mut |_| true);
        assert_eq!(one(&mut balance, at(9), &destination, &mut |_| true), first);
        counts[first.unwrap() as usize] += 1;
    }
    for (count, weight) in counts.iter().zip([5, 3, 2]) {
        assert!(count.abs_diff(1000 * weight) < 200, "{counts:?}");
    }
}

#[test]
fn only_what_a_member_had_moves_when_it_goes() {
    let members = [(carrier(0), 2, 1), (carrier(1), 1, 1), (carrier(2), 1, 1)];
    let mut balance = Balance::new(&[by(BalanceBy::HashDestination, &members)]);
    let mut moved = [0u32; 3];
    for destination in destinations() {
        let before = one(&mut balance, at(0), &destination, &mut |_| true).unwrap();
        let after = one(&mut balance, at(0), &destination, &mut |id| id.0 != 1).unwrap();
        assert!(before == after || before == 1, "{before} to {after}");
        if before == 1 {
            moved[after as usize] += 1;
        }
    }
    assert!(moved[1] == 0 && moved[0].abs_diff(2 * moved[2]) < 300, "{moved:?}");
}

#[test]
fn an_ejected_member_gets_nothing_and_comes_back_slowly() {
    let mut balance = Balance::new(&[ejecting(&[(carrier(0), 1, 1), (carrier(1), 1, 1)])]);
    assert_eq!(counts(&mut balance, at(99), 1000)[..2], [500, 500]);
    fail(&mut balance, at(100), 1);
    assert_eq!(counts(&mut balance, at(129), 10_000)[..2], [10_000, 0]);
    let back = counts(&mut balance, at(130), 11_000);
    assert!(back[1].abs_diff(1000) < 2 * QUANTUM, "10 to 1: {back:?}");
    let half = counts(&mut balance, at(145), 15_000);
    assert!(half[1].abs_diff(5000) < 2 * QUANTUM, "2 to 1: {half:?}");
    let whole = counts(&mut balance, at(160), 10_000);
    assert!(whole[1].abs_diff(5000) < 2 * QUANTUM, "{whole:?}");
}

#[test]
fn a_returning_member_gets_a_part_of_its_destinations() {
    let members = [(carrier(0), 1, 1), (carrier(1), 1, 1)];
    let mut balance =
        Balance::new(&[PoolSettings { balance: BalanceBy::HashDestination, ..ejecting(&members) }]);
    let share = |balance: &mut Balance, now| {
        destinations().filter(|to| one(balance, now, to, &mut |_| true) == Some(1)).count()
    };
    fail(&mut balance, at(100), 1);
    assert_eq!(share(&mut balance, at(120)), 0);
    assert!(share(&mut balance, at(130)).abs_diff(10_000 / 11) < 150);
    assert!(share(&mut balance, at(160)).abs_diff(5000) < 250);
}

#[test]
fn a_pool_that_is_ejected_whole_is_asked_as_if_it_were_well() {
    let mut balance = Balance::new(&[ejecting(&[(carrier(0), 3, 1), (carrier(1), 1, 1)])]);
    fail(&mut balance, at(100), 1);
    fail(&mut balance, at(101), 0);
    let shares = counts(&mut balance, at(102), 4000);
    assert!(shares[0].abs_diff(3000) < 4 * QUANTUM, "{shares:?}");
    assert_eq!(one(&mut balance, at(102), b"", &mut |id| id.0 == 1), Some(1));
}

#[test]
fn an_ejected_tier_leaves_it_to_the_next() {
    let mut balance = Balance::new(&[ejecting(&[(carrier(0), 1, 1), (carrier(1), 1, 2)])]);
    assert_eq!(one(&mut balance, at(99), b"", &mut |_| true), Some(0));
    fail(&mut balance, at(100), 0);
    assert_eq!(one(&mut balance, at(101), b"", &mut |_| true), Some(1));
    assert_eq!(one(&mut balance, at(131), b"", &mut |_| true), Some(0));
}

#[test]
fn a_nested_pool_whose_members_are_all_ejected_is_ejected() {
    let outer = ejecting(&[(Member::Pool(PoolId(1)), 1, 1), (carrier(0), 1, 2)]);
    let inner = ejecting(&[(carrier(1), 1, 1), (carrier(2), 1, 1)]);
    let mut balance = Balance::new(&[outer, inner]);
    fail(&mut balance, at(100), 1);
    assert_eq!(one(&mut balance, at(101), b"", &mut |_| true), Some(2));
    fail(&mut balance, at(102), 2);
    assert_eq!(one(&mut balance, at(103), b"", &mut |_| true), Some(0));
    let states: Vec<_> = balance.states(PoolId(0), at(103)).map(|(_, state)| state).collect();
    assert_eq!(states, [State::Ejected { until: at(130) }, State::Healthy]);
    fail(&mut balance, at(103), 0);
    assert!(one(&mut balance, at(104), b"", &mut |_| true).is_some_and(|id| id > 0), "all are asked again");
}

#[test]
fn a_pool_without_ejection_ignores_errors() {
    let mut balance = Balance::new(&[pool(&[(carrier(0), 1, 1), (carrier(1), 1, 1)])]);
    for esme in 0..100 {
        assert!(!balance.record(at(1), CarrierId(0), EsmeId(esme), Outcome::Error));
    }
    assert_eq!(counts(&mut balance, at(2), 100)[..2], [50, 50]);
}

#[test]
fn a_decision_holds_for_one_message_where_destinations_decide() {
    let outer = pool(&[(carrier(0), 1, 1), (Member::Pool(PoolId(1)), 1, 1)]);
    let inner = by(BalanceBy::HashDestination, &[(carrier(1), 1, 1)]);
    let least = by(BalanceBy::LeastOutstanding, &[(carrier(1), 1, 1)]);
    let balance = Balance::new(&[outer, inner, least, pool(&[(carrier(0), 1, 1)])]);
    let quanta = [0, 1, 2, 3].map(|id| balance.quantum(PoolId(id)));
    assert_eq!(quanta, [1, 1, QUANTUM_LEAST, QUANTUM]);
}
