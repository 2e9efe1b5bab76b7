//! deliver_sm as the simulated carrier writes them. Owns: nothing. Takes: a message's fields. Gives: octets.
//! Never: a TLV to a peer of version 3.3.

use super::deliver::{Delivery, Text};
use super::ids::{self, Place};
use super::settings::{ReceiptForm, Settings};
use crate::smpp::command::CommandId;
use crate::smpp::frame::write_pdu;
use crate::smpp::message_state::MessageState;
use crate::smpp::receipt::{ReceiptFields, write_text};
use crate::smpp::sm::{Address, Content, Sm};
use crate::smpp::status::CommandStatus;
use crate::smpp::times;
use crate::smpp::tlv::{Tag, write_tlv};
use crate::time::Wall;

/// esm_class of a receipt (SMPP 3.4 §5.2.12).
const ESM_RECEIPT: u8 = 0x04;

/// How receipts look to one session.
pub(super) struct Look<'a> {
    pub(super) settings: &'a Settings,
    pub(super) name_tlv: &'a [u8],
    pub(super) version: u8,
}

/// Appends the receipt for the message `number`.
pub(super) fn write_receipt(
    out: &mut Vec<u8>,
    sequence: u32,
    look: &Look<'_>,
    number: u64,
    delivery: &Delivery,
    now: Wall,
) {
    let settings = look.settings;
    let id = ids::write(settings.id_form, Place::Receipt, number, settings.seed);
    let form = if look.version < 0x34 { ReceiptForm::Text } else { settings.receipt_form };
    let ((source_ton, source_npi), (ton, npi)) = (delivery.destination_type, delivery.source_type);
    let sm = Sm {
        service_type: &[],
        source: Address { ton: source_ton, npi: source_npi, digits: delivery.destination.as_bytes() },
        destination: Address { ton, npi, digits: delivery.source.as_bytes() },
        content: Content { esm_class: ESM_RECEIPT, ..Content::default() },
    };
    write_pdu(out, CommandId::DELIVER_SM, CommandStatus::OK, sequence, |out| {
        sm.write_body(out);
        let text = |out: &mut Vec<u8>| write_receipt_text(out, settings, id.as_bytes(), delivery, now);
        let start = out.len();
        match form {
            ReceiptForm::Text | ReceiptForm::Both => {
                text(out);
                let length = out.len() - start;
                assert!(length <= 254);
                // sm_length stands just before the text.
                if let Some(sm_length) = start.checked_sub(1).and_then(|at| out.get_mut(at)) {
                    *sm_length = length as u8;
                }
            }
            ReceiptForm::Payload => {
                write_tlv(out, Tag::MESSAGE_PAYLOAD, &[]);
                text(out);
                let length = (out.len() - start - 4) as u16;
                if let Some(field) = out.get_mut(start + 2..start + 4) {
                    field.copy_from_slice(&length.to_be_bytes());
                }
            }
            ReceiptForm::Tlv => {}
        }
        if matches!(form, ReceiptForm::Tlv | ReceiptForm::Both) {
            let length = id.as_bytes().len() as u16 + 1;
            out.extend_from_slice(&Tag::RECEIPTED_MESSAGE_ID.0.to_be_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(id.as_bytes());
            out.push(0);
            write_tlv(out, Tag::MESSAGE_STATE, &[delivery.state.octet()]);
        }
        if look.version >= 0x34 {
            out.extend_from_slice(look.name_tlv);
        }
    });
}

fn write_receipt_text(out: &mut Vec<u8>, settings: &Settings, id: &[u8], delivery: &Delivery, now: Wall) {
    let delivered = delivery.state == MessageState::Delivered;
    let mut head = delivery.head;
    if let Some(name) = &settings.name {
        let mut text = [0; 20];
        let octets = name.bytes().chain([b' ']).chain(delivery.head.as_bytes().iter().copied());
        let count = text.iter_mut().zip(octets).map(|(place, octet)| *place = octet).count();
        head = Text::printable(text.get(..count).unwrap_or_default());
    }
    let fields = ReceiptFields {
        id,
        sub: 1,
        dlvrd: u16::from(delivered),
        submit_date: &times::receipt_date(delivery.submitted),
        done_date: &times::receipt_date(now),
        stat: delivery.state.stat().as_bytes(),
        err: if delivered { b"000" } else { b"001" },
        text: head.as_bytes(),
    };
    write_text(out, &fields);
}

/// Appends an MO message.
pub(super) fn write_mo(out: &mut Vec<u8>, sequence: u32, settings: &Settings, number: u64) {
    let to = settings.mo_to.first + number % settings.mo_to.count();
    let (text, to) = (format!("MO {number} to {to}"), to.to_string());
    let sm = Sm {
        service_type: &[],
        source: Address { ton: 1, npi: 1, digits: settings.mo_from.as_bytes() },
        destination: Address { ton: 0, npi: 1, digits: to.as_bytes() },
        content: Content { short_message: text.as_bytes(), ..Content::default() },
    };
    sm.write(out, CommandId::DELIVER_SM, sequence);
}
