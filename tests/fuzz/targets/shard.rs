//! A whole node of two shards: any order of binds, requests, octets that are none, answers, receipts, ends of links, held
//! letters, full sockets and time. The driver says what must hold.

use super::driver::Driver;
use bindery::ids::LinkId;
use bindery::session::BindKind;
use bindery::shard::port::Input;
use bindery::smpp::bind::{Bind, BindResp};
use bindery::smpp::command::CommandId;
use bindery::smpp::cursor::Cursor;
use bindery::smpp::frame::{write_header_only, write_pdu};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};
use bindery::time::Duration;

const OK: CommandStatus = CommandStatus::OK;

struct Play<'a> {
    driver: Driver,
    cursor: Cursor<'a>,
    /// Numbers of requests.
    number: u32,
    /// Ids that carriers gave.
    ids: u32,
}

/// See the file's header: each step is an octet that says what, one that says how, and what that needs.
pub(super) fn shard(data: &[u8]) {
    let mut play = Play { driver: Driver::new(7), cursor: Cursor::new(data, 0), number: 100, ids: 0 };
    while let Ok([op, how]) = play.cursor.octets("") {
        play.step(op, how);
    }
    play.driver.end();
}

impl Play<'_> {
    /// A link of an ESME or a carrier, if there is one.
    fn link(&self, carrier: bool, how: u8) -> Option<LinkId> {
        let links: Vec<LinkId> = (self.driver.peers.iter())
            .filter(|(_, peer)| peer.carrier.is_some() == carrier)
            .map(|(link, _)| *link)
            .collect();
        links.get(usize::from(how) % links.len().max(1)).copied()
    }

    fn step(&mut self, op: u8, how: u8) {
        let esme = self.link(false, how);
        let carrier = self.link(true, how);
        let any = if how & 0x80 == 0 { esme } else { carrier };
        match (op % 18, esme, carrier, any) {
            (0, ..) if self.driver.peers.len() < 12 => self.driver.connect(),
            (1, Some(link), ..) => self.bind(link, how),
            (2 | 3, Some(link), ..) => self.submit(link, how),
            (4, .., Some(link)) => self.raw(link, how),
            (5, .., Some(link)) => self.strange(link, how),
            (6, ..) => self.driver.dialled(how & 3 != 3),
            (7 | 8, .., Some(link)) => self.answer(link, how),
            (9, _, Some(link), _) => self.deliver(link, how, true),
            (10, _, Some(link), _) => self.deliver(link, how, false),
            (11, ..) => self.driver.pass(Duration::from_millis(1 << (how % 15))),
            (12, .., Some(link)) => {
                self.driver.gone(link);
                self.driver.settle();
            }
            (13, .., Some(link)) => self.driver.stick(link, how & 1 == 0),
            (14, ..) => {
                self.driver.holds = how & 1 == 0;
                self.driver.settle();
            }
            (15, ..) if how == 0xD7 => self.driver.input_all(|| Input::Drain),
            (16, ..) => self.all_up(how),
            _ => {}
        }
    }

    /// The usual beginning: carriers are up and an account is bound.
    fn all_up(&mut self, how: u8) {
        for _ in 0..4 {
            self.driver.dialled(true);
        }
        let links: Vec<LinkId> = self.driver.peers.keys().copied().collect();
        links.into_iter().for_each(|link| self.answer(link, 0));
        if self.driver.peers.len() < 8 {
            self.driver.connect();
        }
        let newest = self.driver.peers.keys().next_back().copied();
        if let Some(link) = newest {
            self.bind(link, how);
        }
    }

    fn bind(&mut self, link: LinkId, how: u8) {
        let system_id: &[u8] = if how & 1 == 0 { b"a" } else { b"b" };
        let password: &[u8] = if how & 0x70 == 0x70 { b"guess" } else { b"secret" };
        let kinds = [BindKind::Transceiver, BindKind::Transmitter, BindKind::Receiver, BindKind::Transceiver];
        let interface_version = if how & 8 == 0 { 0x34 } else { 0x33 };
        let bind = Bind { system_id, password, interface_version, ..Bind::default() };
        let mut octets = Vec::new();
        bind.write(&mut octets, kinds[usize::from(how >> 1 & 3)].command(), 1);
        self.driver.send(link, &octets);
    }

    fn submit(&mut self, link: LinkId, how: u8) {
        self.number += 1;
        let to: &[u8] = [&b"38267000001"[..], b"38267000002", b"", b"436501"][usize::from(how >> 4 & 3)];
        let part = [5, 0, 3, how, 2, 1 + (how & 1), b'x'];
        let esm_class = if how & 0x40 == 0 { 0 } else { 0x40 };
        let short_message = if esm_class == 0 { &b"text"[..] } else { &part };
        let mut tlvs = Vec::new();
        if how & 2 != 0 {
            write_tlv(&mut tlvs, Tag(0x1401), &[how; 3]);
        }
        let tlvs = Tlvs::lenient(&tlvs);
        let registered_delivery = how & 1;
        let content = Content { esm_class, registered_delivery, short_message, tlvs, ..Content::default() };
        let source = Address { ton: 1, npi: 1, digits: b"14499" };
        let destination = Address { ton: 1, npi: 1, digits: to };
        let mut octets = Vec::new();
        let sm = Sm { source, destination, content, ..Sm::default() };
        sm.write(&mut octets, CommandId::SUBMIT_SM, self.number);
        self.driver.send(link, &octets);
    }

    /// Octets of the input, as they are.
    fn raw(&mut self, link: LinkId, how: u8) {
        let octets = self.cursor.take(usize::from(how & 0x1F)).unwrap_or_default().to_vec();
        self.driver.send(link, &octets);
    }

    /// A PDU with a right length, of any command, with a body from the input.
    fn strange(&mut self, link: LinkId, how: u8) {
        let commands = [
            CommandId::SUBMIT_MULTI,
            CommandId::DATA_SM,
            CommandId::QUERY_SM,
            CommandId::CANCEL_SM,
            CommandId::REPLACE_SM,
            CommandId::ENQUIRE_LINK,
            CommandId::UNBIND,
            CommandId::GENERIC_NACK,
            CommandId::SUBMIT_SM_RESP,
            CommandId::DELIVER_SM_RESP,
            CommandId::ALERT_NOTIFICATION,
            CommandId::DELIVER_SM,
            CommandId::SUBMIT_SM,
            CommandId::OUTBIND,
            CommandId(0x777),
            CommandId(0x8000_0777),
        ];
        let length = self.cursor.take(1).and_then(|one| one.first().copied()).unwrap_or_default();
        let body = self.cursor.take(usize::from(length) % 80).unwrap_or_default().to_vec();
        self.number += 1;
        let mut octets = Vec::new();
        let number = if how & 0x40 == 0 { self.number } else { u32::from(how & 7) };
        write_pdu(&mut octets, commands[usize::from(how & 15)], OK, number, |out| {
            out.extend_from_slice(&body)
        });
        self.driver.send(link, &octets);
    }

    /// A peer answers what it was asked, as `how` says: all or the last, well or not.
    fn answer(&mut self, link: LinkId, how: u8) {
        let Some(peer) = self.driver.peers.get_mut(&link) else { return };
        let count = if how & 0x40 == 0 { peer.asked.len() } else { 1 };
        let asked: Vec<_> = (0..count).filter_map(|_| peer.asked.pop_back()).collect();
        for (command, number, ..) in asked {
            let mut octets = Vec::new();
            let response = command.response();
            let number = if how & 0x0F == 0x0F { number ^ 1 } else { number };
            match (command, how & 7) {
                (
                    CommandId::BIND_TRANSCEIVER | CommandId::BIND_RECEIVER | CommandId::BIND_TRANSMITTER,
                    0..=5,
                ) => {
                    let bound = BindResp { system_id: Some(b"smsc"), ..BindResp::default() };
                    bound.write(&mut octets, response, OK, number);
                }
                (CommandId::SUBMIT_SM | CommandId::DATA_SM, 0..=3) => {
                    self.ids += 1;
                    let id = format!("{}", 1000 + self.ids);
                    MessageIdResp::new(id.as_bytes()).write(&mut octets, response, OK, number);
                }
                (CommandId::DELIVER_SM, 0..=4) => {
                    MessageIdResp::new(b"").write(&mut octets, response, OK, number);
                }
                (CommandId::ENQUIRE_LINK | CommandId::UNBIND, _) => {
                    write_header_only(&mut octets, response, OK, number);
                }
                (_, 4) => write_header_only(&mut octets, response, CommandStatus::THROTTLED, number),
                (_, 5) => write_header_only(&mut octets, response, CommandStatus::SYSTEM_ERROR, number),
                (_, 6) => write_header_only(&mut octets, CommandId::GENERIC_NACK, OK, number),
                _ => write_header_only(&mut octets, response, CommandStatus(0x451), number),
            }
            if how & 0x20 != 0 {
                octets.extend_from_within(..);
            }
            self.driver.send(link, &octets);
        }
    }

    /// A receipt of one of the last messages, or an MO.
    fn deliver(&mut self, link: LinkId, how: u8, receipt: bool) {
        self.number += 1;
        let id = 1000 + self.ids.saturating_sub(u32::from(how & 3));
        let stat = ["DELIVRD", "UNDELIV", "ENROUTE", "ACCEPTD"][usize::from(how >> 2 & 3)];
        let text = format!(
            "id:{id} sub:001 dlvrd:001 submit date:2611211200 done date:2611211201 stat:{stat} err:000 text:x"
        );
        let mut tlvs = Vec::new();
        if how & 0x40 != 0 {
            write_tlv(&mut tlvs, Tag::RECEIPTED_MESSAGE_ID, format!("{id}\0").as_bytes());
        }
        let (esm_class, short_message) = if receipt { (4, text.as_bytes()) } else { (0, &b"MO"[..]) };
        let content = Content { esm_class, short_message, tlvs: Tlvs::lenient(&tlvs), ..Content::default() };
        let digits: &[u8] = if how & 0x20 == 0 { b"38267000001" } else { b"38267000002" };
        let source = Address { ton: 1, npi: 1, digits };
        let destination = Address { ton: 1, npi: 1, digits: b"14499" };
        let mut octets = Vec::new();
        let sm = Sm { source, destination, content, ..Sm::default() };
        sm.write(&mut octets, CommandId::DELIVER_SM, self.number);
        self.driver.send(link, &octets);
    }
}
