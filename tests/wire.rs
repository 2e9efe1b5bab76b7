//! Every test vector that concerns the wire: what is valid decodes to its stated fields and re-encodes to the same
//! octets, what is malformed gets its stated status, and a stream may be cut anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "wire/malformed.rs"]
mod malformed;
mod vectors;

use bindery::limits::PDU_MAX_DEFAULT;
use bindery::smpp::bind::{Bind, BindResp, Outbind};
use bindery::smpp::broadcast::{BroadcastSm, CancelBroadcastSm, QueryBroadcastSm};
use bindery::smpp::check::check_request;
use bindery::smpp::command::CommandId;
use bindery::smpp::data::{AlertNotification, DataSm};
use bindery::smpp::frame::{Frame, Pdu, write_header_only};
use bindery::smpp::multi::{Destination, SubmitMulti, SubmitMultiResp};
use bindery::smpp::operations::{CancelSm, QuerySm, QuerySmResp, ReplaceSm};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::tlv::{Tag, Tlv, Tlvs};
use bindery::smpp::v33::{
    ParamRetrieve, ParamRetrieveResp, QueryLastMsgs, QueryLastMsgsResp, QueryMsgDetails,
};
use serde_json::{Map, Value, json};
use std::io::Write as _;
use vectors::{list, octets};

/// Fields as the vectors name them, TLVs, and the PDU that the view writes.
struct Decoded<'a> {
    fields: Map<String, Value>,
    tlvs: Tlvs<'a>,
    again: Vec<u8>,
}

fn text(octets: &[u8]) -> Value {
    octets.iter().map(|&octet| char::from(octet)).collect::<String>().into()
}

fn hex(octets: &[u8]) -> Value {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>().into()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn source(address: &Address<'_>) -> Map<String, Value> {
    object(json!({
        "source_addr_ton": address.ton, "source_addr_npi": address.npi, "source_addr": text(address.digits),
    }))
}

fn destination(address: &Address<'_>) -> Map<String, Value> {
    object(json!({
        "dest_addr_ton": address.ton, "dest_addr_npi": address.npi, "destination_addr": text(address.digits),
    }))
}

fn content(content: &Content<'_>) -> Map<String, Value> {
    object(json!({
        "esm_class": content.esm_class,
        "protocol_id": content.protocol_id,
        "priority_flag": content.priority_flag,
        "schedule_delivery_time": text(content.schedule_delivery_time),
        "validity_period": text(content.validity_period),
        "registered_delivery": content.registered_delivery,
        "replace_if_present_flag": content.replace_if_present_flag,
        "data_coding": content.data_coding,
        "sm_default_msg_id": content.sm_default_msg_id,
        "sm_length": content.short_message.len(),
        "short_message": hex(content.short_message),
    }))
}

fn merged<const N: usize>(parts: [Map<String, Value>; N]) -> Map<String, Value> {
    parts.into_iter().flatten().collect()
}

fn decode<'a>(pdu: &Pdu<'a>) -> Decoded<'a> {
    let id = pdu.command_id();
    if id.is_response() {
        return decode_response(pdu);
    }
    match id {
        CommandId::SUBMIT_SM | CommandId::DELIVER_SM | CommandId::DATA_SM | CommandId::SUBMIT_MULTI => {
            decode_message(pdu)
        }
        CommandId::QUERY_SM | CommandId::CANCEL_SM | CommandId::REPLACE_SM => decode_operation(pdu),
        CommandId::BROADCAST_SM | CommandId::QUERY_BROADCAST_SM | CommandId::CANCEL_BROADCAST_SM => {
            decode_broadcast(pdu)
        }
        CommandId::PARAM_RETRIEVE | CommandId::QUERY_LAST_MSGS | CommandId::QUERY_MSG_DETAILS => {
            decode_v33(pdu)
        }
        _ => decode_session(pdu),
    }
}

fn decode_session<'a>(pdu: &Pdu<'a>) -> Decoded<'a> {
    let (id, sequence) = (pdu.command_id(), pdu.sequence_number());
    let mut again = Vec::new();
    let (fields, tlvs) = match id {
        CommandId::OUTBIND => {
            let outbind = Outbind::parse(pdu).unwrap();
            outbind.write(&mut again, sequence);
            let fields = json!({"system_id": text(outbind.system_id), "password": text(outbind.password)});
            (fields, outbind.tlvs)
        }
        CommandId::ALERT_NOTIFICATION => {
            let alert = AlertNotification::parse(pdu).unwrap();
            alert.write(&mut again, sequence);
            let esme = object(json!({
                "esme_addr_ton": alert.esme.ton, "esme_addr_npi": alert.esme.npi,
                "esme_addr": text(alert.esme.digits),
            }));
            (merged([source(&alert.source), esme]).into(), alert.tlvs)
        }
        CommandId::UNBIND | CommandId::ENQUIRE_LINK => {
            assert_eq!(pdu.body(), b"");
            write_header_only(&mut again, id, pdu.header().command_status, sequence);
            (json!({}), Tlvs::default())
        }
        _ => {
            let bind = Bind::parse(pdu).unwrap();
            bind.write(&mut again, id, sequence);
            let fields = json!({
                "system_id": text(bind.system_id), "password": text(bind.password),
                "system_type": text(bind.system_type), "interface_version": bind.interface_version,
                "addr_ton": bind.addr_ton, "addr_npi": bind.addr_npi, "address_range": text(bind.address_range),
            });
            (fields, bind.tlvs)
        }
    };
    Decoded { fields: object(fields), tlvs, again }
}

fn decode_message<'a>(pdu: &Pdu<'a>) -> Decoded<'a> {
    let (id, sequence) = (pdu.command_id(), pdu.sequence_number());
    let mut again = Vec::new();
    let service = |service: &[u8]| object(json!({"service_type": text(service)}));
    match id {
        CommandId::DATA_SM => {
            let data = DataSm::parse(pdu).unwrap();
            data.write(&mut again, sequence);
            let rest = object(json!({
                "esm_class": data.esm_class, "registered_delivery": data.registered_delivery,
                "data_coding": data.data_coding,
            }));
            let addresses = [source(&data.source), destination(&data.destination)];
            let fields = merged([service(data.service_type), merged(addresses), rest]);
            Decoded { fields, tlvs: data.tlvs, again }
        }
        CommandId::SUBMIT_MULTI => {
            let multi = SubmitMulti::parse(pdu).unwrap();
            multi.write(&mut again, sequence);
            let each = multi.destinations.iter().map(|one| match one {
                Destination::Address(address) => {
                    merged([object(json!({"dest_flag": 1})), destination(&address)]).into()
                }
                Destination::List(name) => json!({"dest_flag": 2, "dl_name": text(name)}),
            });
            let dests = object(json!({
                "number_of_dests": multi.destinations.count(), "dest_address": each.collect::<Vec<Value>>(),
            }));
            let rest = content(&multi.content);
            let fields = merged([service(multi.service_type), source(&multi.source), dests, rest]);
            Decoded { fields, tlvs: multi.content.tlvs, again }
        }
        _ => {
            let submit = id == CommandId::SUBMIT_SM;
            let sm = if submit { Sm::parse_submit(pdu) } else { Sm::parse_deliver(pdu) }.unwrap();
            sm.write(&mut again, id, sequence);
            let addresses = merged([source(&sm.source), destination(&sm.destination)]);
            let fields = merged([service(sm.service_type), addresses, content(&sm.content)]);
            Decoded { fields, tlvs: sm.content.tlvs, again }
        }
    }
}

fn decode_operation<'a>(pdu: &Pdu<'a>) -> Decoded<'a> {
    let sequence = pdu.sequence_number();
    let mut again = Vec::new();
    let (fields, tlvs) = match pdu.command_id() {
        CommandId::QUERY_SM => {
            let query = QuerySm::parse(pdu).unwrap();
            query.write(&mut again, CommandId::QUERY_SM, sequence);
            let id = object(json!({"message_id": text(query.message_id)}));
            (merged([id, source(&query.source)]), query.tlvs)
        }
        CommandId::CANCEL_SM => {
            let cancel = CancelSm::parse(pdu).unwrap();
            cancel.write(&mut again, sequence);
            let ids =
                json!({"service_type": text(cancel.service_type), "message_id": text(cancel.message_id)});
            (merged([object(ids), source(&cancel.source), destination(&cancel.destination)]), cancel.tlvs)
        }
        _ => {
            let replace = ReplaceSm::parse(pdu).unwrap();
            replace.write(&mut again, sequence);
            let rest = json!({
                "message_id": text(replace.message_id),
                "schedule_delivery_time": text(replace.schedule_delivery_time),
                "validity_period": text(replace.validity_period),
                "registered_delivery": replace.registered_delivery,
                "sm_default_msg_id": replace.sm_default_msg_id,
                "sm_length": replace.short_message.len(),
                "short_message": hex(replace.short_message),
            });
            (merged([object(rest), source(&replace.source)]), replace.tlvs)
        }
    };
    Decoded { fields, tlvs, again }
}

fn decode_broadcast<'a>(pdu: &Pdu<'a>) -> Decoded<'a> {
    let sequence = pdu.sequence_number();
    let mut again = Vec::new();
    let (fields, address, tlvs) = match pdu.command_id() {
        CommandId::BROADCAST_SM => {
            let broadcast = BroadcastSm::parse(pdu).unwrap();
            broadcast.write(&mut again, sequence);
            let fields = json!({
                "service_type": text(broadcast.service_type),
                "message_id": text(broadcast.message_id),
                "priority_flag": broadcast.priority_flag,
                "schedule_delivery_time": text(broadcast.schedule_delivery_time),
                "validity_period": text(broadcast.validity_period),
                "replace_if_present_flag": broadcast.replace_if_present_flag,
                "data_coding": broadcast.data_coding,
                "sm_default_msg_id": broadcast.sm_default_msg_id,
            });
            (fields, broadcast.source, broadcast.tlvs)
        }
        CommandId::QUERY_BROADCAST_SM => {
            let query = QueryBroadcastSm::parse(pdu).unwrap();
            query.write(&mut again, CommandId::QUERY_BROADCAST_SM, sequence);
            (json!({"message_id": text(query.message_id)}), query.source, query.tlvs)
        }
        _ => {
            let cancel = CancelBroadcastSm::parse(pdu).unwrap();
            cancel.write(&mut again, sequence);
            let ids =
                json!({"service_type": text(cancel.service_type), "message_id": text(cancel.message_id)});
            (ids, cancel.source, cancel.tlvs)
        }
    };
    Decoded { fields: merged([object(fields), source(&address)]), tlvs, again }
}

fn decode_v33<'a>(pdu: &Pdu<'a>) -> Decoded<'a> {
    let sequence = pdu.sequence_number();
    let mut again = Vec::new();
    let fields = match pdu.command_id() {
        CommandId::PARAM_RETRIEVE => {
            let view = ParamRetrieve::parse(pdu).unwrap();
            view.write(&mut again, sequence);
            object(json!({"param_name": text(view.param_name)}))
        }
        CommandId::QUERY_LAST_MSGS => {
            let view = QueryLastMsgs::parse(pdu).unwrap();
            view.write(&mut again, sequence);
            merged([source(&view.source), object(json!({"num_of_messages": view.num_of_messages}))])
        }
        _ => {
            let view = QueryMsgDetails::parse(pdu).unwrap();
            view.write(&mut again, sequence);
            let rest = json!({"message_id": text(view.message_id), "sm_length": view.sm_length});
            merged([source(&view.source), object(rest)])
        }
    };
    Decoded { fields, tlvs: Tlvs::default(), again }
}

/// Responses whose view says itself that there is no body decode to no fields.
fn decode_response<'a>(pdu: &Pdu<'a>) -> Decoded<'a> {
    let (id, sequence) = (pdu.command_id(), pdu.sequence_number());
    let status = pdu.header().command_status;
    let mut again = Vec::new();
    let absent = pdu.body().is_empty();
    let (fields, tlvs) = match id {
        CommandId::BIND_RECEIVER_RESP
        | CommandId::BIND_TRANSMITTER_RESP
        | CommandId::BIND_TRANSCEIVER_RESP => {
            let view = BindResp::parse(pdu);
            view.write(&mut again, id, status, sequence);
            (view.system_id.map_or(json!({}), |name| json!({"system_id": text(name)})), view.tlvs)
        }
        CommandId::SUBMIT_MULTI_RESP => {
            let view = SubmitMultiResp::parse(pdu);
            view.write(&mut again, status, sequence);
            let each = view.unsuccess.iter().map(|one| {
                let error = object(json!({"error_status_code": one.status.0}));
                merged([destination(&one.destination), error]).into()
            });
            let list: Vec<Value> = each.collect();
            let fields = view.message_id.map_or(json!({}), |message_id| {
                json!({
                    "message_id": text(message_id), "no_unsuccess": view.unsuccess.count(), "unsuccess_sme": list,
                })
            });
            (fields, view.tlvs)
        }
        CommandId::QUERY_SM_RESP if !absent => {
            let view = QuerySmResp::parse(pdu).unwrap();
            view.write(&mut again, status, sequence);
            let fields = json!({
                "message_id": text(view.message_id), "final_date": text(view.final_date),
                "message_state": view.message_state, "error_code": view.error_code,
            });
            (fields, view.tlvs)
        }
        CommandId::PARAM_RETRIEVE_RESP => {
            let view = ParamRetrieveResp::parse(pdu).unwrap();
            view.write(&mut again, status, sequence);
            (json!({"param_value": text(view.param_value)}), Tlvs::default())
        }
        CommandId::QUERY_LAST_MSGS_RESP => {
            let view = QueryLastMsgsResp::parse(pdu).unwrap();
            view.write(&mut again, status, sequence);
            let ids: Vec<Value> = view.message_ids().map(text).collect();
            (json!({"num_of_messages": view.count(), "message_ids": ids}), Tlvs::default())
        }
        _ if absent => {
            write_header_only(&mut again, id, status, sequence);
            (json!({}), Tlvs::default())
        }
        _ => {
            let view = MessageIdResp::parse(pdu);
            view.write(&mut again, id, status, sequence);
            assert!(view.terminated);
            assert_eq!(view.tlvs().bytes(), view.after);
            (json!({"message_id": text(view.id)}), view.tlvs())
        }
    };
    Decoded { fields: object(fields), tlvs, again }
}

/// The value of a TLV as its vector states it: an integer, or text without its NUL.
fn assert_tlv(id: &str, tlv: Tlv<'_>, stated: &Value) {
    assert_eq!(format!("0x{:04X}", tlv.tag.0), stated["tag"].as_str().unwrap(), "{id}");
    assert_eq!(json!(tlv.value.len()), stated["length"], "{id}");
    assert_eq!(hex(tlv.value), stated["value_hex"], "{id}");
    let name = stated["name"].as_str().unwrap();
    match name {
        "unknown" => assert!(tlv.tag.name().is_none() && !tlv.tag.is_vendor(), "{id}"),
        "vendor-specific" => assert!(tlv.tag.name().is_none() && tlv.tag.is_vendor(), "{id}"),
        _ => assert_eq!((tlv.tag.name(), Tag::from_name(name)), (Some(name), Some(tlv.tag)), "{id}"),
    }
    let within = tlv.tag.expected_length().is_none_or(|lengths| lengths.contains(&tlv.value.len()));
    assert!(within, "{id} {name}: a valid TLV is as long as the table says");
    match &stated["value"] {
        Value::Null => {}
        Value::Number(number) => {
            let value = tlv.value.iter().fold(0, |n, &octet| n << 8 | u64::from(octet));
            assert_eq!(number.as_u64(), Some(value), "{id}");
        }
        value => {
            let terminated = stated["nul_terminated"].as_bool().unwrap();
            assert_eq!(tlv.value.last() == Some(&0), terminated, "{id}");
            assert_eq!(&text(tlv.value.strip_suffix(&[0]).unwrap_or(tlv.value)), value, "{id}");
        }
    }
}

#[test]
fn every_valid_vector_decodes_to_its_fields_and_encodes_to_its_octets() {
    let all = list("pdu_valid");
    let mut good = 0;
    for vector in &all {
        let id = vector["id"].as_str().unwrap();
        let bytes = octets(&vector["hex"]);
        let pdu = Pdu::whole(&bytes).unwrap_or_else(|| panic!("{id} is one whole PDU"));
        let stated = &vector["decoded"];
        let header = pdu.header();
        assert_eq!(json!(header.command_length), stated["command_length"], "{id}");
        assert_eq!(json!(header.command_id.0), stated["command_id"], "{id}");
        assert_eq!(json!(header.command_status.0), stated["command_status"], "{id}");
        assert_eq!(json!(header.sequence_number), stated["sequence_number"], "{id}");
        assert_eq!(header.command_id.name(), stated["pdu"].as_str(), "{id}");
        assert_eq!(
            pdu.body().is_empty(),
            stated["body_absent"] == true || stated["fields"] == json!({}),
            "{id}"
        );

        let decoded = decode(&pdu);
        let fields = stated["fields"].as_object().cloned().unwrap_or_default();
        assert_eq!(decoded.fields, fields, "{id}");
        let tlvs = stated["tlvs"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(decoded.tlvs.iter().count(), tlvs.len(), "{id}");
        decoded.tlvs.iter().zip(tlvs).for_each(|(tlv, stated)| assert_tlv(id, tlv, stated));
        assert_eq!(decoded.again, bytes, "{id}");
        if !pdu.command_id().is_response() {
            assert_eq!(check_request(&pdu), Ok(()), "{id}");
        }
        good += 1;
    }
    writeln!(std::io::stdout(), "vectors: pdu_valid {good} of {}", all.len()).unwrap();
    assert_eq!(good, 149);
}

/// Command lengths and sequence numbers of the PDUs at the front of `buffer`, which are taken from it; whether framing
/// was lost.
fn drain(buffer: &mut Vec<u8>, out: &mut Vec<(u32, u32)>) -> bool {
    let mut rest = buffer.as_slice();
    let lost = loop {
        match Frame::next(rest, PDU_MAX_DEFAULT) {
            Frame::Whole(pdu, after) => {
                out.push((pdu.header().command_length, pdu.sequence_number()));
                rest = after;
            }
            Frame::Partial(missing) => {
                assert!(missing > 0);
                break false;
            }
            Frame::Lost(_) => break true,
        }
    };
    *buffer = rest.to_vec();
    lost
}

#[test]
fn a_stream_gives_the_same_pdus_wherever_it_is_cut() {
    let all = list("streams");
    for vector in &all {
        let id = vector["id"].as_str().unwrap();
        let segments: Vec<Vec<u8>> = vector["segments"].as_array().unwrap().iter().map(octets).collect();
        let whole = segments.concat();
        let lost = vector["then"].is_string();
        let check = |segments: &[&[u8]]| {
            let (mut buffer, mut found, mut broken) = (Vec::new(), Vec::new(), false);
            for segment in segments {
                buffer.extend_from_slice(segment);
                broken = drain(&mut buffer, &mut found);
            }
            let (lengths, sequences): (Vec<u32>, Vec<u32>) = found.into_iter().unzip();
            assert_eq!(json!(lengths), vector["expect_pdus"], "{id}");
            if !vector["expect_sequences"].is_null() {
                assert_eq!(json!(sequences), vector["expect_sequences"], "{id}");
            }
            assert_eq!(broken, lost, "{id}");
            assert_eq!(buffer.is_empty(), !lost, "{id}");
        };
        check(&segments.iter().map(Vec::as_slice).collect::<Vec<_>>());
        check(&whole.chunks(1).collect::<Vec<_>>());
        for cut in 0..=whole.len() {
            check(&[&whole[..cut], &whole[cut..]]);
        }
    }
    assert_eq!(all.len(), 14);
}
