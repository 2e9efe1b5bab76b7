//! PDUs: framing gives only what is there, and what a view reads is written as it came.

use bindery::limits::PDU_MAX_DEFAULT;
use bindery::smpp::bind::{Bind, BindResp, Outbind};
use bindery::smpp::broadcast::{BroadcastSm, CancelBroadcastSm, QueryBroadcastSm};
use bindery::smpp::check::check_request;
use bindery::smpp::command::CommandId;
use bindery::smpp::convert::{fits_v33, sm_from_data, write_v33, write_v33_from_data, write_v33_multi};
use bindery::smpp::cursor::PduError;
use bindery::smpp::data::{AlertNotification, DataSm};
use bindery::smpp::frame::{Frame, Pdu, copy_with_sequence};
use bindery::smpp::multi::{SubmitMulti, SubmitMultiResp};
use bindery::smpp::operations::{CancelSm, QuerySm, QuerySmResp, ReplaceSm};
use bindery::smpp::receipt::{Receipt, rewrite_data_id, rewrite_id};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::segment::has_udh;
use bindery::smpp::sm::Sm;
use bindery::smpp::status::CommandStatus;
use bindery::smpp::v33::{
    ParamRetrieve, ParamRetrieveResp, QueryLastMsgs, QueryLastMsgsResp, QueryMsgDetails, QueryMsgDetailsResp,
};

/// A stream of PDUs; what is left when framing ends is read once more as one PDU of a right length.
pub(super) fn pdus(data: &[u8]) {
    let mut rest = data;
    loop {
        match Frame::next(rest, PDU_MAX_DEFAULT) {
            Frame::Whole(pdu, behind) => {
                assert_eq!(pdu.bytes().len() + behind.len(), rest.len());
                assert_eq!(pdu.bytes().len(), pdu.header().command_length as usize);
                every_view(&pdu);
                rest = behind;
            }
            Frame::Partial(missing) => {
                assert!(missing > 0 && missing <= PDU_MAX_DEFAULT);
                break;
            }
            Frame::Lost(length) => {
                assert!(length < 16 || length as usize > PDU_MAX_DEFAULT);
                break;
            }
        }
    }
    if rest.len() >= 16 {
        let mut one = rest.to_vec();
        one[..4].copy_from_slice(&(rest.len() as u32).to_be_bytes());
        every_view(&Pdu::whole(&one).expect("its length is right"));
    }
}

/// The place of an error is in the PDU.
fn sound<T>(pdu: &Pdu<'_>, result: Result<T, PduError>) -> Option<T> {
    result.map_err(|error| assert!((4..=pdu.bytes().len()).contains(&error.offset))).ok()
}

/// Reads a PDU with the views of its command; what a strict one reads, it writes as it came.
fn every_view(pdu: &Pdu<'_>) {
    let (id, sequence) = (pdu.command_id(), pdu.sequence_number());
    let checked = sound(pdu, check_request(pdu)).is_some();
    let same = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut again = Vec::with_capacity(pdu.bytes().len());
        write(&mut again);
        assert_eq!(&again[16..], pdu.body());
        // What is passed on has passed the check.
        assert!(checked);
    };
    match id {
        CommandId::SUBMIT_SM | CommandId::DELIVER_SM => message(pdu),
        CommandId::DATA_SM => {
            sound(pdu, DataSm::parse(pdu)).inspect(|view| {
                same(&|out| view.write(out, sequence));
                data_message(view);
            });
        }
        CommandId::SUBMIT_MULTI => {
            sound(pdu, SubmitMulti::parse(pdu)).inspect(|view| {
                same(&|out| view.write(out, sequence));
                assert_eq!(view.destinations.iter().count(), usize::from(view.destinations.count()));
                let mut older = Vec::new();
                if write_v33_multi(view, 1, &mut older).is_ok() {
                    let older = Pdu::whole(&older).expect("one PDU");
                    assert!(
                        SubmitMulti::parse(&older)
                            .expect("what we write is read")
                            .content
                            .tlvs
                            .bytes()
                            .is_empty()
                    );
                }
            });
        }
        CommandId::BIND_RECEIVER | CommandId::BIND_TRANSMITTER | CommandId::BIND_TRANSCEIVER => {
            sound(pdu, Bind::parse(pdu)).inspect(|view| same(&|out| view.write(out, id, sequence)));
        }
        CommandId::OUTBIND => {
            sound(pdu, Outbind::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
        }
        CommandId::ALERT_NOTIFICATION => {
            sound(pdu, AlertNotification::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
        }
        _ if id.is_response() => responses(pdu),
        _ => operations(pdu),
    }
}

fn operations(pdu: &Pdu<'_>) {
    let (id, sequence) = (pdu.command_id(), pdu.sequence_number());
    let same = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut again = Vec::new();
        write(&mut again);
        assert_eq!(&again[16..], pdu.body());
    };
    sound(pdu, QuerySm::parse(pdu)).inspect(|view| same(&|out| view.write(out, id, sequence)));
    sound(pdu, QueryBroadcastSm::parse(pdu)).inspect(|view| same(&|out| view.write(out, id, sequence)));
    sound(pdu, CancelSm::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(pdu, ReplaceSm::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(pdu, BroadcastSm::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(pdu, CancelBroadcastSm::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(pdu, ParamRetrieve::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(pdu, QueryLastMsgs::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(pdu, QueryMsgDetails::parse(pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
}

/// Responses are read leniently: what their views write is whole and at most two NULs longer than what came.
fn responses(pdu: &Pdu<'_>) {
    let (id, sequence, status) = (pdu.command_id(), pdu.sequence_number(), pdu.header().command_status);
    let mut again = Vec::new();
    MessageIdResp::parse(pdu).write(&mut again, id, status, sequence);
    assert_eq!(again[16..], *pdu.body());
    let mut bounded = |write: &dyn Fn(&mut Vec<u8>)| {
        again.clear();
        write(&mut again);
        assert!(again.len() <= pdu.bytes().len() + 2);
        assert!(Pdu::whole(&again).is_some());
    };
    let view = BindResp::parse(pdu);
    bounded(&|out| view.write(out, CommandId::BIND_TRANSCEIVER_RESP, status, sequence));
    let view = SubmitMultiResp::parse(pdu);
    assert_eq!(view.unsuccess.iter().count(), usize::from(view.unsuccess.count()));
    bounded(&|out| view.write(out, status, sequence));
    sound(pdu, QuerySmResp::parse(pdu)).inspect(|view| bounded(&|out| view.write(out, status, sequence)));
    sound(pdu, ParamRetrieveResp::parse(pdu))
        .inspect(|view| bounded(&|out| view.write(out, status, sequence)));
    sound(pdu, QueryLastMsgsResp::parse(pdu)).inspect(|view| {
        bounded(&|out| view.write(out, status, sequence));
        assert_eq!(view.message_ids().count(), usize::from(view.count()));
    });
    sound(pdu, QueryMsgDetailsResp::parse(pdu))
        .inspect(|view| bounded(&|out| view.write(out, status, sequence)));
}

/// A submit_sm or deliver_sm: as it came, for an older peer, with another id.
fn message(pdu: &Pdu<'_>) {
    let (id, sequence) = (pdu.command_id(), pdu.sequence_number());
    let Some(sm) = sound(pdu, Sm::parse_deliver(pdu)) else {
        assert!(sound(pdu, Sm::parse_submit(pdu)).is_none());
        return;
    };
    let mut again = Vec::with_capacity(pdu.bytes().len());
    sm.write(&mut again, id, sequence);
    assert_eq!(&again[16..], pdu.body());
    again.clear();
    copy_with_sequence(&mut again, pdu, 7);
    assert_eq!((&again[16..], again.len()), (pdu.body(), pdu.bytes().len()));
    let text = sm.content.text();
    assert!(text.len() <= pdu.body().len());
    again.clear();
    let fits = fits_v33(&sm);
    assert_eq!(write_v33(&sm, id, sequence, &mut again), fits);
    assert_eq!(again.is_empty(), fits.is_err());
    if let Some(older) = Pdu::whole(&again) {
        let older = Sm::parse_deliver(&older).expect("what we write is read");
        assert!(older.content.tlvs.bytes().is_empty() && older.content.short_message.len() <= 255);
        assert_eq!((older.source, older.destination), (sm.source, sm.destination));
    }
    let receipt = Receipt::parse(&sm, false);
    if receipt.is_some() || Receipt::parse(&sm, true).is_some() {
        renamed(&sm, receipt.is_some());
    }
}

/// A receipt under another id is whole, says that id, and is otherwise as long as it was.
fn renamed(sm: &Sm<'_>, marked: bool) {
    for new in [&b"7"[..], b"1234567890123456789", &[b'f'; 64]] {
        let mut out = Vec::new();
        rewrite_id(sm, new, CommandId::DELIVER_SM, 9, &mut out);
        let pdu = Pdu::whole(&out).expect("one PDU");
        let read = Sm::parse_deliver(&pdu).expect("what we write is read");
        assert_eq!((read.source, read.destination), (sm.source, sm.destination));
        assert_eq!(read.content.tlvs.iter().count(), sm.content.tlvs.iter().count());
        let (Some(before), Some(after)) = (Receipt::parse(sm, !marked), Receipt::parse(&read, !marked))
        else {
            continue;
        };
        assert!(before.tlv_id.is_none() || after.tlv_id == Some(new));
        assert!(after.tlv_id.is_none_or(|id| id == new));
        // A text that is no header may look like one when it is longer.
        if before.text_id().is_some() && !has_udh(sm.content.esm_class) {
            assert_eq!(after.text_id(), Some(new));
        }
    }
}

fn data_message(data: &DataSm<'_>) {
    assert!(data.text().len() <= 65_535);
    let mut older = Vec::new();
    if let Ok(sm) = sm_from_data(data) {
        assert_eq!((sm.source, sm.destination), (data.source, data.destination));
    }
    if write_v33_from_data(data, CommandId::SUBMIT_SM, 1, &mut older).is_ok() {
        let pdu = Pdu::whole(&older).expect("one PDU");
        assert!(Sm::parse_deliver(&pdu).expect("what we write is read").content.tlvs.bytes().is_empty());
    } else {
        assert!(older.is_empty());
    }
    if Receipt::parse_data(data).is_some() {
        let mut out = Vec::new();
        rewrite_data_id(data, b"42", 3, &mut out);
        let pdu = Pdu::whole(&out).expect("one PDU");
        assert_eq!(pdu.header().command_status, CommandStatus::OK);
        let read = DataSm::parse(&pdu).expect("what we write is read");
        assert_eq!(read.tlvs.iter().count(), data.tlvs.iter().count());
    }
}
