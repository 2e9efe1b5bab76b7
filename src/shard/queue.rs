//! Messages that wait for a carrier: for room in its windows, for its pace, for a session at all.
//!
//! Owns: nothing of its own; the queues stand in the carriers. Takes: messages that cannot leave now. Gives: them to
//! a session, in order, as soon as one can take them, or their answer when their time is over. Never: grows over
//! `queue_max`, starts an attempt that cannot finish.

impl Shard {
    pub(super) fn enqueue(
        &mut self,
        now: Now,
        mut message: Message,
        carrier: CarrierId,
        pdu: &Pdu<'_>,
    ) -> Result<MessageKey, (CommandStatus, Reason)> {
        message.carrier = carrier;
        debug_assert!(message.frame.is_empty());
        let copy = self.retained.copy(pdu.bytes());
        message.frame = copy.ok_or((CommandStatus::THROTTLED, Reason::Retained))?;
        let deadline = message.deadline;
        let key = self.messages.insert(message);
        let Some(queue) = self.carriers.get_mut(carrier.index()).map(|carrier| &mut carrier.queue) else {
            return Err((CommandStatus::SYSTEM_ERROR, Reason::NoCarrier));
        };
        queue.push_back(key);
        let first = queue.len() == 1;
        self.count_queued(carrier);
        if let Some(expiry) = self.expiry.get_mut(carrier.index()).filter(|expiry| **expiry > deadline) {
            *expiry = deadline;
            self.tick_later(deadline, Timer::Carrier(carrier));
        }
        if first {
            self.wait_for_pace(now, carrier);
        }
        Ok(key)
    }

    pub(super) fn count_queued(&self, carrier: CarrierId) {
        let queued = self.carriers.get(carrier.index()).map_or(0, |carrier| carrier.queue.len());
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.queued.set(queued as u64);
        }
    }

    /// A carrier whose queue has room: one that is bound before one that is not.
    pub(super) fn pick_queue(
        &mut self,
        pool: PoolId,
        command: CommandId,
        body: &Body<'_>,
    ) -> Result<CarrierId, (CommandStatus, Reason)> {
        let Self { carriers, balance, .. } = self;
        let mut fits_any = false;
        let mut sends_any = false;
        for bound_only in [true, false] {
            let found = balance.pick(pool, &mut |carrier| {
                let Some(carrier) = carriers.get(carrier.index()) else { return false };
                let fits = !is_v33(carrier) || body.fits_v33(command);
                fits_any |= fits;
                sends_any |= carrier.may_ever_send();
                let open = carrier.queue.len() < carrier.settings.queue_max as usize;
                let up = if bound_only { carrier.can_send() } else { carrier.may_ever_send() };
                fits && open && up
            });
            if let Some(path) = found {
                balance.charge(&path);
                return Ok(path.carrier);
            }
        }
        Err(if !fits_any {
            (CommandStatus::INVALID_MESSAGE_LENGTH, Reason::Parts)
        } else if sends_any {
            (CommandStatus::QUEUE_FULL, Reason::QueueFull)
        } else {
            (CommandStatus::SYSTEM_ERROR, Reason::NoCarrier)
        })
    }

    /// Sends what waits for a carrier, as long as there is room.
    pub(super) fn pump(&mut self, now: Now, carrier: CarrierId, out: &mut Outbox) {
        loop {
            let Self { carriers, links, messages, .. } = self;
            let Some(state) = carriers.get_mut(carrier.index()) else { return };
            let Some(&key) = state.queue.front() else { return };
            let Some(message) = messages.get(key) else {
                state.queue.pop_front();
                continue;
            };
            // No attempt starts that cannot be answered.
            let gone = links
                .get(message.link.index())
                .and_then(Option::as_ref)
                .is_none_or(|slot| slot.id != message.link);
            if gone || message.deadline <= now.mono {
                state.queue.pop_front();
                self.count_queued(carrier);
                self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
                continue;
            }
            if state.throttle.as_mut().is_some_and(|throttle| throttle.available(now.mono) == 0) {
                return self.wait_for_pace(now, carrier);
            }
            let Some(link) = state.next_sender(|link| has_room(links, link, out)) else { return };
            state.queue.pop_front();
            self.count_queued(carrier);
            self.send_queued(now, key, carrier, link, out);
        }
    }

    pub(super) fn send_queued(&mut self, now: Now, key: MessageKey, carrier: CarrierId, link: LinkId, out: &mut Outbox) {
        let Some(message) = self.messages.get_mut(key) else { return };
        let frame = core::mem::take(&mut message.frame);
        let keep = matches!(message.kind, Kind::Part(_));
        if let Some(pdu) = Pdu::whole(&frame) {
            self.send(now.mono, key, carrier, link, &pdu, &Body::again(&pdu), out);
        }
        if keep && let Some(message) = self.messages.get_mut(key) {
            message.frame = frame;
        } else {
            self.retained.release(frame);
        }
    }

    /// Looks again when the carrier's pace allows the next PDU.
    pub(super) fn wait_for_pace(&mut self, now: Now, carrier: CarrierId) {
        let state = self.carriers.get_mut(carrier.index());
        let ready =
            state.and_then(|state| state.throttle.as_mut()).map(|throttle| throttle.ready_at(now.mono));
        if let Some(ready) = ready {
            self.tick_later(ready, Timer::Carrier(carrier));
        }
    }

    /// Ends a message that was never written.
    pub(super) fn give_up(
        &mut self,
        now: Now,
        key: MessageKey,
        status: CommandStatus,
        reason: Reason,
        out: &mut Outbox,
    ) {
        let Some(mut message) = self.messages.remove(key) else { return };
        self.count_refusal(message.esme, reason);
        if let Kind::Part(multi) = message.kind {
            self.on_part_failed(now, multi, &message.frame, status, out);
        } else {
            self.answer_status(now, &message, status, out);
        }
        self.retained.release(core::mem::take(&mut message.frame));
    }

    /// A carrier can send no more, or another can again: what waits there, and was never written, is decided again.
    /// What only this carrier can answer stays.
    pub(super) fn reroute(&mut self, now: Now, carrier: CarrierId, out: &mut Outbox) {
        let Some(state) = self.carriers.get_mut(carrier.index()) else { return };
        let waiting = core::mem::take(&mut state.queue);
        for key in waiting {
            if self.messages.get(key).is_some_and(|message| message.pool.is_none()) {
                if let Some(state) = self.carriers.get_mut(carrier.index()) {
                    state.queue.push_back(key);
                }
                continue;
            }
            let Some(mut message) = self.messages.remove(key) else { continue };
            if self.link(message.link).is_none() {
                let key = self.messages.insert(message);
                self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
                continue;
            }
            let frame = core::mem::take(&mut message.frame);
            let Some(pdu) = Pdu::whole(&frame) else { continue };
            let asked = (message.esme, message.link, message.sequence, message.command, message.kind);
            match self.dispatch(now, message, &pdu, &Body::again(&pdu), out) {
                Ok(key) => self.keep_frame(key, frame),
                Err(refusal) => {
                    self.refuse_rerouted(now, asked, refusal, &frame, out);
                    self.retained.release(frame);
                }
            }
        }
        self.count_queued(carrier);
    }

    /// A part of a split submit_multi keeps its octets until it is answered; nobody else does once it is sent.
    pub(super) fn keep_frame(&mut self, key: MessageKey, frame: Vec<u8>) {
        match self.messages.get_mut(key) {
            Some(message) if matches!(message.kind, Kind::Part(_)) && message.frame.is_empty() => {
                message.frame = frame;
            }
            _ => self.retained.release(frame),
        }
    }

    pub(super) fn refuse_rerouted(
        &mut self,
        now: Now,
        (esme, link, sequence, command, kind): (EsmeId, LinkId, u32, CommandId, Kind),
        (status, reason): (CommandStatus, Reason),
        frame: &[u8],
        out: &mut Outbox,
    ) {
        self.count_refusal(esme, reason);
        if let Kind::Part(multi) = kind {
            return self.on_part_failed(now, multi, frame, status, out);
        }
        write_header_only(out.to(link), command.response(), status, sequence);
        self.answered_or_gone(now, link, out);
    }
}
