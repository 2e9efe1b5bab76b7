//! One session: its window and its part in each PDU.
//!
//! Sketch: a window slot is 32 octets, so opening one writes one cache line and the neighbour's link in send
//! order; closing reads it by sequence number and writes both neighbours. 64 requests in flight are 128 slots, 4 KiB: all
//! of it stays in L1. No hash, no allocation, no system call. Some 20 to 30 cycles for each of the two.

use crate::case::{Case, Work, warmed};
use crate::pdus::{BATCH, id_of, kept, submits};
use bindery::counters::ShardCounters;
use bindery::session::{BindKind, Heard, Owner, Role, Session, TimerSettings, Window, WindowPool};
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Pdu, write_header_only};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::status::CommandStatus;
use bindery::time::{Duration, Instant};
use std::hint::black_box;

const fn case(name: &'static str, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: BATCH as u64, rounds: 256, start }
}

/// What is measured here.
pub(crate) const CASES: &[Case] = &[
    case("session/window", window),
    case("session/request", request),
    case("session/response", Responses::start),
];

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const TIMERS: TimerSettings = TimerSettings {
    session_init: Duration::from_secs(30),
    enquire_link: Duration::from_secs(30),
    inactivity: Duration::ZERO,
    response: Duration::from_secs(10),
};

/// Opens a slot and closes it; a whole window is open in between.
fn window() -> Box<dyn Work> {
    let (mut window, mut pool) = (Window::new(BATCH), WindowPool::default());
    let (mut next, mut open) = (1, Vec::with_capacity(BATCH as usize));
    let work = move || {
        for at in 0..BATCH {
            let owner = Owner(u64::from(at));
            let opened = window.open(NOW, CommandId::SUBMIT_SM, black_box(owner), &mut next, &mut pool);
            open.extend(opened);
        }
        for (at, sequence) in open.drain(..).enumerate() {
            let closed = window.close(black_box(sequence), CommandId::SUBMIT_SM_RESP, &mut pool);
            assert!(closed.is_ok_and(|(owner, ..)| owner == Owner(at as u64)));
        }
    };
    warmed(work, 10)
}

/// A session toward an ESME hears a request and is told that it was answered.
fn request() -> Box<dyn Work> {
    let pdus = kept(submits(BATCH, 1, false, false));
    let (counters, mut pool, mut out) = (ShardCounters::new(1, 1), WindowPool::default(), Vec::new());
    let mut session = Session::new(Role::Smsc, NOW, BATCH, TIMERS);
    session.accept_bind(NOW, BindKind::Transceiver, 0x34, BATCH, TIMERS);
    let work = move || {
        for pdu in &pdus {
            let heard = session.receive(NOW, black_box(pdu), &mut pool, || &mut out, &counters);
            assert_eq!(heard, Heard::Request);
            session.begin();
            session.answered();
        }
    };
    warmed(work, 10)
}

/// A session toward a carrier sends requests and hears their responses.
struct Responses {
    session: Session,
    pool: WindowPool,
    counters: ShardCounters,
    sent: Vec<u32>,
    responses: Vec<u8>,
    out: Vec<u8>,
}

impl Responses {
    fn start() -> Box<dyn Work> {
        let (counters, mut pool, mut out) = (ShardCounters::new(1, 1), WindowPool::default(), Vec::new());
        let mut session = Session::new(Role::Esme, NOW, BATCH, TIMERS);
        let mut answer = Vec::new();
        session.bind(NOW, BindKind::Transceiver, 0x34, |sequence| {
            write_header_only(&mut answer, CommandId::BIND_TRANSCEIVER_RESP, CommandStatus::OK, sequence);
        });
        let bound =
            Pdu::whole(&answer).map(|pdu| session.receive(NOW, &pdu, &mut pool, || &mut out, &counters));
        assert_eq!(bound, Some(Heard::Bound(BindKind::Transceiver)));
        warmed(Self { session, pool, counters, sent: Vec::new(), responses: Vec::new(), out }, 10)
    }
}

impl Work for Responses {
    fn steps(&self) -> usize {
        2
    }

    fn lay_out(&mut self, step: usize) {
        if step == 0 {
            assert_eq!(self.session.window().used(), 0);
            return self.sent.clear();
        }
        self.responses.clear();
        for sequence in &self.sent {
            let (id, command) = (id_of(*sequence), CommandId::SUBMIT_SM_RESP);
            MessageIdResp::new(&id).write(&mut self.responses, command, CommandStatus::OK, *sequence);
        }
        assert_eq!(self.sent.len(), BATCH as usize);
    }

    fn run(&mut self, step: usize) {
        let Self { session, pool, counters, sent, responses, out } = self;
        if step == 0 {
            let numbers =
                (0..BATCH).map(|at| session.send(NOW, CommandId::SUBMIT_SM, Owner(u64::from(at)), pool));
            return sent.extend(numbers.flatten());
        }
        for pdu in crate::pdus::each(responses) {
            black_box(session.receive(NOW, &pdu, pool, || &mut *out, counters));
        }
    }
}
