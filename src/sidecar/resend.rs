//! A receipt once more, for an operator. Owns: what is said when there is none. Takes: the id of a message, as its account knows
//! it; the journal's directory. Gives: what the journal still says of its end, to the shard of its account. Never: a receipt that
//! nobody asked for, or that says what is not known.

use super::View;
use super::queues::Parameters;
use crate::config::Config;
use crate::counters::Reason;
use crate::ids::EsmeId;
use crate::io::journal::ReadOnly;
use crate::journal::cdr::state_name;
use crate::journal::cipher::is_sealed;
use crate::journal::recover::{Place, Refusal};
use crate::journal::{DiskError, Frame, Opener, Record, Recovery};
use crate::ledger::End;
use crate::shard::port::{Answer, Ask};
use crate::shard::resend::{Resend, Resent};
use crate::smpp::command::CommandId;
use crate::smpp::data::DataSm;
use crate::smpp::frame::Pdu;
use crate::smpp::message_state::MessageState;
use crate::smpp::multi::SubmitMulti;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::time::Wall;
use serde_json::{Value, json};
use smallvec::SmallVec;
use std::path::Path;
use std::time::Duration;

/// A shard that has not answered by then is not well.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// A running node gives files back and renames them while they are read: so often it is tried again.
const LOOKS: usize = 4;

/// The end of a message, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    shard: u32,
    key: u64,
    esme: String,
    carrier: String,
    resend: Resend,
}

/// What a journal says of an id.
#[derive(Debug, Default)]
struct Looked {
    ends: Vec<Found>,
    /// It names messages that are not over.
    open: bool,
}

type Visit<'a> = dyn FnMut(&Frame<'_>, &Place) + 'a;

fn read(journal: &Path, shard: u32, visit: &mut Visit<'_>) -> Result<(), Refusal> {
    Recovery { shard, journal: None }.run(&mut ReadOnly::new(journal), visit).map(|_| ())
}

/// The same until nothing is renamed meanwhile; `begin` forgets what an earlier look saw.
fn look<T>(
    journal: &Path,
    shard: u32,
    begin: impl Fn() -> T,
    visit: impl Fn(&mut T, &Frame<'_>, &Place),
) -> Result<T, String> {
    for _ in 0..LOOKS {
        let mut seen = begin();
        match read(journal, shard, &mut |frame, place| visit(&mut seen, frame, place)) {
            Ok(()) => return Ok(seen),
            Err(Refusal::Disk(DiskError::Gone)) => {}
            Err(refusal) => return Err(format!("the journal cannot be read: {refusal}")),
        }
    }
    Err("the journal's files change too fast to be read; ask again".to_owned())
}

/// Asks for it: `id`, and `esme` where two accounts have a message of this id.
///
/// # Errors
/// There is no such receipt, or none any more; why, in words.
pub(super) fn answer(view: &View, asked: &Parameters) -> Result<Value, String> {
    let id = asked.get("id").filter(|id| !id.is_empty()).ok_or("id is missing")?;
    let config = &*view.config;
    if config.journal.is_none() {
        return Err("the node has no [journal], so nothing is known of what is over".to_owned());
    }
    if let Some(name) = asked.get("esme") {
        esme_of(config, name)?;
    }
    let journal = config.node.data_dir.join("journal");
    let found = find(config, &journal, id, asked.get("esme").map(String::as_str))?;
    let (shard, key) = (found.shard, found.key);
    if !was_asked_for(config, &journal, shard, key)? {
        return Err("no receipt was asked for, as far as the journal says".to_owned());
    }
    let answers = view.shards.ask(Ask::Resend(Box::new(found.resend.clone())));
    let answers = answers.map_err(|_| "a shard takes no questions".to_owned())?;
    match answers.wait(ANSWER_TIME) {
        Some(Answer::Resent(Resent::Goes { bound })) => {
            let state = state_name(found.resend.end.state.octet());
            Ok(json!({ "esme": found.esme, "id": id, "state": state, "waits": !bound }))
        }
        Some(Answer::Resent(Resent::Full)) => Err(format!(
            "too much waits for {}, or the journal takes nothing now; ask again later",
            found.esme
        )),
        Some(Answer::Resent(Resent::Elsewhere) | Answer::Queue(_) | Answer::Status(_)) | None => {
            Err("a shard does not answer".to_owned())
        }
    }
}

fn esme_of(config: &Config, name: &str) -> Result<EsmeId, String> {
    let at = config.esmes.iter().position(|esme| esme.name == name);
    at.map(EsmeId::new).ok_or_else(|| format!("there is no esme {name:?} in the configuration"))
}

/// The one message of this id that is over, and whose end an account can be told.
fn find(config: &Config, journal: &Path, id: &str, esme: Option<&str>) -> Result<Found, String> {
    let shards =
        ReadOnly::new(journal).shards().map_err(|error| format!("the journal cannot be read: {error}"))?;
    let mut all = Looked::default();
    for shard in shards {
        let looked = look(journal, shard, Looked::default, |looked: &mut Looked, frame, place| {
            note(looked, (shard, id.as_bytes(), esme), frame, place);
        })?;
        all.open |= looked.open;
        all.ends.extend(looked.ends);
    }
    let mut ends = all.ends.into_iter();
    let Some(mut found) = ends.next() else {
        return Err(if all.open {
            "that message is not over: its receipt goes out when it comes".to_owned()
        } else {
            "the journal has no end of such a message: there was none, or its file was used again since ([privacy] keep_text keeps \
             them for longer); its call detail record says how it ended"
                .to_owned()
        });
    };
    if let Some(other) = ends.next() {
        let more = if other.esme == found.esme {
            format!(
                "{} has several messages of this id, of {} and {}",
                found.esme, found.carrier, other.carrier
            )
        } else {
            format!("{} and {} have messages of this id; say --esme", found.esme, other.esme)
        };
        return Err(more);
    }
    told(&found)?;
    found.resend.esme = esme_of(config, &found.esme)?;
    Ok(found)
}

/// An end that its account was told, or was to be.
fn told(found: &Found) -> Result<(), String> {
    let end = &found.resend.end;
    if found.resend.destination.contains(&b',') {
        return Err(
            "it went to several numbers, and its final record does not say what became of each".to_owned()
        );
    }
    if end.state == MessageState::Accepted {
        return Err("no receipt was asked for: its carrier has accepted it, more is not known".to_owned());
    }
    if end.reason == Some(Reason::JournalFull) {
        return Err("it was never accepted: its account was answered so".to_owned());
    }
    let nothing_came = *end == End::no_receipt();
    if nothing_came {
        Err("no receipt has come for it in its time, so there is none to send".to_owned())
    } else {
        Ok(())
    }
}

fn note(
    looked: &mut Looked,
    (shard, id, esme): (u32, &[u8], Option<&str>),
    frame: &Frame<'_>,
    place: &Place,
) {
    let is_meant = |name: &[u8]| esme.is_none_or(|esme| esme.as_bytes() == name);
    match frame.original() {
        Some(Record::Accept { id: own, esme, .. }) if own == id && is_meant(esme) => looked.open = true,
        Some(Record::Sent { facts, .. }) if facts.esme_id() == id && is_meant(facts.esme) => {
            looked.open = true
        }
        Some(Record::Finish { state, status, reason, fault, error, facts, .. })
            if facts.esme_id() == id && is_meant(facts.esme) =>
        {
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            let end = End {
                state: MessageState::from_octet(state).unwrap_or(MessageState::Unknown),
                status: CommandStatus(status),
                reason: Reason::ALL.get(usize::from(reason)).copied(),
                fault,
                error: SmallVec::from_slice(error.get(..8).unwrap_or(error)),
            };
            let (source, destination) = (facts.source.to_vec(), facts.destination.to_vec());
            let (accepted, over) = (Wall(facts.accepted), place.wall);
            // Which account that is now is said later.
            let esme = EsmeId(u32::MAX);
            let resend = Resend { esme, id: id.to_vec(), accepted, over, source, destination, end };
            let (esme, carrier) = (text(facts.esme), text(facts.carrier));
            looked.ends.push(Found { shard, key: frame.key, esme, carrier, resend });
        }
        _ => {}
    }
}

/// True when the records of a message say that its account wanted a receipt.
fn was_asked_for(config: &Config, journal: &Path, shard: u32, key: u64) -> Result<bool, String> {
    look(
        journal,
        shard,
        || false,
        |asked: &mut bool, frame, _| {
            if frame.key != key {
                return;
            }
            *asked |= match frame.original() {
                Some(Record::Sent { awaited, .. }) => awaited > 0,
                Some(Record::DlrIn { .. }) => true,
                Some(Record::Accept { pdu, .. }) => {
                    let mut opener = Opener::new(config.privacy.encrypt.iter().map(|key| &key.0));
                    let pdu =
                        if is_sealed(pdu) { opener.open(key, pdu.to_vec()) } else { Some(pdu.to_vec()) };
                    pdu.is_some_and(|pdu| wants_receipt(&pdu))
                }
                _ => false,
            };
        },
    )
}

/// A final receipt (SMPP 3.4 §5.2.17).
fn wants_receipt(pdu: &[u8]) -> bool {
    let Some(pdu) = Pdu::whole(pdu) else { return false };
    let registered = if pdu.command_id() == CommandId::DATA_SM {
        DataSm::parse(&pdu).map(|data| data.registered_delivery)
    } else if pdu.command_id() == CommandId::SUBMIT_MULTI {
        SubmitMulti::parse(&pdu).map(|multi| multi.content.registered_delivery)
    } else {
        Sm::parse_deliver(&pdu).map(|sm| sm.content.registered_delivery)
    };
    registered.is_ok_and(|registered| matches!(registered & 0x03, 1 | 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::frame::{Head, frame_len, write};
    use crate::journal::record::NO_REASON;
    use crate::journal::{Facts, Fault, Lsn};

    fn facts<'a>(esme: &'a [u8], id: &'a [u8], destination: &'a [u8]) -> Facts<'a> {
        Facts {
            esme,
            id,
            message_id: b"A1",
            carrier: b"alpha",
            destination,
            source: b"ACME",
            ..Facts::default()
        }
    }

    fn finish(state: u8, facts: Facts<'_>) -> Record<'_> {
        let (reason, fault) = (NO_REASON, Fault::Carrier);
        Record::Finish { state, status: 0, reason, fault, error: b"", price: 0, currency: b"", facts }
    }

    fn looked(records: &[Record<'_>], esme: Option<&str>) -> Looked {
        let mut looked = Looked::default();
        for record in records {
            let mut octets = vec![0; frame_len(record.len())];
            write(&mut octets, &Head { lsn: Lsn(1), key: 7, time_ms: 0 }, record, record.len());
            let (frame, _) = Frame::unsealed(&octets).unwrap();
            let place = Place { segment: 1, at: 0, wall: Wall(9), octets: 0, is_over: false };
            note(&mut looked, (0, b"77", esme), &frame, &place);
        }
        looked
    }

    #[test]
    fn a_message_is_found_by_the_id_that_its_account_knows() {
        let own = facts(b"acme", b"77", b"382");
        let carriers = Facts { message_id: b"77", ..facts(b"bank", b"", b"382") };
        let other = Facts { message_id: b"77", ..facts(b"bank", b"78", b"382") };
        let records = [
            finish(2, own),
            finish(5, carriers),
            finish(2, other),
            Record::Sent { awaited: 1, kept: false, over: b"", facts: own },
        ];
        let all = looked(&records, None);
        let names: Vec<&str> = all.ends.iter().map(|found| found.esme.as_str()).collect();
        assert_eq!((names, all.open), (vec!["acme", "bank"], true));
        assert_eq!(looked(&records, Some("bank")).ends.len(), 1);
        let found = &all.ends[1];
        assert_eq!((found.resend.end.state, found.resend.over), (MessageState::Undeliverable, Wall(9)));
    }

    #[test]
    fn an_end_that_no_account_was_told_is_not_told_now() {
        let why = |state, destination| {
            let found = looked(&[finish(state, facts(b"acme", b"77", destination))], None).ends.remove(0);
            told(&found).err().unwrap_or_default()
        };
        assert_eq!(why(2, b"382"), "");
        assert!(why(2, b"382,383").contains("several numbers"));
        assert!(why(6, b"382").contains("no receipt was asked for"));
        assert!(why(7, b"382").contains("no receipt has come"));
    }
}
