//! ESMEs come and go: accept, bind, refuse, close. Owns: nothing of its own. Takes: links and bind requests. Gives:
//! bound sessions to their accounts. Never: tells a peer which of its credentials is wrong.

use super::Shard;
use super::links::{BindRefused, Flow, LinkSlot, Side, live, live_mut};
use super::mail::{Mail, Parcel};
use super::port::{CloseHow, Level, Outbox, host_of};
use super::timers::Timer;
use crate::config::Listener;
use crate::counters::{Reason, TurnedAway};
use crate::esme::BindRefusal;
use crate::esme::admission::Source;
use crate::ids::{EsmeId, LinkId, ListenerId};
use crate::limits::REFUSALS_HELD_MAX;
use crate::session::{BindKind, Role, Session, TimerSettings};
use crate::smpp::bind::{Bind, BindResp};
use crate::smpp::frame::{Pdu, write_header_only};
use crate::smpp::status::CommandStatus;
use crate::smpp::tlv::{Tag, Tlvs, write_tlv};
use crate::time::{Duration, Instant, Now};
use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The highest version that we speak.
const OUR_VERSION: u8 = 0x50;

impl Shard {
    pub(super) fn on_accepted(
        &mut self,
        now: Now,
        id: LinkId,
        listener: ListenerId,
        peer: SocketAddr,
        out: &mut Outbox,
    ) {
        let config = Arc::clone(&self.config);
        let Some(settings) = config.listeners.get(listener.index()) else {
            return out.close(id, CloseHow::Now);
        };
        if let Err(reason) = self.admit(now, listener, peer, settings) {
            return self.turn_away(now, id, peer, reason, out);
        }
        if let Some(count) = self.per_listener.get_mut(listener.index()) {
            *count += 1;
        }
        *self.per_address.entry((listener, Source::of(peer.ip()))).or_insert(0) += 1;
        let session = Session::new(Role::Smsc, now.mono, 1, before_bind(settings.session_init_timeout));
        let mut slot = LinkSlot::new(id, Side::Unbound(listener), session, settings.pdu_max);
        slot.peer = Some((listener, peer));
        slot.output_timeout = settings.output_timeout;
        self.add_link(slot);
        self.arm(id);
        self.wait_for_bind(now, id, listener, settings.unbound_max, out);
    }

    /// Whether a peer is let in.
    fn admit(
        &mut self,
        now: Now,
        listener: ListenerId,
        peer: SocketAddr,
        settings: &Listener,
    ) -> Result<(), TurnedAway> {
        if self.draining {
            return Err(TurnedAway::Draining);
        }
        self.admission.connect(now.mono, listener, peer.ip(), &settings.admission)?;
        self.counters.sources.set(self.admission.sources() as u64);
        let on_listener = self.per_listener.get(listener.index()).copied().unwrap_or(0);
        if on_listener >= settings.connections_max {
            return Err(TurnedAway::Connections);
        }
        let of_peer = self.per_address.get(&(listener, Source::of(peer.ip()))).copied().unwrap_or(0);
        if of_peer >= settings.connections_per_address {
            return Err(TurnedAway::PerAddress);
        }
        Ok(())
    }

    fn turn_away(&mut self, now: Now, id: LinkId, peer: SocketAddr, reason: TurnedAway, out: &mut Outbox) {
        self.counters.turned_away.at(reason as usize).bump();
        self.log_by(now, out, Level::Warn, ("connection_refused", reason.name()), |_| {
            vec![("peer", peer.to_string()), ("reason", reason.name().to_owned())]
        });
        out.close(id, CloseHow::Reset);
    }

    /// A link that has not bound stands in line; when the line is full the first in it is closed.
    fn wait_for_bind(
        &mut self,
        now: Now,
        id: LinkId,
        listener: ListenerId,
        unbound_max: u32,
        out: &mut Outbox,
    ) {
        let Self { links, unbound, .. } = self;
        let Some(line) = unbound.get_mut(listener.index()) else { return };
        line.count += 1;
        line.waiting.push_back(id);
        if let Some(slot) = live_mut(links, id) {
            slot.in_line = true;
        }
        let in_line = |id: &LinkId| live(links, *id).is_some_and(|slot| slot.in_line);
        // Those that have bound meanwhile leave no more behind than twice what may wait.
        if line.waiting.len() > 2 * unbound_max as usize + 64 {
            line.waiting.retain(in_line);
        }
        let first = (line.count > unbound_max)
            .then(|| core::iter::from_fn(|| line.waiting.pop_front()).find(in_line))
            .flatten();
        if let Some(first) = first {
            let peer = self.link(first).and_then(|slot| slot.peer);
            self.leave_line(first);
            if let Some(slot) = self.link_mut(first) {
                slot.closing = true;
            }
            if let Some((_, peer)) = peer {
                self.turn_away(now, first, peer, TurnedAway::Unbound, out);
            }
        }
        self.count_unbound();
    }

    /// A link has bound, or will not.
    pub(super) fn leave_line(&mut self, id: LinkId) {
        let Some(slot) = self.link_mut(id).filter(|slot| slot.in_line) else { return };
        slot.in_line = false;
        let listener = slot.peer.map(|(listener, _)| listener);
        self.left_line(listener);
    }

    /// One fewer has not bound to this listener.
    pub(super) fn left_line(&mut self, listener: Option<ListenerId>) {
        if let Some(line) = listener.and_then(|listener| self.unbound.get_mut(listener.index())) {
            line.count = line.count.saturating_sub(1);
        }
        self.count_unbound();
    }

    fn count_unbound(&self) {
        self.counters.unbound.set(self.unbound.iter().map(|line| u64::from(line.count)).sum());
    }

    /// A bind was wrong: its answer is the later the more of them there were, and its address may be banned for it. The
    /// shard of the listener hears of it, since it lets addresses in.
    pub(super) fn on_bind_failed(
        &mut self,
        now: Now,
        id: LinkId,
        esme: Option<EsmeId>,
        out: &mut Outbox,
    ) -> Duration {
        let config = Arc::clone(&self.config);
        let Some((listener, peer)) = self.link(id).and_then(|slot| slot.peer) else { return Duration::ZERO };
        let Some(settings) = config.listeners.get(listener.index()) else { return Duration::ZERO };
        let failed = self.admission.failed(now.mono, peer.ip(), esme, &settings.admission);
        let home = self.position.homes.of_listener(listener);
        match failed.banned_until {
            Some(until) => self.tell_banned(now, peer.ip(), until, out),
            None if home != self.position.shard => {
                out.mail(home, Mail::BindFailed { listener, peer: peer.ip() });
            }
            None => {}
        }
        failed.delay
    }

    /// Another shard has refused a bind that came in here.
    pub(super) fn on_bind_failed_elsewhere(
        &mut self,
        now: Now,
        listener: ListenerId,
        peer: IpAddr,
        out: &mut Outbox,
    ) {
        let config = Arc::clone(&self.config);
        let Some(settings) = config.listeners.get(listener.index()) else { return };
        if let Some(until) = self.admission.failed_elsewhere(now.mono, peer, &settings.admission) {
            self.tell_banned(now, peer, until, out);
        }
    }

    /// An address is banned from now on, by every shard.
    fn tell_banned(&mut self, now: Now, peer: IpAddr, until: Instant, out: &mut Outbox) {
        self.others().for_each(|other| out.mail(other, Mail::Banned { peer, until }));
        self.log(now, out, Level::Warn, "address_banned", |_| {
            let seconds = until.since(now.mono).as_secs();
            vec![("peer", peer.to_string()), ("seconds", seconds.to_string())]
        });
        self.count_bans(now);
    }

    pub(super) fn on_banned(&mut self, now: Now, peer: IpAddr, until: Instant) {
        self.admission.ban(now.mono, peer, until);
        self.count_bans(now);
    }

    pub(super) fn count_bans(&mut self, now: Now) {
        let (bans, ends) = self.admission.bans(now.mono);
        self.counters.bans.set(bans as u64);
        self.counters.sources.set(self.admission.sources() as u64);
        if let Some(ends) = ends {
            self.tick_later(ends, Timer::Bans);
        }
    }

    /// A link of an ESME is closed: who counts those of its listener is told.
    pub(super) fn peer_gone(&mut self, now: Now, listener: ListenerId, peer: SocketAddr, out: &mut Outbox) {
        let to = self.position.homes.of_listener(listener);
        self.send_mail(now, to, Mail::LinkGone { listener, peer }, out);
    }

    /// A link came from the shard that accepted it. Its bind is among what was read.
    pub(super) fn on_handed_over(&mut self, now: Now, id: LinkId, parcel: &Parcel, out: &mut Outbox) {
        let Some(settings) = self.config.listeners.get(parcel.listener.index()) else {
            return out.close(id, CloseHow::Now);
        };
        let timers = before_bind(settings.session_init_timeout);
        let session = Session::new(Role::Smsc, parcel.accepted, 1, timers);
        let mut slot = LinkSlot::new(id, Side::Unbound(parcel.listener), session, settings.pdu_max);
        slot.peer = Some((parcel.listener, parcel.peer));
        slot.output_timeout = settings.output_timeout;
        self.add_link(slot);
        self.arm(id);
        self.on_bytes(now, id, &parcel.unread, out);
    }

    pub(super) fn forget_peer(&mut self, listener: ListenerId, peer: SocketAddr) {
        if let Some(count) = self.per_listener.get_mut(listener.index()) {
            *count = count.saturating_sub(1);
        }
        let key = (listener, Source::of(peer.ip()));
        if let Some(count) = self.per_address.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&key);
            }
        }
    }

    pub(super) fn on_bind(
        &mut self,
        now: Now,
        id: LinkId,
        kind: BindKind,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Flow {
        let bind = match Bind::parse(pdu) {
            Ok(bind) => bind,
            Err(error) => {
                self.counters.refusals.at(Reason::Malformed as usize).bump();
                self.note_malformed(now.mono, id, pdu.bytes(), error);
                write_header_only(
                    out.to(id),
                    pdu.command_id().response(),
                    error.status,
                    pdu.sequence_number(),
                );
                self.on_bind_failed(now, id, None, out);
                self.leave_line(id);
                self.end(id, out);
                return Flow::Stop;
            }
        };
        if let Some(esme) = self.system_ids.get(bind.system_id) {
            let home = self.position.homes.of_esme(*esme);
            if home != self.position.shard {
                return Flow::Leave(home);
            }
        }
        match self.check_bind(id, &bind) {
            Ok(esme) => {
                self.accept_bind(now, id, esme, kind, &bind, pdu, out);
                Flow::Next
            }
            Err((esme, reason, status)) => {
                self.on_bind_refused(now, id, esme, reason, out);
                self.leave_line(id);
                let refused =
                    BindRefused { command: pdu.command_id(), sequence: pdu.sequence_number(), status };
                if let Some(slot) = self.link_mut(id) {
                    slot.bind_refused = Some(refused);
                }
                if reason == Reason::Credentials {
                    let delay = self.on_bind_failed(now, id, esme, out);
                    self.hold_refusal(now, id, delay, out);
                } else {
                    self.refuse_bind_now(now, id, out);
                }
                Flow::Stop
            }
        }
    }

    fn check_bind(
        &self,
        id: LinkId,
        bind: &Bind<'_>,
    ) -> Result<EsmeId, (Option<EsmeId>, Reason, CommandStatus)> {
        if self.draining {
            return Err((None, Reason::Draining, CommandStatus::BIND_FAILED));
        }
        let wrong = (None, Reason::Credentials, CommandStatus::INVALID_PASSWORD);
        let esme = *self.system_ids.get(bind.system_id).ok_or(wrong)?;
        let account = self.accounts.get(esme.index()).ok_or(wrong)?;
        let peer = self.link(id).and_then(|slot| slot.peer).ok_or(wrong)?;
        account.check_bind(bind.password, host_of(peer.1)).map_err(|refusal| match refusal {
            BindRefusal::Credentials => (Some(esme), Reason::Credentials, CommandStatus::INVALID_PASSWORD),
            BindRefusal::Sessions => (Some(esme), Reason::Sessions, CommandStatus::ALREADY_BOUND),
        })?;
        Ok(esme)
    }

    fn on_bind_refused(
        &mut self,
        now: Now,
        id: LinkId,
        esme: Option<EsmeId>,
        reason: Reason,
        out: &mut Outbox,
    ) {
        self.counters.refusals.at(reason as usize).bump();
        match esme.and_then(|esme| self.counters.esmes.get(esme.index())) {
            Some(cells) => cells.binds_refused.bump(),
            None => self.counters.binds_refused.bump(),
        }
        self.note_bind(now.mono, id, esme, reason);
        self.log_by(now, out, Level::Warn, ("bind_refused", reason.name()), |shard| {
            let mut fields = shard.peer_fields(id);
            fields.extend(esme.and_then(|esme| shard.account_name(esme)).map(|name| ("esme", name)));
            fields.push(("reason", reason.name().to_owned()));
            fields
        });
    }

    /// Guesses are answered slowly; who is only over a limit hears it at once. The link is closed after the answer.
    fn hold_refusal(&mut self, now: Now, id: LinkId, delay: Duration, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        slot.closing = true;
        self.tick_later(now.mono.after(delay), Timer::RefuseBind(id));
        self.refusals_held.push_back(id);
        while self.counters.refusals_held.get() as usize >= REFUSALS_HELD_MAX {
            let Some(first) = self.refusals_held.pop_front() else { break };
            self.refuse_bind_now(now, first, out);
        }
        self.counters.refusals_held.bump();
        let Self { links, refusals_held, .. } = self;
        if refusals_held.len() > 2 * REFUSALS_HELD_MAX {
            refusals_held.retain(|id| live(links, *id).is_some_and(|slot| slot.bind_refused.is_some()));
        }
    }

    /// One wrong bind is answered, or its link is gone.
    pub(super) fn count_held_off(&self) {
        self.counters.refusals_held.lower();
    }

    pub(super) fn refuse_bind_now(&mut self, _now: Now, id: LinkId, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        let Some(refused) = slot.bind_refused.take() else { return };
        if core::mem::replace(&mut slot.closing, true) {
            self.count_held_off();
        }
        write_header_only(out.to(id), refused.command.response(), refused.status, refused.sequence);
        out.close(id, CloseHow::AfterFlush);
    }

    #[expect(clippy::too_many_arguments, reason = "one call, after the bind was checked")]
    fn accept_bind(
        &mut self,
        now: Now,
        id: LinkId,
        esme: EsmeId,
        kind: BindKind,
        bind: &Bind<'_>,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let Some(account) = self.accounts.get_mut(esme.index()) else { return };
        account.add_session(id, kind);
        let settings = &account.settings;
        let timers = TimerSettings {
            session_init: Duration::ZERO,
            enquire_link: settings.enquire_link_interval,
            inactivity: settings.inactivity_timeout,
            response: settings.response_timeout,
        };
        let (window_max, version) = (settings.window_max, bind.interface_version);
        let mut tlvs = Vec::new();
        if version >= 0x34 {
            write_tlv(&mut tlvs, Tag::SC_INTERFACE_VERSION, &[OUR_VERSION]);
        }
        let response = BindResp { system_id: Some(&settings.system_id_reply), tlvs: Tlvs::lenient(&tlvs) };
        response.write(out.to(id), pdu.command_id().response(), CommandStatus::OK, pdu.sequence_number());
        if let Some(cells) = self.counters.esmes.get(esme.index()) {
            cells.binds.bump();
        }
        self.count_bound(esme);
        self.leave_line(id);
        if let Some(slot) = self.link_mut(id) {
            slot.side = Side::Esme(esme);
            slot.session.accept_bind(now.mono, kind, version, window_max, timers);
        }
        self.arm(id);
        self.log(now, out, Level::Info, "bound", |shard| {
            let mut fields = shard.peer_fields(id);
            fields.extend([("bind", kind.name().to_owned()), ("version", format!("0x{version:02X}"))]);
            fields
        });
        if kind.receives() {
            self.pump_waiting(now, esme, out);
        }
    }

    pub(super) fn on_esme_gone(
        &mut self,
        now: Now,
        esme: EsmeId,
        slot: &mut LinkSlot,
        reason: &str,
        out: &mut Outbox,
    ) {
        if let Some(account) = self.accounts.get_mut(esme.index()) {
            account.remove_session(slot.id);
        }
        self.count_bound(esme);
        self.count_ended(esme, u64::from(slot.session.theirs()));
        self.forget_quanta_of(esme);
        let (peer, why) = (slot.peer.map(|(_, peer)| peer.to_string()), reason.to_owned());
        self.log(now, out, Level::Info, "unbound", |shard| {
            let mut fields = Vec::new();
            fields.extend(shard.account_name(esme).map(|name| ("esme", name)));
            fields.extend(peer.map(|peer| ("peer", peer)));
            fields.push(("reason", why));
            fields
        });
        while let Some(owner) = slot.session.abandon(&mut self.windows) {
            self.retry_delivery(now, owner, out);
        }
        if slot.session.theirs() > 0 {
            for other in self.others() {
                self.send_mail(now, other, Mail::SessionGone(slot.id), out);
            }
        }
        if self.accounts.get(esme.index()).is_some_and(|account| account.receivers() == 0) {
            self.refuse_waiting(now, esme, out);
        }
    }
}

/// The timers of a link that has not bound.
const fn before_bind(session_init: Duration) -> TimerSettings {
    TimerSettings {
        session_init,
        enquire_link: Duration::ZERO,
        inactivity: Duration::ZERO,
        response: session_init,
    }
}
