//! Accounts we bind to.
//!
//! Owns: a carrier's session slots, their back-off, its pace, the submits that wait. Takes: what became of connects,
//! binds and links. Gives: what to dial now, which sessions are there. Never: more sockets than `sessions`, also
//! while reconnecting: a slot dials again only after its former link is gone.
//!
//! ```text
//!   Waiting ──dial──▶ Connecting ──up──▶ Binding ──accepted──▶ Bound
//!      ▲                  │ failed          │ refused: link closed │ link closed
//!      └──────────────────┴─────────────────┴──────────────────────┘   after the back-off
//! ```

pub mod pace;
pub mod settings;
pub use pace::Pace;
pub use settings::{BindMode, Settings};

use crate::ids::LinkId;
use crate::limits::{ALREADY_BOUND_WAIT, QUANTUM, RECONNECT_SETTLED};
use crate::prng::Prng;
use crate::session::BindKind;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// Where a slot is in its life; the diagram is in the room's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// Dials at the instant.
    Waiting(Instant),
    /// A connect is under way.
    Connecting,
    /// The bind is not answered yet, or was refused and the link is being closed.
    Binding(LinkId),
    /// Bound since.
    Bound(LinkId, Instant),
    /// Not to be dialled any more: the node drains.
    Retired,
}

/// One of the carrier's sockets.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Where it is.
    pub state: SlotState,
    /// How it binds.
    pub kind: BindKind,
    /// Counts its connects, so that a late answer to a former one is recognised.
    pub attempt: u16,
    failures: u32,
    /// The back-off is at least this, by what the carrier said.
    least: Duration,
    address: usize,
}

/// One carrier.
#[derive(Debug)]
pub struct Carrier<Queued> {
    /// What the operator said.
    pub settings: Settings,
    /// Its sockets.
    pub slots: Vec<Slot>,
    /// Submits that wait for room, the oldest first.
    pub queue: VecDeque<Queued>,
    /// How fast it is written to, over all sessions.
    pub pace: Pace,
    /// What went wrong last.
    pub last_error: Option<LastError>,
    /// Where the search for a sending session starts.
    turn: usize,
    /// The session that messages which come one by one leave by, and how many more of them.
    batch: (LinkId, u32),
}

/// Why a socket of a carrier was lost or did not come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// For people.
    pub reason: String,
    /// When.
    pub at: Instant,
    slot: usize,
    attempt: u16,
}

/// A connect that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Which slot.
    pub slot: usize,
    /// Its attempt.
    pub attempt: u16,
    /// `host:port`.
    pub address: String,
}

impl<Queued> Carrier<Queued> {
    /// A carrier whose slots all dial at once.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        let slots = (0..settings.sessions as usize).map(|index| Slot {
            state: SlotState::Waiting(now),
            kind: kind_of(settings.bind, index),
            attempt: 0,
            failures: 0,
            least: Duration::ZERO,
            address: match settings.address_use {
                settings::AddressUse::Spread => index % settings.addresses.len().max(1),
                settings::AddressUse::InOrder => 0,
            },
        });
        let slots = slots.collect();
        let pace = Pace::new(now, &settings.pace, settings.rate, settings.burst);
        Self {
            settings,
            slots,
            queue: VecDeque::new(),
            pace,
            last_error: None,
            turn: 0,
            batch: (LinkId::default(), 0),
        }
    }

    /// When `take_dial` is wanted.
    #[must_use]
    pub fn dial_at(&self) -> Option<Instant> {
        let waiting = self.slots.iter().filter_map(|slot| match slot.state {
            SlotState::Waiting(at) => Some(at),
            _ => None,
        });
        waiting.min()
    }

    /// The next connect that is due.
    pub fn take_dial(&mut self, now: Instant) -> Option<Dial> {
        let due = |slot: &Slot| matches!(slot.state, SlotState::Waiting(at) if at <= now);
        let (index, slot) = self.slots.iter_mut().enumerate().find(|(_, slot)| due(slot))?;
        slot.state = SlotState::Connecting;
        slot.attempt = slot.attempt.wrapping_add(1);
        let address = self.settings.addresses.get(slot.address % self.settings.addresses.len().max(1))?;
        Some(Dial { slot: index, attempt: slot.attempt, address: address.clone() })
    }

    /// The connect of this attempt is up; false when nobody waits for it any more.
    pub fn connected(&mut self, slot: usize, attempt: u16, link: LinkId) -> bool {
        match self.slots.get_mut(slot) {
            Some(slot) if slot.state == SlotState::Connecting && slot.attempt == attempt => {
                slot.state = SlotState::Binding(link);
                true
            }
            _ => false,
        }
    }

    /// The bind was accepted.
    pub fn bound(&mut self, slot: usize, now: Instant) {
        if let Some(slot) = self.slots.get_mut(slot)
            && let SlotState::Binding(link) = slot.state
        {
            slot.state = SlotState::Bound(link, now);
            slot.least = Duration::ZERO;
        }
    }

    /// The bind was refused; the link is to be closed, and `failed` follows when it is.
    pub fn bind_refused(&mut self, slot: usize, status: CommandStatus) {
        let longest = self.settings.reconnect_max;
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.least = match status {
                // The former session still counts there: give it time to be noticed.
                CommandStatus::ALREADY_BOUND => ALREADY_BOUND_WAIT.min(longest),
                // Wrong credentials do not mend themselves; hammering locks accounts.
                CommandStatus::INVALID_PASSWORD
                | CommandStatus::INVALID_SYSTEM_ID
                | CommandStatus::INVALID_SYSTEM_TYPE => longest,
                _ => Duration::ZERO,
            };
        }
    }

    /// The connect of this attempt failed, or the slot's link is gone: wait, then dial again. Gives the wait.
    pub fn failed(&mut self, slot: usize, attempt: u16, now: Instant, prng: &mut Prng) -> Duration {
        let Some(slot) = self.slots.get_mut(slot).filter(|slot| slot.attempt == attempt) else {
            return Duration::ZERO;
        };
        if slot.state == SlotState::Retired {
            return Duration::ZERO;
        }
        if let SlotState::Bound(_, since) = slot.state
            && now.since(since) >= RECONNECT_SETTLED
        {
            slot.failures = 0;
        }
        let doubled = self.settings.reconnect_min.saturating_mul(1 << slot.failures.min(20));
        let base = doubled.min(self.settings.reconnect_max).max(slot.least);
        // Half of it is drawn, so that many slots do not dial in step.
        let nanos = u64::try_from(base.as_nanos()).unwrap_or(u64::MAX);
        let wait = Duration::from_nanos(nanos / 2 + prng.below(nanos / 2 + 1)).max(slot.least);
        slot.failures = slot.failures.saturating_add(1);
        slot.address = (slot.address + 1) % self.settings.addresses.len().max(1);
        slot.state = SlotState::Waiting(now.after(wait));
        wait
    }

    /// Something went wrong with this attempt. Of one attempt the first reason counts: the close that follows a
    /// refused bind says less.
    pub fn note_error(&mut self, slot: usize, attempt: u16, now: Instant, reason: &str) {
        let same = self.last_error.as_ref().is_some_and(|last| last.slot == slot && last.attempt == attempt);
        if !same {
            self.last_error = Some(LastError { reason: reason.to_owned(), at: now, slot, attempt });
        }
    }

    /// The node drains: nothing is dialled any more.
    pub fn retire(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot.state, SlotState::Waiting(_) | SlotState::Connecting) {
                slot.state = SlotState::Retired;
            }
        }
    }

    /// Sessions bound.
    pub fn sessions(&self) -> impl Iterator<Item = (LinkId, BindKind)> {
        self.slots.iter().filter_map(|slot| match slot.state {
            SlotState::Bound(link, _) => Some((link, slot.kind)),
            _ => None,
        })
    }

    /// True when a session that sends is bound.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.sessions().any(|(_, kind)| kind.transmits())
    }

    /// True when some slot could send, bound or not.
    #[must_use]
    pub fn may_ever_send(&self) -> bool {
        self.slots.iter().any(|slot| slot.kind.transmits())
    }

    /// The next sending session in turn for which `usable` holds.
    pub fn next_sender(&mut self, mut usable: impl FnMut(LinkId) -> bool) -> Option<LinkId> {
        let count = self.slots.len();
        let (last, first) = self.slots.split_at(self.turn.min(count));
        for (step, slot) in first.iter().chain(last).enumerate() {
            if let SlotState::Bound(link, _) = slot.state
                && slot.kind.transmits()
                && usable(link)
            {
                self.turn = (self.turn + step + 1) % count;
                return Some(link);
            }
        }
        None
    }

    /// As `next_sender`, for messages that come one by one and together are a batch: the same session for a quantum of
    /// them, so that what leaves in one turn leaves by few.
    pub fn batch_sender(&mut self, mut usable: impl FnMut(LinkId) -> bool) -> Option<LinkId> {
        let (link, left) = &mut self.batch;
        if *left > 0 && usable(*link) {
            *left -= 1;
            return Some(*link);
        }
        let link = self.next_sender(usable)?;
        self.batch = (link, QUANTUM - 1);
        Some(link)
    }
}

fn kind_of(mode: BindMode, index: usize) -> BindKind {
    match mode {
        BindMode::Trx => BindKind::Transceiver,
        BindMode::Tx => BindKind::Transmitter,
        BindMode::Rx => BindKind::Receiver,
        BindMode::TxRx if index.is_multiple_of(2) => BindKind::Transmitter,
        BindMode::TxRx => BindKind::Receiver,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::settings::AddressUse;
    use super::*;

    pub(crate) fn settings(name: &str) -> Settings {
        Settings {
            name: name.into(),
            addresses: vec!["192.0.2.1:2775".into(), "192.0.2.2:2775".into()],
            address_use: AddressUse::Spread,
            system_id: b"bindery".to_vec(),
            password: b"secret".to_vec(),
            system_type: Vec::new(),
            bind: BindMode::Trx,
            interface_version: 0x34,
            sessions: 4,
            window_max: 50,
            queue_max: 1000,
            rate: None,
            burst: 20,
            pace: settings::PaceSettings {
                min: crate::throttle::Rate { units: 10, per: Duration::from_secs(1) },
                cut_percent: 50,
                grow_over: Duration::from_secs(30),
            },
            on_status: Vec::new(),
            enquire_link_interval: Duration::from_secs(30),
            response_timeout: Duration::from_secs(8),
            tcp_user_timeout: Duration::from_secs(20),
            reconnect_min: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(60),
            source_address: None,
            interface: None,
            firewall_mark: None,
            message_id_form: None,
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn link(slot: u32) -> LinkId {
        LinkId { slot, generation: 1 }
    }

    #[test]
    fn a_slot_dials_once_until_its_link_is_gone() {
        let mut carrier = Carrier::<()>::new(settings("a"), at(0));
        let dials: Vec<_> = std::iter::from_fn(|| carrier.take_dial(at(0))).collect();
        assert_eq!(dials.len(), 4);
        assert_eq!((&*dials[0].address, &*dials[1].address), ("192.0.2.1:2775", "192.0.2.2:2775"));
        assert!(carrier.connected(0, dials[0].attempt, link(1)));
        assert!(!carrier.connected(0, dials[0].attempt, link(2)));
        carrier.bound(0, at(1));
        assert!(carrier.take_dial(at(1000)).is_none());
        carrier.failed(0, dials[0].attempt, at(1000), &mut Prng::new(1));
        assert!(carrier.take_dial(at(1100)).is_some_and(|dial| dial.address == "192.0.2.2:2775"));
    }

    #[test]
    fn waits_double_up_to_the_longest_with_jitter() {
        let mut carrier = Carrier::<()>::new(settings("a"), at(0));
        let mut prng = Prng::new(3);
        for round in 0..12u32 {
            let dial = carrier.take_dial(at(10_000 * u64::from(round))).unwrap();
            let wait = carrier.failed(dial.slot, dial.attempt, at(10_000 * u64::from(round)), &mut prng);
            let full = Duration::from_secs(1 << round.min(6)).min(Duration::from_secs(60));
            if dial.slot == 0 {
                assert!(wait >= full / 2 && wait <= full, "round {round}: {wait:?}");
            }
            carrier.slots.truncate(1);
        }
    }

    #[test]
    fn wrong_credentials_wait_the_longest_and_already_bound_a_while() {
        let mut carrier = Carrier::<()>::new(settings("a"), at(0));
        let mut prng = Prng::new(3);
        for (status, least) in [
            (CommandStatus::INVALID_PASSWORD, 60),
            (CommandStatus::ALREADY_BOUND, ALREADY_BOUND_WAIT.as_secs()),
        ] {
            let dial = carrier.take_dial(at(0)).unwrap();
            carrier.connected(dial.slot, dial.attempt, link(1));
            carrier.bind_refused(dial.slot, status);
            let wait = carrier.failed(dial.slot, dial.attempt, at(0), &mut prng);
            assert!(wait >= Duration::from_secs(least), "{status}: {wait:?}");
        }
    }

    #[test]
    fn the_first_reason_of_an_attempt_is_the_last_error_until_another_attempt_fails() {
        let mut carrier = Carrier::<()>::new(settings("a"), at(0));
        carrier.note_error(0, 1, at(1), "bind refused");
        carrier.note_error(0, 1, at(2), "closed");
        let kept = carrier.last_error.clone().unwrap();
        assert_eq!((&*kept.reason, kept.at), ("bind refused", at(1)));
        carrier.note_error(0, 2, at(3), "Connection refused");
        assert!(carrier.last_error.is_some_and(|last| last.reason == "Connection refused"));
    }

    #[test]
    fn a_batch_leaves_by_one_session_while_it_has_room_and_not_for_ever() {
        let mut carrier = Carrier::<()>::new(settings("a"), at(0));
        for slot in 0..2 {
            let dial = carrier.take_dial(at(0)).unwrap();
            carrier.connected(slot, dial.attempt, link(slot as u32));
            carrier.bound(slot, at(0));
        }
        let taken: Vec<_> = (0..2 * QUANTUM).filter_map(|_| carrier.batch_sender(|_| true)).collect();
        let (first, second) = taken.split_at(QUANTUM as usize);
        assert!(first.iter().all(|at| *at == first[0]) && second.iter().all(|at| *at == second[0]));
        assert_ne!(first[0], second[0]);
        let other = carrier.batch_sender(|_| true).unwrap();
        assert_ne!(carrier.batch_sender(|at| at != other), Some(other));
        assert_eq!(carrier.batch_sender(|_| false), None);
    }

    #[test]
    fn pairs_are_half_and_half() {
        let mut settings = settings("a");
        settings.bind = BindMode::TxRx;
        let carrier = Carrier::<()>::new(settings, at(0));
        let sending = carrier.slots.iter().filter(|slot| slot.kind.transmits()).count();
        assert_eq!((carrier.slots.len(), sending), (4, 2));
    }
}
