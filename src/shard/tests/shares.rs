//! Weighted shares, seen by the carriers.

use super::pdus::{Heard, answer, submit_text};
use super::rig::{Rig, config, member};
use crate::ids::LinkId;
use crate::limits::QUANTUM;
use crate::throttle::Rate;
use crate::time::Duration;

/// Every carrier answers what it has; gives how many that were.
fn answer_all(rig: &mut Rig, carriers: usize) -> Vec<u64> {
    let counts = (0..carriers).map(|carrier| {
        let mut count = 0;
        for link in rig.carrier_links(carrier) {
            let heard = rig.heard(link);
            count += heard.len() as u64;
            let octets: Vec<u8> = heard.iter().flat_map(|request: &Heard| answer(request, "7")).collect();
            rig.send(link, &octets);
        }
        count
    });
    counts.collect()
}

/// Each link submits `each`, all are answered; gives each carrier's part.
fn round(rig: &mut Rig, links: &[LinkId], each: u32, carriers: usize) -> Vec<u64> {
    let octets: Vec<u8> = (0..each).flat_map(|n| submit_text("38267000001", n, "hi", 0)).collect();
    let mut counts = vec![0; carriers];
    for &link in links {
        rig.send(link, &octets);
        for (sum, count) in counts.iter_mut().zip(answer_all(rig, carriers)) {
            *sum += count;
        }
    }
    let answers: usize = links.iter().map(|&link| rig.heard(link).len()).sum();
    assert_eq!(answers, links.len() * each as usize);
    counts
}

#[test]
fn a_hundred_thousand_messages_of_many_sessions_are_shared_five_to_three_to_two() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut config = config(&names, &["alpha", "beta", "gamma"]);
    config.pools[0].members = vec![member(0, 5), member(1, 3), member(2, 2)];
    for carrier in &mut config.carriers {
        carrier.sessions = 4;
        carrier.window_max = 1000;
    }
    let mut rig = Rig::up(config);
    let links: Vec<LinkId> = (0..4).flat_map(|_| names).map(|name| rig.trx(name)).collect();
    let mut sums = [0u64; 3];
    for turn in 0..104u32 {
        // Never whole quanta, so that they end wherever they may.
        for (sum, count) in sums.iter_mut().zip(round(&mut rig, &links, 20 + turn % 24, 3)) {
            *sum += count;
        }
    }
    let total: u64 = sums.iter().sum();
    assert!(total >= 100_000, "{total}");
    for (sum, weight) in sums.iter().zip([5, 3, 2]) {
        assert!(sum.abs_diff(total * weight / 10) <= total / 100, "{sums:?}");
    }
    rig.assert_settled();
}

#[test]
fn the_others_take_what_a_member_with_a_small_window_cannot() {
    let mut config = config(&["a"], &["alpha", "beta"]);
    config.esmes[0].window_max = 1000;
    config.carriers[0].window_max = 3;
    config.carriers[1].window_max = 1000;
    let mut rig = Rig::up(config);
    let link = rig.trx("a");
    let octets: Vec<u8> = (0..200).flat_map(|n| submit_text("38267000001", n, "hi", 0)).collect();
    rig.send(link, &octets);
    let counts = answer_all(&mut rig, 2);
    assert_eq!(counts, [3, 197], "nothing waits while somebody has room");
    rig.assert_settled();
}

#[test]
fn a_member_that_was_limited_catches_up_one_quantum_at_most() {
    let mut config = config(&["a"], &["alpha", "beta"]);
    config.esmes[0].window_max = 1000;
    for carrier in &mut config.carriers {
        carrier.window_max = 1000;
    }
    config.carriers[0].rate = Some(Rate { units: 100, per: Duration::from_secs(1) });
    config.carriers[0].burst = 1000;
    let mut rig = Rig::up(config);
    let link = rig.trx("a");
    let mut counts = vec![0, 0];
    for _ in 0..20 {
        counts = round(&mut rig, &[link], 400, 2).iter().zip(&counts).map(|(a, b)| a + b).collect();
    }
    assert_eq!(counts[0], 1000, "its burst, then beta takes all: {counts:?}");
    rig.advance(Duration::from_secs(10));
    let after = round(&mut rig, &[link], 800, 2);
    let quantum = u64::from(QUANTUM);
    assert!(after[0] >= after[1] && after[0] <= after[1] + 3 * quantum, "{after:?}");
}
