//! Log lines of the shard, bounded per name and reason. Owns: one bucket for each. Takes: an event. Gives: whether it is
//! written. Never: a whole number, a body.

use super::Shard;
use super::port::{Level, Outbox};
use crate::throttle::{Rate, Throttle};
use crate::time::{Duration, Now};
use std::collections::HashMap;

const RATE: Rate = Rate { units: 10, per: Duration::from_secs(1) };
const BURST: u32 = 50;

/// At most 10 lines a second per name and reason, 50 at once.
#[derive(Debug, Default)]
pub(super) struct LogLimit(HashMap<(&'static str, &'static str), Throttle>);

pub(super) type Fields = Vec<(&'static str, String)>;

impl Shard {
    /// Writes a line; `fields` is called only when the bound allows it.
    pub(super) fn log(
        &mut self,
        now: Now,
        out: &mut Outbox,
        level: Level,
        name: &'static str,
        fields: impl FnOnce(&Self) -> Fields,
    ) {
        self.log_by(now, out, level, (name, ""), fields);
    }

    /// The same for one of the reasons that a name may have: one that comes often does not keep the others out.
    pub(super) fn log_by(
        &mut self,
        now: Now,
        out: &mut Outbox,
        level: Level,
        (name, reason): (&'static str, &'static str),
        fields: impl FnOnce(&Self) -> Fields,
    ) {
        let bucket = self.log_limit.0.entry((name, reason));
        let bucket = bucket.or_insert_with(|| Throttle::new(now.mono, RATE, BURST));
        if !bucket.take(now.mono, 1) {
            self.counters.log_dropped.bump();
            return;
        }
        let fields = fields(self);
        out.log(level, name, fields);
    }
}
