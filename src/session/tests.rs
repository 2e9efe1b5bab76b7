//! One session against a peer, in virtual time.

use super::*;
use crate::limits::{SEQUENCE_MAX, SESSION_DRAIN};
use crate::smpp::frame::Frame;
use crate::time::Duration;

const SETTINGS: TimerSettings = TimerSettings {
    session_init: Duration::from_secs(10),
    enquire_link: Duration::from_secs(30),
    inactivity: Duration::from_secs(300),
    response: Duration::from_secs(8),
};
const TX: BindKind = BindKind::Transmitter;
const RX: BindKind = BindKind::Receiver;
const TRX: BindKind = BindKind::Transceiver;
const ROLES: [Role; 2] = [Role::Smsc, Role::Esme];

struct Peer {
    session: Session,
    pool: WindowPool,
    counters: ShardCounters,
    now: Instant,
    out: Vec<u8>,
}

impl Peer {
    fn new(role: Role) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        Self {
            session: Session::new(role, now, 4, SETTINGS),
            pool: WindowPool::default(),
            counters: ShardCounters::new(0, 0),
            now,
            out: Vec::new(),
        }
    }

    fn bound(role: Role, kind: BindKind, version: u8) -> Self {
        let mut peer = Self::new(role);
        match role {
            Role::Smsc => peer.session.accept_bind(peer.now, kind, version, 4, SETTINGS),
            Role::Esme => {
                let mut sequence = 0;
                peer.session.bind(peer.now, kind, version, |number| sequence = number);
                let heard = peer.says(kind.command().response(), CommandStatus::OK, sequence);
                assert_eq!(heard, Heard::Bound(kind));
            }
        }
        peer
    }

    /// The peer sends a header-only PDU.
    fn says(&mut self, command: CommandId, status: CommandStatus, sequence: u32) -> Heard {
        let mut octets = Vec::new();
        write_header_only(&mut octets, command, status, sequence);
        let pdu = Pdu::whole(&octets).unwrap();
        let Self { session, now, pool, out, counters, .. } = self;
        session.receive(*now, &pdu, pool, || out, counters)
    }

    fn asks(&mut self, command: CommandId) -> Heard {
        self.says(command, CommandStatus::OK, 77)
    }

    /// What the session wrote since the last look.
    fn hears(&mut self) -> Vec<(CommandId, CommandStatus, u32)> {
        let octets = core::mem::take(&mut self.out);
        let (mut rest, mut heard) = (octets.as_slice(), Vec::new());
        while let Frame::Whole(pdu, behind) = Frame::next(rest, 1024) {
            heard.push((pdu.command_id(), pdu.header().command_status, pdu.sequence_number()));
            rest = behind;
        }
        assert!(rest.is_empty());
        heard
    }

    fn sends(&mut self, owner: u64) -> u32 {
        let command = match self.session.role {
            Role::Smsc => CommandId::DELIVER_SM,
            Role::Esme => CommandId::SUBMIT_SM,
        };
        self.session.send(self.now, command, Owner(owner), &mut self.pool).unwrap()
    }

    /// Lets time pass and does what is due; gives what the owner is to know.
    fn advance(&mut self, span: Duration) -> Vec<Ticked> {
        let end = self.now.after(span);
        let mut all = Vec::new();
        while let Some(at) = self.session.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            let before = all.len();
            while let Some(ticked) = self.session.tick(self.now, &mut self.pool, &mut self.out) {
                all.push(ticked);
            }
            assert!(all.len() > before, "a deadline that came has something to do");
        }
        self.now = end;
        all.retain(|ticked| *ticked != Ticked::Nothing);
        all
    }

    fn ignored(&self, why: Ignored) -> u64 {
        self.counters.ignored.at(why as usize).get()
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The requests of an ESME that a bound transmitter may send.
const OF_ESME: [CommandId; 6] = [
    CommandId::SUBMIT_SM,
    CommandId::SUBMIT_MULTI,
    CommandId::QUERY_SM,
    CommandId::CANCEL_SM,
    CommandId::REPLACE_SM,
    CommandId::DATA_SM,
];
const BROADCAST: [CommandId; 3] =
    [CommandId::BROADCAST_SM, CommandId::QUERY_BROADCAST_SM, CommandId::CANCEL_BROADCAST_SM];
const OF_SMSC: [CommandId; 2] = [CommandId::DELIVER_SM, CommandId::DATA_SM];

fn refused(peer: &mut Peer, command: CommandId) {
    let before = peer.counters.refusals.at(Reason::BindStatus as usize).get();
    assert_eq!(peer.asks(command), Heard::Handled, "{command:?}");
    let wanted = (command.response(), CommandStatus::INVALID_BIND_STATUS, 77);
    assert_eq!(peer.hears(), [wanted]);
    assert_eq!(peer.counters.refusals.at(Reason::BindStatus as usize).get(), before + 1);
}

fn taken(peer: &mut Peer, command: CommandId) {
    assert_eq!(peer.asks(command), Heard::Request, "{command:?}");
    assert!(peer.hears().is_empty());
}

#[test]
fn before_a_bind_every_request_has_the_wrong_state() {
    for role in ROLES {
        let mut peer = Peer::new(role);
        for command in OF_ESME.into_iter().chain(OF_SMSC) {
            refused(&mut peer, command);
        }
        assert_eq!(peer.session.state(), State::Open);
    }
}

#[test]
fn an_esme_submits_when_bound_to_transmit_only_and_never_delivers() {
    for kind in [TX, RX, TRX] {
        let mut peer = Peer::bound(Role::Smsc, kind, 0x50);
        for command in OF_ESME.into_iter().chain(BROADCAST) {
            if kind.transmits() { taken(&mut peer, command) } else { refused(&mut peer, command) }
        }
        refused(&mut peer, CommandId::DELIVER_SM);
        // It has no response: there is nothing to say.
        assert_eq!(peer.asks(CommandId::ALERT_NOTIFICATION), Heard::Handled);
        assert!(peer.hears().is_empty());
    }
}

#[test]
fn a_carrier_delivers_when_we_are_bound_to_receive_only_and_never_submits() {
    for kind in [TX, RX, TRX] {
        let mut peer = Peer::bound(Role::Esme, kind, 0x34);
        for command in OF_SMSC {
            if kind.receives() { taken(&mut peer, command) } else { refused(&mut peer, command) }
        }
        for command in OF_ESME.into_iter().filter(|&command| command != CommandId::DATA_SM) {
            refused(&mut peer, command);
        }
        let alert = peer.asks(CommandId::ALERT_NOTIFICATION);
        assert_eq!(alert, if kind.receives() { Heard::Request } else { Heard::Handled });
        assert!(peer.hears().is_empty());
        refused(&mut peer, CommandId::BIND_TRANSCEIVER);
    }
}

#[test]
fn requests_of_another_version_are_unknown() {
    let three = [CommandId::PARAM_RETRIEVE, CommandId::QUERY_LAST_MSGS, CommandId::QUERY_MSG_DETAILS];
    for (version, known, unknown) in [(0x33, three, BROADCAST), (0x50, BROADCAST, three)] {
        let mut peer = Peer::bound(Role::Smsc, TRX, version);
        for command in known {
            taken(&mut peer, command);
        }
        for command in unknown {
            assert_eq!(peer.asks(command), Heard::Handled);
            let nack = (CommandId::GENERIC_NACK, CommandStatus::INVALID_COMMAND_ID, 77);
            assert_eq!(peer.hears(), [nack]);
        }
    }
}

#[test]
fn an_unknown_request_is_nacked_in_any_state_and_ends_nothing() {
    for role in ROLES {
        for mut peer in [Peer::new(role), Peer::bound(role, TRX, 0x34)] {
            let state = peer.session.state();
            for command in [CommandId(0x0A), CommandId(0x0001_0200), CommandId(0)] {
                assert_eq!(peer.asks(command), Heard::Handled);
                let nack = (CommandId::GENERIC_NACK, CommandStatus::INVALID_COMMAND_ID, 77);
                assert_eq!(peer.hears(), [nack]);
            }
            assert_eq!(peer.session.state(), state);
            assert_eq!(peer.counters.refusals.at(Reason::Command as usize).get(), 3);
        }
    }
}

#[test]
fn a_second_bind_is_refused_and_the_session_stays() {
    for kind in [TX, RX, TRX] {
        let mut peer = Peer::bound(Role::Smsc, kind, 0x34);
        for again in [TX, RX, TRX] {
            assert_eq!(peer.asks(again.command()), Heard::Handled);
            let wanted = (again.command().response(), CommandStatus::ALREADY_BOUND, 77);
            assert_eq!(peer.hears(), [wanted]);
        }
        assert_eq!(peer.session.state(), State::Bound(kind));
    }
}

#[test]
fn an_unknown_response_is_ignored_counted_and_never_answered() {
    for role in ROLES {
        let mut peer = Peer::bound(role, TRX, 0x34);
        assert_eq!(peer.asks(CommandId(0x8000_000A)), Heard::Unmatched);
        assert_eq!(peer.asks(CommandId::SUBMIT_SM_RESP), Heard::Unmatched);
        assert_eq!(peer.asks(CommandId::GENERIC_NACK), Heard::Unmatched);
        assert!(peer.hears().is_empty());
        assert_eq!(peer.ignored(Ignored::ResponseCommand), 1);
        assert_eq!(peer.ignored(Ignored::ResponseUnknown), 2);
    }
}

#[test]
fn enquire_link_is_answered_in_any_state() {
    let answered = [(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, 77)];
    for role in ROLES {
        let mut open = Peer::new(role);
        assert_eq!(open.asks(CommandId::ENQUIRE_LINK), Heard::Handled);
        assert_eq!(open.hears(), answered);
        let mut bound = Peer::bound(role, RX, 0x34);
        bound.session.begin();
        bound.asks(CommandId::ENQUIRE_LINK);
        assert_eq!(bound.hears(), answered);
        assert_eq!(bound.asks(CommandId::UNBIND), Heard::Handled);
        assert_eq!(bound.session.state(), State::Unbinding);
        bound.asks(CommandId::ENQUIRE_LINK);
        assert_eq!(bound.hears(), answered);
    }
}

#[test]
fn enquire_link_does_not_stop_session_init() {
    for role in ROLES {
        let mut peer = Peer::new(role);
        for _ in 0..9 {
            assert!(peer.advance(seconds(1)).is_empty());
            peer.asks(CommandId::ENQUIRE_LINK);
        }
        assert!(matches!(peer.advance(seconds(1))[..], [Ticked::Close(_)]));
        assert_eq!(peer.session.state(), State::Closed);
        assert_eq!(peer.session.deadline(), None);
    }
}

#[test]
fn we_enquire_after_silence_only() {
    for role in ROLES {
        let mut peer = Peer::bound(role, TRX, 0x34);
        for _ in 0..20 {
            assert!(peer.advance(seconds(29)).is_empty());
            // Whatever it is, it is a sign of life.
            peer.asks(CommandId(0x8000_00FF));
            assert!(peer.hears().is_empty());
        }
        peer.advance(seconds(29));
        assert!(peer.hears().is_empty());
        peer.advance(seconds(1));
        let heard = peer.hears();
        assert!(matches!(heard[..], [(CommandId::ENQUIRE_LINK, CommandStatus::OK, _)]), "{heard:?}");
    }
}

#[test]
fn an_unanswered_enquire_link_ends_the_session_and_any_pdu_saves_it() {
    for role in ROLES {
        let mut dead = Peer::bound(role, TRX, 0x34);
        assert!(dead.advance(seconds(30) + Duration::from_millis(7_999)).is_empty());
        assert!(matches!(dead.advance(Duration::from_millis(1))[..], [Ticked::Close(_)]));
        for command in [CommandId::SUBMIT_SM, CommandId::ENQUIRE_LINK, CommandId::SUBMIT_SM_RESP] {
            let mut alive = Peer::bound(role, TRX, 0x34);
            alive.advance(seconds(37));
            alive.asks(command);
            assert!(alive.advance(seconds(20)).is_empty(), "{command:?}");
            assert_eq!(alive.session.state(), State::Bound(TRX));
        }
        let mut answered = Peer::bound(role, TRX, 0x34);
        for _ in 0..5 {
            answered.advance(seconds(30));
            let (command, _, sequence) = answered.hears()[0];
            assert_eq!(command, CommandId::ENQUIRE_LINK);
            answered.advance(seconds(1));
            assert_eq!(answered.says(command.response(), CommandStatus::OK, sequence), Heard::Handled);
        }
        assert_eq!(answered.ignored(Ignored::ResponseUnknown), 0);
    }
}

#[test]
fn an_enquire_interval_of_zero_is_never() {
    let mut peer = Peer::new(Role::Smsc);
    let never = TimerSettings { enquire_link: Duration::ZERO, inactivity: Duration::ZERO, ..SETTINGS };
    peer.session.accept_bind(peer.now, TRX, 0x34, 4, never);
    assert!(peer.advance(seconds(100_000)).is_empty());
    assert!(peer.hears().is_empty());
    assert_eq!(peer.session.state(), State::Bound(TRX));
}

/// Keeps a session alive with nothing but enquire_links.
fn chat(peer: &mut Peer, count: u64) {
    for _ in 0..count {
        peer.advance(seconds(1));
        peer.asks(CommandId::ENQUIRE_LINK);
    }
}

#[test]
fn inactivity_unbinds_after_what_is_in_flight() {
    let mut idle = Peer::bound(Role::Smsc, TRX, 0x34);
    chat(&mut idle, 299);
    idle.hears();
    idle.advance(seconds(1));
    let heard = idle.hears();
    assert!(matches!(heard[..], [(CommandId::UNBIND, _, _)]), "{heard:?}");
    let mut busy = Peer::bound(Role::Smsc, TRX, 0x34);
    busy.session.begin();
    chat(&mut busy, 300);
    assert!(busy.hears().iter().all(|(command, ..)| *command == CommandId::ENQUIRE_LINK_RESP));
    assert!(busy.session.is_ending() && !busy.session.may_send());
    busy.session.answered();
    assert_eq!(busy.session.progress(busy.now, &mut busy.out), Heard::Handled);
    let (command, _, sequence) = busy.hears()[0];
    assert_eq!(command, CommandId::UNBIND);
    assert_eq!(busy.says(CommandId::UNBIND_RESP, CommandStatus::OK, sequence), Heard::Finished);
    assert_eq!(busy.session.state(), State::Closed);
}

#[test]
fn work_is_no_inactivity() {
    let mut peer = Peer::bound(Role::Smsc, TRX, 0x34);
    for _ in 0..100 {
        peer.advance(seconds(29));
        taken(&mut peer, CommandId::SUBMIT_SM);
    }
    assert_eq!(peer.session.state(), State::Bound(TRX));
    assert!(!peer.session.is_ending());
}

#[test]
fn a_response_that_is_overdue_frees_its_slot_once_and_is_ignored_later() {
    for role in ROLES {
        let mut peer = Peer::bound(role, TRX, 0x34);
        let sequences: Vec<u32> = (1..=4).map(|owner| peer.sends(owner)).collect();
        assert!(!peer.session.may_send());
        assert!(peer.advance(Duration::from_millis(7_999)).is_empty());
        let command = if role == Role::Smsc { CommandId::DELIVER_SM } else { CommandId::SUBMIT_SM };
        let wanted =
            sequences.iter().zip(1..).map(|(&sequence, owner)| Ticked::Expired(Owner(owner), sequence));
        let wanted: Vec<_> = wanted.collect();
        assert_eq!(peer.advance(Duration::from_millis(1)), wanted);
        assert!(!peer.session.may_send() && peer.session.window().used() == 0);
        assert_eq!(
            peer.hears()[0].0,
            CommandId::ENQUIRE_LINK,
            "a peer that has said nothing since is asked at once"
        );
        for sequence in sequences {
            let late = peer.says(command.response(), CommandStatus::OK, sequence);
            assert_eq!(late, Heard::Unmatched);
            assert!(peer.session.may_send(), "it lives");
        }
        assert_eq!(peer.ignored(Ignored::ResponseUnknown), 4);
        assert!(peer.advance(seconds(20)).is_empty());
    }
}

#[test]
fn a_response_counts_once_and_by_its_own_type() {
    let mut peer = Peer::bound(Role::Esme, TRX, 0x34);
    let (first, second) = (peer.sends(10), peer.sends(20));
    assert_eq!(peer.says(CommandId::DATA_SM_RESP, CommandStatus::OK, first), Heard::Handled);
    assert_eq!(peer.ignored(Ignored::ResponseWrongType), 1);
    let second = peer.says(CommandId::SUBMIT_SM_RESP, CommandStatus::THROTTLED, second);
    assert_eq!(second, Heard::Response(Owner(20)));
    assert_eq!(peer.says(CommandId::SUBMIT_SM_RESP, CommandStatus::OK, first), Heard::Response(Owner(10)));
    assert_eq!(peer.says(CommandId::SUBMIT_SM_RESP, CommandStatus::OK, first), Heard::Unmatched);
    assert_eq!(peer.ignored(Ignored::ResponseUnknown), 1);
    let third = peer.sends(30);
    let nack = peer.says(CommandId::GENERIC_NACK, CommandStatus::INVALID_COMMAND_ID, third);
    assert_eq!(nack, Heard::Response(Owner(30)));
}

#[test]
fn a_peers_unbind_waits_for_its_answers_and_refuses_new_work() {
    for role in ROLES {
        let mut peer = Peer::bound(role, TRX, 0x34);
        let command = if role == Role::Smsc { CommandId::SUBMIT_SM } else { CommandId::DELIVER_SM };
        taken(&mut peer, command);
        peer.session.begin();
        assert_eq!(peer.asks(CommandId::UNBIND), Heard::Handled);
        assert!(peer.hears().is_empty() && !peer.session.may_send() && peer.session.is_ending());
        refused(&mut peer, command);
        peer.session.answered();
        assert_eq!(peer.session.progress(peer.now, &mut peer.out), Heard::Finished);
        assert_eq!(peer.hears(), [(CommandId::UNBIND_RESP, CommandStatus::OK, 77)]);
        assert_eq!(peer.session.state(), State::Closed);
    }
}

#[test]
fn what_the_peer_has_not_answered_when_it_unbinds_is_abandoned_once() {
    let mut peer = Peer::bound(Role::Esme, TRX, 0x34);
    let first = peer.sends(1);
    peer.sends(2);
    assert_eq!(peer.asks(CommandId::UNBIND), Heard::Finished);
    let late = peer.says(CommandId::SUBMIT_SM_RESP, CommandStatus::OK, first);
    assert_eq!(late, Heard::Response(Owner(1)), "an answer in the same stream still counts");
    let left = peer.session.abandon(&mut peer.pool);
    assert_eq!(left, Some(Owner(2)));
    assert_eq!(peer.session.abandon(&mut peer.pool), None);
}

#[test]
fn an_unbind_before_a_bind_is_answered_and_ends_the_session() {
    for role in ROLES {
        let mut peer = Peer::new(role);
        assert_eq!(peer.asks(CommandId::UNBIND), Heard::Finished);
        assert_eq!(peer.hears(), [(CommandId::UNBIND_RESP, CommandStatus::OK, 77)]);
    }
}

#[test]
fn a_drain_waits_for_both_directions_then_unbinds() {
    for role in ROLES {
        let mut peer = Peer::bound(role, TRX, 0x34);
        let sequence = peer.sends(1);
        peer.session.begin();
        peer.session.drain(peer.now);
        assert_eq!(peer.session.progress(peer.now, &mut peer.out), Heard::Handled);
        peer.session.answered();
        assert_eq!(peer.session.progress(peer.now, &mut peer.out), Heard::Handled);
        assert!(peer.hears().is_empty() && !peer.session.may_send());
        assert_eq!(
            peer.says(CommandId::GENERIC_NACK, CommandStatus::OK, sequence),
            Heard::Response(Owner(1))
        );
        assert_eq!(peer.session.progress(peer.now, &mut peer.out), Heard::Handled);
        let (command, _, sequence) = peer.hears()[0];
        assert_eq!(command, CommandId::UNBIND);
        assert_eq!(peer.session.progress(peer.now, &mut peer.out), Heard::Handled);
        assert!(peer.hears().is_empty(), "once");
        assert_eq!(peer.says(CommandId::UNBIND_RESP, CommandStatus::OK, sequence), Heard::Finished);
    }
}

#[test]
fn a_drain_that_waits_too_long_ends_and_so_does_an_unanswered_unbind() {
    let mut stuck = Peer::bound(Role::Smsc, TRX, 0x34);
    stuck.session.begin();
    stuck.session.drain(stuck.now);
    assert!(stuck.advance(SESSION_DRAIN - Duration::from_millis(1)).is_empty());
    assert!(matches!(stuck.advance(Duration::from_millis(1))[..], [Ticked::Close(_)]));
    let mut silent = Peer::bound(Role::Smsc, TRX, 0x34);
    silent.session.drain(silent.now);
    silent.session.progress(silent.now, &mut silent.out);
    assert!(silent.advance(Duration::from_millis(7_999)).is_empty());
    assert!(matches!(silent.advance(Duration::from_millis(1))[..], [Ticked::Close(_)]));
}

#[test]
fn unbinds_that_cross_end_the_session() {
    let mut peer = Peer::bound(Role::Smsc, TRX, 0x34);
    peer.session.drain(peer.now);
    peer.session.progress(peer.now, &mut peer.out);
    let (_, _, sequence) = peer.hears()[0];
    assert_eq!(peer.asks(CommandId::UNBIND), Heard::Handled);
    assert_eq!(peer.hears(), [(CommandId::UNBIND_RESP, CommandStatus::OK, 77)]);
    assert_eq!(peer.says(CommandId::UNBIND_RESP, CommandStatus::OK, sequence), Heard::Finished);
}

#[test]
fn an_outbind_asks_us_to_bind_and_only_where_we_are_the_esme() {
    let mut peer = Peer::new(Role::Esme);
    assert_eq!(peer.asks(CommandId::OUTBIND), Heard::Outbind);
    assert_eq!(peer.session.state(), State::Outbound);
    let mut sequence = 0;
    peer.session.bind(peer.now, RX, 0x34, |number| sequence = number);
    let bound = peer.says(CommandId::BIND_RECEIVER_RESP, CommandStatus::OK, sequence);
    assert_eq!(bound, Heard::Bound(RX));
    for mut wrong in [Peer::new(Role::Smsc), Peer::bound(Role::Esme, TRX, 0x34)] {
        assert_eq!(wrong.asks(CommandId::OUTBIND), Heard::Handled);
        assert_eq!(wrong.hears()[0].0, CommandId::GENERIC_NACK);
    }
}

#[test]
fn a_bind_of_ours_is_accepted_refused_or_times_out() {
    let outcomes = [
        (CommandId::BIND_TRANSCEIVER_RESP, CommandStatus::OK, Heard::Bound(TRX)),
        (
            CommandId::BIND_TRANSCEIVER_RESP,
            CommandStatus::INVALID_PASSWORD,
            Heard::BindRefused(CommandStatus::INVALID_PASSWORD),
        ),
        (
            CommandId::GENERIC_NACK,
            CommandStatus::INVALID_COMMAND_ID,
            Heard::BindRefused(CommandStatus::INVALID_COMMAND_ID),
        ),
        (CommandId::BIND_RECEIVER_RESP, CommandStatus::OK, Heard::Unmatched),
    ];
    for (command, status, wanted) in outcomes {
        let mut peer = Peer::new(Role::Esme);
        let mut sequence = 0;
        peer.session.bind(peer.now, TRX, 0x34, |number| sequence = number);
        assert_eq!(peer.says(command, status, sequence), wanted);
    }
    let mut silent = Peer::new(Role::Esme);
    silent.session.bind(silent.now, TRX, 0x34, |_| {});
    assert!(matches!(silent.advance(seconds(8))[..], [Ticked::Close(_)]));
}

#[test]
fn sequence_numbers_wrap_over_control_and_window_alike() {
    let mut peer = Peer::bound(Role::Esme, TRX, 0x34);
    peer.session.next_sequence = SEQUENCE_MAX - 1;
    let first = peer.sends(1);
    assert_eq!(first, SEQUENCE_MAX - 1);
    assert_eq!(peer.session.number(), SEQUENCE_MAX);
    let second = peer.sends(2);
    assert_eq!(second, 1);
    for (sequence, owner) in [(second, 2), (first, 1)] {
        let heard = peer.says(CommandId::SUBMIT_SM_RESP, CommandStatus::OK, sequence);
        assert_eq!(heard, Heard::Response(Owner(owner)));
    }
    peer.session.next_sequence = SEQUENCE_MAX;
    peer.advance(seconds(30));
    let (command, _, sequence) = peer.hears()[0];
    assert_eq!((command, sequence), (CommandId::ENQUIRE_LINK, SEQUENCE_MAX));
    assert_eq!(peer.sends(3), 1);
}

#[test]
fn a_link_that_is_not_read_is_not_taken_for_dead() {
    let mut peer = Peer::bound(Role::Smsc, TRX, 0x34);
    for _ in 0..50 {
        peer.session.unread(peer.now);
        assert!(peer.advance(seconds(29)).is_empty());
    }
    assert_eq!(peer.session.state(), State::Bound(TRX));
    assert!(peer.hears().is_empty());
}

#[test]
fn a_silent_peer_is_closed_also_when_it_is_asked_more_often_than_answers_are_waited_for() {
    for role in [Role::Smsc, Role::Esme] {
        let mut dead = Peer::bound(role, TRX, 0x34);
        let settings = TimerSettings { enquire_link: seconds(1), response: seconds(2), ..SETTINGS };
        dead.session.timers.bound(dead.now, settings);
        assert!(matches!(dead.advance(seconds(60))[..], [Ticked::Close(_)]));
    }
}

#[test]
fn a_session_that_is_over_is_not_bound_by_a_late_answer() {
    let mut peer = Peer::new(Role::Esme);
    let mut sequence = 0;
    peer.session.bind(peer.now, TRX, 0x34, |number| sequence = number);
    assert_eq!(peer.asks(CommandId::UNBIND), Heard::Finished);
    let heard = peer.says(CommandId::BIND_TRANSCEIVER_RESP, CommandStatus::OK, sequence);
    assert_eq!((heard, peer.session.state()), (Heard::Unmatched, State::Closed));
}
