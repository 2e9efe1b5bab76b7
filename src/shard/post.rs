//! Letters to and from the other shards.
//!
//! Owns: the credits, what was learnt of other shards' carriers, who waits for ours. Takes: letters. Gives: them to whom
//! they concern; the hints of our own carriers. Never: waits for another shard.
//!
//! Stored messages whose carrier has no room wait at home until they are called, as many of each shard as left from here since
//! the last call: those of an account at another shard leave as fast as ours.

use super::links::live;
use super::mail::{Mail, Tag};
use super::port::Outbox;
use super::timers::Timer;
use super::{Position, Shard};
use crate::config::Config;
use crate::ids::{CarrierId, EsmeId, ShardId};
use crate::limits::{HINT_AGE, ROOM_ASKED_AGAIN, ROOM_CALLED_MAX};
use crate::time::{Instant, Now};

/// What this shard knows of the others.
#[derive(Debug)]
pub(super) struct Post {
    /// Requests that may still go to each.
    credits: Vec<u32>,
    /// By carrier: what was sent to it since its hint last changed.
    views: Vec<View>,
    /// By carrier of ours.
    waiters: Vec<Waiters>,
    /// Carriers at home here whose hint may have changed.
    changed: Vec<CarrierId>,
    is_changed: Vec<bool>,
    /// While draining: the shards without ESMEs, and those without links, a bit each.
    pub(super) esmes_gone: u64,
    pub(super) links_gone: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct View {
    version: u64,
    sent: u64,
    /// So many more were called for.
    called: u64,
    /// We wait for a call; until then at most.
    asked_until: Instant,
}

/// The shards whose stored messages wait for room, a bit each, and how many of ours left since they were called.
#[derive(Debug, Clone, Copy, Default)]
struct Waiters {
    shards: u64,
    ours: u64,
}

impl Post {
    pub(super) fn new(config: &Config, position: &Position) -> Self {
        Self {
            credits: vec![position.credits; position.homes.shards()],
            views: vec![View::default(); config.carriers.len()],
            waiters: vec![Waiters::default(); config.carriers.len()],
            changed: Vec::new(),
            is_changed: vec![false; config.carriers.len()],
            esmes_gone: 0,
            links_gone: 0,
        }
    }
}

#[cfg(test)]
impl Post {
    pub(super) fn all_credits(&self, each: u32) -> bool {
        self.credits.len() == 1 || self.credits.iter().all(|credits| *credits == each)
    }
}

/// What may be sent to a carrier of another shard now, by its hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// It would be written at once.
    pub(super) at_once: bool,
    /// It would be taken.
    pub(super) at_all: bool,
}

impl Shard {
    pub(super) fn shards(&self) -> usize {
        self.position.homes.shards()
    }

    pub(super) fn home_of(&self, carrier: CarrierId) -> ShardId {
        self.position.homes.of_carrier(carrier)
    }

    /// True when the carrier's sessions are on this shard.
    #[inline]
    pub(super) fn is_here(&self, carrier: CarrierId) -> bool {
        self.home_of(carrier) == self.position.shard
    }

    /// True when the account's sessions are on this shard.
    #[inline]
    pub(super) fn is_own(&self, esme: EsmeId) -> bool {
        self.position.homes.of_esme(esme) == self.position.shard
    }

    /// Every other shard.
    pub(super) fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let own = self.position.shard;
        (0..self.shards()).map(ShardId::new).filter(move |shard| *shard != own)
    }

    pub(super) fn has_credit(&self, shard: ShardId) -> bool {
        shard == self.position.shard
            || self.post.credits.get(shard.index()).is_some_and(|credits| *credits > 0)
    }

    /// Sends a request, for which `has_credit` was asked; one to ourselves is taken at once.
    pub(super) fn request(&mut self, now: Now, to: ShardId, mail: Mail, out: &mut Outbox) {
        if to == self.position.shard {
            return self.take_own_mail(now, to, mail, out);
        }
        self.request_of(to, mail, out);
    }

    /// Sends a request to another shard, for which `has_credit` was asked.
    #[inline]
    pub(super) fn request_of(&mut self, other: ShardId, mail: Mail, out: &mut Outbox) {
        debug_assert!(other != self.position.shard);
        if let Some(credits) = self.post.credits.get_mut(other.index()) {
            debug_assert!(*credits > 0, "asked before");
            *credits -= 1;
            self.counters.credits_used.bump();
        }
        out.mail(other, mail);
    }

    /// Sends a letter; one to ourselves is taken at once.
    #[inline]
    pub(super) fn send_mail(&mut self, now: Now, to: ShardId, mail: Mail, out: &mut Outbox) {
        if to == self.position.shard {
            return self.take_own_mail(now, to, mail, out);
        }
        out.mail(to, mail);
    }

    #[inline(never)]
    fn take_own_mail(&mut self, now: Now, own: ShardId, mail: Mail, out: &mut Outbox) {
        self.take_mail(now, own, mail, out);
    }

    #[inline(always)]
    pub(super) fn on_mail(&mut self, now: Now, from: ShardId, mail: Mail, out: &mut Outbox) {
        if mail.is_reply()
            && let Some(credits) = self.post.credits.get_mut(from.index())
        {
            *credits += 1;
            self.counters.credits_used.lower();
            debug_assert!(*credits <= self.position.credits, "a credit comes back once");
        }
        self.take_mail(now, from, mail, out);
    }

    #[inline(always)]
    fn take_mail(&mut self, now: Now, from: ShardId, mail: Mail, out: &mut Outbox) {
        match mail {
            // It is large, and read where it is.
            Mail::Submit(mut submit) => self.on_guest(now, from, &mut submit, out),
            Mail::Operation { tag, esme, link, deadline, frame } => {
                self.on_guest_operation(now, (from, tag), esme, (link, deadline), frame, out);
            }
            Mail::Deliver(deliver) => self.on_foreign_delivery(now, from, deliver, out),
            Mail::Alert { tag, carrier, at, frame } => {
                self.on_foreign_alert(now, (from, tag), carrier, at, frame, out);
            }
            Mail::Answered { tag, response, frame } => self.on_away_answered(now, tag, response, frame, out),
            Mail::Unknown { tag, frame } => self.on_away_unknown(now, tag, frame, out),
            Mail::NotTaken { tag, frame, why } => self.on_not_taken(now, tag, frame, why, out),
            Mail::NotFound { tag } => self.ask_next(now, super::message::key_of_tag(tag), out),
            Mail::Delivered { tag, response } => self.on_delivered(now, tag, response, out),
            Mail::NotDelivered { tag, status, frame } => self.on_not_delivered(now, tag, status, frame, out),
            Mail::Noted { tag: Tag(_) } => {}
            Mail::Index(indexed) => self.on_index(now, &indexed, out),
            Mail::Restored(indexed, over) => self.on_restored(now, &indexed, &over, out),
            Mail::Sleep { tag, record, link } => self.on_sleep(now, (from, tag), record, link, out),
            Mail::Sleeps { tag, key } => self.on_sleeps(now, tag, key, out),
            Mail::Slept { carrier, id, key } => self.on_slept(now, (carrier, &id), key, out),
            Mail::Wake { key, hash } => self.on_wake(now, from, (key, hash), out),
            Mail::Woken { key, age, indexed } => self.on_woken(now, (key, age), &indexed, out),
            Mail::Gone { key, hash, over } => self.on_gone(now, (key, hash), over, out),
            Mail::LatePart { multi, indexed } => self.on_late_part(now, multi, indexed, out),
            Mail::LateStored { stored, indexed } => self.on_late_stored(now, stored, indexed, out),
            Mail::SessionGone(link) => self.forget_guests(now, from, link, out),
            Mail::CarrierUp => self.reroute_stranded(now, out),
            Mail::RoomWanted(carrier) => {
                if let Some(waiters) = self.post.waiters.get_mut(carrier.index()) {
                    waiters.shards |= 1 << from.0;
                }
                self.changed(carrier);
            }
            Mail::Room { carrier, messages } => {
                if let Some(view) = self.post.views.get_mut(carrier.index()) {
                    (view.called, view.asked_until) = (messages, Instant::ZERO);
                }
            }
            Mail::LinkGone { listener, peer } => self.forget_peer(listener, peer),
            Mail::BindFailed { listener, peer } => self.on_bind_failed_elsewhere(now, listener, peer, out),
            Mail::Banned { peer, until } => self.on_banned(now, peer, until),
            Mail::EsmesGone => {
                self.post.esmes_gone |= 1 << from.0;
                self.drain_carriers(now, out);
            }
            Mail::LinksGone => {
                self.post.links_gone |= 1 << from.0;
                self.drain_carriers(now, out);
            }
        }
    }

    /// What a carrier of another shard would take of us now.
    pub(super) fn room_at(&mut self, carrier: CarrierId) -> Room {
        let nothing = Room { at_once: false, at_all: false };
        if !self.has_credit(self.home_of(carrier)) {
            return nothing;
        }
        let told = u64::from(self.told_to(carrier));
        let Self { position, post, .. } = self;
        let (Some(hint), Some(view)) =
            (position.hints.of(carrier.index()), post.views.get_mut(carrier.index()))
        else {
            return nothing;
        };
        let version = hint.version.get();
        if view.version != version {
            (view.version, view.sent) = (version, 0);
        }
        let (room, queue) = (hint.room.get(), hint.queue.get());
        let (called, sent) = (view.called > told, view.sent + told);
        Room {
            at_once: hint.sends.get() == 1 && (called || room > sent),
            at_all: called || room + queue > sent,
        }
    }

    /// One more is on its way to a carrier of another shard.
    pub(super) fn spend_room(&mut self, carrier: CarrierId) {
        if let Some(view) = self.post.views.get_mut(carrier.index()) {
            view.sent += 1;
            view.called = view.called.saturating_sub(1);
        }
    }

    /// Stored messages wait for room at a carrier of another shard, which is told so. Who was called and could not come needs
    /// something else.
    pub(super) fn want_room(&mut self, now: Instant, carrier: CarrierId, out: &mut Outbox) {
        let home = self.home_of(carrier);
        let Some(view) = self.post.views.get_mut(carrier.index()) else { return };
        if view.called == 0 && now >= view.asked_until {
            view.asked_until = now.after(ROOM_ASKED_AGAIN);
            out.mail(home, Mail::RoomWanted(carrier));
        }
    }

    /// A stored message of ours leaves to a carrier of ours.
    pub(super) fn ours_leaves(&mut self, carrier: CarrierId) {
        if let Some(waiters) = self.post.waiters.get_mut(carrier.index()) {
            waiters.ours = (waiters.ours + 1).min(ROOM_CALLED_MAX);
        }
    }

    /// True when a session of the carrier that sends is bound, wherever its home is.
    pub(super) fn sends_now(&self, carrier: CarrierId) -> bool {
        if self.is_here(carrier) {
            return self.carriers.get(carrier.index()).is_some_and(crate::carrier::Carrier::can_send);
        }
        self.position.hints.of(carrier.index()).is_some_and(|hint| hint.sends.get() == 1)
    }

    /// The carrier's room may be another than it was.
    #[inline]
    pub(super) fn changed(&mut self, carrier: CarrierId) {
        if self.post.credits.len() > 1
            && let Some(changed) = self.post.is_changed.get_mut(carrier.index())
            && !*changed
        {
            *changed = true;
            self.post.changed.push(carrier);
        }
    }

    /// Tells the other shards how our carriers are.
    #[inline]
    pub(super) fn publish(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(carrier) = self.post.changed.pop() {
            if let Some(changed) = self.post.is_changed.get_mut(carrier.index()) {
                *changed = false;
            }
            self.publish_one(now, carrier, out);
        }
    }

    fn publish_one(&mut self, now: Instant, id: CarrierId, out: &mut Outbox) {
        // Those whose records are on their way have their slots already.
        let (told, others) = (self.told_to(id), self.others());
        let Self { carriers, links, position, post, timers, .. } = self;
        let (Some(carrier), Some(hint)) = (carriers.get_mut(id.index()), position.hints.of(id.index()))
        else {
            return;
        };
        let (mut free, mut used) = (0u64, 0u64);
        for (link, _) in carrier.sessions().filter(|(_, kind)| kind.transmits()) {
            let slot = live(links, link);
            let Some(slot) = slot else { continue };
            let window = slot.session.window();
            used += u64::from(window.used());
            if super::mt::has_room(links, link, out) {
                free += u64::from(window.max().saturating_sub(window.used()));
            }
        }
        free = free.saturating_sub(u64::from(told));
        let ready = carrier.pace.available(now);
        let pace = ready.saturating_sub(told);
        // While its pace holds it back, its room grows though nothing happens.
        let grows = u64::from(pace) < free && pace < carrier.pace.most();
        let room = if carrier.queue.is_empty() { free.min(u64::from(pace)) } else { 0 };
        let waiting = carrier.queue.len() as u64;
        let queue = if carrier.may_ever_send() { u64::from(carrier.settings.queue_max) } else { 0 };
        let queue = queue.saturating_sub(waiting);
        hint.room.set(room);
        hint.queue.set(queue);
        hint.used.set(used);
        hint.sends.set(u64::from(carrier.can_send()));
        hint.version.bump();
        if grows {
            timers.push_once(now.after(HINT_AGE), Timer::Carrier(id));
        }
        let waiters = post.waiters.get_mut(id.index()).filter(|waiters| waiters.shards != 0);
        let Some(waiters) = waiters.filter(|_| carrier.can_send()) else { return };
        let messages = room.min(ROOM_CALLED_MAX).max(waiters.ours).min(room + queue);
        if messages > 0 {
            let Waiters { shards, .. } = core::mem::take(waiters);
            let waiting = others.filter(|shard| shards & 1 << shard.0 != 0);
            waiting.for_each(|shard| out.mail(shard, Mail::Room { carrier: id, messages }));
        } else if ready == 0 {
            timers.push_once(carrier.pace.ready_at(now), Timer::Carrier(id));
        }
    }
}
