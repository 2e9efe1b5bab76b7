//! Two cores joined in memory, for tests. Owns: both, their outboxes, the time. Takes: nothing. Gives: what both did.
//! Never: waits; time jumps to the next deadline.

use crate::ids::{LinkId, ListenerId};
use crate::shard::port::{Action, Core, Input, Outbox};
use crate::time::{Duration, Instant, Now, Wall};

/// `near` connects, `far` listens.
pub(in crate::tools) struct Wire<N, F> {
    pub(in crate::tools) near: N,
    pub(in crate::tools) far: F,
    outs: [Outbox; 2],
    pub(in crate::tools) now: Now,
    /// Links that are up; both ends have the same number.
    links: Vec<(LinkId, bool)>,
    /// Links whose far end reads no more.
    paused: Vec<LinkId>,
    /// Both hear of a deadline so much later.
    pub(in crate::tools) lag: Duration,
    /// No connect comes up.
    pub(in crate::tools) unreachable: bool,
    pub(in crate::tools) exited: bool,
}

impl<N: Core, F: Core> Wire<N, F> {
    pub(in crate::tools) fn new(near: N, far: F) -> Self {
        let now = Now { mono: Instant::from_nanos(3_600_000_000_000), wall: Wall(1_782_820_860_000_000) };
        let outs = [Outbox::new(), Outbox::new()];
        let (links, paused) = (Vec::new(), Vec::new());
        let lag = Duration::ZERO;
        Self { near, far, outs, now, links, paused, lag, unreachable: false, exited: false }
    }

    fn give(&mut self, side: usize, input: Input<'_>) {
        if side == 0 {
            self.near.handle(self.now, input, &mut self.outs[0]);
        } else {
            self.far.handle(self.now, input, &mut self.outs[1]);
        }
    }

    fn move_octets(&mut self, side: usize) -> bool {
        let mut moved = false;
        while let Some((link, buffer)) = self.outs[side].take_dirty() {
            moved = true;
            let room = self.outs[side].flushed(link, buffer.len());
            if !self.paused.contains(&link) {
                self.give(1 - side, Input::Bytes { link, bytes: &buffer });
            }
            self.outs[side].keep(buffer);
            if room {
                self.give(side, Input::Room { link });
            }
        }
        moved
    }

    fn close(&mut self, link: LinkId) {
        let Some(place) = self.links.iter_mut().find(|(held, open)| *held == link && *open) else { return };
        place.1 = false;
        for side in 0..2 {
            self.outs[side].closed(link);
            self.give(side, Input::Closed { link, reason: "closed" });
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect(connect) if self.unreachable => {
                let ticket = connect.ticket;
                self.give(0, Input::ConnectFailed { ticket, reason: "Connection refused" });
            }
            Action::Connect(connect) => {
                let link = LinkId { slot: self.links.len() as u32, generation: 1 };
                self.links.push((link, true));
                self.outs.iter_mut().for_each(|out| out.open(link));
                let peer = "127.0.0.1:9".parse().unwrap();
                self.give(1, Input::Accepted { link, listener: ListenerId(0), peer });
                self.give(0, Input::Connected { link, ticket: connect.ticket });
            }
            Action::Close(link, _) => self.close(link),
            Action::Pause(link) => self.paused.push(link),
            Action::Exit => self.exited = true,
            Action::Resume(_) | Action::Log(_) | Action::Answer { .. } | Action::HandOver { .. } => {}
        }
    }

    /// Runs until `near` exits, nothing more can happen, or so much time has passed.
    pub(in crate::tools) fn run(&mut self, longest: Duration) {
        let end = self.now.mono.after(longest);
        self.give(0, Input::Time);
        while !self.exited {
            let mut busy = self.move_octets(0) | self.move_octets(1);
            for side in 0..2 {
                let mut actions = Vec::new();
                self.outs[side].take_actions(&mut actions);
                busy |= !actions.is_empty();
                // What was written before a close still arrives.
                self.move_octets(side);
                actions.into_iter().for_each(|action| self.act(action));
            }
            if busy {
                continue;
            }
            let deadlines = [self.near.deadline(), self.far.deadline()];
            let Some(at) = deadlines.into_iter().flatten().min().filter(|at| *at <= end) else { return };
            let at = at.after(self.lag).max(self.now.mono);
            self.now.wall = Wall(self.now.wall.0 + at.since(self.now.mono).as_micros() as i64);
            self.now.mono = at;
            for (side, deadline) in deadlines.into_iter().enumerate() {
                if deadline.is_some_and(|due| due <= at) {
                    self.give(side, Input::Time);
                }
            }
        }
    }
}
