//! A stream vector: its PDUs are seen at the right place whether it comes in its segments, octet by octet, or cut in
//! two anywhere.

use crate::peer::{Peer, header_of, sequence_of, view, with_sequence};
use crate::vectors::octets;
use crate::world::{World, accepting};
use bindery::smpp::command::CommandId;
use bindery::smpp::status::CommandStatus;
use serde_json::{Value, json};

/// Longer streams are not cut everywhere.
const CUT_UP_TO: usize = 200;

/// Plays a vector; gives in how many places it was cut in two.
pub(crate) fn play(id: &str, vector: &Value) -> usize {
    let segments: Vec<Vec<u8>> = vector["segments"].as_array().unwrap().iter().map(octets).collect();
    let whole = segments.concat();
    let stream = Stream::of(id, vector, &whole);
    let mut world = World::usual(id, 0x34);
    let mut other = world.bind(CommandId::BIND_TRANSCEIVER);
    let mut check = |segments: &[&[u8]]| stream.check(&mut world, &mut other, segments);
    check(&segments.iter().map(Vec::as_slice).collect::<Vec<_>>());
    check(&whole.chunks(1).collect::<Vec<_>>());
    let cuts = if whole.len() <= CUT_UP_TO { 1..whole.len() } else { 0..0 };
    let count = cuts.len();
    cuts.for_each(|cut| check(&[&whole[..cut], &whole[cut..]]));
    count
}

/// What a stream holds.
struct Stream<'a> {
    id: &'a str,
    pdus: Vec<&'a [u8]>,
    binds: bool,
    lost: bool,
}

impl<'a> Stream<'a> {
    fn of(id: &'a str, vector: &Value, whole: &'a [u8]) -> Self {
        let mut rest = whole;
        let mut pdus = Vec::new();
        for length in vector["expect_pdus"].as_array().unwrap() {
            let (pdu, behind) = rest.split_at(length.as_u64().unwrap() as usize);
            pdus.push(pdu);
            rest = behind;
        }
        let lost = vector["then"].is_string();
        assert_eq!(rest.is_empty(), !lost, "{id}");
        if !vector["expect_sequences"].is_null() {
            let sequences: Vec<u32> = pdus.iter().map(|pdu| sequence_of(pdu)).collect();
            assert_eq!(json!(sequences), vector["expect_sequences"], "{id}");
        }
        let binds = view(pdus[0]).command_id() == CommandId::BIND_TRANSCEIVER;
        Self { id, pdus, binds, lost }
    }

    fn check(&self, world: &mut World, other: &mut Peer, segments: &[&[u8]]) {
        // The vectors bind as esme01 and expect to be alone on their connection.
        let own = if self.binds {
            Some(world.connect())
        } else if self.lost {
            Some(world.bind(CommandId::BIND_TRANSCEIVER))
        } else {
            None
        };
        if let Some(own) = own {
            world.esme = vec![own];
        }
        for segment in segments {
            world.tx().send(segment);
            // The node has read it when it has answered somebody else who asked later.
            if segments.len() == 2 {
                other.settle();
            }
        }
        let mut expected = self.answers_of_the_session();
        expected.extend(self.pass_submits(world));
        if self.lost {
            expected.push(("generic_nack".to_owned(), CommandStatus::INVALID_COMMAND_LENGTH.0, 0));
        }
        let mut answers: Vec<_> = expected.iter().map(|_| header_of(&world.tx().pdu())).collect();
        // Answers of the session and of the carrier may come in any order.
        answers.sort();
        expected.sort();
        assert_eq!(answers, expected, "{} in {} segments", self.id, segments.len());
        if self.lost {
            world.tx().expect_end();
            world.esme.clear();
        }
        world.settle();
    }

    fn answers_of_the_session(&self) -> Vec<(String, u32, u32)> {
        let answer = |pdu: &&[u8]| {
            let (name, status) = match view(pdu).command_id() {
                CommandId::BIND_TRANSCEIVER => ("bind_transceiver_resp", CommandStatus::OK),
                CommandId::ENQUIRE_LINK => ("enquire_link_resp", CommandStatus::OK),
                CommandId(0x0A) => ("generic_nack", CommandStatus::INVALID_COMMAND_ID),
                CommandId::SUBMIT_SM | CommandId::DELIVER_SM_RESP => return None,
                command => panic!("{}: {command:?} is not known", self.id),
            };
            Some((name.to_owned(), status.0, sequence_of(pdu)))
        };
        self.pdus.iter().filter_map(answer).collect()
    }

    /// The carrier is sent each submit_sm once, in order and unchanged, and answers the last one first.
    fn pass_submits(&self, world: &mut World) -> Vec<(String, u32, u32)> {
        let is_submit = |pdu: &&&[u8]| view(pdu).command_id() == CommandId::SUBMIT_SM;
        let submits: Vec<&[u8]> = self.pdus.iter().filter(is_submit).copied().collect();
        let numbers: Vec<u32> = submits.iter().map(|pdu| world.carrier_tx().expect_relayed(pdu)).collect();
        let mut answers = Vec::new();
        for (pdu, &number) in submits.iter().zip(&numbers).rev() {
            let response = accepting(&with_sequence(pdu, number), "1");
            world.carrier_tx().send(&response);
            answers.push(("submit_sm_resp".to_owned(), 0, sequence_of(pdu)));
        }
        let mut distinct = numbers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), numbers.len(), "{}: our numbers are our own", self.id);
        answers
    }
}
