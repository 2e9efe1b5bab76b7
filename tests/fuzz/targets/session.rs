//! The session's state machine, driven by any octets and times: every request of ours ends once and in its window, every
//! answer is a whole PDU, nothing happens in a session that is over, and no deadline is left in the past.

use bindery::counters::ShardCounters;
use bindery::session::{BindKind, Heard, Owner, Role, Session, State, Ticked, TimerSettings, WindowPool};
use bindery::smpp::command::CommandId;
use bindery::smpp::cursor::Cursor;
use bindery::smpp::frame::{Frame, Pdu, write_pdu};
use bindery::smpp::status::CommandStatus;
use bindery::time::{Duration, Instant};

thread_local! {
    static COUNTERS: ShardCounters = ShardCounters::new(0, 0);
}

const COMMANDS: [CommandId; 16] = [
    CommandId::BIND_TRANSCEIVER,
    CommandId::BIND_RECEIVER,
    CommandId::SUBMIT_SM,
    CommandId::DELIVER_SM,
    CommandId::SUBMIT_SM_RESP,
    CommandId::DELIVER_SM_RESP,
    CommandId::ENQUIRE_LINK,
    CommandId::ENQUIRE_LINK_RESP,
    CommandId::UNBIND,
    CommandId::UNBIND_RESP,
    CommandId::GENERIC_NACK,
    CommandId::OUTBIND,
    CommandId::BIND_TRANSCEIVER_RESP,
    CommandId::DATA_SM,
    CommandId::BROADCAST_SM,
    CommandId::PARAM_RETRIEVE,
];

const KINDS: [BindKind; 3] = [BindKind::Transceiver, BindKind::Transmitter, BindKind::Receiver];

/// A session beside what is known of it.
struct Model {
    session: Session,
    role: Role,
    timers: TimerSettings,
    pool: WindowPool,
    now: Instant,
    out: Vec<u8>,
    window_max: u32,
    flying: Vec<(u32, Owner)>,
    theirs: u32,
    owners: u64,
}

/// See the file's header.
pub(super) fn session(data: &[u8]) {
    let mut cursor = Cursor::new(data, 0);
    let Ok([setup, timing]) = cursor.octets("") else { return };
    let seconds = |bit: u8, some: u64| Duration::from_secs(if timing & bit == 0 { some } else { 0 });
    let timers = TimerSettings {
        session_init: Duration::from_secs(10),
        enquire_link: seconds(1, 5),
        inactivity: seconds(2, 20),
        response: Duration::from_secs(2),
    };
    let role = if setup & 1 == 0 { Role::Smsc } else { Role::Esme };
    let window_max = 1 + u32::from(setup >> 1) % 9;
    let now = Instant::from_nanos(1_000_000_000);
    let mut model = Model {
        session: Session::new(role, now, window_max, timers),
        role,
        timers,
        pool: WindowPool::default(),
        now,
        out: Vec::new(),
        window_max,
        flying: Vec::new(),
        theirs: 0,
        owners: 0,
    };
    while let Ok([op, more]) = cursor.octets("") {
        model.step(op, more, &mut cursor);
        model.check();
    }
    model.end();
}

impl Model {
    fn step(&mut self, op: u8, more: u8, cursor: &mut Cursor<'_>) {
        match op % 8 {
            0 | 1 => self.hear(op >> 3, more, cursor),
            2 => self.send(more),
            3 => self.answer(),
            4 => {
                // From a microsecond to some minutes.
                self.now = self.now.after(Duration::from_micros(1 << (more % 28)));
                self.tick();
            }
            5 if more & 1 == 0 => {
                self.session.drain(self.now);
                self.progress();
            }
            5 => self.session.unread(self.now),
            6 if self.role == Role::Esme && matches!(self.session.state(), State::Open | State::Outbound) => {
                let kind = KINDS[usize::from(more) % 3];
                self.session.bind(self.now, kind, 0x34, |sequence| assert!(sequence > 0));
            }
            _ => {
                let sequence = self.session.number();
                assert!((1..=0x7FFF_FFFF).contains(&sequence));
            }
        }
    }

    fn hear(&mut self, which: u8, sequence: u8, cursor: &mut Cursor<'_>) {
        let command = COMMANDS[usize::from(which) % COMMANDS.len()];
        let status = CommandStatus(u32::from(sequence >> 6) & 1);
        let body = cursor.take(usize::from(sequence) % 5).unwrap_or_default();
        let mut octets = Vec::with_capacity(32);
        write_pdu(&mut octets, command, status, u32::from(sequence) % 24, |out| out.extend_from_slice(body));
        let pdu = Pdu::whole(&octets).expect("one PDU");
        let was = self.session.state();
        let Self { session, pool, out, now, .. } = self;
        let heard = COUNTERS.with(|counters| session.receive(*now, &pdu, pool, || out, counters));
        match heard {
            Heard::Handled | Heard::Unmatched | Heard::BindRefused(_) => {}
            Heard::Bind(kind) => {
                assert!(self.role == Role::Smsc && was == State::Open);
                if sequence & 1 == 0 {
                    let version = [0x33, 0x34, 0x50][usize::from(sequence) % 3];
                    session.accept_bind(*now, kind, version, self.window_max, self.timers);
                    assert_eq!(session.state(), State::Bound(kind));
                }
            }
            Heard::Bound(kind) => {
                assert_eq!((self.role, session.state()), (Role::Esme, State::Bound(kind)));
            }
            Heard::Request => {
                assert!(matches!(was, State::Bound(_)) && !command.is_response());
                session.begin();
                self.theirs += 1;
            }
            Heard::Response(owner) => {
                assert!(command.is_response());
                self.gone(owner, Some(pdu.sequence_number()));
            }
            Heard::Outbind => assert!(self.role == Role::Esme && was == State::Open),
            Heard::Finished => assert_eq!(session.state(), State::Closed),
        }
        if was == State::Closed {
            assert_eq!(self.session.state(), State::Closed);
        }
        if self.session.is_ending() {
            self.progress();
        }
    }

    /// A request of ours has ended: it was in flight.
    fn gone(&mut self, owner: Owner, sequence: Option<u32>) {
        let at = self.flying.iter().position(|(_, of)| *of == owner).expect("it was in flight");
        let (number, _) = self.flying.remove(at);
        assert!(sequence.is_none_or(|sequence| sequence == number));
    }

    fn send(&mut self, more: u8) {
        if !self.session.may_send() {
            return;
        }
        assert!((self.flying.len() as u32) < self.window_max);
        self.owners += 1;
        let command =
            [CommandId::SUBMIT_SM, CommandId::DELIVER_SM, CommandId::DATA_SM][usize::from(more) % 3];
        let owner = Owner(self.owners);
        let sequence = self.session.send(self.now, command, owner, &mut self.pool).expect("it may send");
        assert!(self.flying.iter().all(|(of, _)| *of != sequence), "a number in flight twice");
        self.flying.push((sequence, owner));
    }

    fn answer(&mut self) {
        if self.theirs > 0 {
            self.session.answered();
            self.theirs -= 1;
            if self.session.is_ending() {
                self.progress();
            }
        }
    }

    fn progress(&mut self) {
        let heard = self.session.progress(self.now, &mut self.out);
        match heard {
            Heard::Finished => assert_eq!(self.session.state(), State::Closed),
            other => assert_eq!(other, Heard::Handled),
        }
    }

    fn tick(&mut self) {
        let most = self.flying.len() + 8;
        for round in 0.. {
            assert!(round < most, "it is ticked without end");
            let Self { session, pool, out, now, .. } = self;
            match session.tick(*now, pool, out) {
                None => break,
                Some(Ticked::Nothing) => {}
                Some(Ticked::Expired(owner, sequence)) => self.gone(owner, Some(sequence)),
                Some(Ticked::Close(reason)) => {
                    assert!(!reason.name().is_empty());
                    assert_eq!(self.session.state(), State::Closed);
                }
            }
        }
        assert!(self.session.deadline().is_none_or(|at| at > self.now), "a deadline in the past");
    }

    fn check(&mut self) {
        assert_eq!(self.session.window().used() as usize, self.flying.len());
        assert!(self.session.window().used() <= self.window_max);
        assert_eq!(self.session.theirs(), self.theirs);
        if matches!(self.session.state(), State::Open | State::Outbound | State::Closed) {
            assert!(!self.session.may_send() && !self.session.receives() && !self.session.transmits());
        }
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            let Frame::Whole(pdu, behind) = Frame::next(rest, 64) else {
                panic!("not a whole PDU: {rest:?}")
            };
            assert_eq!(pdu.bytes().len(), 16, "the session's own PDUs are headers");
            rest = behind;
        }
        self.out.clear();
    }

    /// The link goes: whatever is in flight comes back once.
    fn end(&mut self) {
        self.session.closed();
        assert_eq!(self.session.deadline(), None);
        while let Some(owner) = self.session.abandon(&mut self.pool) {
            self.gone(owner, None);
        }
        assert!(self.flying.is_empty());
    }
}
