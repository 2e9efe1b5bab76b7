use super::*;
use crate::journal::Kind;
use crate::journal::frame::{FRAME_HEAD, Frame};
use crate::prng::Prng;
use std::collections::BTreeMap;

fn frame(lsn: u64, key: u64, kind: Kind, payload: &[u8]) -> Frame<'_> {
    Frame { lsn: Lsn(lsn), key, time_ms: 0, kind: kind as u8, version: 1, flags: 0, payload }
}

fn note(book: &mut Book, lsn: u64, key: u64, kind: Kind) {
    book.note(&frame(lsn, key, kind, &[]), 100).unwrap();
}

fn move_of(from: u64) -> Vec<u8> {
    let mut payload = from.to_le_bytes().to_vec();
    payload.extend([1; 18]);
    payload
}

#[test]
fn a_key_is_needed_until_it_is_closed_and_the_front_follows() {
    let mut book = Book::new(100);
    note(&mut book, 1, 7, Kind::Accept);
    note(&mut book, 2, 8, Kind::Accept);
    note(&mut book, 3, 7, Kind::Sending);
    assert_eq!((book.front(), book.open()), (Lsn(1), 2));
    assert_eq!(book.records_of(7).collect::<Vec<_>>(), [Lsn(3), Lsn(1)]);
    note(&mut book, 4, 7, Kind::Finish);
    assert_eq!((book.front(), book.open(), book.is_needed(Lsn(3))), (Lsn(2), 1, false));
    note(&mut book, 5, 8, Kind::Tombstone);
    assert_eq!((book.front(), book.open()), (Lsn(6), 0));
    book.keep_from(Some(Lsn(4)));
    assert_eq!(book.front(), Lsn(4), "a sink has not got it");
}

#[test]
fn the_next_cursor_of_a_sink_replaces_the_last_and_a_block_stays_until_it_ends() {
    let mut book = Book::new(100);
    note(&mut book, 1, 1, Kind::Cursor);
    note(&mut book, 2, 9, Kind::Block);
    note(&mut book, 3, 1, Kind::Cursor);
    assert_eq!((book.front(), book.open()), (Lsn(2), 2));
    note(&mut book, 4, 9, Kind::Tombstone);
    assert_eq!(book.front(), Lsn(3));
}

#[test]
fn a_copy_takes_the_place_of_the_record() {
    let mut book = Book::new(100);
    note(&mut book, 1, 7, Kind::Accept);
    note(&mut book, 2, 7, Kind::Sending);
    book.note(&frame(3, 7, Kind::Move, &move_of(1)), 120).unwrap();
    assert_eq!(book.records_of(7).collect::<Vec<_>>(), [Lsn(2), Lsn(3)]);
    assert_eq!(book.front(), Lsn(2));
    book.note(&frame(4, 8, Kind::Move, &move_of(1)), 120).unwrap();
    assert_eq!(book.open(), 2, "the copy of what was given back opens its key again");
    note(&mut book, 5, 7, Kind::Finish);
    assert_eq!(book.front(), Lsn(4));
}

#[test]
fn what_steers_a_message_stands_beside_its_last_attempt_and_outlives_another_accept() {
    let mut book = Book::new(100);
    note(&mut book, 1, 7, Kind::Accept);
    note(&mut book, 2, 7, Kind::Steer);
    note(&mut book, 3, 7, Kind::Sending);
    note(&mut book, 4, 7, Kind::Steer);
    note(&mut book, 5, 7, Kind::Refused);
    assert_eq!(book.records_of(7).collect::<Vec<_>>(), [Lsn(5), Lsn(4), Lsn(1)]);
    note(&mut book, 6, 7, Kind::Accept);
    assert_eq!(
        (book.records_of(7).collect::<Vec<_>>(), book.steers(7)),
        (vec![Lsn(6), Lsn(4)], Some(Lsn(4)))
    );
    book.note(&frame(7, 7, Kind::Move, &move_of(4)), 120).unwrap();
    assert_eq!(book.steers(7), Some(Lsn(7)), "a copy steers");
    note(&mut book, 8, 7, Kind::Sent);
    assert_eq!((book.records_of(7).collect::<Vec<_>>(), book.steers(7)), (vec![Lsn(8)], None));
}

#[test]
fn what_may_be_sent_again_needs_its_accept_and_no_attempt() {
    let mut book = Book::new(3);
    note(&mut book, 1, 7, Kind::Accept);
    note(&mut book, 2, 7, Kind::Steer);
    note(&mut book, 3, 7, Kind::Sending);
    assert!(book.has_attempt(7) && !book.has_room());
    note(&mut book, 4, 7, Kind::SentKept);
    assert_eq!(book.records_of(7).collect::<Vec<_>>(), [Lsn(4), Lsn(1)]);
    assert!(!book.has_attempt(7) && !book.rest(7, true), "it does not sleep");
    note(&mut book, 5, 7, Kind::DlrIn);
    note(&mut book, 6, 7, Kind::Accept);
    assert_eq!(book.records_of(7).collect::<Vec<_>>(), [Lsn(6)], "it goes again");
}

#[test]
fn a_copy_of_what_was_given_back_is_replaced_as_that_would_be() {
    let copy_of = |kind: Kind| [&[9; 16][..], &[kind as u8, 1], &[1; 8]].concat();
    let mut book = Book::new(100);
    for (lsn, (first, next)) in [(1, (Kind::Refused, Kind::Sending)), (5, (Kind::Steer, Kind::Steer))] {
        book.note(&frame(lsn, lsn, Kind::Move, &copy_of(first)), 120).unwrap();
        note(&mut book, lsn + 1, lsn, next);
        assert_eq!(book.records_of(lsn).collect::<Vec<_>>(), [Lsn(lsn + 1)]);
    }
}

#[test]
fn an_eighth_of_the_room_is_kept_for_what_must_be_written() {
    let mut book = Book::new(16);
    let spare = |book: &Book| (book.has_room_to_spare(), book.has_room());
    (1..=13).for_each(|lsn| note(&mut book, lsn, lsn, Kind::Accept));
    assert_eq!(spare(&book), (true, true));
    (14..=16).for_each(|lsn| note(&mut book, lsn, lsn, Kind::Accept));
    assert_eq!(spare(&book), (false, false));
    note(&mut book, 17, 1, Kind::Finish);
    assert_eq!(spare(&book), (false, true));
    note(&mut book, 18, 2, Kind::Finish);
    note(&mut book, 19, 3, Kind::Finish);
    assert_eq!(spare(&book), (true, true));
}

#[test]
fn an_answered_receipt_is_not_needed_while_its_message_still_is() {
    let answer = |at: u64| [[0; 8], at.to_le_bytes()].concat().into_iter().chain([0; 5]).collect::<Vec<u8>>();
    let mut book = Book::new(100);
    note(&mut book, 1, 7, Kind::DlrIn);
    note(&mut book, 2, 7, Kind::Sent);
    note(&mut book, 3, 7, Kind::DlrIn);
    book.note(&frame(4, 7, Kind::DlrOut, &answer(1)), 100).unwrap();
    assert_eq!((book.front(), book.records_of(7).count()), (Lsn(2), 2));
    book.note(&frame(5, 7, Kind::DlrOut, &answer(3)), 100).unwrap();
    book.note(&frame(6, 7, Kind::DlrOut, &answer(9)), 100).unwrap();
    assert_eq!(book.records_of(7).collect::<Vec<_>>(), [Lsn(2)]);
    book.note(&frame(7, 7, Kind::DlrOut, &answer(2)), 100).unwrap();
    assert_eq!((book.front(), book.open()), (Lsn(8), 0), "nothing of it is left");
}

#[test]
fn a_full_book_refuses_what_is_needed_and_takes_what_closes() {
    let mut book = Book::new(2);
    note(&mut book, 1, 1, Kind::Accept);
    note(&mut book, 2, 2, Kind::Accept);
    assert!(!book.has_room());
    assert_eq!(book.note(&frame(3, 3, Kind::Accept, &[]), 100), Err(BookFull));
    note(&mut book, 4, 1, Kind::Finish);
    assert!(book.has_room());
    note(&mut book, 5, 3, Kind::Accept);
    assert_eq!(book.open(), 2);
}

#[test]
fn one_stuck_message_is_copied_as_soon_as_little_else_is_needed() {
    let mut book = Book::new(10_000);
    note(&mut book, 1, 1, Kind::Accept);
    let mut lsn = 1;
    let mut pass = |book: &mut Book, messages: u64| {
        for key in 0..messages {
            note(book, lsn + 1, 1000 + key, Kind::Accept);
            note(book, lsn + 2, 1000 + key, Kind::Finish);
            lsn += 2;
        }
    };
    pass(&mut book, 100);
    assert_eq!(book.plan(0), None, "the last block stays");
    pass(&mut book, 1000);
    let plan = book.plan(0).unwrap();
    assert_eq!((plan.below, plan.octets, plan.frees), (Lsn(1024), 100, 102_300));
    for percent in [0, 69] {
        let mut held = Book::new(10_000);
        (1..=1500).for_each(|lsn| note(&mut held, lsn, lsn, Kind::Accept));
        assert_eq!(held.plan(percent), None, "all of it is needed");
    }
}

#[test]
fn a_nearly_full_disk_copies_what_frees_the_most() {
    let mut book = Book::new(10_000);
    (1..=2048).for_each(|lsn| note(&mut book, lsn, lsn % 1024, Kind::Accept));
    (0..512).for_each(|key| note(&mut book, 2049 + key, key, Kind::Finish));
    assert_eq!(book.plan(69), None);
    let plan = book.plan(70).unwrap();
    assert!(plan.octets * 100 < plan.frees * 60, "{plan:?}");
}

/// What a book must say, told slowly.
#[derive(Default)]
struct Slow {
    /// By key, its records; those that the next such one takes the place of are marked with its kind.
    open: BTreeMap<u64, Vec<(u64, u8)>>,
}

#[test]
fn it_agrees_with_a_slow_one_over_thousands_of_records() {
    let (mut book, mut slow, mut prng) = (Book::new(5000), Slow::default(), Prng::new(3));
    for lsn in 1..20_000 {
        let key = prng.below(300);
        match prng.below(10) {
            0..4 => {
                note(&mut book, lsn, key, Kind::DlrIn);
                slow.open.entry(key).or_default().push((lsn, 0));
            }
            4 => {
                note(&mut book, lsn, key, if lsn % 2 == 0 { Kind::Sending } else { Kind::Refused });
                let records = slow.open.entry(key).or_default();
                records.retain(|(_, mark)| *mark != 1);
                records.push((lsn, 1));
            }
            5 if lsn % 8 == 1 => {
                note(&mut book, lsn, key, Kind::Steer);
                let records = slow.open.entry(key).or_default();
                records.retain(|(_, mark)| *mark != 2);
                records.push((lsn, 2));
            }
            5 if lsn % 8 == 2 => {
                note(&mut book, lsn, key, Kind::Accept);
                let records = slow.open.entry(key).or_default();
                records.retain(|(_, mark)| *mark == 2);
                records.push((lsn, 0));
            }
            5 if lsn % 8 == 0 => {
                note(&mut book, lsn, key, Kind::Sent);
                slow.open.insert(key, vec![(lsn, 0)]);
            }
            6 if slow.open.contains_key(&key) => {
                let records = slow.open.get_mut(&key).unwrap();
                let at = prng.below(records.len() as u64) as usize;
                book.note(&frame(lsn, key, Kind::Move, &move_of(records[at].0)), 90).unwrap();
                records[at].0 = lsn;
            }
            _ => {
                note(&mut book, lsn, key, Kind::Finish);
                slow.open.remove(&key);
            }
        }
        let oldest = slow.open.values().flatten().min();
        assert_eq!(book.front(), Lsn(oldest.map_or(lsn + 1, |(lsn, _)| *lsn)));
        assert_eq!(book.open(), slow.open.len());
        assert_eq!(book.len, slow.open.values().flatten().count());
        assert!(book.blocks.len() <= 20);
    }
    for (key, records) in &slow.open {
        let mut found: Vec<u64> = book.records_of(*key).map(|lsn| lsn.0).collect();
        let mut records: Vec<u64> = records.iter().map(|(lsn, _)| *lsn).collect();
        found.sort_unstable();
        records.sort_unstable();
        assert_eq!(found, records);
        assert!(records.iter().all(|lsn| book.is_needed(Lsn(*lsn))));
    }
    assert!(size_of::<Needed>() <= 24 && FRAME_HEAD == 32);
}
