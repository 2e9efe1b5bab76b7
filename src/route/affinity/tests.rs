use super::*;
use crate::prng::Prng;

const A: CarrierId = CarrierId(0);
const B: CarrierId = CarrierId(1);

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn part(reference: Reference, total: u8) -> Part {
    Part::new(reference, total, 1).unwrap()
}

fn ends<'a>(esme: u32, source: &'a [u8], destination: &'a [u8]) -> Ends<'a> {
    Ends { esme: EsmeId(esme), source, destination }
}

fn key_of(affinity: &Affinity, nth: u32) -> Key {
    let destination = nth.to_string();
    affinity.key(&ends(0, b"bank", destination.as_bytes()), &part(Reference::Octet(7), 3))
}

fn table() -> (Affinity, Key) {
    let affinity = Affinity::with_max(1, 8);
    let key = key_of(&affinity, 0);
    (affinity, key)
}

#[test]
fn the_first_part_costs_all_of_them_and_each_reserved_one_nothing() {
    let (mut affinity, key) = table();
    assert_eq!([affinity.cost(at(0), key), affinity.cost(at(0), key)], [3, 3], "not placed yet");
    assert!(affinity.sent(at(0), key, 1, A));
    affinity.reserve(at(0), key, 2);
    let costs = [at(0), at(1), at(2), at(3)].map(|now| affinity.cost(now, key));
    assert_eq!(costs, [0, 0, 1, 1], "what comes again is paid for by itself");
    let late = at(0).after(AFFINITY_TTL);
    assert_eq!(affinity.cost(late, key), 3, "it is a message of its own by now");
}

#[test]
fn the_next_message_of_a_key_is_paid_for_anew() {
    let (mut affinity, key) = table();
    assert!(affinity.sent(at(0), key, 1, A));
    affinity.reserve(at(0), key, 2);
    (1..=3).for_each(|number| affinity.accepted(at(1), key, number));
    assert_eq!(affinity.cost(at(1), key), 3);
}

#[test]
fn every_part_of_the_key_counts() {
    let affinity = Affinity::with_max(1, 8);
    let octet = part(Reference::Octet(7), 3);
    let keys = [
        affinity.key(&ends(1, b"12", b"3"), &octet),
        affinity.key(&ends(2, b"12", b"3"), &octet),
        affinity.key(&ends(1, b"1", b"23"), &octet),
        affinity.key(&ends(1, b"12", b"4"), &octet),
        affinity.key(&ends(1, b"13", b"3"), &octet),
        affinity.key(&ends(1, b"12", b"3"), &part(Reference::Octet(8), 3)),
        affinity.key(&ends(1, b"12", b"3"), &part(Reference::Word(7), 3)),
        affinity.key(&ends(1, b"12", b"3"), &part(Reference::Sar(7), 3)),
        affinity.key(&ends(1, b"12", b"3"), &part(Reference::Octet(7), 4)),
    ];
    for (place, key) in keys.iter().enumerate() {
        assert!(!keys[..place].contains(key), "{place}");
    }
    let second = Part::new(Reference::Octet(7), 3, 2).unwrap();
    assert_eq!(affinity.key(&ends(1, b"12", b"3"), &second), keys[0], "the part's own number does not");
}

#[test]
fn the_rest_follow_the_first_part() {
    let (mut affinity, key) = table();
    assert_eq!(affinity.place(at(0), key), None);
    assert!(affinity.sent(at(0), key, 2, A));
    assert_eq!(affinity.place(at(1), key), Some(Placed { carrier: A, sent: 1, failed: false }));
    assert_eq!(affinity.choose(at(1), key, B).carrier, A);
    assert!(!affinity.sent(at(1), key, 1, B), "not to another");
    assert!(affinity.sent(at(1), key, 1, A));
    assert_eq!(affinity.place(at(1), key).unwrap().sent, 2);
}

#[test]
fn a_message_moves_while_none_of_its_parts_is_with_a_carrier() {
    let (mut affinity, key) = table();
    affinity.choose(at(0), key, A);
    assert_eq!(affinity.choose(at(0), key, B), Placed { carrier: B, sent: 0, failed: false });
    assert!(affinity.sent(at(0), key, 1, A), "nothing was sent, only chosen");
    assert!(!affinity.sent(at(0), key, 2, B));
}

#[test]
fn a_refused_part_frees_the_message_only_if_it_was_the_only_one() {
    let (mut affinity, key) = table();
    assert!(affinity.sent(at(0), key, 1, A));
    affinity.refused(at(1), key, 1);
    assert!(affinity.sent(at(1), key, 1, B));
    assert!(affinity.sent(at(1), key, 2, B));
    affinity.refused(at(2), key, 1);
    assert!(!affinity.sent(at(2), key, 1, A), "part 2 is with the other");
    affinity.accepted(at(2), key, 2);
    affinity.refused(at(2), key, 1);
    assert!(!affinity.sent(at(2), key, 1, A));
}

#[test]
fn when_a_part_fails_the_rest_fail_and_then_it_is_forgotten() {
    let (mut affinity, key) = table();
    assert!(affinity.sent(at(0), key, 1, A));
    affinity.accepted(at(0), key, 1);
    affinity.failed(at(1), key, 2);
    assert!(affinity.place(at(1), key).unwrap().failed);
    assert!(!affinity.sent(at(1), key, 3, A));
    assert_eq!(affinity.choose(at(1), key, B).carrier, A);
    affinity.failed(at(1), key, 3);
    assert_eq!(affinity.place(at(1), key), None, "the reference may be used again");
    assert!(affinity.is_empty());
}

#[test]
fn a_whole_message_is_forgotten_and_repeats_do_not_count_twice() {
    let (mut affinity, key) = table();
    for number in [1, 1, 2] {
        assert!(affinity.sent(at(0), key, number, A));
        affinity.accepted(at(0), key, number);
    }
    assert_eq!(affinity.place(at(0), key).unwrap().sent, 2);
    assert!(affinity.sent(at(0), key, 3, A));
    affinity.accepted(at(0), key, 3);
    assert!(affinity.is_empty() && affinity.place(at(0), key).is_none());
}

#[test]
fn two_hundred_and_fifty_five_parts_are_counted() {
    let mut affinity = Affinity::with_max(1, 8);
    let key = affinity.key(&ends(1, b"1", b"2"), &part(Reference::Word(1), 255));
    for number in 1..=255 {
        assert!(affinity.sent(at(0), key, number, A));
    }
    assert_eq!(affinity.place(at(0), key).unwrap().sent, 255);
    for number in 1..=255 {
        assert_eq!(affinity.len(), 1, "{number}");
        affinity.accepted(at(0), key, number);
    }
    assert!(affinity.is_empty());
}

#[test]
fn its_time_is_over_after_the_ttl() {
    let (mut affinity, key) = table();
    assert!(affinity.sent(at(0), key, 1, A));
    let end = at(0).after(AFFINITY_TTL);
    assert!(affinity.place(Instant::from_nanos(end.as_nanos() - 1), key).is_some());
    assert_eq!(affinity.place(end, key), None);
    assert!(affinity.sent(end, key, 2, B), "a message of its own");
    assert_eq!(affinity.forgotten(), 0);
}

#[test]
fn the_oldest_goes_when_the_table_is_full_and_is_counted() {
    let mut affinity = Affinity::with_max(1, 8);
    for nth in 0..8 {
        let key = key_of(&affinity, nth);
        assert!(affinity.sent(at(u64::from(nth)), key, 1, A));
    }
    // The oldest but one ends, so the oldest is still number 0, then 2.
    let key = key_of(&affinity, 1);
    (1..=3).for_each(|number| affinity.accepted(at(8), key, number));
    for nth in 8..11 {
        let key = key_of(&affinity, nth);
        assert!(affinity.sent(at(9), key, 1, A));
        assert_eq!(affinity.len(), 8);
    }
    let held: Vec<u32> = (0..11)
        .filter(|&nth| {
            let key = key_of(&affinity, nth);
            affinity.place(at(9), key).is_some()
        })
        .collect();
    assert_eq!((held, affinity.forgotten()), (vec![3, 4, 5, 6, 7, 8, 9, 10], 2));
}

#[test]
fn expired_messages_make_room_without_being_asked_for() {
    let mut affinity = Affinity::with_max(1, 8);
    for nth in 0..8 {
        let key = key_of(&affinity, nth);
        affinity.choose(at(0), key, A);
    }
    for nth in 8..12 {
        let key = key_of(&affinity, nth);
        affinity.choose(at(1000), key, A);
    }
    assert_eq!((affinity.len(), affinity.forgotten()), (4, 0));
}

/// Shuffled parts of many messages over four carriers that come and go: what each carrier took, by message.
#[test]
fn no_message_is_mixed_whatever_carriers_do() {
    let mut affinity = Affinity::with_max(3, 5000);
    let mut prng = Prng::new(11);
    let mut parts: Vec<(u32, u8)> = (0..4000).flat_map(|m| [1, 2, 3].map(|number| (m, number))).collect();
    for at in (1..parts.len()).rev() {
        parts.swap(at, prng.below(at as u64 + 1) as usize);
    }
    let mut with = vec![None; 4000];
    let (mut whole, mut taken) = (0, vec![0u8; 4000]);
    for (step, &(message, number)) in parts.iter().enumerate() {
        let down = CarrierId((step / 500 % 4) as u32);
        let now = at(step as u64 / 1000);
        let key = key_of(&affinity, message);
        let mut carrier = CarrierId(prng.below(4) as u32);
        loop {
            let placed = affinity.choose(now, key, carrier);
            if placed.failed || (placed.carrier == down && placed.sent > 0) {
                affinity.failed(now, key, number);
                break;
            }
            if placed.carrier == down {
                carrier = CarrierId((down.0 + 1) % 4);
                continue;
            }
            assert!(affinity.sent(now, key, number, placed.carrier));
            if prng.chance(1, 10) {
                affinity.refused(now, key, number);
                carrier = CarrierId(prng.below(4) as u32);
                continue;
            }
            affinity.accepted(now, key, number);
            let with = &mut with[message as usize];
            assert_eq!(*with.get_or_insert(placed.carrier), placed.carrier, "message {message} is mixed");
            taken[message as usize] += 1;
            whole += u32::from(taken[message as usize] == 3);
            break;
        }
    }
    assert!((1000..3500).contains(&whole), "{whole} whole messages");
    assert_eq!((affinity.len(), affinity.forgotten()), (0, 0));
}

#[test]
fn the_order_holds_when_the_newest_ends_first() {
    let mut affinity = Affinity::with_max(1, 4);
    for nth in 0..4 {
        let key = key_of(&affinity, nth);
        affinity.choose(at(0), key, A);
    }
    let newest = key_of(&affinity, 3);
    (1..=3).for_each(|number| affinity.accepted(at(0), newest, number));
    for nth in 4..12 {
        let key = key_of(&affinity, nth);
        affinity.choose(at(0), key, A);
    }
    let held: Vec<u32> = (0..12)
        .filter(|&nth| {
            let key = key_of(&affinity, nth);
            affinity.place(at(0), key).is_some()
        })
        .collect();
    assert_eq!((held, affinity.forgotten()), (vec![8, 9, 10, 11], 7));
}
