//! One end of a link that the test plays: an ESME or a carrier, on a blocking socket.

use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, Pdu, write_header_only};
use bindery::smpp::status::CommandStatus;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than anything that a test waits for; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Where the enquire_links of `settle` count from: no vector uses such a number.
const SETTLE_FROM: u32 = 0x5E77_0000;

/// The largest PDU that a test reads.
const LARGEST: usize = 256 * 1024;

/// The PDU with another sequence_number.
pub(crate) fn with_sequence(pdu: &[u8], sequence: u32) -> Vec<u8> {
    let mut copy = pdu.to_vec();
    copy[12..16].copy_from_slice(&sequence.to_be_bytes());
    copy
}

/// A header-only PDU.
pub(crate) fn header_only(command: CommandId, status: CommandStatus, sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    write_header_only(&mut out, command, status, sequence);
    out
}

/// The octets as one whole PDU.
pub(crate) fn view(pdu: &[u8]) -> Pdu<'_> {
    Pdu::whole(pdu).expect("one whole PDU")
}

/// The sequence_number.
pub(crate) fn sequence_of(pdu: &[u8]) -> u32 {
    view(pdu).sequence_number()
}

/// What a header says, for comparing: command, status, sequence_number.
pub(crate) fn header_of(pdu: &[u8]) -> (String, u32, u32) {
    let header = *view(pdu).header();
    let name = header.command_id.name().map_or_else(|| format!("{:08x}", header.command_id.0), str::to_owned);
    (name, header.command_status.0, header.sequence_number)
}

/// One end of a link.
pub(crate) struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
    settled: u32,
    label: String,
}

impl Peer {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr, label: &str) -> Self {
        Self::over(TcpStream::connect(address).expect("the node listens"), label)
    }

    /// The other end of an accepted socket.
    pub(crate) fn over(stream: TcpStream, label: &str) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY is settable");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeouts are settable");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeouts are settable");
        Self { stream, read: Vec::new(), settled: SETTLE_FROM, label: label.to_owned() }
    }

    /// Writes octets, whatever they are, at once.
    #[track_caller]
    pub(crate) fn send(&mut self, octets: &[u8]) {
        let sent = self.stream.write_all(octets);
        assert!(sent.is_ok(), "{}: writing: {sent:?}", self.label);
    }

    /// The next PDU; `None` when the other side has closed.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match Frame::next(&self.read, LARGEST) {
                Frame::Whole(pdu, _) => {
                    let length = pdu.bytes().len();
                    return Some(self.read.drain(..length).collect());
                }
                Frame::Partial(_) => {}
                Frame::Lost(length) => panic!("{}: a PDU of {length} octets came", self.label),
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    assert!(self.read.is_empty(), "{}: closed inside a PDU", self.label);
                    return None;
                }
                Ok(octets) => self.read.extend_from_slice(&buffer[..octets]),
                Err(error) => panic!("{}: no PDU came: {error}", self.label),
            }
        }
    }

    /// The next PDU, which must come.
    #[track_caller]
    pub(crate) fn pdu(&mut self) -> Vec<u8> {
        self.next().unwrap_or_else(|| panic!("{}: closed instead of a PDU", self.label))
    }

    /// The next PDU must be these octets.
    #[track_caller]
    pub(crate) fn expect(&mut self, pdu: &[u8]) {
        let came = self.pdu();
        assert_eq!(came, pdu, "{}: {:?} came, not {:?}", self.label, header_of(&came), header_of(pdu));
    }

    /// The next PDU must be these octets with whatever sequence_number, which is given back.
    #[track_caller]
    pub(crate) fn expect_relayed(&mut self, pdu: &[u8]) -> u32 {
        let came = self.pdu();
        let sequence = sequence_of(&came);
        let same = with_sequence(&came, sequence_of(pdu));
        assert_eq!(same, pdu, "{}: {:?} came, not {:?}", self.label, header_of(&came), header_of(pdu));
        sequence
    }

    /// The next PDU must be a response without a body.
    #[track_caller]
    pub(crate) fn expect_header(&mut self, command: CommandId, status: CommandStatus, sequence: u32) {
        self.expect(&header_only(command, status, sequence));
    }

    /// The other side must close, and send nothing before.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        if let Some(pdu) = self.next() {
            panic!("{}: {:?} came instead of the end", self.label, header_of(&pdu));
        }
    }

    /// The session is alive, and nothing was on its way to this end: an enquire_link is answered next. The node may
    /// ask the same at any time.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        self.settled += 1;
        self.send(&header_only(CommandId::ENQUIRE_LINK, CommandStatus::OK, self.settled));
        let mut came = self.pdu();
        while view(&came).command_id() == CommandId::ENQUIRE_LINK {
            self.send(&header_only(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, sequence_of(&came)));
            came = self.pdu();
        }
        let answer = header_only(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, self.settled);
        assert_eq!(came, answer, "{}: {:?} came", self.label, header_of(&came));
    }
}
