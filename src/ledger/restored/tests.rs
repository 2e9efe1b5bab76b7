use super::*;
use crate::journal::Fault;
use crate::journal::frame::{Head, frame_len, write};
use crate::prng::Prng;
use std::collections::BTreeMap;

fn take(restored: &mut Restored, lsn: u64, key: u64, record: &Record<'_>) {
    let mut octets = vec![0; frame_len(record.len())];
    write(&mut octets, &Head { lsn: Lsn(lsn), key, time_ms: 0 }, record, record.len());
    let (frame, span) = Frame::unsealed(&octets).unwrap();
    restored.take(
        &frame,
        &Place { segment: 1, at: 0, wall: Wall(lsn as i64), octets: span as u32, is_over: false },
    );
}

fn sent() -> Record<'static> {
    Record::Sent {
        awaited: 2,
        kept: false,
        over: b"",
        facts: Facts { esme: b"acme", message_id: b"A1", ..Facts::default() },
    }
}

fn finish() -> Record<'static> {
    Record::Finish {
        state: 2,
        status: 0,
        reason: crate::journal::record::NO_REASON,
        fault: Fault::Nobody,
        error: b"",
        price: 0,
        currency: b"",
        facts: Facts::default(),
    }
}

#[test]
fn what_was_not_closed_comes_back_and_what_was_answered_does_not() {
    let mut restored = Restored::new(100);
    take(&mut restored, 1, 7, &sent());
    take(&mut restored, 2, 8, &sent());
    take(&mut restored, 3, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"first" });
    take(&mut restored, 4, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"second" });
    take(&mut restored, 5, 8, &finish());
    take(&mut restored, 6, 7, &Record::DlrOut { of: Lsn(3), at: Lsn(3), state: 2, status: 0 });
    take(&mut restored, 7, 9, &Record::MoIn { carrier: b"alpha", esme: b"acme", pdu: b"mo" });
    let (book, kept) = restored.finish();
    assert_eq!(book.front(), Lsn(1));
    assert_eq!(kept.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [7, 9]);
    let (_, message) = &kept[0];
    assert_eq!(message.accepted.as_ref().unwrap().facts().message_id, b"A1");
    assert_eq!((&message.answered[..], message.taken.len()), (&[b"first".to_vec()][..], 1));
    assert_eq!(message.taken[0].pdu, b"second");
    assert_eq!(kept[1].1.taken[0].esme.as_deref(), Some(&b"acme"[..]));
}

#[test]
fn an_intermediate_receipt_that_was_answered_ends_nothing_and_a_copy_says_itself_what_is_to_come() {
    let mut restored = Restored::new(100);
    take(&mut restored, 1, 7, &sent());
    for (lsn, state) in [(2, MessageState::Enroute), (4, MessageState::Delivered)] {
        take(&mut restored, lsn, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"one" });
        let state = state.octet();
        take(&mut restored, lsn + 1, 7, &Record::DlrOut { of: Lsn(lsn), at: Lsn(lsn), state, status: 0 });
    }
    take(&mut restored, 6, 8, &sent());
    take(&mut restored, 7, 8, &Record::DlrIn { carrier: b"alpha", pdu: b"one" });
    take(&mut restored, 8, 8, &Record::DlrOut { of: Lsn(7), at: Lsn(7), state: 2, status: 0 });
    let mut payload = Vec::new();
    Record::Sent { awaited: 1, kept: false, over: b"", facts: Facts::default() }.payload(&mut payload);
    let (from, kind) = (Lsn(6), Kind::Sent as u8);
    let copy = Record::Move { from, origin: from, kind, version: 1, wall: 5, payload: &payload };
    take(&mut restored, 9, 8, &copy);
    let (_, kept) = restored.finish();
    let to_come =
        |kept: &Kept| kept.accepted.as_ref().map(|accepted| (accepted.awaited, kept.answered.len()));
    assert_eq!(kept.iter().map(|(_, kept)| to_come(kept)).collect::<Vec<_>>(), [Some((2, 1)), Some((1, 0))]);
}

#[test]
fn many_keys_that_open_and_close_are_not_taken_for_each_other() {
    let (mut restored, mut prng) = (Restored::new(10_000), Prng::new(3));
    let mut open: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for lsn in 1..20_000 {
        let key = prng.below(500) * 0x1_0001;
        match (prng.below(4), open.get_mut(&key)) {
            (0 | 1, None) => {
                take(&mut restored, lsn, key, &sent());
                open.insert(key, Vec::new());
            }
            (0 | 1, Some(receipts)) => {
                let pdu = lsn.to_le_bytes();
                take(&mut restored, lsn, key, &Record::DlrIn { carrier: b"alpha", pdu: &pdu });
                receipts.push(lsn);
            }
            (2, Some(receipts)) if !receipts.is_empty() => {
                let of = Lsn(receipts.remove(prng.below(receipts.len() as u64) as usize));
                take(&mut restored, lsn, key, &Record::DlrOut { of, at: of, state: 2, status: 0 });
            }
            _ => {
                take(&mut restored, lsn, key, &finish());
                open.remove(&key);
            }
        }
    }
    let (book, kept) = restored.finish();
    assert!(kept.len() > 100 && book.open() == kept.len());
    let of = |(key, kept): &(u64, Kept)| (*key, kept.taken.iter().map(|taken| taken.record.lsn.0).collect());
    assert_eq!(kept.iter().map(of).collect::<BTreeMap<u64, Vec<u64>>>(), open);
    let octets = |taken: &Taken| taken.pdu == taken.record.lsn.0.to_le_bytes();
    assert!(kept.iter().all(|(_, kept)| kept.accepted.is_some() && kept.taken.iter().all(octets)));
}

#[test]
fn a_message_that_was_tried_for_days_takes_no_room_for_each_attempt() {
    let mut restored = Restored::new(10);
    let accept = Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"bank", id: b"", pdu: &[7; 20] };
    for (first, key) in [(1, 7), (1002, 8)] {
        take(&mut restored, first, key, &accept);
        for attempt in 1..=500 {
            let (lsn, carrier) = (first + 2 * u64::from(attempt) - 1, b"alpha");
            take(&mut restored, lsn, key, &Record::Sending { attempt, carrier });
            let refused = Record::Refused { attempt, status: 0x58, wait_ms: 1000, carrier };
            take(&mut restored, lsn + 1, key, &refused);
            assert!(restored.open.iter().all(|open| open.unread.capacity() <= 2 * UNREAD_MAX));
        }
    }
    take(&mut restored, 2003, 8, &finish());
    let (book, kept) = restored.finish();
    assert_eq!((book.front(), book.open(), book.records_of(7).count()), (Lsn(1), 1, 2));
    let attempt = kept[0].1.promised.as_ref().unwrap().attempt.unwrap();
    assert_eq!((kept.len(), attempt.number, attempt.record.lsn), (1, 500, Lsn(1001)));
}

fn copy_of(restored: &mut Restored, lsn: u64, key: u64, (from, record): (u64, &Record<'_>)) {
    let (mut payload, kind) = (Vec::new(), record.kind() as u8);
    record.payload(&mut payload);
    let (from, origin) = (Lsn(from), Lsn(from));
    let copy = Record::Move { from, origin, kind, version: 1, wall: 5, payload: &payload };
    take(restored, lsn, key, &copy);
}

const ACCEPT: Record<'static> =
    Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"bank", id: b"", pdu: b"pdu" };

#[test]
fn the_last_that_an_operator_has_said_of_a_message_holds_until_a_carrier_has_it() {
    let steer = |held, pool| Record::Steer { held, pool };
    let mut restored = Restored::new(100);
    for key in [7, 8, 9] {
        take(&mut restored, key, key, &ACCEPT);
    }
    take(&mut restored, 10, 7, &steer(true, b""));
    take(&mut restored, 11, 7, &Record::Sending { attempt: 1, carrier: b"alpha" });
    take(&mut restored, 12, 7, &steer(true, b"bulk"));
    take(&mut restored, 13, 8, &steer(true, b"bulk"));
    take(&mut restored, 14, 8, &sent());
    take(&mut restored, 15, 9, &steer(false, b"bulk"));
    take(&mut restored, 16, 9, &ACCEPT);
    let (book, kept) = restored.finish();
    let steered = |(_, kept): &(u64, Kept)| {
        kept.steered.as_ref().map(|steered| (steered.held, String::from_utf8(steered.pool.clone()).unwrap()))
    };
    assert_eq!(
        kept.iter().map(steered).collect::<Vec<_>>(),
        [Some((true, "bulk".into())), None, Some((false, "bulk".into()))]
    );
    assert_eq!(kept[0].1.promised.as_ref().unwrap().attempt.unwrap().record.lsn, Lsn(11));
    let records = kept.iter().map(|(_, kept)| kept.records()).collect::<Vec<_>>();
    assert_eq!(records, [7, 8, 9].map(|key| book.records_of(key).count()));
    assert_eq!((records, book.steers(7), book.steers(9)), (vec![3, 1, 2], Some(Lsn(12)), Some(Lsn(15))));
}

#[test]
fn what_may_be_sent_again_has_its_accept_beside_in_any_order_and_begins_anew_with_the_next_one() {
    let kept_sent = Record::Sent { awaited: 1, kept: true, over: b"", facts: Facts::default() };
    let shown = |(_, kept): &(u64, Kept)| {
        let accepted = kept.accepted.as_ref().map(|accepted| (accepted.record.origin.0, accepted.kept));
        let promised =
            kept.promised.as_ref().map(|promised| (promised.record.origin.0, promised.attempt.is_some()));
        (accepted, promised, kept.taken.len())
    };
    let mut restored = Restored::new(100);
    take(&mut restored, 1, 7, &ACCEPT);
    take(&mut restored, 2, 7, &Record::Sending { attempt: 1, carrier: b"alpha" });
    take(&mut restored, 3, 7, &kept_sent);
    take(&mut restored, 4, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"one" });
    copy_of(&mut restored, 5, 7, (1, &ACCEPT));
    // Its originals were given back.
    copy_of(&mut restored, 6, 8, (3, &kept_sent));
    copy_of(&mut restored, 7, 8, (1, &ACCEPT));
    copy_of(&mut restored, 8, 9, (1, &ACCEPT));
    copy_of(&mut restored, 9, 9, (3, &kept_sent));
    // One goes again, the attempt of another one is over.
    take(&mut restored, 10, 6, &ACCEPT);
    take(&mut restored, 11, 6, &kept_sent);
    take(&mut restored, 12, 6, &ACCEPT);
    take(&mut restored, 13, 10, &ACCEPT);
    take(&mut restored, 14, 10, &Record::Sending { attempt: 1, carrier: b"alpha" });
    take(&mut restored, 15, 10, &kept_sent);
    let (book, kept) = restored.finish();
    let both = (Some((3, true)), Some((1, false)));
    assert_eq!(
        kept.iter().map(shown).collect::<Vec<_>>(),
        [
            (None, Some((12, false)), 0),
            (both.0, both.1, 1),
            (both.0, both.1, 0),
            (both.0, both.1, 0),
            (Some((15, true)), Some((13, false)), 0)
        ]
    );
    for (key, kept) in &kept {
        assert_eq!(kept.records(), book.records_of(*key).count(), "{key}");
    }
}

#[test]
fn the_copy_of_an_attempt_may_stand_before_that_of_its_message() {
    let refused = Record::Refused { attempt: 3, status: 0x58, wait_ms: 1000, carrier: b"alpha" };
    // One of a former ACCEPT is over.
    for (accept, attempt, wanted) in [(1, 2, Some(3)), (2, 1, None)] {
        let mut restored = Restored::new(100);
        copy_of(&mut restored, 11, 7, (attempt, &refused));
        copy_of(&mut restored, 12, 7, (accept, &ACCEPT));
        let (_, kept) = restored.finish();
        let promised = kept[0].1.promised.as_ref().unwrap();
        assert_eq!(promised.attempt.map(|attempt| attempt.number), wanted);
        assert_eq!(promised.carrier.is_empty(), wanted.is_none());
    }
}

#[test]
fn copies_whose_originals_are_gone_say_the_same_in_any_order() {
    let refused = Record::Refused { attempt: 3, status: 0x58, wait_ms: 1000, carrier: b"alpha" };
    let copies = [(1, ACCEPT), (3, refused), (4, Record::Steer { held: true, pool: b"bulk" })];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut restored = Restored::new(100);
        for (lsn, at) in (11..).zip(order) {
            let (from, record) = &copies[at];
            copy_of(&mut restored, lsn, 7, (*from, record));
        }
        take(&mut restored, 14, 7, &Record::Steer { held: false, pool: b"bulk" });
        take(&mut restored, 15, 7, &Record::Sending { attempt: 4, carrier: b"beta" });
        let (book, kept) = restored.finish();
        let (_, kept) = &kept[0];
        let promised = kept.promised.as_ref().unwrap();
        assert_eq!((promised.attempt.unwrap().number, promised.carrier.as_slice()), (4, &b"beta"[..]));
        assert_eq!(kept.steered.as_deref(), Some(&Steered { held: false, pool: b"bulk".to_vec() }));
        assert_eq!(book.records_of(7).count(), 3, "one of each: {order:?}");
    }
}

#[test]
fn a_lone_sent_or_its_copy_is_told_where_it_lies_and_is_what_it_was() {
    let mut restored = Restored::new(100);
    let mut payload = Vec::new();
    sent().payload(&mut payload);
    let (from, kind, receipt) = (Lsn(1), Kind::Sent as u8, Record::DlrIn { carrier: b"a", pdu: b"one" });
    let copy = Record::Move { from, origin: from, kind, version: 1, wall: 5, payload: &payload };
    take(&mut restored, 3, 9, &copy);
    take(&mut restored, 4, 7, &sent());
    take(&mut restored, 5, 8, &sent());
    take(&mut restored, 6, 8, &receipt);
    restored.settle();
    let (book, remains) = restored.remains();
    assert_eq!((book.open(), book.front(), remains.highest()), (3, Lsn(3), 9));
    let lone = |(key, still): (u64, Still<'_>)| (key, matches!(still, Still::Lone(_)), still.records());
    assert_eq!(remains.iter().map(lone).collect::<Vec<_>>(), [(7, true, 1), (8, false, 2), (9, true, 1)]);
    let accepted = |(_, still): (u64, Still<'_>)| still.to_kept().accepted.unwrap();
    let accepted: Vec<Accepted> = remains.iter().map(accepted).collect();
    assert!(accepted.iter().all(|one| one.facts().message_id == b"A1" && one.awaited == 2));
    let written: Vec<Written> = accepted.iter().map(|one| one.record).collect();
    assert_eq!(written[0], Written { lsn: Lsn(4), origin: Lsn(4), wall: Wall(4) });
    assert_eq!(written[2], Written { lsn: Lsn(3), origin: Lsn(1), wall: Wall(5) });
}

#[test]
fn a_copy_stands_for_what_it_was_made_of() {
    let mut restored = Restored::new(100);
    take(&mut restored, 1, 7, &sent());
    take(&mut restored, 2, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"one" });
    let mut payload = Vec::new();
    sent().payload(&mut payload);
    let copy = |from: u64, origin: u64, kind: u8, payload: &'static [u8]| Record::Move {
        from: Lsn(from),
        origin: Lsn(origin),
        kind,
        version: 1,
        wall: 5,
        payload,
    };
    take(&mut restored, 3, 7, &copy(1, 1, 4, payload.leak()));
    take(&mut restored, 4, 7, &copy(2, 2, 5, b"\x05alphaone"));
    take(&mut restored, 5, 7, &Record::DlrOut { of: Lsn(2), at: Lsn(4), state: 2, status: 0 });
    let (book, kept) = restored.finish();
    let accepted = kept[0].1.accepted.as_ref().unwrap();
    assert_eq!(accepted.record, Written { lsn: Lsn(3), origin: Lsn(1), wall: Wall(5) });
    assert_eq!((kept[0].1.taken.len(), book.front()), (0, Lsn(3)));
}
