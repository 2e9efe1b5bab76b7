//! Carriers come and go: dial, bind, close, dial again. Owns: nothing of its own. Takes: what became of connects, binds
//! and links. Gives: sessions to their carrier, unknown outcomes to those who wait. Never: a second socket for a slot.

use super::Shard;
use super::links::{Flow, LinkSlot, Side};
use super::mail::Mail;
use super::port::{Action, CloseHow, Connect, Level, Outbox, Ticket, Way};
use super::timers::Timer;
use crate::carrier::{Settings, SlotState};
use crate::counters::Reason;
use crate::ids::{CarrierId, LinkId};
use crate::limits::{CONNECT_TIMEOUT, PDU_MAX_DEFAULT};
use crate::session::{BindKind, Role, Session, TimerSettings};
use crate::smpp::bind::Bind;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now};

fn ticket_of(carrier: CarrierId, slot: usize, attempt: u16) -> Ticket {
    Ticket(u64::from(carrier.0) << 32 | (slot as u64 & 0xFFFF) << 16 | u64::from(attempt))
}

const fn parts_of(ticket: Ticket) -> (CarrierId, usize, u16) {
    (CarrierId((ticket.0 >> 32) as u32), (ticket.0 >> 16 & 0xFFFF) as usize, ticket.0 as u16)
}

impl Shard {
    /// Dials what is due, sends what may now be sent.
    pub(super) fn tick_carrier(&mut self, now: Now, id: CarrierId, out: &mut Outbox) {
        let Some(carrier) = self.carriers.get_mut(id.index()) else { return };
        if !self.draining {
            while let Some(dial) = carrier.take_dial(now.mono) {
                out.act(Action::Connect(Connect {
                    ticket: ticket_of(id, dial.slot, dial.attempt),
                    address: dial.address,
                    timeout: CONNECT_TIMEOUT,
                    user_timeout: carrier.settings.tcp_user_timeout,
                    way: way_of(&carrier.settings),
                }));
            }
        }
        self.count_slots(id);
        self.changed(id);
        self.pump(now, id, out);
        self.wake_carrier_later(id);
    }

    /// Asks for the next tick: a dial.
    fn wake_carrier_later(&mut self, id: CarrierId) {
        let dial = self.carriers.get(id.index()).and_then(|carrier| carrier.dial_at());
        if let Some(at) = dial.filter(|_| !self.draining) {
            self.tick_later(at, Timer::Carrier(id));
        }
    }

    /// Gives up what has waited until its deadline. Deadlines of accounts differ, so the whole queue is looked
    /// through, but only when one of them has come; a tick follows at the next.
    pub(super) fn expire_queue(&mut self, now: Now, id: CarrierId, out: &mut Outbox) {
        let Self { carriers, expiry, messages, .. } = self;
        let (Some(carrier), Some(expiry)) = (carriers.get_mut(id.index()), expiry.get_mut(id.index())) else {
            return;
        };
        debug_assert!(*expiry <= now.mono, "asked for at that instant");
        let mut overdue = Vec::new();
        let mut next = Instant::from_nanos(u64::MAX);
        carrier.queue.retain(|&key| match messages.get(key) {
            Some(message) if message.deadline > now.mono => {
                next = next.min(message.deadline);
                true
            }
            Some(_) => {
                overdue.push(key);
                false
            }
            None => false,
        });
        *expiry = next;
        if next < Instant::from_nanos(u64::MAX) {
            self.tick_later(next, Timer::Queue(id));
        }
        self.count_queued(id);
        for key in overdue {
            self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
        }
    }

    pub(super) fn on_connected(&mut self, now: Now, link: LinkId, ticket: Ticket, out: &mut Outbox) {
        let (id, index, attempt) = parts_of(ticket);
        let known = self.carriers.get_mut(id.index());
        let Some(carrier) = known.filter(|_| !self.draining) else { return out.close(link, CloseHow::Now) };
        if !carrier.connected(index, attempt, link) {
            return out.close(link, CloseHow::Now);
        }
        let kind = carrier.slots.get(index).map_or(BindKind::Transceiver, |slot| slot.kind);
        let settings = &carrier.settings;
        let timers = TimerSettings {
            session_init: CONNECT_TIMEOUT,
            enquire_link: settings.enquire_link_interval,
            inactivity: Duration::ZERO,
            response: settings.response_timeout,
        };
        let mut session = Session::new(Role::Esme, now.mono, settings.window_max, timers);
        let to = out.to(link);
        session.bind(now.mono, kind, settings.interface_version, |sequence| {
            bind_of(settings).write(to, kind.command(), sequence);
        });
        self.add_link(LinkSlot::new(
            link,
            Side::Carrier(id, index as u16, attempt),
            session,
            PDU_MAX_DEFAULT as u32,
        ));
        self.arm(link);
        self.count_slots(id);
    }

    pub(super) fn on_connect_failed(&mut self, now: Now, ticket: Ticket, reason: &str, out: &mut Outbox) {
        let (id, index, attempt) = parts_of(ticket);
        self.retry_later(now, id, index, attempt, reason, out);
        self.drain_carriers(now, out);
    }

    fn retry_later(
        &mut self,
        now: Now,
        id: CarrierId,
        index: usize,
        attempt: u16,
        reason: &str,
        out: &mut Outbox,
    ) {
        let Self { carriers, prng, .. } = self;
        let Some(carrier) = carriers.get_mut(id.index()) else { return };
        carrier.note_error(index, attempt, now.mono, reason);
        let was_bound =
            carrier.slots.get(index).is_some_and(|slot| matches!(slot.state, SlotState::Bound(..)));
        let wait = carrier.failed(index, attempt, now.mono, prng);
        self.count_slots(id);
        if self.draining {
            return;
        }
        self.tick_later(now.mono.after(wait), Timer::Carrier(id));
        if !was_bound && let Some(cells) = self.counters.carriers.get(id.index()) {
            cells.binds_failed.bump();
        }
        self.log(now, out, Level::Warn, "carrier_down", |shard| {
            let mut fields = Vec::new();
            fields.extend(shard.carrier_name(id).map(|name| ("carrier", name)));
            fields.extend([
                ("slot", index.to_string()),
                ("reason", reason.to_owned()),
                ("retry_in_ms", wait.as_millis().to_string()),
            ]);
            fields
        });
    }

    fn carrier_side(&self, link: LinkId) -> Option<(CarrierId, u16, u16)> {
        match self.link(link).map(|slot| slot.side) {
            Some(Side::Carrier(id, index, attempt)) => Some((id, index, attempt)),
            _ => None,
        }
    }

    pub(super) fn on_carrier_bound(&mut self, now: Now, link: LinkId, out: &mut Outbox) -> Flow {
        let Some((id, index, _)) = self.carrier_side(link) else { return Flow::Stop };
        if let Some(carrier) = self.carriers.get_mut(id.index()) {
            carrier.bound(usize::from(index), now.mono);
        }
        self.count_slots(id);
        if let Some(cells) = self.counters.carriers.get(id.index()) {
            cells.binds.bump();
        }
        if let Some(slot) = self.link_mut(link) {
            slot.armed = Instant::from_nanos(u64::MAX);
        }
        self.arm(link);
        self.log(now, out, Level::Info, "carrier_bound", |shard| shard.peer_fields(link));
        if self.draining {
            self.drain_carriers(now, out);
        }
        self.changed(id);
        self.pump(now, id, out);
        self.take_over(now, id, out);
        Flow::Next
    }

    /// A carrier that could not send can: what waits at others that cannot may be for it.
    fn take_over(&mut self, now: Now, id: CarrierId, out: &mut Outbox) {
        let senders = |carrier: &crate::carrier::Carrier<_>| {
            carrier.sessions().filter(|(_, kind)| kind.transmits()).count()
        };
        if self.carriers.get(id.index()).is_none_or(|carrier| senders(carrier) != 1) {
            return;
        }
        for other in self.others() {
            self.send_mail(now, other, Mail::CarrierUp, out);
        }
        self.reroute_stranded(now, out);
    }

    pub(super) fn on_carrier_bind_refused(
        &mut self,
        now: Now,
        link: LinkId,
        status: CommandStatus,
        out: &mut Outbox,
    ) -> Flow {
        let Some((id, index, attempt)) = self.carrier_side(link) else { return Flow::Stop };
        if let Some(carrier) = self.carriers.get_mut(id.index()) {
            carrier.bind_refused(usize::from(index), status);
            let reason = format!("bind refused: {status}");
            carrier.note_error(usize::from(index), attempt, now.mono, &reason);
        }
        self.log(now, out, Level::Error, "carrier_bind_refused", |shard| {
            let mut fields = shard.peer_fields(link);
            fields.push(("status", status.to_string()));
            fields
        });
        self.end(link, out);
        Flow::Stop
    }

    pub(super) fn on_carrier_gone(
        &mut self,
        now: Now,
        id: CarrierId,
        (index, attempt): (u16, u16),
        slot: &mut LinkSlot,
        reason: &str,
        out: &mut Outbox,
    ) {
        self.retry_later(now, id, usize::from(index), attempt, reason, out);
        self.count_slots(id);
        self.changed(id);
        if slot.parked > 0 {
            for held in self.parked.take_link(slot.id) {
                self.retained.release(held.pdu);
            }
            self.count_parked(id);
        }
        while let Some(owner) = slot.session.abandon(&mut self.windows) {
            self.on_message_unknown(now, id, owner, out);
        }
        if self
            .carriers
            .get(id.index())
            .is_some_and(|carrier| !carrier.can_send() && !carrier.queue.is_empty())
        {
            self.reroute(now, id, out);
        }
    }
}

fn way_of(settings: &Settings) -> Way {
    Way {
        source_address: settings.source_address,
        interface: settings.interface.clone(),
        firewall_mark: settings.firewall_mark,
    }
}

fn bind_of(settings: &Settings) -> Bind<'_> {
    Bind {
        system_id: &settings.system_id,
        password: &settings.password,
        system_type: &settings.system_type,
        interface_version: settings.interface_version,
        addr_ton: 0,
        addr_npi: 0,
        address_range: &[],
        ..Bind::default()
    }
}
