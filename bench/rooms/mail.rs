//! A letter from shard to shard.
//!
//! Sketch: a letter is at most 160 octets, three cache lines, moved four times: into the sender's queue, into the ring, out
//! of it, into the receiver's list. The ring's two indices are a cache line each that the cores pass back and forth: once a
//! batch, not once a letter, two transfers of 50 to 100 ns shared by up to 64. No system call while the receiver
//! is awake; one write to an eventfd when it sleeps.
//!
//! `io::lanes` keeps its lanes to itself; these are its steps on a ring of the same crate, type and size, on one core. The
//! letters themselves, and what is done about them, are measured in `shard/message_across`.

use crate::case::{Case, Work, warmed};
use crate::pdus::{BATCH, write_response};
use bindery::limits::{LANE_SLOTS, LANE_TAKE};
use bindery::shard::mail::{Mail, Tag};
use ringbuf::HeapRb;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use std::collections::VecDeque;
use std::hint::black_box;

/// What is measured here.
pub(crate) const CASES: &[Case] =
    &[Case { name: "mail/ring", operations: BATCH as u64, rounds: 256, start: ring }];

/// A letter with a response in it, sent and taken.
fn ring() -> Box<dyn Work> {
    let (mut sending, mut taking) = HeapRb::<Mail>::new(LANE_SLOTS).split();
    let mut waiting: VecDeque<Mail> = VecDeque::new();
    let letters = (0..BATCH).map(|at| {
        let mut response = Vec::new();
        write_response(&mut response, at, at);
        Mail::Answered { tag: Tag(u64::from(at)), response, frame: Vec::new() }
    });
    let mut taken: Vec<Mail> = letters.collect();
    let work = move || {
        for letter in taken.drain(..) {
            waiting.push_back(black_box(letter));
        }
        let room = sending.vacant_len().min(waiting.len());
        sending.push_iter(waiting.drain(..room));
        taken.extend(taking.pop_iter().take(LANE_TAKE));
        assert_eq!(taken.len(), BATCH as usize);
    };
    warmed(work, 100)
}
