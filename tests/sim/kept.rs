//! What the oracle knows of a node with a journal: what it promised, what a crash may have taken from it.
//!
//! Its rules, by name:
//! - `accepted`: a stored message whose ESME heard a refusal is given to no carrier.
//! - `doubled`: a stored message is given to a carrier again only when every attempt was refused, or was never answered
//!   and its pool says so; or when a power cut, or a crash with `durability = "off"`, has taken the record of the attempt.
//! - `order`: of what an account stores for one number, the next is given to a carrier when the former was accepted there
//!   or is over.
//! - `ended`: what a carrier has accepted does not end with a receipt of ours, and what did is given to nobody.
//! - `lost`: when all is quiet, a stored message that was answered ESME_ROK was accepted by a carrier or its ESME has a
//!   receipt, whatever its durability survives; `receipt_lost`: so for receipts that a carrier was answered ESME_ROK for.
//! - `finish`, `open`: then it has one final record over all journals, and nothing of it is open.

use crate::messages::{Copy, Message, Outcome, failures};
use crate::oracle::{Oracle, What};
use crate::paper::Crash;
use crate::receipts::for_good;
use crate::setup::ACCOUNTS;
use crate::wire::WireId;
use bindery::carrier::settings::OnStatus;
use bindery::esme::settings::Durability;
use bindery::ledger::restored::Kept;
use bindery::route::settings::OnUnknown;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::Pdu;
use bindery::smpp::multi::SubmitMultiResp;
use bindery::smpp::receipt::Receipt;
use bindery::smpp::status::CommandStatus;
use bindery::time::{Duration, Instant};
use std::collections::HashMap;

/// A final record: the account, the id that it was given, the carrier's, the destination.
pub(crate) type Finished = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

/// A letter that tells a message's home of its answer takes at most so long; where lanes are slow for a while, so long.
const MAIL: Duration = Duration::from_secs(3);
const SLOW_MAIL: Duration = Duration::from_secs(60);
/// An ESME answers a receipt within so long, or its time is over.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Clocks of two lives agree so far.
const CLOCKS: Duration = Duration::from_secs(1);

fn accepted_like(copy: &Copy) -> bool {
    match copy.outcome {
        Outcome::Accepted | Outcome::AcceptedLate => true,
        Outcome::Forgotten => copy.status == CommandStatus::OK,
        Outcome::Open | Outcome::Refused | Outcome::Unknown => false,
    }
}

impl Oracle {
    /// A relayed message may be given to a carrier again.
    pub(crate) fn may_relay_again(&self, now: Instant, copy: &Copy, policy: OnUnknown) -> bool {
        let lost = match copy.outcome {
            Outcome::Open => self.is_unanswered(now, copy),
            Outcome::Unknown | Outcome::AcceptedLate => true,
            Outcome::Accepted | Outcome::Refused | Outcome::Forgotten => false,
        };
        copy.outcome == Outcome::Refused || (lost && policy == OnUnknown::Resend)
    }

    /// A carrier is about to be given a stored message.
    pub(crate) fn check_stored(&mut self, now: Instant, index: usize, part: usize) {
        let message = &self.messages[index];
        let one = &message.parts[part];
        let policy = self.setup.on_unknown(message.account, &one.numbers[0]);
        let broken = if message.refused_at.is_some() || one.refused {
            Some(("accepted", "was refused, and is given to a carrier"))
        } else if one.passed {
            Some(("order", "was passed, and is given to a carrier"))
        } else if one.own_given.is_some() {
            Some(("ended", "ended with a receipt of ours, and is given to a carrier"))
        } else if !one.copies.iter().all(|copy| self.may_go_again(now, copy, policy)) {
            Some(("doubled", "is given to a carrier again"))
        } else {
            None
        };
        if let Some((rule, how)) = broken {
            let what = format!("stored message {index} {how}, {policy:?} of the unknown: {message:?}");
            return self.fail(rule, what);
        }
        self.check_order(now, index, part);
    }

    fn is_unanswered(&self, now: Instant, copy: &Copy) -> bool {
        let link = &self.links[copy.wire];
        let timeout = self.setup.config.carriers[copy.carrier].response_timeout;
        link.closing || link.down || now >= copy.at.after(timeout)
    }

    fn may_go_again(&self, now: Instant, copy: &Copy, policy: OnUnknown) -> bool {
        let again = policy != OnUnknown::Fail;
        copy.unsaid
            || match copy.outcome {
                Outcome::Refused => true,
                Outcome::Accepted => false,
                Outcome::Unknown | Outcome::AcceptedLate => again,
                Outcome::Forgotten => again || copy.status != CommandStatus::OK,
                Outcome::Open => again && self.is_unanswered(now, copy),
            }
    }

    fn check_order(&mut self, now: Instant, index: usize, part: usize) {
        let message = &self.messages[index];
        let (came, key) = (message.at, (message.account, message.parts[part].numbers[0].clone()));
        let fails = self.setup.on_unknown(message.account, &key.1) == OnUnknown::Fail;
        let Some(mut line) = self.lines.remove(&key) else { return };
        line.retain(|&(message, part)| !self.is_over(now, message, part));
        let former = line.iter().find(|(other, _)| {
            *other < index && self.messages[*other].ok_at.is_some_and(|answered| answered < came)
        });
        if let Some(&(other, part)) = former {
            // It was about to be sent, perhaps once more, when the node was gone: it ends as unknown.
            let (sent, copies) = (&self.messages[other], &self.messages[other].parts[part].copies);
            let last = copies.last().map_or(sent.at, |copy| copy.at);
            let refused = copies.iter().all(|copy| copy.outcome == Outcome::Refused);
            let gone = |(at, ..): &(Instant, Instant, Crash)| *at > last;
            if fails && refused && self.crashes.iter().any(gone) {
                self.messages[other].parts[part].passed = true;
                self.lines.insert(key, line);
                return;
            }
            let (before, after) = (&self.messages[other], &self.messages[index]);
            let crashes = &self.crashes;
            let what = format!(
                "stored message {index} passes {other} at {now:?}: {after:?} before {before:?}, {crashes:?}"
            );
            self.fail("order", what);
        }
        self.lines.insert(key, line);
    }

    /// Nothing of it is to come any more, as far as a carrier is concerned.
    fn is_over(&self, now: Instant, index: usize, part: usize) -> bool {
        let message = &self.messages[index];
        let one = &message.parts[part];
        let give_up = self.setup.config.journal.as_ref().map(|journal| journal.retry.give_up_after);
        let expired = now.after(CLOCKS) >= message.at.after(give_up.unwrap_or_default());
        let told = message.lost || message.refused_at.is_some() || one.refused || one.own_had;
        let fails = self.setup.on_unknown(message.account, &one.numbers[0]) == OnUnknown::Fail;
        let ends = |copy: &Copy| match copy.outcome {
            Outcome::Accepted | Outcome::AcceptedLate | Outcome::Forgotten => true,
            Outcome::Refused => {
                self.setup.config.carriers[copy.carrier].on_status(copy.status) == OnStatus::Fail
            }
            Outcome::Unknown => fails,
            Outcome::Open => fails && self.is_unanswered(now, copy),
        };
        expired || told || one.own_given.is_some() || one.copies.iter().any(ends)
    }

    /// The ESME of a stored message hears of it.
    pub(crate) fn stored_answered(&mut self, wire: WireId, index: usize, pdu: &Pdu<'_>) {
        let message = &mut self.messages[index];
        if message.refused_at.is_some() {
            if message.parts.iter().any(|part| !part.copies.is_empty()) {
                self.fail("accepted", format!("a carrier has message {index}, its ESME hears a refusal"));
            }
            return;
        }
        let mut broken = None;
        if pdu.command_id() == CommandId::SUBMIT_MULTI_RESP {
            let said = failures(&SubmitMultiResp::parse(pdu));
            for part in &mut message.parts {
                part.refused = said.contains(&part.numbers[0]);
            }
            let hidden = message.unroutable.iter().any(|number| !said.contains(number));
            let given = message.parts.iter().any(|part| part.refused && !part.copies.is_empty());
            if hidden || given || message.parts.iter().all(|part| part.refused) {
                broken = Some(format!("message {index}: its ESME hears {said:?}"));
            }
        }
        self.accepted += 1;
        if let Some(what) = broken {
            self.fail("unsuccess", what);
        }
        self.check_given(wire, index, pdu);
    }

    /// An ESME is given a receipt that no carrier sent.
    pub(crate) fn give_own(
        &mut self,
        now: Instant,
        wire: WireId,
        receipt: &Receipt<'_>,
        number: &[u8],
    ) -> What {
        let id = receipt.text_id().unwrap_or_default().to_vec();
        let said = String::from_utf8_lossy(&id).into_owned();
        let Some(account) = self.links[wire].account else { return What::GiveOwn(None) };
        let Some(&index) = self.by_given.get(&(account, id.clone())) else {
            // The response of its message may never have left.
            let unheard = |message: &Message| {
                let to = message.parts.iter().any(|part| part.numbers[0] == number);
                message.account == account && message.stored && message.ok_at.is_none() && to
            };
            if self.by_given.keys().any(|(_, given)| *given == id) {
                self.fail("receipt_account", format!("link {wire} is told of {said}, which is another's"));
            } else if !self.messages.iter().any(unheard) {
                self.fail("receipt_id", format!("link {wire} is told of {said}, which nobody was given"));
            }
            return What::GiveOwn(None);
        };
        let message = &mut self.messages[index];
        let Some(part) = message.parts.iter().position(|part| part.numbers[0] == number) else {
            self.fail("receipt_id", format!("link {wire} is told of {said} to another number"));
            return What::GiveOwn(None);
        };
        let one = &mut message.parts[part];
        let had = one.own_over.is_some();
        let accepted = one.copies.iter().any(|copy| copy.outcome == Outcome::Accepted);
        one.own_given = Some(now);
        let broken = match (had, accepted || !message.registered) {
            (true, _) => Some(("receipt_twice", "has its receipt already")),
            (_, true) => Some(("ended", "is said to be over")),
            _ => None,
        };
        if let Some((rule, how)) = broken {
            let message = &self.messages[index];
            self.fail(rule, format!("message {index} {how}: {message:?}"));
        }
        What::GiveOwn(Some((index, part)))
    }

    /// An ESME has answered a receipt of ours.
    pub(crate) fn own_taken(
        &mut self,
        now: Instant,
        own: Option<(usize, usize)>,
        in_time: bool,
        status: CommandStatus,
    ) {
        self.delivered += u64::from(status == CommandStatus::OK);
        if let Some((message, part)) = own.filter(|_| in_time && for_good(status)) {
            let part = &mut self.messages[message].parts[part];
            (part.own_over, part.own_had) = (Some(now), true);
        }
    }

    /// A journal is in trouble, or no more.
    pub(crate) fn troubled(&mut self, now: Instant, on: bool) {
        let (count, since) = self.in_trouble;
        self.in_trouble = match (on, count) {
            (true, 0) => (1, now),
            (true, _) => (count + 1, since),
            (false, _) => (count.saturating_sub(1), since),
        };
        if !on && count == 1 {
            self.troubles.push((since, now.after(CLOCKS)));
        }
    }

    /// The node is gone, and its records since `lost_from` may be.
    pub(crate) fn crashed(&mut self, now: Instant, lost_from: Instant, slow_mail: bool, crash: Crash) {
        self.crashes.push((now, lost_from, crash));
        self.forget_pace();
        // What was learnt of a carrier's ids is learnt anew.
        self.finals_taken.fill(0);
        let Self { setup, messages, finals, troubles, in_trouble, .. } = self;
        let mut troubles = troubles.clone();
        if in_trouble.0 > 0 {
            troubles.push((in_trouble.1, now));
        }
        let mail = match setup.shards.count {
            1 => Duration::ZERO,
            _ if slow_mail => SLOW_MAIL,
            _ => MAIL,
        };
        let told_from = Instant::from_nanos(lost_from.as_nanos().saturating_sub(mail.as_nanos() as u64));
        let taken = Taken { lost_from, told_from, troubles, crash };
        for message in messages.iter_mut() {
            taken.take_from(message, setup.durability(message.account));
        }
        for ((message, _), end) in finals.iter_mut() {
            let durability = setup.durability(messages[*message].account);
            if end.over_at.is_some_and(|at| taken.may_have(at) || taken.began_in_trouble(at)) {
                (end.done, end.unsure) = (false, true);
            }
            let held = taken.survived(durability);
            end.kept_at = end.kept_at.filter(|at| *at < lost_from || (held && !taken.in_trouble(*at)));
        }
    }

    /// All is quiet: what was promised is kept.
    pub(crate) fn check_kept(&mut self) {
        let owed = |message: &&Message| message.stored && message.ok_at.is_some() && !message.lost;
        let missing = self.messages.iter().filter(owed).find(|message| {
            let settled = |part: &crate::messages::Part| {
                part.refused || part.own_had || part.copies.iter().any(accepted_like)
            };
            message.registered && !message.parts.iter().all(settled)
        });
        if let Some(message) = missing {
            let what = format!("it was answered ESME_ROK, no carrier has it: {message:?}");
            return self.fail("lost", what);
        }
        let mut kept: Vec<_> = self.finals.iter().filter(|(_, end)| end.kept_at.is_some()).collect();
        kept.sort_by_key(|(about, _)| *about);
        if let Some(((message, number), end)) = kept.into_iter().find(|(_, end)| end.over_at.is_none()) {
            let (message, crashes) = (&self.messages[*message], &self.crashes);
            let durability = self.setup.durability(message.account);
            let what = format!(
                "a carrier heard ESME_ROK, nobody its receipt to {}: {end:?}, {message:?}, {durability:?}, {crashes:?}",
                String::from_utf8_lossy(number)
            );
            self.fail("receipt_lost", what);
        }
    }

    fn is_final_over(&self, index: usize, number: &[u8]) -> (bool, bool) {
        let end = self.finals.get(&(index, number.to_vec()));
        end.map_or((false, false), |end| (end.over_at.is_some() && !end.confused, end.unsure))
    }

    /// The final records of all journals.
    pub(crate) fn check_finished(&mut self, finished: &[Finished]) {
        type Named<'a> = (&'a [u8], &'a [u8], &'a [u8]);
        let mut counts: HashMap<Named<'_>, u32> = HashMap::new();
        for (esme, id, carriers, to) in finished {
            let id = if id.is_empty() { carriers } else { id };
            *counts.entry((esme, id, to)).or_default() += 1;
        }
        let mut broken = None;
        for (index, message) in self.messages.iter().enumerate() {
            let (Some((id, _)), false) = (&message.given, message.multi && !message.stored) else { continue };
            for part in message.parts.iter().filter(|part| !part.refused) {
                let number = &part.numbers[0];
                let esme = ACCOUNTS[message.account].as_bytes();
                let count = counts.get(&(esme, id, number)).copied().unwrap_or(0);
                let (over, unsure) = self.is_final_over(index, number);
                let twice = part.copies.len() > 1;
                let waits = message.registered && !part.own_had && (!over || unsure || twice);
                let waits = waits && part.copies.iter().any(accepted_like);
                let sure = message.stored || (self.crashes.is_empty() && self.troubles.is_empty());
                if count > 1 || (count == 0 && sure && !waits && !message.lost && !part.own_unsure) {
                    let end = self.finals.get(&(index, number.clone()));
                    let what = format!(
                        "{count} final records of message {index}: {message:?}, {end:?}, {:?}, {:?}",
                        self.setup.durability(message.account),
                        self.crashes
                    );
                    broken = broken.or(Some(what));
                }
            }
        }
        if let Some(what) = broken {
            self.fail("finish", what);
        }
    }

    /// What a restart would find.
    pub(crate) fn check_open(&mut self, open: &[(u64, Kept)]) {
        for (key, kept) in open {
            if let Some(promised) = &kept.promised {
                let esme = String::from_utf8_lossy(promised.esme());
                return self
                    .fail("open", format!("message {key} of {esme} is not sent: {:?}", kept.promised));
            }
            let Some(accepted) = &kept.accepted else { continue };
            let facts = accepted.facts();
            let account = ACCOUNTS.iter().position(|name| name.as_bytes() == facts.esme).unwrap_or(0);
            let given = self.by_given.get(&(account, facts.id.to_vec())).copied();
            let over = given.is_some_and(|index| {
                let part =
                    self.messages[index].parts.iter().find(|part| part.numbers[0] == facts.destination);
                let own = part.is_some_and(|part| part.own_had && !part.own_unsure);
                // Of two that were accepted the receipt may be of the one that nobody knows any more.
                let took = |part: &crate::messages::Part| {
                    part.copies.iter().filter(|copy| accepted_like(copy)).count()
                };
                if part.is_some_and(|part| took(part) > 1) {
                    return false;
                }
                own || self.is_final_over(index, facts.destination) == (true, false)
            });
            if over {
                return self.fail("open", format!("message {key} is over and open: {facts:?}"));
            }
        }
    }
}

/// What a crash may have taken.
struct Taken {
    /// Records are missing from then on; some of what carriers said from then on has no record.
    lost_from: Instant,
    told_from: Instant,
    /// In these spans records may have been left out.
    troubles: Vec<(Instant, Instant)>,
    crash: Crash,
}

impl Taken {
    const fn survived(&self, durability: Durability) -> bool {
        match durability {
            Durability::Off => false,
            Durability::Process => matches!(self.crash, Crash::Kill),
            Durability::Group | Durability::Strict => true,
        }
    }

    fn in_trouble(&self, at: Instant) -> bool {
        self.troubles.iter().any(|(from, to)| *from <= at && at <= *to)
    }

    /// What an ESME answered then may have come without a record of it.
    fn began_in_trouble(&self, at: Instant) -> bool {
        self.troubles.iter().any(|(from, to)| *from <= at && at <= to.after(ANSWERED_WITHIN))
    }

    /// The record of what happened then.
    fn may_have(&self, at: Instant) -> bool {
        at >= self.lost_from || self.in_trouble(at)
    }

    fn take_from(&self, message: &mut Message, durability: Durability) {
        let survived = self.survived(durability);
        let kept = message.ok_at.is_some_and(|at| survived && !self.in_trouble(at));
        message.lost |= message.stored && !survived && message.ok_at.is_some_and(|at| at >= self.lost_from);
        message.refused_at = message.refused_at.filter(|at| !self.may_have(*at));
        let stored = message.stored;
        // Its record is written when the answer has come to its home.
        let left_out = !stored && message.ok_at.is_some_and(|at| self.in_trouble(at));
        for part in &mut message.parts {
            part.own_unsure |= part.own_given.is_some_and(|at| self.may_have(at));
            let told = |at: &Instant| survived && !self.in_trouble(*at);
            part.own_given = part.own_given.filter(|at| told(at) || !self.may_have(*at));
            part.own_over = part.own_over.filter(|at| !self.may_have(*at));
            for copy in &mut part.copies {
                let told = copy.answered_at.is_some_and(|at| {
                    let late = at >= self.told_from && (stored || !kept);
                    // What came late has no record of its own.
                    late || left_out || copy.outcome == Outcome::AcceptedLate || self.in_trouble(at)
                });
                let answered =
                    matches!(copy.outcome, Outcome::Accepted | Outcome::AcceptedLate | Outcome::Refused);
                if told && answered && (stored || copy.outcome != Outcome::Refused) {
                    copy.outcome = Outcome::Forgotten;
                }
                let attempt = self.crash == Crash::Power || durability == Durability::Off;
                copy.unsaid |= attempt && copy.at >= self.lost_from;
            }
        }
    }
}
