//! What the operator says of pools and routes. Owns: values only. Takes: a checked configuration. Gives: itself.

use crate::ids::{CarrierId, EsmeId, PoolId};
use crate::smpp::message_state::MessageState;
use crate::time::Duration;

/// A number or name that must be equal (`"14499"`), a prefix (`"382*"`), or anything (`"*"`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly these octets.
    Exact(Vec<u8>),
    /// These octets at the front; empty: all.
    Prefix(Vec<u8>),
}

impl Pattern {
    /// Reads a pattern; `None` when it is empty or has a `*` anywhere but at its end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (body, prefix) = text.strip_suffix('*').map_or((text, false), |body| (body, true));
        if body.contains('*') || (body.is_empty() && !prefix) {
            return None;
        }
        let octets = body.as_bytes().to_vec();
        Some(if prefix { Self::Prefix(octets) } else { Self::Exact(octets) })
    }

    /// True when `octets` match.
    #[must_use]
    pub fn matches(&self, octets: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact == octets,
            Self::Prefix(prefix) => octets.starts_with(prefix),
        }
    }
}

/// Who serves in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// A carrier.
    Carrier(CarrierId),
    /// Another pool; no cycle is possible in a checked configuration.
    Pool(PoolId),
}

/// A member, its share and its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberSettings {
    /// Who.
    pub member: Member,
    /// Share among the members of its tier, 0–1,000,000; 0 takes nothing.
    pub weight: u32,
    /// 1 or more; a tier is used when no member of a lower one can take the message.
    pub tier: u32,
}

/// How a pool shares messages among the members of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalanceBy {
    /// By weight, exact over time.
    Weighted,
    /// The member with the fewest requests in flight per weight.
    LeastOutstanding,
    /// The same destination, the same member, as long as it can take it.
    HashDestination,
}

/// What becomes of a message that was written to a carrier and never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// The ESME hears `unknown_status`.
    Fail,
    /// It is sent again; the handset may get it twice.
    Resend,
    /// A stored message waits whether the carrier answers late, and is sent again after `resend_after`. A relayed one
    /// fails: its ESME waits for the answer.
    Hold,
}

/// When a member gets nothing for a while: timeouts, lost sessions, transient and session-fatal statuses only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectSettings {
    /// Share of errors, percent, 1–100.
    pub errors_percent: u32,
    /// Counted over this span.
    pub over: Duration,
    /// It gets nothing for so long, then slowly more.
    pub for_time: Duration,
}

/// `[pool.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// The key in the configuration.
    pub name: String,
    /// How it shares.
    pub balance: BalanceBy,
    /// In the order of the configuration; at least one.
    pub members: Vec<MemberSettings>,
    /// Written, never answered.
    pub on_unknown: OnUnknown,
    /// Final receipts after which a stored message is sent to somebody else, while its time allows it.
    pub reroute_on_receipt: Vec<MessageState>,
    /// With `hold`: how long it waits.
    pub resend_after: Duration,
    /// `None`: nobody is ejected.
    pub eject: Option<EjectSettings>,
}

impl PoolSettings {
    /// A weighted pool with nothing else set.
    #[must_use]
    pub fn weighted(name: &str, members: Vec<MemberSettings>) -> Self {
        Self {
            name: name.to_owned(),
            balance: BalanceBy::Weighted,
            members,
            on_unknown: OnUnknown::Fail,
            reroute_on_receipt: Vec::new(),
            resend_after: Duration::from_secs(600),
            eject: None,
        }
    }
}

/// `[[route]]`: the first whose conditions all hold wins. An empty list is an absent condition, which holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// For people.
    pub name: String,
    /// Destination.
    pub to: Vec<Pattern>,
    /// Source.
    pub source: Vec<Pattern>,
    /// Accounts.
    pub esme: Vec<EsmeId>,
    /// Where it leads.
    pub pool: PoolId,
}

/// What becomes of an MO that no account of its route takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nobody {
    /// The carrier keeps it.
    Refuse,
    /// It waits in the journal for the first account.
    Queue,
}

/// `[[mo_route]]`: what a carrier delivers that is no receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoRouteSettings {
    /// For people.
    pub name: String,
    /// Carriers.
    pub carrier: Vec<CarrierId>,
    /// Destination.
    pub to: Vec<Pattern>,
    /// Accounts; the first that takes it.
    pub deliver: Vec<EsmeId>,
    /// When none does.
    pub nobody: Nobody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_exact_unless_it_ends_in_a_star() {
        assert!(Pattern::parse("382*").unwrap().matches(b"38267"));
        assert!(!Pattern::parse("382").unwrap().matches(b"38267"));
        assert!(Pattern::parse("*").unwrap().matches(b""));
        assert_eq!(Pattern::parse(""), None);
        assert_eq!(Pattern::parse("3*8"), None);
    }
}
