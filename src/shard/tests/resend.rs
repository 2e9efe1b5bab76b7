//! A receipt once more.

use super::journal::Kept;
use super::pdus::{answer, refusal};
use super::rig::{ENOSPC, config};
use crate::ids::EsmeId;
use crate::journal::Kind;
use crate::ledger::End;
use crate::shard::port::{Answer, Ask, Input, Ticket};
use crate::shard::resend::{Resend, Resent};
use crate::smpp::message_state::MessageState;
use crate::smpp::receipt::Receipt;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Wall};

fn resend() -> Resend {
    Resend {
        esme: EsmeId(0),
        id: b"0A1".to_vec(),
        accepted: Wall(0),
        over: Wall(86_400_000_000),
        source: b"ACME".to_vec(),
        destination: b"38267123456".to_vec(),
        end: End::by_receipt(MessageState::Delivered, b"007"),
    }
}

impl Kept {
    fn resend(&mut self) -> Resent {
        self.rig.input_all(|| Input::Ask { ticket: Ticket(1), ask: Ask::Resend(Box::new(resend())) });
        let answers = self.rig.answers.drain(..).map(|(_, answer)| match answer {
            Answer::Resent(resent) => resent,
            Answer::Status(_) | Answer::Queue(_) => panic!("nobody asked for it"),
        });
        answers.reduce(Resent::join).unwrap()
    }
}

#[test]
fn it_says_what_the_final_record_says_and_leaves_no_second_one() {
    let mut kept = Kept::up(config(&["acme"], &["alpha"]));
    let link = kept.rig.trx("acme");
    assert_eq!(kept.resend(), Resent::Goes { bound: true });
    // Its record is not safe yet.
    kept.rig.silent(link);
    kept.durable();
    let given = kept.rig.one(link);
    let pdu = given.pdu();
    let sm = Sm::parse_deliver(&pdu).unwrap();
    assert_eq!((sm.source.digits, sm.destination.digits), (&b"38267123456"[..], &b"ACME"[..]));
    let receipt = Receipt::parse(&sm, false).unwrap();
    assert_eq!((receipt.id(), receipt.state), (Some(&b"0A1"[..]), Some(MessageState::Delivered)));
    let text = String::from_utf8_lossy(sm.content.short_message).into_owned();
    assert!(
        text.contains("dlvrd:001 submit date:7001010000 done date:7001020000 stat:DELIVRD err:007"),
        "{text}"
    );
    // One that is refused for now comes again.
    kept.rig.send(link, &refusal(&given, CommandStatus::THROTTLED));
    kept.rig.advance(crate::limits::RECEIPT_AGAIN + Duration::from_secs(1));
    let again = kept.rig.one(link);
    kept.rig.send(link, &answer(&again, ""));
    assert_eq!(kept.kinds(), [Kind::MoIn, Kind::Tombstone]);
    assert!(kept.nothing_is_needed());
    assert_eq!(kept.rig.shards[0].counters.esmes[0].receipts.get(), 1, "it is a receipt for who counts");
}

#[test]
fn without_room_it_is_not_taken() {
    let mut kept = Kept::up(config(&["acme"], &["alpha"]));
    kept.full(true);
    assert_eq!(kept.resend(), Resent::Full);
    kept.full(false);
    kept.failed(ENOSPC);
    assert_eq!(kept.resend(), Resent::Full);
    kept.failed(0);
    assert_eq!(kept.resend(), Resent::Goes { bound: false });
}
