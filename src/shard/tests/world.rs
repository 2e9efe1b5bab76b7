//! A world of random ESMEs and carriers around a shard, and an oracle that sees only the wires.
//!
//! Owns: what each peer has asked and heard. Takes: a seed. Gives: faults, peace, a verdict. Never: looks into the
//! shard before the end.

use super::pdus::{Dlr, Heard, answer, bind, header, mo, query, refusal, submit_text};
use super::rig::{Rig, config, member};
use crate::config::Config;
use crate::esme::settings::{MessageIdSource, WindowOver};
use crate::ids::{EsmeId, LinkId, PoolId};
use crate::prng::Prng;
use crate::route::settings::{MoRouteSettings, Nobody, PoolSettings};
use crate::session::BindKind;
use crate::smpp::command::CommandId;
use crate::smpp::receipt::Receipt;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;
use std::collections::BTreeMap;

const ACCOUNTS: [&str; 3] = ["auto", "own", "theirs"];
const NUMBERS: [&str; 3] = ["38267000001", "38267000002", "38269111111"];

/// What happened, so that a soak that does nothing is noticed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) accepted: u32,
    pub(super) refused: u32,
    pub(super) receipts: u32,
    pub(super) mo: u32,
    pub(super) links_lost: u32,
}

/// A submit of an ESME; its text is its index.
#[derive(Debug, Clone)]
struct Asked {
    account: usize,
    link: LinkId,
    number: &'static str,
    /// The id that it was answered with.
    id: Option<String>,
    /// It was answered with an error; a late acceptance may still bring a receipt.
    failed: bool,
}

/// A message that a carrier took, as far as the carrier knows.
#[derive(Debug, Clone)]
struct Carried {
    carrier: usize,
    id: String,
    asked: usize,
    number: &'static str,
}

/// See the file's header.
pub(super) struct World {
    rig: Rig,
    prng: Prng,
    seen: Seen,
    faults: bool,
    accounts: BTreeMap<LinkId, usize>,
    asked: Vec<Asked>,
    /// Answers to each request of an ESME, and the submit that it is.
    requests: BTreeMap<(LinkId, u32), (u32, Option<usize>)>,
    carried: Vec<Carried>,
    next_id: [u32; 2],
    next_sequence: u32,
    /// Octets that a peer sends later.
    delayed: Vec<(LinkId, Vec<u8>)>,
    /// The rest of a PDU that a peer has cut.
    cut: BTreeMap<LinkId, Vec<u8>>,
}

fn settings(prng: &mut Prng) -> Config {
    let mut config = config(&ACCOUNTS, &["alpha", "beta"]);
    config.pools.push(PoolSettings::weighted("alone", vec![member(0, 1)]));
    config.esmes[1].message_id = MessageIdSource::Own;
    config.esmes[2].message_id = MessageIdSource::Carrier;
    config.esmes[2].pool = Some(PoolId(1));
    for esme in &mut config.esmes {
        esme.window_max = 1 + prng.below(6) as u32;
        esme.window_over = [WindowOver::Wait, WindowOver::Refuse][prng.below(2) as usize];
        esme.response_timeout = Duration::from_secs(1 + prng.below(10));
        esme.answer_timeout = Duration::from_secs(2 + prng.below(20));
    }
    for carrier in &mut config.carriers {
        carrier.sessions = 1 + prng.below(3) as u32;
        carrier.window_max = 1 + prng.below(5) as u32;
        carrier.queue_max = prng.below(8) as u32;
        carrier.response_timeout = Duration::from_secs(1 + prng.below(8));
    }
    let deliver = vec![EsmeId(0), EsmeId(1)];
    config.mo_routes = vec![MoRouteSettings {
        name: "all".into(),
        carrier: Vec::new(),
        to: Vec::new(),
        deliver,
        nobody: Nobody::Refuse,
    }];
    config
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let rig = Rig::seeded(settings(&mut prng), seed);
        Self {
            rig,
            prng,
            seen: Seen::default(),
            faults: true,
            accounts: BTreeMap::new(),
            asked: Vec::new(),
            requests: BTreeMap::new(),
            carried: Vec::new(),
            // So large that no id is another in a different base.
            next_id: [4_000_000_000; 2],
            next_sequence: 10,
            delayed: Vec::new(),
            cut: BTreeMap::new(),
        }
    }

    pub(super) const fn seen(&self) -> Seen {
        self.seen
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        let at = self.prng.below(among.len() as u64) as usize;
        among.get(at).copied()
    }

    fn fault(&mut self, one_in: u64) -> bool {
        self.faults && self.prng.chance(1, one_in)
    }

    fn esmes(&self) -> Vec<LinkId> {
        self.accounts.keys().copied().filter(|&link| self.rig.is_open(link)).collect()
    }

    /// Sends octets, perhaps only the front of them for now.
    fn send(&mut self, link: LinkId, octets: &[u8]) {
        let mut all = self.cut.remove(&link).unwrap_or_default();
        all.extend_from_slice(octets);
        let cut = if self.fault(6) { self.prng.below(all.len() as u64 + 1) as usize } else { all.len() };
        self.rig.send(link, &all[..cut]);
        if cut < all.len() {
            self.cut.insert(link, all[cut..].to_vec());
        }
    }

    /// One thing happens, and everybody reacts.
    pub(super) fn step(&mut self) {
        match self.prng.below(20) {
            0 | 1 => self.bind(),
            2..=8 => self.submit(),
            9 => self.query(),
            10..=12 => self.receipt(),
            13 => self.handset_sends(),
            14 => self.connect(),
            15 => self.lose_link(),
            16 => self.send_delayed(),
            17 => self.squeeze(),
            _ => {
                let span = Duration::from_millis(1 << self.prng.below(13));
                self.rig.advance(span);
            }
        }
        self.react();
    }

    fn bind(&mut self) {
        let account = self.prng.below(3) as usize;
        if self.accounts.iter().filter(|(link, at)| **at == account && self.rig.is_open(**link)).count() < 3 {
            let kind = [BindKind::Transceiver, BindKind::Transmitter, BindKind::Receiver];
            let kind = kind[self.prng.below(3) as usize];
            let link = self.rig.accept();
            self.rig.send(link, &bind(ACCOUNTS[account], "secret", kind, 0x34));
            self.accounts.insert(link, account);
        }
    }

    fn request(&mut self, link: LinkId, asked: Option<usize>) -> u32 {
        self.next_sequence += 1;
        self.requests.insert((link, self.next_sequence), (0, asked));
        self.next_sequence
    }

    fn submit(&mut self) {
        let esmes = self.esmes();
        let Some(link) = self.pick(&esmes) else { return };
        for _ in 0..=self.prng.below(4) {
            let number = NUMBERS[self.prng.below(3) as usize];
            let account = self.accounts[&link];
            let sequence = self.request(link, Some(self.asked.len()));
            let octets = submit_text(number, sequence, &self.asked.len().to_string(), 1);
            self.asked.push(Asked { account, link, number, id: None, failed: false });
            self.send(link, &octets);
        }
    }

    fn query(&mut self) {
        let known: Vec<usize> = (0..self.asked.len()).filter(|&at| self.asked[at].id.is_some()).collect();
        let esmes = self.esmes();
        let (Some(link), Some(at)) = (self.pick(&esmes), self.pick(&known)) else { return };
        let id = self.asked[at].id.clone().unwrap();
        let sequence = self.request(link, None);
        self.send(link, &query(&id, sequence));
    }

    fn receipt(&mut self) {
        let known: Vec<usize> = (0..self.carried.len()).collect();
        let Some(at) = self.pick(&known) else { return };
        let carried = self.carried[at].clone();
        let links = self.rig.carrier_links(carried.carrier);
        let Some(link) = self.pick(&links) else { return };
        let stat = ["DELIVRD", "UNDELIV", "ENROUTE"][self.prng.below(3) as usize];
        let text = carried.asked.to_string();
        let tlvs = stat == "DELIVRD" && self.prng.chance(1, 2);
        let octets = Dlr { id: &carried.id, number: carried.number, stat, tlvs, text: &text };
        self.next_sequence += 1;
        let octets = octets.write(self.next_sequence);
        self.send(link, &octets);
    }

    fn handset_sends(&mut self) {
        let carrier = self.prng.below(2) as usize;
        let links = self.rig.carrier_links(carrier);
        if let Some(link) = self.pick(&links) {
            self.next_sequence += 1;
            self.send(link, &mo("38268123456", "14499", self.next_sequence));
        }
    }

    fn connect(&mut self) {
        let carrier = self.prng.below(2) as usize;
        if !self.rig.dials.iter().any(|dial| dial.carrier == carrier) {
            return;
        }
        if self.fault(4) {
            self.rig.fail_connect(carrier);
        } else {
            self.rig.connect(carrier);
        }
    }

    fn lose_link(&mut self) {
        let carriers = [self.rig.carrier_links(0), self.rig.carrier_links(1)].concat();
        let among = if self.prng.chance(1, 2) { self.esmes() } else { carriers };
        if let Some(link) = self.pick(&among) {
            self.cut.remove(&link);
            self.seen.links_lost += 1;
            self.rig.reset(link);
        }
    }

    fn send_delayed(&mut self) {
        for (link, octets) in core::mem::take(&mut self.delayed) {
            self.send(link, &octets);
        }
    }

    /// A socket takes only some octets from now on, or all again.
    fn squeeze(&mut self) {
        let links: Vec<LinkId> = self.rig.peers.keys().copied().collect();
        if let Some(link) = self.pick(&links) {
            let octets = if self.prng.chance(1, 2) { usize::MAX } else { self.prng.below(64) as usize };
            self.rig.takes(link, octets);
        }
    }

    /// Every peer looks at what it has heard and answers, until there is nothing more.
    fn react(&mut self) {
        loop {
            let esmes: Vec<LinkId> = self.accounts.keys().copied().collect();
            let carriers = [self.rig.carrier_links(0), self.rig.carrier_links(1)].concat();
            let mut idle = true;
            for link in esmes {
                for heard in self.rig.heard(link) {
                    idle = false;
                    self.esme_hears(link, &heard);
                }
            }
            for link in carriers {
                for heard in self.rig.heard(link) {
                    idle = false;
                    self.carrier_hears(link, &heard);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn esme_hears(&mut self, link: LinkId, heard: &Heard) {
        match heard.command() {
            CommandId::SUBMIT_SM_RESP | CommandId::QUERY_SM_RESP => self.note_answer(link, heard),
            CommandId::DELIVER_SM => {
                self.note_delivery(link, heard);
                if self.fault(8) {
                    return;
                }
                let status =
                    if self.fault(5) { CommandStatus::RECEIVER_TEMPORARY } else { CommandStatus::OK };
                self.reply(link, &refusal(heard, status));
            }
            CommandId::ENQUIRE_LINK | CommandId::UNBIND => {
                self.reply(link, &refusal(heard, CommandStatus::OK))
            }
            // The answer to its bind; nothing else has no match.
            _ => {
                assert!(heard.command().is_response(), "{heard:?}");
                assert_eq!((heard.status(), heard.sequence()), (CommandStatus::OK, 1));
            }
        }
    }

    /// An answer that perhaps comes late, twice, or beside one of the wrong type.
    fn reply(&mut self, link: LinkId, octets: &[u8]) {
        if self.fault(6) {
            self.delayed.push((link, octets.to_vec()));
        } else {
            self.send(link, octets);
        }
        if self.fault(12) {
            self.send(link, octets);
        }
        if self.fault(12) {
            let sequence = Heard(octets.to_vec()).sequence();
            self.send(link, &header(CommandId::CANCEL_SM_RESP, CommandStatus::OK, sequence));
        }
    }

    fn note_answer(&mut self, link: LinkId, heard: &Heard) {
        let request = self.requests.get_mut(&(link, heard.sequence()));
        let (answers, asked) = request.unwrap_or_else(|| panic!("nobody asked: {heard:?}"));
        *answers += 1;
        assert_eq!(*answers, 1, "answered twice: {heard:?}");
        let (ok, submit) =
            (heard.status() == CommandStatus::OK, heard.command() == CommandId::SUBMIT_SM_RESP);
        if ok {
            self.seen.accepted += u32::from(submit)
        } else {
            self.seen.refused += u32::from(submit)
        }
        if let Some(at) = *asked {
            self.asked[at].failed = !ok;
            self.asked[at].id = ok.then(|| heard.id());
        }
    }

    fn note_delivery(&mut self, link: LinkId, heard: &Heard) {
        let account = self.accounts[&link];
        let sm = heard.sm();
        let Some(receipt) = Receipt::parse(&sm, false) else {
            self.seen.mo += 1;
            return assert!(account < 2, "MO to an account that no route names");
        };
        self.seen.receipts += 1;
        let text = core::str::from_utf8(receipt.text.text.unwrap()).unwrap();
        let at = text.parse::<usize>().unwrap();
        let asked = &self.asked[at];
        assert_eq!(asked.account, account, "a receipt of another account: {heard:?}");
        assert_eq!(sm.source.digits, asked.number.as_bytes());
        // The response may have come on another link and not been looked at yet.
        let came = |heard: &&Heard| {
            heard.command() == CommandId::SUBMIT_SM_RESP
                && self.requests[&(asked.link, heard.sequence())].1 == Some(at)
        };
        let unseen_answer = || self.rig.unseen(asked.link).find(came);
        let failed = asked.failed || unseen_answer().is_some_and(|heard| heard.status() != CommandStatus::OK);
        let unseen = || unseen_answer().filter(|_| !failed).map(Heard::id);
        let id = asked.id.clone().or_else(|| if asked.link == link { None } else { unseen() });
        match id {
            Some(id) => {
                assert_eq!(receipt.text_id(), Some(id.as_bytes()));
                assert!(receipt.tlv_id.is_none_or(|tlv| tlv == id.as_bytes()));
            }
            None => {
                assert!(failed || !self.rig.is_open(asked.link), "a receipt before its response: {heard:?}")
            }
        }
    }

    fn carrier_hears(&mut self, link: LinkId, heard: &Heard) {
        match heard.command() {
            CommandId::SUBMIT_SM => self.carrier_submitted(link, heard),
            CommandId::QUERY_SM => self.reply(link, &refusal(heard, CommandStatus::QUERY_FAILED)),
            CommandId::BIND_TRANSCEIVER => {
                let status = if self.fault(6) { CommandStatus::BIND_FAILED } else { CommandStatus::OK };
                self.send(link, &refusal(heard, status));
            }
            CommandId::ENQUIRE_LINK | CommandId::UNBIND => {
                self.reply(link, &refusal(heard, CommandStatus::OK))
            }
            _ => assert!(heard.command().is_response(), "{heard:?}"),
        }
    }

    fn carrier_submitted(&mut self, link: LinkId, heard: &Heard) {
        if self.fault(10) {
            return;
        }
        if self.fault(8) {
            let statuses = [CommandStatus::THROTTLED, CommandStatus::INVALID_SOURCE, CommandStatus(0x451)];
            let status = statuses[self.prng.below(3) as usize];
            return self.reply(link, &refusal(heard, status));
        }
        if self.fault(15) {
            let nack = header(CommandId::GENERIC_NACK, CommandStatus::SYSTEM_ERROR, heard.sequence());
            return self.reply(link, &nack);
        }
        let carrier = self.rig.peers.get(&link).and_then(|peer| peer.carrier);
        let Some(carrier) = carrier else { return };
        // Both carriers count alike: the same ids stand for other messages.
        self.next_id[carrier] += 1;
        let id = self.next_id[carrier].to_string();
        let asked = heard.text().parse::<usize>().unwrap();
        let number = self.asked[asked].number;
        self.carried.push(Carried { carrier, id: id.clone(), asked, number });
        if self.fault(5) {
            let text = asked.to_string();
            let early = Dlr { id: &id, number, text: &text, ..Dlr::default() };
            self.next_sequence += 1;
            self.send(link, &early.write(self.next_sequence));
        }
        self.reply(link, &answer(heard, &id));
    }

    /// Everybody behaves from now on, until nothing is left to happen.
    pub(super) fn settle(&mut self) {
        self.faults = false;
        let links: Vec<LinkId> = self.rig.peers.keys().copied().collect();
        for link in links {
            if self.rig.is_open(link) {
                self.rig.takes(link, usize::MAX);
            }
            self.send(link, &[]);
        }
        self.send_delayed();
        for _ in 0..100 {
            for carrier in 0..2 {
                while self.rig.dials.iter().any(|dial| dial.carrier == carrier) {
                    self.rig.connect(carrier);
                }
            }
            self.react();
            self.rig.advance(Duration::from_millis(500));
        }
        self.react();
    }

    pub(super) fn check(&self) {
        self.rig.assert_settled();
        for ((link, sequence), (answers, _)) in &self.requests {
            let open = self.rig.is_open(*link);
            assert!(*answers == 1 || !open, "link {link:?} request {sequence} was not answered");
        }
        for peer in self.rig.peers.values() {
            assert!(!peer.paused, "a link is still paused");
        }
    }
}
