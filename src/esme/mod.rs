//! Accounts that bind to us.
//!
//! Owns: an account's sessions, its quanta, the deliveries that wait for it. Takes: binds, links that come and go.
//! Gives: whether a bind is allowed, which session receives next. Never: the sessions themselves, sockets.

pub mod admission;
pub mod settings;
pub use settings::{Settings, Shared};

use crate::ids::{CarrierId, LinkId};
use crate::session::BindKind;
use crate::time::{Duration, Instant};
use core::net::IpAddr;
use std::collections::VecDeque;

/// One account.
#[derive(Debug)]
pub struct Account<Waiting> {
    /// What the operator said.
    pub settings: Shared,
    /// The one carrier that all its routes reach, if it is one.
    pub only_carrier: Option<CarrierId>,
    /// Deliveries that wait for a session with room, the oldest first.
    pub waiting: VecDeque<Waiting>,
    /// Deliveries that wait for their records, and are not in `waiting` yet.
    pub held: u32,
    /// Receipts that wait for their turn behind what waits for records, and are not with the account yet.
    pub turns: u32,
    /// It answered a receipt late: until then the next ones are written down before it gets them.
    pub answers_late_until: Instant,
    /// For how long that was; zero: it has answered one soon since.
    late_for: Duration,
    sessions: Vec<(LinkId, BindKind)>,
    /// How many of them receive.
    receivers: usize,
    /// Where the search for a receiving session starts.
    turn: usize,
}

/// Why a bind is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindRefusal {
    /// Password or address wrong. The peer is not told which.
    Credentials,
    /// `sessions_max` are bound.
    Sessions,
}

impl<Waiting> Account<Waiting> {
    /// An account without sessions.
    #[must_use]
    pub fn new(settings: Shared, only_carrier: Option<CarrierId>) -> Self {
        Self {
            settings,
            only_carrier,
            waiting: VecDeque::new(),
            held: 0,
            turns: 0,
            answers_late_until: Instant::ZERO,
            late_for: Duration::ZERO,
            sessions: Vec::new(),
            receivers: 0,
            turn: 0,
        }
    }

    /// It has not answered a receipt soon. It is so for twice as long as the last time, if it has not answered one soon
    /// since; what it got before is not asked about again meanwhile.
    pub fn answers_late(&mut self, now: Instant, (least, most): (Duration, Duration)) {
        if self.answers_late_until <= now {
            self.late_for = (self.late_for * 2).clamp(least, most);
            self.answers_late_until = now.after(self.late_for);
        }
    }

    /// It has answered a receipt soon.
    pub const fn answers_soon(&mut self) {
        self.late_for = Duration::ZERO;
    }

    /// Whether a peer may bind with this password from this address.
    ///
    /// # Errors
    /// The reason that it may not.
    pub fn check_bind(&self, password: &[u8], peer: IpAddr) -> Result<(), BindRefusal> {
        let from = &self.settings.allow_from;
        // No early end: how long it takes tells nothing of which password is nearly right.
        let known = self.settings.passwords.iter().fold(false, |known, right| known | equal(right, password));
        let allowed = from.is_empty() || from.iter().any(|block| block.contains(peer));
        if !known || !allowed {
            return Err(BindRefusal::Credentials);
        }
        if self.sessions.len() >= self.settings.sessions_max as usize {
            return Err(BindRefusal::Sessions);
        }
        Ok(())
    }

    /// A session was bound.
    pub fn add_session(&mut self, link: LinkId, kind: BindKind) {
        debug_assert!(self.sessions.iter().all(|(held, _)| *held != link));
        self.sessions.push((link, kind));
        self.receivers += usize::from(kind.receives());
    }

    /// A session has ended; true when it was one of ours.
    pub fn remove_session(&mut self, link: LinkId) -> bool {
        let Some(at) = self.sessions.iter().position(|(held, _)| *held == link) else { return false };
        let (_, kind) = self.sessions.remove(at);
        self.receivers -= usize::from(kind.receives());
        true
    }

    /// Sessions bound.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions bound in this mode.
    #[must_use]
    pub fn sessions_of(&self, kind: BindKind) -> usize {
        self.sessions.iter().filter(|(_, held)| *held == kind).count()
    }

    /// Sessions that receive, bound.
    #[must_use]
    pub const fn receivers(&self) -> usize {
        self.receivers
    }

    /// The next receiving session in turn for which `usable` holds.
    pub fn next_receiver(&mut self, mut usable: impl FnMut(LinkId) -> bool) -> Option<LinkId> {
        let count = self.sessions.len();
        let (last, first) = self.sessions.split_at(self.turn.min(count));
        for (step, (link, kind)) in first.iter().chain(last).enumerate() {
            if kind.receives() && usable(*link) {
                self.turn = (self.turn + step + 1) % count;
                return Some(*link);
            }
        }
        None
    }
}

/// Compares in a time that depends on the lengths only.
fn equal(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && core::hint::black_box(differ) == 0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::settings::*;
    use super::*;
    use crate::smpp::status::CommandStatus;

    pub(crate) fn settings(name: &str) -> Settings {
        Settings {
            name: name.into(),
            system_id: name.as_bytes().to_vec(),
            passwords: vec![b"secret".to_vec()],
            allow_from: Vec::new(),
            sessions_max: 2,
            window_max: 100,
            window_over: WindowOver::Wait,
            answer_timeout: Duration::from_secs(20),
            attempts_max: 3,
            message_id: MessageIdSource::Auto,
            unknown_status: CommandStatus::SUBMIT_FAILED,
            pool: None,
            policy: None,
            enquire_link_interval: Duration::from_secs(30),
            inactivity_timeout: Duration::from_secs(300),
            response_timeout: Duration::from_secs(30),
            unanswered_max: 100,
            receipts: ReceiptsTo::Any,
            system_id_reply: b"SMSC".to_vec(),
            class: None,
            mode: Mode::Relay,
            durability: None,
            waiting: Waiting { count_max: 100_000, keep: Duration::from_secs(72 * 3600) },
        }
    }

    fn link(slot: u32) -> LinkId {
        LinkId { slot, generation: 1 }
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_late_again_is_so_for_twice_as_long_up_to_a_bound() {
        let mut account: Account<()> = Account::new(settings("acme").into(), None);
        let spans @ (least, most) = (Duration::from_millis(20), Duration::from_millis(100));
        let mut now = Instant::from_nanos(1);
        let mut late = |account: &mut Account<()>| {
            account.answers_late(now, spans);
            // What it got before and has not answered either says nothing new.
            account.answers_late(now.after(least / 2), spans);
            let span = account.answers_late_until.since(now);
            now = account.answers_late_until;
            span.as_millis()
        };
        assert_eq!([(); 4].map(|()| late(&mut account)), [20, 40, 80, most.as_millis()]);
        account.answers_soon();
        assert_eq!(late(&mut account), 20);
    }

    #[test]
    fn either_password_of_a_rotation_binds_and_no_other() {
        let mut settings = settings("acme");
        settings.passwords.push(b"newer-and-longer".to_vec());
        let account = Account::<()>::new(settings.into(), None);
        let from = peer("10.0.0.1");
        assert_eq!(account.check_bind(b"secret", from), Ok(()));
        assert_eq!(account.check_bind(b"newer-and-longer", from), Ok(()));
        for wrong in [&b""[..], b"secre", b"secrett", b"Secret"] {
            assert_eq!(account.check_bind(wrong, from), Err(BindRefusal::Credentials));
        }
    }

    #[test]
    fn an_address_outside_the_blocks_is_no_better_than_a_wrong_password() {
        let mut settings = settings("acme");
        settings.allow_from = vec![AddressBlock { address: peer("10.1.0.0"), prefix_len: 16 }];
        let account = Account::<()>::new(settings.into(), None);
        assert_eq!(account.check_bind(b"secret", peer("10.1.9.9")), Ok(()));
        assert_eq!(account.check_bind(b"secret", peer("10.2.0.1")), Err(BindRefusal::Credentials));
    }

    #[test]
    fn sessions_over_the_limit_are_refused_until_one_ends() {
        let mut account = Account::<()>::new(settings("acme").into(), None);
        account.add_session(link(1), BindKind::Transceiver);
        account.add_session(link(2), BindKind::Transmitter);
        assert_eq!(account.check_bind(b"secret", peer("::1")), Err(BindRefusal::Sessions));
        assert!(account.remove_session(link(1)) && !account.remove_session(link(1)));
        assert_eq!(account.check_bind(b"secret", peer("::1")), Ok(()));
    }

    #[test]
    fn receivers_take_turns_and_transmitters_never_receive() {
        let mut account = Account::<()>::new(settings("acme").into(), None);
        account.add_session(link(1), BindKind::Receiver);
        account.add_session(link(2), BindKind::Transmitter);
        account.add_session(link(3), BindKind::Transceiver);
        let mut next = |not: u32| account.next_receiver(|at| at.slot != not).map(|at| at.slot);
        assert_eq!([next(0), next(0), next(0)], [Some(1), Some(3), Some(1)]);
        assert_eq!([next(1), next(1)], [Some(3), Some(3)]);
        assert_eq!(account.receivers(), 2);
    }
}
