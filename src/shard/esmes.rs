//! ESMEs come and go: accept, bind, refuse, close. Owns: nothing of its own. Takes: links and bind requests. Gives:
//! bound sessions to their accounts. Never: tells a peer which of its credentials is wrong.

use super::Shard;
use super::links::{BindRefused, Flow, LinkSlot, Side};
use super::mail::{Mail, Parcel};
use super::port::{CloseHow, Level, Outbox, host_of};
use super::timers::Timer;
use crate::counters::Reason;
use crate::esme::BindRefusal;
use crate::ids::{EsmeId, LinkId, ListenerId};
use crate::limits::BIND_REFUSAL_DELAY;
use crate::session::{BindKind, Role, Session, TimerSettings};
use crate::smpp::bind::{Bind, BindResp};
use crate::smpp::frame::{Pdu, write_header_only};
use crate::smpp::status::CommandStatus;
use crate::smpp::tlv::{Tag, Tlvs, write_tlv};
use crate::time::{Duration, Now};
use core::net::SocketAddr;

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
        let Some(settings) = self.config.listeners.get(listener.index()) else {
            return out.close(id, CloseHow::Now);
        };
        let on_listener = self.per_listener.get(listener.index()).copied().unwrap_or(0);
        let of_peer = self.per_address.get(&(listener.0, host_of(peer))).copied().unwrap_or(0);
        let full = on_listener >= settings.connections_max || of_peer >= settings.connections_per_address;
        if full || self.draining {
            self.log(now, out, Level::Warn, "connection_refused", |_| vec![("peer", peer.to_string())]);
            return out.close(id, CloseHow::Now);
        }
        let timers = before_bind(settings.session_init_timeout);
        let pdu_max = settings.pdu_max;
        if let Some(count) = self.per_listener.get_mut(listener.index()) {
            *count += 1;
        }
        *self.per_address.entry((listener.0, host_of(peer))).or_insert(0) += 1;
        let session = Session::new(Role::Smsc, now.mono, 1, timers);
        let mut slot = LinkSlot::new(id, Side::Unbound(listener), session, pdu_max);
        slot.peer = Some((listener, peer));
        self.add_link(slot);
        self.arm(id);
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
        self.add_link(slot);
        self.arm(id);
        self.on_bytes(now, id, &parcel.unread, out);
    }

    pub(super) fn forget_peer(&mut self, listener: ListenerId, peer: SocketAddr) {
        if let Some(count) = self.per_listener.get_mut(listener.index()) {
            *count = count.saturating_sub(1);
        }
        let key = (listener.0, host_of(peer));
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
                write_header_only(
                    out.to(id),
                    pdu.command_id().response(),
                    error.status,
                    pdu.sequence_number(),
                );
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
                let refused =
                    BindRefused { command: pdu.command_id(), sequence: pdu.sequence_number(), status };
                self.refuse_bind(now, id, refused, reason, out);
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
        if let Some(cells) = esme.and_then(|esme| self.counters.esmes.get(esme.index())) {
            cells.binds_refused.bump();
        }
        self.log(now, out, Level::Warn, "bind_refused", |shard| {
            let mut fields = shard.peer_fields(id);
            fields.extend(esme.and_then(|esme| shard.account_name(esme)).map(|name| ("esme", name)));
            fields.push(("reason", reason.name().to_owned()));
            fields
        });
    }

    /// Guesses are answered slowly; who is only over a limit hears it at once. The link is closed after the answer.
    fn refuse_bind(&mut self, now: Now, id: LinkId, refused: BindRefused, reason: Reason, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        slot.bind_refused = Some(refused);
        if reason == Reason::Credentials {
            slot.closing = true;
            self.tick_later(now.mono.after(BIND_REFUSAL_DELAY), Timer::RefuseBind(id));
        } else {
            self.refuse_bind_now(now, id, out);
        }
    }

    pub(super) fn refuse_bind_now(&mut self, _now: Now, id: LinkId, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        let Some(refused) = slot.bind_refused.take() else { return };
        slot.closing = true;
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
