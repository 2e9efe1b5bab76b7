//! Who may connect: a rate per address, and a ban for those that keep failing to bind.
//!
//! Owns: what addresses and accounts did of late, in tables that forget the one not heard of for longest. Takes:
//! connects, binds that failed, bans of other shards. Gives: yes, or why not; how late a refusal is answered. Never:
//! grows over its tables, keeps a good bind waiting because others failed.

use super::settings::AddressBlock;
use crate::counters::TurnedAway;
use crate::ids::{EsmeId, ListenerId};
use crate::limits::SOURCES_MAX;
use crate::throttle::{Rate, Throttle};
use crate::time::{Duration, Instant};
use core::hash::Hash;
use core::net::{IpAddr, Ipv6Addr};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Failures whose answer is only as late as the least delay; each one more doubles it.
const FAILURES_FORGIVEN: u32 = 3;
/// A gauge of bans is exact to this.
const BAN_ROUNDED: Duration = Duration::from_secs(1);

/// What the operator says of those who connect to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Connects of one address; `None`: no limit.
    pub bind_rate: Option<Rate>,
    /// Connects of one address that pass at once within the rate.
    pub burst: u32,
    /// The first and the longest wait before a wrong bind is answered.
    pub refusal_delay: (Duration, Duration),
    /// Who is banned.
    pub ban: Ban,
}

/// Who is banned, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Failed binds of one address within `over`; 0: nobody is banned.
    pub failures: u32,
    /// See `failures`.
    pub over: Duration,
    /// How long.
    pub for_time: Duration,
    /// Addresses that are never banned.
    pub never: Vec<AddressBlock>,
}

/// Where a peer comes from: its IPv4 address, or the /64 of its IPv6 address, which is one customer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(IpAddr);

impl Source {
    /// That of an address.
    #[must_use]
    pub fn of(peer: IpAddr) -> Self {
        Self(match peer.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        })
    }
}

/// What a failed bind leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// It is answered after this.
    pub delay: Duration,
    /// Its address is banned from now on until then.
    pub banned_until: Option<Instant>,
}

/// A bounded table in two halves: what is touched moves to the young one, and when that is full the old one is
/// forgotten.
#[derive(Debug)]
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (max / 2).max(1) }
    }

    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Looks without touching.
    fn peek(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn touch(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let older = self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            core::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.entry(key).or_insert_with(|| older.unwrap_or_else(new))
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
    banned_until: Instant,
}

impl Failures {
    const fn none(now: Instant) -> Self {
        Self { count: 0, since: now, banned_until: Instant::ZERO }
    }

    /// One more; how many within the span.
    fn add(&mut self, now: Instant, over: Duration) -> u32 {
        if now.since(self.since) > over {
            self.count = 0;
            self.since = now;
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

/// See the file's header.
#[derive(Debug)]
pub struct Admission {
    rates: Recent<(ListenerId, Source), Throttle>,
    sources: Recent<Source, Failures>,
    accounts: Recent<EsmeId, Failures>,
    /// When bans end.
    bans: BinaryHeap<Reverse<Instant>>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            rates: Recent::new(SOURCES_MAX),
            sources: Recent::new(SOURCES_MAX),
            accounts: Recent::new(SOURCES_MAX),
            bans: BinaryHeap::new(),
        }
    }
}

impl Admission {
    /// Whether a peer may connect now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn connect(
        &mut self,
        now: Instant,
        listener: ListenerId,
        peer: IpAddr,
        settings: &Settings,
    ) -> Result<(), TurnedAway> {
        let source = Source::of(peer);
        if self.sources.peek(&source).is_some_and(|known| known.banned_until > now) {
            // Who keeps knocking is remembered.
            self.sources.touch(source, || Failures::none(now));
            return Err(TurnedAway::Banned);
        }
        let Some(rate) = settings.bind_rate else { return Ok(()) };
        let bucket = self.rates.touch((listener, source), || Throttle::new(now, rate, settings.burst));
        if bucket.take(now, 1) { Ok(()) } else { Err(TurnedAway::BindRate) }
    }

    /// A bind from this address, for this account if it is one, was wrong.
    pub fn failed(
        &mut self,
        now: Instant,
        peer: IpAddr,
        esme: Option<EsmeId>,
        settings: &Settings,
    ) -> Failed {
        let over = settings.ban.over;
        let (of_source, banned_until) = self.count(now, peer, settings);
        let of_account =
            esme.map_or(0, |esme| self.accounts.touch(esme, || Failures::none(now)).add(now, over));
        let (least, most) = settings.refusal_delay;
        let doublings = of_source.max(of_account).saturating_sub(FAILURES_FORGIVEN).min(20);
        Failed { delay: least.saturating_mul(1 << doublings).min(most), banned_until }
    }

    /// A bind from this address was wrong at another shard, which answers it: until when that bans the address.
    pub fn failed_elsewhere(&mut self, now: Instant, peer: IpAddr, settings: &Settings) -> Option<Instant> {
        self.count(now, peer, settings).1
    }

    /// How many binds of this address failed of late, this one counted, and until when it is banned for that.
    fn count(&mut self, now: Instant, peer: IpAddr, settings: &Settings) -> (u32, Option<Instant>) {
        let ban = &settings.ban;
        let known = self.sources.touch(Source::of(peer), || Failures::none(now));
        let count = known.add(now, ban.over);
        let exempt = ban.failures == 0 || ban.never.iter().any(|block| block.contains(peer));
        if exempt || count < ban.failures || known.banned_until > now {
            return (count, None);
        }
        let until = now.after(ban.for_time);
        self.ban(now, peer, until);
        (count, Some(until))
    }

    /// Bans an address until then.
    pub fn ban(&mut self, now: Instant, peer: IpAddr, until: Instant) {
        let known = self.sources.touch(Source::of(peer), || Failures::none(now));
        if known.banned_until <= now && self.bans.len() < SOURCES_MAX {
            self.bans.push(Reverse(until.rounded_up(BAN_ROUNDED)));
        }
        known.banned_until = known.banned_until.max(until);
        // After it the address begins anew.
        known.count = 0;
    }

    /// How many bans hold, and when the first of them ends.
    pub fn bans(&mut self, now: Instant) -> (usize, Option<Instant>) {
        while let Some(Reverse(end)) = self.bans.peek()
            && *end <= now
        {
            self.bans.pop();
        }
        (self.bans.len(), self.bans.peek().map(|Reverse(end)| *end))
    }

    /// Addresses of which something is known.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.rates.len().max(self.sources.len())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> Settings {
        let second = Duration::from_secs(1);
        Settings {
            bind_rate: None,
            burst: 10,
            refusal_delay: (second, 8 * second),
            ban: Ban { failures: 20, over: 60 * second, for_time: 600 * second, never: Vec::new() },
        }
    }

    const DOOR: ListenerId = ListenerId(0);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_keeps_failing_is_banned_for_a_while_and_begins_anew() {
        let (mut admission, settings, from) = (Admission::default(), settings(), peer("10.0.0.1"));
        for failure in 1..20 {
            assert_eq!(admission.failed(at(failure), from, None, &settings).banned_until, None);
        }
        assert_eq!(admission.failed(at(20), from, None, &settings).banned_until, Some(at(620)));
        assert_eq!(admission.connect(at(21), DOOR, from, &settings), Err(TurnedAway::Banned));
        assert_eq!(admission.connect(at(21), ListenerId(1), from, &settings), Err(TurnedAway::Banned));
        assert_eq!(admission.connect(at(21), DOOR, peer("10.0.0.2"), &settings), Ok(()));
        assert_eq!(admission.bans(at(21)), (1, Some(at(620))));
        assert_eq!(admission.connect(at(620), DOOR, from, &settings), Ok(()));
        assert_eq!(admission.bans(at(620)), (0, None));
        assert_eq!(admission.failed(at(620), from, None, &settings).banned_until, None);
    }

    #[test]
    fn failures_far_apart_and_addresses_that_are_exempt_ban_nobody() {
        let (mut admission, mut settings) = (Admission::default(), settings());
        settings.ban.never = vec![AddressBlock { address: peer("10.1.0.0"), prefix_len: 16 }];
        let banned = |admission: &mut Admission, settings: &Settings, apart: u64, from: &str| {
            (0..100).any(|failure| {
                admission.failed(at(failure * apart), peer(from), None, settings).banned_until.is_some()
            })
        };
        assert!(!banned(&mut admission, &settings, 4, "10.0.0.1"));
        assert!(!banned(&mut admission, &settings, 0, "10.1.2.3"));
        assert!(banned(&mut admission, &settings, 0, "10.2.0.1"));
        settings.ban.failures = 0;
        assert!(!banned(&mut admission, &settings, 0, "10.3.0.1"));
    }

    #[test]
    fn each_failure_is_answered_later_by_address_and_by_account() {
        let (mut admission, settings, acme) = (Admission::default(), settings(), Some(EsmeId(0)));
        let seconds = |failed: Failed| failed.delay.as_secs();
        let delays: Vec<u64> =
            (0..7).map(|_| seconds(admission.failed(at(0), peer("10.0.0.1"), None, &settings))).collect();
        assert_eq!(delays, [1, 1, 1, 2, 4, 8, 8]);
        for host in 1..=5u32 {
            admission.failed(at(0), IpAddr::V4((0x0A00_0100 + host).into()), acme, &settings);
        }
        assert_eq!(seconds(admission.failed(at(0), peer("10.0.2.1"), acme, &settings)), 8);
        assert_eq!(seconds(admission.failed(at(0), peer("10.0.2.2"), Some(EsmeId(1)), &settings)), 1);
        assert_eq!(seconds(admission.failed(at(61), peer("10.0.0.1"), None, &settings)), 1, "forgotten");
    }

    #[test]
    fn an_address_connects_at_its_rate_and_others_at_theirs() {
        let (mut admission, mut settings) = (Admission::default(), settings());
        settings.bind_rate = Some(Rate { units: 2, per: Duration::from_secs(1) });
        let passed = |admission: &mut Admission, now, from: &str| {
            (0..100).filter(|_| admission.connect(now, DOOR, peer(from), &settings).is_ok()).count()
        };
        assert_eq!(passed(&mut admission, at(0), "10.0.0.1"), 10);
        assert_eq!(admission.connect(at(0), DOOR, peer("10.0.0.1"), &settings), Err(TurnedAway::BindRate));
        assert_eq!(passed(&mut admission, at(0), "10.0.0.2"), 10);
        assert_eq!(passed(&mut admission, at(2), "10.0.0.1"), 4);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_address_is_ipv4() {
        assert_eq!(Source::of(peer("2001:db8:1:2:3::4")), Source::of(peer("2001:db8:1:2::1")));
        assert_ne!(Source::of(peer("2001:db8:1:2::1")), Source::of(peer("2001:db8:1:3::1")));
        assert_eq!(Source::of(peer("::ffff:10.0.0.1")), Source::of(peer("10.0.0.1")));
    }

    #[test]
    fn a_flood_of_addresses_fills_its_table_and_a_ban_that_is_knocked_at_stays() {
        let (mut admission, settings, from) = (Admission::default(), settings(), peer("10.0.0.1"));
        admission.ban(at(0), from, at(600));
        for host in 0..4 * SOURCES_MAX as u32 {
            admission.failed(at(1), IpAddr::V4((0x0B00_0000 + host).into()), None, &settings);
            if host % 1000 == 0 {
                assert_eq!(admission.connect(at(1), DOOR, from, &settings), Err(TurnedAway::Banned));
            }
        }
        assert!(admission.sources() <= SOURCES_MAX, "{}", admission.sources());
        assert_eq!(admission.connect(at(1), DOOR, from, &settings), Err(TurnedAway::Banned));
    }
}
