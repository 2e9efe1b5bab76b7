//! Which carrier of a pool takes the next messages: weighted shares that are exact over time.
//!
//! Owns: a virtual clock per member. Takes: who is usable now. Gives: a path from the pool to a carrier, and charges
//! it per message. Never: knows sessions, windows or why somebody is unusable.
//!
//! Stride scheduling: each message advances its member's clock by 1/weight; the usable member with the earliest clock
//! is next. One that was passed over for lack of room catches up at most one quantum × its weight (design
//! decision 7), so it is not flooded when it comes back.

use super::settings::{Member, PoolSettings};
use crate::ids::{CarrierId, PoolId};
use crate::limits::{POOL_DEPTH, QUANTUM};

const STRIDE: u128 = 1 << 40;
const CATCH_UP: u128 = STRIDE * QUANTUM as u128;

#[derive(Debug, Clone)]
struct MemberState {
    member: Member,
    tier: u32,
    /// `STRIDE / weight`; `None` for weight 0.
    step: Option<u128>,
    clock: u128,
}

#[derive(Debug, Clone, Default)]
struct PoolState {
    /// By tier, then in the order of the configuration.
    members: Vec<MemberState>,
    /// The latest start of any quantum.
    now: u128,
}

/// The way from a pool to the carrier that was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The carrier at its end.
    pub carrier: CarrierId,
    steps: [(PoolId, u16); POOL_DEPTH],
    len: u8,
}

/// The shares of all pools.
#[derive(Debug, Clone)]
pub struct Balance {
    pools: Vec<PoolState>,
}

impl Balance {
    /// Everybody starts even.
    #[must_use]
    pub fn new(pools: &[PoolSettings]) -> Self {
        let pools = pools.iter().map(|pool| {
            let mut members: Vec<_> = pool.members.iter().collect();
            members.sort_by_key(|member| member.tier);
            let members = members.into_iter().map(|settings| MemberState {
                member: settings.member,
                tier: settings.tier,
                step: (settings.weight > 0).then(|| STRIDE / u128::from(settings.weight)),
                clock: 0,
            });
            PoolState { members: members.collect(), now: 0 }
        });
        Self { pools: pools.collect() }
    }

    /// The member whose turn it is among those that `usable` allows; a tier is asked when no lower one has anybody.
    pub fn pick(&mut self, pool: PoolId, usable: &mut dyn FnMut(CarrierId) -> bool) -> Option<Path> {
        let path = Path { carrier: CarrierId(0), steps: [(PoolId(0), 0); POOL_DEPTH], len: 0 };
        self.descend(pool, path, usable)
    }

    fn descend(
        &mut self,
        pool: PoolId,
        path: Path,
        usable: &mut dyn FnMut(CarrierId) -> bool,
    ) -> Option<Path> {
        if usize::from(path.len) >= POOL_DEPTH {
            return None;
        }
        let mut tier_done = 0;
        loop {
            let tier = self.next_tier(pool, tier_done)?;
            let mut passed = [false; 64];
            while let Some(index) = self.earliest(pool, tier, &passed) {
                if let Some(found) = self.enter(pool, index, path, usable) {
                    self.start(pool, index);
                    return Some(found);
                }
                *passed.get_mut(index)? = true;
            }
            tier_done = tier;
        }
    }

    fn next_tier(&self, pool: PoolId, done: u32) -> Option<u32> {
        let members = &self.pools.get(pool.index())?.members;
        members.iter().map(|member| member.tier).find(|&tier| tier > done)
    }

    fn earliest(&self, pool: PoolId, tier: u32, passed: &[bool; 64]) -> Option<usize> {
        let members = self.pools.get(pool.index())?.members.iter().enumerate();
        let open = members.filter(|(index, member)| {
            member.tier == tier && member.step.is_some() && passed.get(*index) == Some(&false)
        });
        open.min_by_key(|(_, member)| member.clock).map(|(index, _)| index)
    }

    fn enter(
        &mut self,
        pool: PoolId,
        index: usize,
        mut path: Path,
        usable: &mut dyn FnMut(CarrierId) -> bool,
    ) -> Option<Path> {
        *path.steps.get_mut(usize::from(path.len))? = (pool, index as u16);
        path.len += 1;
        match self.pools.get(pool.index())?.members.get(index)?.member {
            Member::Carrier(carrier) => {
                path.carrier = carrier;
                usable(carrier).then_some(path)
            }
            Member::Pool(inner) => self.descend(inner, path, usable),
        }
    }

    /// A quantum of this member starts: it may not be further behind than one quantum.
    fn start(&mut self, pool: PoolId, index: usize) {
        let Some(state) = self.pools.get_mut(pool.index()) else { return };
        let floor = state.now.saturating_sub(CATCH_UP);
        if let Some(member) = state.members.get_mut(index) {
            member.clock = member.clock.max(floor);
            state.now = state.now.max(member.clock);
        }
    }

    /// One message went this way.
    #[inline]
    pub fn charge(&mut self, path: &Path) {
        for (pool, index) in path.steps.iter().take(usize::from(path.len)) {
            let member =
                self.pools.get_mut(pool.index()).and_then(|pool| pool.members.get_mut(usize::from(*index)));
            if let Some(member) = member {
                member.clock += member.step.unwrap_or(STRIDE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::MemberSettings;
    use super::*;

    fn pool(members: &[(Member, u32, u32)]) -> PoolSettings {
        let members = members.iter().map(|&(member, weight, tier)| MemberSettings { member, weight, tier });
        PoolSettings::weighted("", members.collect())
    }

    fn carrier(id: u32) -> Member {
        Member::Carrier(CarrierId(id))
    }

    fn shares(balance: &mut Balance, quanta: usize, usable: &mut dyn FnMut(CarrierId) -> bool) -> [u32; 4] {
        let mut shares = [0; 4];
        for _ in 0..quanta {
            let Some(path) = balance.pick(PoolId(0), usable) else { break };
            for _ in 0..QUANTUM {
                balance.charge(&path);
                shares[path.carrier.index()] += 1;
            }
        }
        shares
    }

    #[test]
    fn shares_follow_the_weights_within_one_quantum() {
        let mut balance =
            Balance::new(&[pool(&[(carrier(0), 5, 1), (carrier(1), 3, 1), (carrier(2), 2, 1)])]);
        let shares = shares(&mut balance, 1000, &mut |_| true);
        for (share, weight) in shares.iter().zip([5, 3, 2]) {
            assert!(share.abs_diff(64_000 / 10 * weight) <= QUANTUM, "{shares:?}");
        }
    }

    #[test]
    fn a_member_that_was_away_catches_up_one_quantum_and_no_more() {
        let mut balance = Balance::new(&[pool(&[(carrier(0), 1, 1), (carrier(1), 1, 1)])]);
        shares(&mut balance, 1000, &mut |id| id.0 == 0);
        let after = shares(&mut balance, 100, &mut |_| true);
        assert!(after[1] <= after[0] + 2 * QUANTUM, "{after:?}");
        assert!(after[1] >= after[0], "{after:?}");
    }

    #[test]
    fn a_tier_rests_while_a_lower_one_can_take() {
        let mut balance = Balance::new(&[pool(&[(carrier(0), 1, 1), (carrier(1), 9, 2)])]);
        assert_eq!(shares(&mut balance, 10, &mut |_| true)[1], 0);
        assert_eq!(shares(&mut balance, 10, &mut |id| id.0 == 1)[0], 0);
        assert_eq!(balance.pick(PoolId(0), &mut |_| false), None);
    }

    #[test]
    fn nested_pools_share_by_their_own_weights() {
        let outer = pool(&[(carrier(0), 1, 1), (Member::Pool(PoolId(1)), 1, 1)]);
        let inner = pool(&[(carrier(1), 3, 1), (carrier(2), 1, 1)]);
        let mut balance = Balance::new(&[outer, inner]);
        let shares = shares(&mut balance, 800, &mut |_| true);
        let total: u32 = shares.iter().sum();
        assert!(shares[0].abs_diff(total / 2) <= QUANTUM, "{shares:?}");
        assert!(shares[1].abs_diff(total * 3 / 8) <= 2 * QUANTUM, "{shares:?}");
    }

    #[test]
    fn weight_zero_takes_nothing() {
        let mut balance = Balance::new(&[pool(&[(carrier(0), 0, 1), (carrier(1), 1, 2)])]);
        assert_eq!(shares(&mut balance, 5, &mut |_| true)[0], 0);
    }
}
