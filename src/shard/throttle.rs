//! What an account's policy says of a submit, before it is routed.
//!
//! Owns: nothing of its own. Takes: a submit, as the part of a long message or the number of its destinations. Gives: yes,
//! or the policy's refusal. Never: refuses a later part of a message whose first part was taken, as long as each comes
//! once.

use super::{Position, Shard};
use crate::config::Config;
use crate::counters::Reason;
use crate::ids::EsmeId;
use crate::policy::Allowance;
use crate::route::affinity::Key as PartsKey;
use crate::smpp::status::CommandStatus;
use crate::time::Instant;

/// What each account at home here may send; empty when no account has a policy.
pub(super) fn allowances(config: &Config, position: &Position) -> Vec<Option<Allowance>> {
    if config.esmes.iter().all(|esme| esme.policy.is_none()) {
        return Vec::new();
    }
    let of = |(index, policy): (usize, Option<crate::ids::PolicyId>)| {
        let here = position.homes.of_esme(EsmeId::new(index)) == position.shard;
        let settings = policy.filter(|_| here).and_then(|policy| config.policies.get(policy.index()))?;
        Some(Allowance::new(settings, Instant::ZERO))
    };
    config.esmes.iter().map(|esme| esme.policy).enumerate().map(of).collect()
}

impl Shard {
    /// Takes the units of a submit to so many destinations.
    #[inline]
    pub(super) fn throttle(
        &mut self,
        now: Instant,
        esme: EsmeId,
        units: u32,
    ) -> Result<(), (CommandStatus, Reason)> {
        let Some(Some(allowance)) = self.allowances.get_mut(esme.index()) else { return Ok(()) };
        allowance.take(now, units).map_err(|refusal| (refusal.status(), refusal.reason()))
    }

    /// Takes what a part of a long message costs: the first takes all parts, those that follow nothing. Gives how many
    /// parts besides this one it paid for, to be reserved once the part is placed, or given back.
    pub(super) fn throttle_part(
        &mut self,
        now: Instant,
        esme: EsmeId,
        key: PartsKey,
    ) -> Result<u8, (CommandStatus, Reason)> {
        if !matches!(self.allowances.get(esme.index()), Some(Some(_))) {
            return Ok(0);
        }
        let units = self.affinity.cost(now, key);
        if units == 0 {
            return Ok(0);
        }
        self.throttle(now, esme, units)?;
        Ok(u8::try_from(units - 1).unwrap_or(u8::MAX))
    }

    /// The first part of a message has been decided on: what it paid for the others is theirs when it was placed.
    pub(super) fn settle_parts(
        &mut self,
        now: Instant,
        esme: EsmeId,
        key: PartsKey,
        others: u8,
        placed: bool,
    ) {
        if placed {
            self.affinity.reserve(now, key, others);
        } else if let Some(Some(allowance)) = self.allowances.get_mut(esme.index()) {
            allowance.give_back(u32::from(others));
        }
    }
}
