//! Which carrier of a pool takes the next messages: shares that are exact over time, the least busy one, or always
//! the same one for a destination.
//!
//! Owns: a virtual clock and the health of each member. Takes: who is usable now, how busy each carrier is, how
//! messages ended. Gives: a path from the pool to a carrier, and charges it per message. Never: knows sessions, windows
//! or why somebody is unusable; leaves a pool empty because all of it is ejected.
//!
//! Stride scheduling: each message advances its member's clock by 1/weight; the usable member with the earliest clock
//! is next. One that was passed over for lack of room catches up at most one quantum × its weight (design
//! decision 7), so it is not flooded when it comes back. A member that returns after an ejection has a part of its
//! weight.
//!
//! Ejected members of a lower tier leave the messages to the next tier; only when the whole pool is ejected all of it
//! is asked again. A pool inside a pool is ejected when all its members are.

use super::hash;
use super::health::{self, Health, Outcome, State};
use super::settings::{BalanceBy, Member, PoolSettings};
use crate::ids::{CarrierId, EsmeId, PoolId};
use crate::limits::{POOL_DEPTH, QUANTUM, QUANTUM_LEAST};
use crate::time::Instant;
use smallvec::SmallVec;

const STRIDE: u128 = 1 << 40;
const CATCH_UP: u128 = STRIDE * QUANTUM as u128;
/// Never changed: a destination keeps its member over restarts.
const HASH_SEED: u64 = 0x62_69_6E_64_65_72_79;

#[derive(Debug, Clone)]
struct MemberState {
    member: Member,
    tier: u32,
    weight: u32,
    /// `STRIDE / weight`; `None` for weight 0.
    step: Option<u128>,
    /// What a message costs now: `step`, more while it returns.
    cost: u128,
    share_percent: u32,
    clock: u128,
    health: Option<Health>,
}

impl MemberState {
    /// The weight as far as it has returned, in hundredths; only members with a weight are asked.
    fn weight_now(&self) -> u128 {
        (u128::from(self.weight) * u128::from(self.share_percent)).max(1)
    }
}

#[derive(Debug, Clone)]
struct PoolState {
    balance: BalanceBy,
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

/// What a choice is made for.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The time.
    pub now: Instant,
    /// Where the message goes; counts in pools that hash it.
    pub destination: &'a [u8],
    /// Requests in flight at a carrier; counts in pools that go by it.
    pub outstanding: &'a dyn Fn(CarrierId) -> u32,
}

type Usable<'a> = dyn FnMut(CarrierId) -> bool + 'a;

/// The shares of all pools.
#[derive(Debug, Clone)]
pub struct Balance {
    pools: Vec<PoolState>,
    /// Where each carrier is a member.
    places: Vec<SmallVec<[(PoolId, u16); 2]>>,
    /// Some pool ejects.
    ejects: bool,
    ejections: u64,
}

impl Balance {
    /// Everybody starts even and well.
    #[must_use]
    pub fn new(pools: &[PoolSettings]) -> Self {
        let ejects = pools.iter().any(|pool| pool.eject.is_some());
        let mut places: Vec<SmallVec<[(PoolId, u16); 2]>> = Vec::new();
        let mut states = Vec::with_capacity(pools.len());
        for (id, pool) in pools.iter().enumerate() {
            let mut members: Vec<_> = pool.members.iter().collect();
            members.sort_by_key(|member| member.tier);
            for (index, settings) in members.iter().enumerate() {
                let Member::Carrier(carrier) = settings.member else { continue };
                if places.len() <= carrier.index() {
                    places.resize_with(carrier.index() + 1, SmallVec::new);
                }
                if let Some(places) = places.get_mut(carrier.index()) {
                    places.push((PoolId::new(id), index as u16));
                }
            }
            let members = members.into_iter().map(|settings| {
                let step = (settings.weight > 0).then(|| STRIDE / u128::from(settings.weight));
                let carrier = matches!(settings.member, Member::Carrier(_));
                MemberState {
                    member: settings.member,
                    tier: settings.tier,
                    weight: settings.weight,
                    step,
                    cost: step.unwrap_or(STRIDE),
                    share_percent: 100,
                    clock: 0,
                    health: pool.eject.as_ref().filter(|_| carrier).map(Health::new),
                }
            });
            states.push(PoolState { balance: pool.balance, members: members.collect(), now: 0 });
        }
        Self { pools: states, places, ejects, ejections: 0 }
    }

    /// The member whose turn it is among those that `usable` allows, by weight and health alone.
    pub fn pick(&mut self, pool: PoolId, usable: &mut Usable<'_>) -> Option<Path> {
        // At the end of time everybody is well again.
        let now = Instant::from_nanos(u64::MAX);
        self.choose(pool, &Ask { now, destination: b"", outstanding: &|_| 0 }, usable)
    }

    /// The member that is to take this message among those that `usable` allows; a tier is asked when no lower one has
    /// anybody.
    pub fn choose(&mut self, pool: PoolId, ask: &Ask<'_>, usable: &mut Usable<'_>) -> Option<Path> {
        let path = Path { carrier: CarrierId(0), steps: [(PoolId(0), 0); POOL_DEPTH], len: 0 };
        self.descend(pool, path, ask, usable)
    }

    /// True when how messages end counts: some pool ejects.
    #[must_use]
    pub const fn ejects(&self) -> bool {
        self.ejects
    }

    /// A message of this account ended at this carrier. True when some pool ejects it now: quanta that lead to it end.
    #[inline]
    pub fn record(&mut self, now: Instant, carrier: CarrierId, esme: EsmeId, outcome: Outcome) -> bool {
        if !self.ejects {
            return false;
        }
        let mut ejected = false;
        for (pool, index) in self.places.get(carrier.index()).into_iter().flatten() {
            let member =
                self.pools.get_mut(pool.index()).and_then(|pool| pool.members.get_mut(usize::from(*index)));
            if let Some(health) = member.and_then(|member| member.health.as_mut()) {
                ejected |= health.record(now, esme, outcome);
            }
        }
        self.ejections += u64::from(ejected);
        ejected
    }

    /// Ejections so far. A quantum that began at another number is over.
    #[must_use]
    pub const fn ejections(&self) -> u64 {
        self.ejections
    }

    /// Messages that one decision in this pool may hold for: one where each destination decides.
    #[must_use]
    pub fn quantum(&self, pool: PoolId) -> u32 {
        self.quantum_within(pool, POOL_DEPTH)
    }

    fn quantum_within(&self, pool: PoolId, depth: usize) -> u32 {
        let Some(state) = self.pools.get(pool.index()).filter(|_| depth > 0) else { return QUANTUM };
        let own = match state.balance {
            BalanceBy::Weighted => QUANTUM,
            BalanceBy::LeastOutstanding => QUANTUM_LEAST,
            BalanceBy::HashDestination => 1,
        };
        let inner = state.members.iter().filter_map(|member| match member.member {
            Member::Carrier(_) => None,
            Member::Pool(inner) => Some(self.quantum_within(inner, depth - 1)),
        });
        inner.fold(own, u32::min)
    }

    /// The members of a pool and their health, by tier.
    pub fn states(&self, pool: PoolId, now: Instant) -> impl Iterator<Item = (Member, State)> {
        let members = self.pools.get(pool.index()).into_iter().flat_map(|pool| &pool.members);
        members.map(move |member| (member.member, self.state(member, now, POOL_DEPTH)))
    }

    /// A pool is ejected when all its members are.
    fn state(&self, member: &MemberState, now: Instant, depth: usize) -> State {
        match member.member {
            Member::Carrier(_) => member.health.as_ref().map_or(State::Healthy, |health| health.state(now)),
            Member::Pool(inner) => {
                let inner = self.pools.get(inner.index()).filter(|_| depth > 0);
                let mut first = None;
                for member in inner.into_iter().flat_map(|pool| &pool.members) {
                    match self.state(member, now, depth - 1) {
                        State::Healthy | State::Returning { .. } => return State::Healthy,
                        State::Ejected { until } => {
                            first = Some(first.map_or(until, |first: Instant| first.min(until)));
                        }
                    }
                }
                first.map_or(State::Healthy, |until| State::Ejected { until })
            }
        }
    }

    fn descend(&mut self, pool: PoolId, path: Path, ask: &Ask<'_>, usable: &mut Usable<'_>) -> Option<Path> {
        if usize::from(path.len) >= POOL_DEPTH {
            return None;
        }
        let allowed = if self.ejects { self.look(pool, ask.now) } else { u64::MAX };
        let mut tier_done = 0;
        loop {
            let tier = self.next_tier(pool, tier_done)?;
            let mut open = allowed;
            while let Some(index) = self.best(pool, tier, open, ask) {
                if let Some(found) = self.enter(pool, index, path, ask, usable) {
                    self.start(pool, index);
                    return Some(found);
                }
                open &= !(1 << index);
            }
            tier_done = tier;
        }
    }

    /// Looks at the health of a pool's members: which may be asked, and at what cost.
    fn look(&mut self, pool: PoolId, now: Instant) -> u64 {
        let allowed = health::allowed(self.states(pool, now).map(|(_, state)| state));
        let members = self.pools.get_mut(pool.index()).into_iter().flat_map(|pool| &mut pool.members);
        for member in members {
            let Some(health) = &member.health else { continue };
            // One that is asked though it is ejected is asked because all are: each has its whole share.
            let share_percent = match health.state(now).share_percent() {
                0 => 100,
                share_percent => share_percent,
            };
            if share_percent != member.share_percent {
                member.share_percent = share_percent;
                member.cost = member.step.unwrap_or(STRIDE) * 100 / u128::from(share_percent);
            }
        }
        allowed
    }

    fn next_tier(&self, pool: PoolId, done: u32) -> Option<u32> {
        let members = &self.pools.get(pool.index())?.members;
        members.iter().map(|member| member.tier).find(|&tier| tier > done)
    }

    /// The member of a tier that comes first among those whose bit is set in `open`.
    fn best(&self, pool: PoolId, tier: u32, open: u64, ask: &Ask<'_>) -> Option<usize> {
        let state = self.pools.get(pool.index())?;
        let members = state.members.iter().take(u64::BITS as usize).enumerate();
        let open = members.filter(|(index, member)| {
            member.tier == tier && member.step.is_some() && open & (1 << index) != 0
        });
        let best = match state.balance {
            BalanceBy::Weighted => open.min_by_key(|(_, member)| member.clock),
            BalanceBy::LeastOutstanding => open.min_by_key(|(_, member)| {
                let outstanding = self.outstanding(member.member, ask.outstanding, POOL_DEPTH);
                (u128::from(outstanding) * STRIDE / member.weight_now(), member.clock)
            }),
            BalanceBy::HashDestination => {
                let destination = hash::octets(HASH_SEED, ask.destination);
                let rank = |member: &MemberState| rank(destination, member);
                open.min_by(|(_, one), (_, other)| rank(one).total_cmp(&rank(other)))
            }
        };
        best.map(|(index, _)| index)
    }

    /// Requests in flight at a member, those of all its carriers.
    fn outstanding(&self, member: Member, of: &dyn Fn(CarrierId) -> u32, depth: usize) -> u64 {
        match member {
            Member::Carrier(carrier) => u64::from(of(carrier)),
            Member::Pool(inner) => {
                let inner = self.pools.get(inner.index()).filter(|_| depth > 0);
                let members = inner.into_iter().flat_map(|pool| &pool.members);
                members.map(|member| self.outstanding(member.member, of, depth - 1)).sum()
            }
        }
    }

    fn enter(
        &mut self,
        pool: PoolId,
        index: usize,
        mut path: Path,
        ask: &Ask<'_>,
        usable: &mut Usable<'_>,
    ) -> Option<Path> {
        *path.steps.get_mut(usize::from(path.len))? = (pool, index as u16);
        path.len += 1;
        match self.pools.get(pool.index())?.members.get(index)?.member {
            Member::Carrier(carrier) => {
                path.carrier = carrier;
                usable(carrier).then_some(path)
            }
            Member::Pool(inner) => self.descend(inner, path, ask, usable),
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
                member.clock += member.cost;
            }
        }
    }
}

/// Weighted rendezvous: the smallest of `-ln(u) / weight` wins, with `u` drawn from destination and member, so each wins
/// its share and nobody moves between two members because a third came or went.
fn rank(destination: u64, member: &MemberState) -> f64 {
    let name = match member.member {
        Member::Carrier(carrier) => u64::from(carrier.0) << 1,
        Member::Pool(pool) => u64::from(pool.0) << 1 | 1,
    };
    let drawn = hash::mix(destination ^ hash::mix(name)) >> 11;
    let unit = (drawn as f64 + 0.5) / (1u64 << 53) as f64;
    -unit.ln() / member.weight_now() as f64
}

#[cfg(test)]
mod tests;
