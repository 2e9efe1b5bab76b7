//! How a shard is: what an operator wants to see at once, and no counter tells.
//!
//! Owns: nothing. Takes: `Ask::Status`. Gives: a `Status`, bounded, whatever the number of sessions. Never: changes
//! anything, names a number or an id of a message.

use super::Shard;
use super::bad::Bad;
use super::links::{LinkSlot, Side};
use super::message::{DeliveryKey, MessageKey, Origin};
use super::port::{Action, Answer, Ask, Outbox, Ticket};
use super::tally::name_of;
use crate::carrier::{Carrier, SlotState};
use crate::esme::Account;
use crate::ids::{CarrierId, EsmeId, PoolId};
use crate::limits::{STATUS_ROWS_MAX, WAITING_TIME};
use crate::route::health::State;
use crate::route::settings::Member;
use crate::session;
use crate::time::{Instant, Now};
use core::net::SocketAddr;

/// A shard at one moment. Spans are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// It finishes what is in flight and takes nothing new.
    pub draining: bool,
    /// Accounts; those with sessions first.
    pub accounts: Vec<AccountStatus>,
    /// Accounts that are not listed because the list is full.
    pub accounts_unlisted: u64,
    /// Every carrier.
    pub carriers: Vec<CarrierStatus>,
    /// Sessions, bound or not; those of carriers first.
    pub sessions: Vec<SessionStatus>,
    /// Sessions that are not listed because the list is full.
    pub sessions_unlisted: u64,
    /// Members that some shard gives nothing to for now: pool and carrier.
    pub ejected: Vec<(String, String)>,
    /// The last bad things of peers that no account or carrier is known for.
    pub strangers: Vec<BadStatus>,
}

impl Status {
    /// That of two shards of a node.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.draining |= other.draining;
        self.accounts.extend(other.accounts);
        self.accounts.sort_by_key(|account| account.sessions == 0 && account.bad.is_empty());
        self.accounts_unlisted += other.accounts_unlisted + cut(&mut self.accounts);
        self.carriers.extend(other.carriers);
        self.sessions.extend(other.sessions);
        self.sessions.sort_by_key(|session| session.side != "carrier");
        self.sessions_unlisted += other.sessions_unlisted + cut(&mut self.sessions);
        self.ejected.extend(other.ejected);
        self.ejected.sort();
        self.ejected.dedup();
        self.strangers.extend(other.strangers);
        self.strangers.sort_by_key(|found| (found.bad.kind, found.ago_ms));
        self.strangers.dedup_by_key(|found| found.bad.kind);
        self
    }
}

/// Leaves as many rows as a list may have; gives how many are not among them.
fn cut<T>(rows: &mut Vec<T>) -> u64 {
    let over = rows.len().saturating_sub(STATUS_ROWS_MAX);
    rows.truncate(STATUS_ROWS_MAX);
    over as u64
}

/// An account that binds to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountStatus {
    /// As the configuration names it.
    pub name: String,
    /// Sessions bound.
    pub sessions: u64,
    /// Those of them that receive.
    pub receivers: u64,
    /// Requests of it that are not answered yet.
    pub in_flight: u64,
    /// Receipts and MO that wait for a session with room.
    pub waiting: u64,
    /// How long the first of them has.
    pub waiting_oldest_ms: Option<u64>,
    /// The last bad thing of each kind.
    pub bad: Vec<BadStatus>,
}

/// A carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierStatus {
    /// As the configuration names it.
    pub name: String,
    /// Its sockets.
    pub slots: Vec<SlotStatus>,
    /// Requests in flight over all its sessions.
    pub window_used: u64,
    /// Most that its bound sessions allow.
    pub window_max: u64,
    /// Messages that wait for it.
    pub queued: u64,
    /// Most that may.
    pub queue_max: u64,
    /// How long ago the one at the head of the queue came.
    pub oldest_ms: Option<u64>,
    /// PDUs a second that it is written to at most, in thousandths; `None`: no limit.
    pub pace_milli: Option<u64>,
    /// The pace is below the configured one because the carrier throttles.
    pub pace_cut: bool,
    /// How it writes ids, set or learnt; `None`: not known yet.
    pub id_form: Option<&'static str>,
    /// What went wrong last.
    pub last_error: Option<ErrorStatus>,
    /// The last bad thing of each kind.
    pub bad: Vec<BadStatus>,
}

/// A bad thing that a peer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadStatus {
    /// What.
    pub bad: Bad,
    /// How long ago.
    pub ago_ms: u64,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorStatus {
    /// For people.
    pub reason: String,
    /// How long ago.
    pub ago_ms: u64,
}

/// One of a carrier's sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// waiting, connecting, binding, bound or retired.
    pub state: &'static str,
    /// tx, rx or trx.
    pub bind: &'static str,
    /// While waiting: when it dials.
    pub dial_in_ms: Option<u64>,
    /// While bound: since when.
    pub bound_ms: Option<u64>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    /// esme, carrier or unbound.
    pub side: &'static str,
    /// The account or carrier; empty while unbound.
    pub name: String,
    /// Where an ESME comes from.
    pub peer: Option<SocketAddr>,
    /// open, tx, rx, trx, unbinding or closed.
    pub state: &'static str,
    /// The peer's interface_version.
    pub version: u8,
    /// Requests of ours that it has not answered.
    pub window_used: u32,
    /// Most of them.
    pub window_max: u32,
    /// Requests of its own that we have not answered.
    pub theirs: u32,
    /// Nothing is read from it until there is room.
    pub paused: bool,
    /// How long its link has been up.
    pub age_ms: u64,
    /// How long ago it was last heard.
    pub heard_ms: u64,
}

impl Shard {
    pub(super) fn on_ask(&mut self, now: Now, ticket: Ticket, ask: Ask, out: &mut Outbox) {
        let answer = match ask {
            Ask::Status => Answer::Status(Box::new(self.status(now.mono))),
            Ask::Brief => Answer::Status(Box::new(self.brief(now.mono))),
            Ask::Queue(ask) => Answer::Queue(Box::new(self.on_queue_ask(now, &ask, out))),
            Ask::Resend(resend) => Answer::Resent(self.on_resend(now, &resend, out)),
        };
        out.act(Action::Answer { ticket, answer });
    }

    fn status(&mut self, now: Instant) -> Status {
        let carriers = self.carriers_here().into_iter().filter_map(|index| self.carrier_status(now, index));
        let carriers = carriers.collect();
        let own = |at: &usize| self.is_own(EsmeId::new(*at));
        let own: Vec<usize> = (0..self.accounts.len()).filter(own).collect();
        let accounts = own.len();
        let worth = |at: &usize| {
            let bound = self.accounts.get(*at).is_some_and(|it| it.sessions() > 0);
            bound || self.bads.of_esme(EsmeId::new(*at)).next().is_some()
        };
        let (bound, idle): (Vec<_>, Vec<_>) = own.into_iter().partition(worth);
        let listed = bound.into_iter().chain(idle).take(STATUS_ROWS_MAX);
        let is_carrier = |slot: &&LinkSlot| matches!(slot.side, Side::Carrier(..));
        let links = self.links.iter().flatten();
        let ordered = links.clone().filter(is_carrier).chain(links.filter(|slot| !is_carrier(slot)));
        Status {
            draining: self.draining,
            accounts: listed.filter_map(|at| self.account_status(now, EsmeId::new(at))).collect(),
            accounts_unlisted: accounts.saturating_sub(STATUS_ROWS_MAX) as u64,
            carriers,
            sessions: ordered.take(STATUS_ROWS_MAX).map(|slot| self.session_status(now, slot)).collect(),
            sessions_unlisted: self.links_open.saturating_sub(STATUS_ROWS_MAX) as u64,
            ejected: self.ejected(now),
            strangers: self.bads.of_strangers().map(|bad| bad_status(now, bad)).collect(),
        }
    }

    fn brief(&mut self, now: Instant) -> Status {
        let carriers = self.carriers_here().into_iter().filter_map(|index| self.carrier_status(now, index));
        let carriers = carriers.collect();
        let waits = |at: &usize| self.accounts.get(*at).is_some_and(|account| !account.waiting.is_empty());
        let waiting = (0..self.accounts.len()).filter(waits).take(STATUS_ROWS_MAX);
        Status {
            draining: self.draining,
            accounts: waiting.filter_map(|at| self.account_status(now, EsmeId::new(at))).collect(),
            carriers,
            ejected: self.ejected(now),
            ..Status::default()
        }
    }

    fn carriers_here(&self) -> Vec<usize> {
        (0..self.carriers.len()).filter(|id| self.is_here(CarrierId::new(*id))).collect()
    }

    fn ejected(&self, now: Instant) -> Vec<(String, String)> {
        let mut ejected = Vec::new();
        for (index, pool) in self.config.pools.iter().enumerate() {
            for (member, state) in self.balance.states(PoolId::new(index), now) {
                let Member::Carrier(carrier) = member else { continue };
                if let State::Ejected { .. } = state
                    && let Some(carrier) = self.carrier_name(carrier)
                {
                    ejected.push((pool.name.clone(), carrier));
                }
            }
        }
        ejected
    }

    fn account_status(&self, now: Instant, esme: EsmeId) -> Option<AccountStatus> {
        let account = self.accounts.get(esme.index())?;
        Some(AccountStatus {
            name: account.settings.name.clone(),
            sessions: account.sessions() as u64,
            receivers: account.receivers() as u64,
            in_flight: self.counters.esmes.get(esme.index()).map_or(0, |cells| cells.window_used()),
            waiting: account.waiting.len() as u64,
            waiting_oldest_ms: self.oldest_waiting(now, account),
            bad: self.bads.of_esme(esme).map(|bad| bad_status(now, bad)).collect(),
        })
    }

    fn oldest_waiting(&self, now: Instant, account: &Account<DeliveryKey>) -> Option<u64> {
        let delivery = account.waiting.front().and_then(|key| self.deliveries.get(*key))?;
        let kept = delivery.origin == Origin::Journal;
        let span = if kept { account.settings.waiting.keep } else { WAITING_TIME };
        Some(millis(span.saturating_sub(delivery.until.since(now))))
    }

    fn carrier_status(&mut self, now: Instant, index: usize) -> Option<CarrierStatus> {
        let id = CarrierId::new(index);
        let pace = self.carriers.get_mut(index).and_then(|carrier| carrier.pace.rate(now));
        let carrier = self.carriers.get(index)?;
        let senders = carrier.sessions().filter(|(_, kind)| kind.transmits());
        let windows = senders.filter_map(|(link, _)| self.link(link)).map(|slot| slot.session.window());
        let (used, max) = windows.fold((0, 0), |(used, max), window| {
            (used + u64::from(window.used()), max + u64::from(window.max()))
        });
        let ago = |at: Instant| millis(now.since(at));
        Some(CarrierStatus {
            name: carrier.settings.name.clone(),
            slots: carrier.slots.iter().map(|slot| slot_status(now, slot.state, slot.kind.name())).collect(),
            window_used: used,
            window_max: max,
            queued: carrier.queue.len() as u64,
            queue_max: u64::from(carrier.settings.queue_max),
            oldest_ms: self.oldest(now, carrier),
            pace_milli: pace.map(|rate| (rate * 1000.0) as u64),
            pace_cut: carrier.pace.is_cut(),
            id_form: self.forms.get(id.index()).and_then(|form| form.locked()).map(|form| form.name()),
            last_error: carrier
                .last_error
                .as_ref()
                .map(|last| ErrorStatus { reason: last.reason.clone(), ago_ms: ago(last.at) }),
            bad: self.bads.of_carrier(id).map(|bad| bad_status(now, bad)).collect(),
        })
    }

    /// How long the message at the head of a queue has been here: it came `answer_timeout` before its deadline.
    fn oldest(&self, now: Instant, carrier: &Carrier<MessageKey>) -> Option<u64> {
        let message = carrier.queue.front().and_then(|key| self.messages.get(*key))?;
        let timeout = self.accounts.get(message.esme.index())?.settings.answer_timeout;
        Some(millis(timeout.saturating_sub(message.deadline.since(now))))
    }

    fn session_status(&self, now: Instant, slot: &LinkSlot) -> SessionStatus {
        let (side, name) = match slot.side {
            Side::Unbound(_) => ("unbound", None),
            Side::Esme(esme) => ("esme", self.account_name(esme)),
            Side::Carrier(carrier, ..) => ("carrier", self.carrier_name(carrier)),
        };
        let session = &slot.session;
        SessionStatus {
            side,
            name: name.unwrap_or_default(),
            peer: slot.peer.map(|(_, peer)| peer),
            state: match session.state() {
                session::State::Open | session::State::Outbound => "open",
                session::State::Bound(kind) => kind.name(),
                session::State::Unbinding => "unbinding",
                session::State::Closed => "closed",
            },
            version: session.version(),
            window_used: session.window().used(),
            window_max: session.window().max(),
            theirs: session.theirs(),
            paused: slot.paused,
            age_ms: millis(now.since(session.born())),
            heard_ms: millis(now.since(session.heard_at())),
        }
    }
}

fn bad_status(now: Instant, bad: &Bad) -> BadStatus {
    BadStatus { bad: bad.clone(), ago_ms: millis(now.since(bad.at)) }
}

fn slot_status(now: Instant, state: SlotState, bind: &'static str) -> SlotStatus {
    let dial_in_ms = match state {
        SlotState::Waiting(at) => Some(millis(at.since(now))),
        SlotState::Connecting | SlotState::Binding(_) | SlotState::Bound(..) | SlotState::Retired => None,
    };
    let bound_ms = match state {
        SlotState::Bound(_, since) => Some(millis(now.since(since))),
        SlotState::Waiting(_) | SlotState::Connecting | SlotState::Binding(_) | SlotState::Retired => None,
    };
    SlotStatus { state: name_of(state), bind, dial_in_ms, bound_ms }
}

fn millis(span: core::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
