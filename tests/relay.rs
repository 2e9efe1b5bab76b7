//! The test vectors through a running node on loopback sockets: what is valid passes unchanged, what is malformed gets
//! its stated verdict, a stream may be cut anywhere, a 3.3 peer is given what it understands, and windows, receipts and
//! broken links behave. The test plays the ESME and the carriers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "relay/flow.rs"]
mod flow;
#[path = "relay/malformed.rs"]
mod malformed;
#[path = "relay/peer.rs"]
mod peer;
#[path = "relay/sessions.rs"]
mod sessions;
#[path = "relay/streams.rs"]
mod streams;
#[path = "relay/v33.rs"]
mod v33;
#[path = "relay/valid.rs"]
mod valid;
mod vectors;
#[path = "relay/world.rs"]
mod world;

use serde_json::Value;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use vectors::list;
use world::over_each_driver;

/// Vectors that are played at once: most of a vector's time is one side waiting for the other.
const PLAYERS: usize = 4;

/// Plays every vector of a list, in any order, and gives what became of those that did as they should. The others
/// have said why and are named.
fn play<T: Send>(name: &str, case: impl Fn(&str, &Value) -> T + Sync) -> Vec<T> {
    let all = list(name);
    let (next, driver) = (AtomicUsize::new(0), world::driver());
    let player = || {
        world::over(driver);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(vector) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let id = vector["id"].as_str().expect("a vector has an id");
            match catch_unwind(AssertUnwindSafe(|| case(id, vector))) {
                Ok(outcome) => good.push(outcome),
                Err(_) => bad.push(id.to_owned()),
            }
        }
        (good, bad)
    };
    let (good, bad): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let players: Vec<_> = (0..PLAYERS).map(|_| scope.spawn(player)).collect();
        players
            .into_iter()
            .map(|player| player.join().expect("a player catches what its vectors throw"))
            .unzip()
    });
    let bad = bad.concat();
    assert!(bad.is_empty(), "{} of {} vectors of {name} failed: {bad:?}", bad.len(), all.len());
    good.into_iter().flatten().collect()
}

#[test]
fn what_is_valid_passes_unchanged_or_is_answered_by_the_session() {
    over_each_driver(|| {
        let outcomes = play("pdu_valid", valid::play);
        let count = |outcome| outcomes.iter().filter(|&&one| one == outcome).count();
        let relayed = count(valid::Outcome::Relayed);
        let session = count(valid::Outcome::Session);
        let refused = count(valid::Outcome::Refused);
        writeln!(std::io::stdout(), "relay: pdu_valid {} of {} ({relayed} relayed unchanged, {session} session-level, {refused} refused by design)",
            outcomes.len(),
            list("pdu_valid").len()).unwrap();
        assert_eq!((relayed, session, refused), (120, 23, 6));
    });
}

#[test]
fn what_is_malformed_gets_its_stated_verdict_and_reply() {
    over_each_driver(|| {
        let played = play("pdu_malformed", malformed::play).len();
        writeln!(std::io::stdout(), "relay: pdu_malformed {played} of {}", list("pdu_malformed").len())
            .unwrap();
        assert_eq!(played, 114);
    });
}

#[test]
fn a_stream_is_read_the_same_however_it_is_cut() {
    over_each_driver(|| {
        let cuts: usize = play("streams", streams::play).into_iter().sum();
        let all = list("streams").len();
        writeln!(std::io::stdout(), "relay: streams {all} of {all} (and {cuts} cuts in two)").unwrap();
        assert_eq!(all, 14);
        assert!(cuts > 400, "{cuts}");
    });
}
