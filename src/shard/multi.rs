//! submit_multi: recipients grouped by carrier under one id of ours, failures in unsuccess_sme, ESME_ROK when any was
//! accepted.
//!
//! Owns: nothing of its own. Takes: a submit_multi; the answers to its parts. Gives: one answer. Never: splits one
//! whose recipients all take the same pool: that passes unchanged.

use super::Shard;
use super::message::{IdFrom, Kind, Message, Multi, MultiKey, TakenPart};
use super::mt::{Body, receipts_asked};
use super::port::Outbox;
use crate::counters::Reason;
use crate::ids::{EsmeId, LinkId, PoolId};
use crate::ledger::{AddressTail, Destinations, End, Given, IdText, NewEntry};
use crate::smpp::command::CommandId;
use crate::smpp::frame::{Pdu, write_pdu};
use crate::smpp::multi::{Destination, SubmitMulti, SubmitMultiResp, Unsuccess};
use crate::smpp::sm::{Address, write_c_octets};
use crate::smpp::status::CommandStatus;
use crate::time::Now;

/// The destinations of one pool, as they stand in the PDU.
struct Group {
    pool: PoolId,
    count: u8,
    octets: Vec<u8>,
}

impl Shard {
    pub(super) fn on_submit_multi(
        &mut self,
        now: Now,
        id: LinkId,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Result<(), (CommandStatus, Reason)> {
        let multi = SubmitMulti::parse(pdu).map_err(|error| (error.status, Reason::Malformed))?;
        self.throttle(now.mono, esme, u32::from(multi.destinations.count().max(1)))?;
        if self.stores(esme, pdu.command_id()) {
            return self.store_multi(now, (id, esme), pdu, &multi, out);
        }
        let (groups, unroutable) = self.group(esme, &multi);
        let awaits = receipts_asked(multi.content.registered_delivery);
        match groups.as_slice() {
            [] => Err((CommandStatus::INVALID_DESTINATION, Reason::NoRoute)),
            [group] if unroutable.is_empty() => {
                let mut message = self.message(now, id, esme, pdu, Kind::Submit);
                message.pool = Some(group.pool);
                message.awaited = if awaits { u16::from(group.count) } else { 0 };
                message.destination = tails_of(&multi);
                let body = Body::Multi(multi);
                self.open_message(now, &mut message, &body);
                let open = message.open;
                let placed = self.dispatch(now, message, pdu, &body, out).map(|_| ());
                if placed.is_err() {
                    self.forget_open(open);
                }
                placed
            }
            _ => {
                self.split(now, (id, esme), pdu, &multi, groups, &unroutable, out);
                Ok(())
            }
        }
    }

    /// Destinations by pool, and those that no route takes.
    fn group<'a>(&self, esme: EsmeId, multi: &SubmitMulti<'a>) -> (Vec<Group>, Vec<Address<'a>>) {
        let (mut groups, mut unroutable): (Vec<Group>, Vec<Address<'a>>) = (Vec::new(), Vec::new());
        for destination in multi.destinations.iter() {
            let (digits, address) = match destination {
                Destination::Address(address) => (address.digits, Some(address)),
                Destination::List(_) => (&[] as &[u8], None),
            };
            let empty = address.is_some_and(|address| address.digits.is_empty());
            let pool = if empty { None } else { self.pool_for(esme, multi.source.digits, digits).ok() };
            let Some(pool) = pool else {
                unroutable.push(address.unwrap_or_default());
                continue;
            };
            let at = groups.iter().position(|group| group.pool == pool).unwrap_or_else(|| {
                groups.push(Group { pool, count: 0, octets: Vec::new() });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.count += 1;
                destination.write(&mut group.octets);
            }
        }
        (groups, unroutable)
    }

    #[expect(clippy::too_many_arguments, reason = "one call")]
    fn split(
        &mut self,
        now: Now,
        (id, esme): (LinkId, EsmeId),
        pdu: &Pdu<'_>,
        multi: &SubmitMulti<'_>,
        groups: Vec<Group>,
        unroutable: &[Address<'_>],
        out: &mut Outbox,
    ) {
        // Ours also where the account is given its carrier's: there is none that stands for all parts.
        let v33 = self.link(id).is_some_and(|slot| slot.session.is_v33());
        let own = if v33 { IdFrom::Short } else { IdFrom::Own };
        let given = self.given(now, own);
        let key = self.multis.insert(Multi {
            esme,
            link: id,
            sequence: pdu.sequence_number(),
            given,
            pending: groups.len() as u32 + 1,
            accepted: false,
            failed: Vec::new(),
            failures: 0,
            first_failure: CommandStatus::OK,
            taken: Vec::new(),
            lsn: None,
        });
        for address in unroutable {
            self.count_refusal(esme, Reason::NoRoute);
            self.add_failure(key, *address, CommandStatus::INVALID_DESTINATION);
        }
        for group in groups {
            self.send_group(now, key, id, esme, multi, &group, out);
        }
        self.part_done(now, key, out);
    }

    #[expect(clippy::too_many_arguments, reason = "one call")]
    fn send_group(
        &mut self,
        now: Now,
        key: MultiKey,
        id: LinkId,
        esme: EsmeId,
        multi: &SubmitMulti<'_>,
        group: &Group,
        out: &mut Outbox,
    ) {
        let mut octets = Vec::new();
        write_pdu(&mut octets, CommandId::SUBMIT_MULTI, CommandStatus::OK, 0, |out| {
            write_c_octets(out, multi.service_type);
            multi.source.write(out);
            out.push(group.count);
            out.extend_from_slice(&group.octets);
            multi.content.write(out);
        });
        let (Some(frame), Some(pdu)) = (self.retained.copy(&octets), Pdu::whole(&octets)) else {
            self.count_refusal(esme, Reason::Retained);
            return self.on_part_failed(now, key, &octets, CommandStatus::THROTTLED, out);
        };
        let mut message = self.message(now, id, esme, &pdu, Kind::Part(key));
        message.pool = Some(group.pool);
        let awaits = receipts_asked(multi.content.registered_delivery);
        message.awaited = if awaits { u16::from(group.count) } else { 0 };
        if let Some(multi) = self.multis.get(key) {
            message.id_from = IdFrom::Already(multi.given);
        }
        if let Ok(part) = SubmitMulti::parse(&pdu) {
            message.destination = tails_of(&part);
        }
        let body = Body::again(&pdu);
        self.open_message(now, &mut message, &body);
        let open = message.open;
        match self.dispatch(now, message, &pdu, &body, out) {
            Ok(message) => self.keep_frame(message, frame),
            Err((status, reason)) => {
                self.count_refusal(esme, reason);
                self.close_message(now, open, End::refused_by_us(status, reason));
                self.on_part_failed(now, key, &frame, status, out);
                self.retained.release(frame);
            }
        }
    }

    fn add_failure(&mut self, key: MultiKey, address: Address<'_>, status: CommandStatus) {
        let Some(multi) = self.multis.get_mut(key) else { return };
        Unsuccess { destination: address, status }.write(&mut multi.failed);
        multi.failures += 1;
        if multi.first_failure == CommandStatus::OK {
            multi.first_failure = status;
        }
    }

    /// Every destination of a part failed with the same status.
    pub(super) fn on_part_failed(
        &mut self,
        now: Now,
        key: MultiKey,
        frame: &[u8],
        status: CommandStatus,
        out: &mut Outbox,
    ) {
        if let Some(Ok(part)) = Pdu::whole(frame).map(|pdu| SubmitMulti::parse(&pdu)) {
            for destination in part.destinations.iter() {
                self.add_failure(key, address_of(&destination), status);
            }
        }
        self.part_done(now, key, out);
    }

    pub(super) fn on_part_answered(
        &mut self,
        now: Now,
        key: MultiKey,
        message: &Message,
        ok: bool,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        if !ok {
            return self.on_part_failed(now, key, &message.frame, pdu.header().command_status, out);
        }
        let response = SubmitMultiResp::parse(pdu);
        for failure in response.unsuccess.iter() {
            self.add_failure(key, failure.destination, failure.status);
        }
        let given = self.multis.get(key).map_or(Given::Carrier, |multi| multi.given);
        let lsn =
            self.record_accepted(now, message, response.message_id.unwrap_or_default(), given, Some(pdu));
        if let Some(multi) = self.multis.get_mut(key) {
            multi.accepted = true;
            multi.lsn = multi.lsn.max(lsn);
            if let Some(id) = response.message_id.filter(|id| !id.is_empty()) {
                let (id, destination) = (IdText::from_slice(id), message.destination.clone());
                let record = lsn.map_or(0, |_| message.open.number());
                let (carrier, awaited) = (message.carrier, message.awaited);
                multi.taken.push(TakenPart { carrier, id, destination, awaited, record });
            }
        }
        self.part_done(now, key, out);
    }

    fn part_done(&mut self, now: Now, key: MultiKey, out: &mut Outbox) {
        let Some(multi) = self.multis.get_mut(key) else { return };
        multi.pending -= 1;
        if multi.pending > 0 {
            return;
        }
        let Some(multi) = self.multis.remove(key) else { return };
        let status = if multi.accepted { CommandStatus::OK } else { multi.first_failure };
        if let Some(cells) = self.counters.esmes.get(multi.esme.index())
            && self.link(multi.link).is_some()
        {
            if multi.accepted { cells.accepted.bump() } else { cells.refused_by_carrier.bump() }
        }
        let id = multi.given.text().unwrap_or_default();
        let asked = (multi.link, multi.esme, CommandId::SUBMIT_MULTI);
        self.answer_after(now, asked, multi.lsn, out, |session, to| {
            let status = status.for_version(session.version());
            write_pdu(to, CommandId::SUBMIT_MULTI_RESP, status, multi.sequence, |out| {
                if multi.accepted {
                    write_c_octets(out, &id);
                    out.push(multi.failures.min(255) as u8);
                    out.extend_from_slice(&multi.failed);
                }
            });
            status
        });
        self.index_parts(now, multi, out);
    }

    /// Only now: a receipt must not come before the response.
    fn index_parts(&mut self, now: Now, multi: Multi, out: &mut Outbox) {
        for TakenPart { carrier, id, destination, awaited, record } in &multi.taken {
            let new = NewEntry {
                carrier: *carrier,
                record: *record,
                id,
                given: multi.given,
                esme: multi.esme,
                link: multi.link,
                mark: out.position(multi.link),
                destination,
                awaited: *awaited,
            };
            self.keep_at_home(now, &new, out);
        }
    }
}

/// How the receipts of its destinations are compared; those of a list may be for any number.
fn tails_of(multi: &SubmitMulti<'_>) -> Destinations {
    let tails = multi.destinations.iter().map(|destination| match destination {
        Destination::Address(address) => AddressTail::of(address.digits),
        Destination::List(_) => AddressTail::ANY,
    });
    Destinations::Several(tails.collect())
}

pub(super) const fn address_of<'a>(destination: &Destination<'a>) -> Address<'a> {
    match destination {
        Destination::Address(address) => *address,
        Destination::List(name) => Address { ton: 0, npi: 0, digits: name },
    }
}
