//! The faults that no PDU brings about: links that break, strangers who connect, octets that are no SMPP.

use crate::esmes::{bind, header};
use crate::faults::Kind;
use crate::setup::ACCOUNTS;
use crate::wire::WireId;
use crate::world::{Side, Turn, World};
use bindery::session::BindKind;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::write_pdu;
use bindery::smpp::status::CommandStatus;

const KINDS: [Kind; 17] = [
    Kind::Reset,
    Kind::HalfOpen,
    Kind::SlowReader,
    Kind::Hang,
    Kind::Unbind,
    Kind::Malformed,
    Kind::Garbage,
    Kind::NeverBinds,
    Kind::WrongPassword,
    Kind::ReceiptForeign,
    Kind::SlowLane,
    Kind::Stall,
    Kind::Kill,
    Kind::PowerCut,
    Kind::JournalFull,
    Kind::JournalRefuses,
    Kind::JournalFails,
];

impl World {
    /// One such fault, of a kind that the seed has.
    pub(crate) fn chaos(&mut self) {
        if self.quiet {
            return;
        }
        let wait = self.net.millis(100, 1500);
        self.net.later(wait, Turn::Chaos);
        let has: Vec<Kind> = KINDS.into_iter().filter(|&kind| self.net.faults.has(kind)).collect();
        let Some(kind) = self.pick(&has) else { return };
        if self.bring_about(kind) {
            self.net.faults.count(kind);
        }
    }

    fn any_wire(&mut self) -> Option<WireId> {
        let open = self.net.open_wires();
        self.pick(&open)
    }

    fn bring_about(&mut self, kind: Kind) -> bool {
        match kind {
            Kind::Hang => return self.hang(),
            Kind::ReceiptForeign => return self.foreign_receipt(),
            Kind::Unbind if self.prng.chance(1, 2) => return self.esme_unbinds(),
            Kind::Unbind => return self.carrier_unbinds(),
            Kind::NeverBinds | Kind::WrongPassword => return self.stranger(kind),
            Kind::Kill | Kind::PowerCut => return self.crash(kind),
            Kind::JournalFull | Kind::JournalRefuses | Kind::JournalFails => return self.disk_trouble(kind),
            Kind::SlowLane | Kind::Stall if self.net.is_down() => return false,
            Kind::SlowLane | Kind::Stall => return self.hinder_shards(kind),
            _ => {}
        }
        let Some(wire) = self.any_wire() else { return false };
        match kind {
            Kind::Reset => self.net.reset(wire),
            Kind::HalfOpen => self.net.silence(wire),
            Kind::SlowReader => {
                let (octets, wait) = (self.prng.below(400) as usize, self.net.millis(200, 12_000));
                self.net.squeeze(wire, octets, wait);
            }
            Kind::Malformed => {
                let octets = self.malformed(wire);
                self.net.send(wire, &octets);
            }
            Kind::Garbage => {
                let octets: Vec<u8> = (0..40).map(|_| 0x80 | self.prng.below(128) as u8).collect();
                self.net.send(wire, &octets);
            }
            _ => return false,
        }
        true
    }

    /// A lane or a shard is slow for a while.
    fn hinder_shards(&mut self, kind: Kind) -> bool {
        let shards = self.net.nodes.len() as u64;
        let (from, to) = (self.prng.below(shards) as usize, self.prng.below(shards) as usize);
        if kind == Kind::Stall {
            let wait = self.net.millis(10, 200);
            self.net.stall(from, wait);
            return true;
        }
        let (delay, wait) = (self.net.millis(20, 500), self.net.millis(200, 3000));
        if from != to {
            self.net.slow_lane(from, to, delay, wait);
        }
        from != to
    }

    fn stranger(&mut self, kind: Kind) -> bool {
        let listener = self.prng.below(self.setup.config.listeners.len() as u64) as usize;
        let wire = self.net.connect(listener);
        self.sides.insert(wire, Side::Stranger);
        if kind == Kind::WrongPassword {
            let account = ACCOUNTS[self.prng.below(3) as usize];
            let sequence = self.number();
            self.net.send(wire, &bind(account, "guess", BindKind::Transceiver, false, sequence));
        }
        true
    }

    /// A well-framed PDU that is wrong in itself.
    fn malformed(&mut self, wire: WireId) -> Vec<u8> {
        let sequence = self.number();
        let carrier = matches!(self.sides.get(&wire), Some(Side::Carrier(_)));
        let request = if carrier { CommandId::DELIVER_SM } else { CommandId::SUBMIT_SM };
        let ok = CommandStatus::OK;
        match self.prng.below(5) {
            0 => header(request, ok, sequence),
            1 => header(CommandId(0x0000_0777), ok, sequence),
            2 => header(request.response(), ok, sequence),
            3 => header(CommandId(0x8000_0777), ok, sequence),
            _ => {
                let mut octets = Vec::new();
                let long = [b'9'; 30];
                write_pdu(&mut octets, request, ok, sequence, |out| out.extend_from_slice(&long));
                octets
            }
        }
    }
}
