//! A link's octets → whole PDUs. Owns: the PDU that has not come whole. Takes: what was read. Gives: PDU after PDU,
//! in place where they came whole. Never: copies more than the PDU that was cut.

use crate::limits::PDU_MAX;
use crate::smpp::frame::{Frame, Pdu};

/// The end of a read: what is to be done with the next PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Give it.
    Go,
    /// Forget it and all after it: the link is done.
    Stop,
}

/// No later octet of the stream can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramingLost;

/// What a link has read and not yet given as a PDU.
#[derive(Debug, Default)]
pub struct Stream {
    partial: Vec<u8>,
}

impl Stream {
    /// Calls `on` for every PDU that is whole with `bytes`.
    ///
    /// # Errors
    /// A command_length that cannot be.
    pub fn each(&mut self, mut bytes: &[u8], mut on: impl FnMut(Pdu<'_>) -> Next) -> Result<(), FramingLost> {
        while !self.partial.is_empty() {
            match Frame::next(&self.partial, PDU_MAX) {
                Frame::Whole(pdu, _) => {
                    let next = on(pdu);
                    self.partial.clear();
                    if next == Next::Stop {
                        return Ok(());
                    }
                }
                Frame::Partial(missing) => {
                    let (head, tail) = bytes.split_at(missing.min(bytes.len()));
                    if head.is_empty() {
                        return Ok(());
                    }
                    self.partial.extend_from_slice(head);
                    bytes = tail;
                }
                Frame::Lost(_) => return Err(FramingLost),
            }
        }
        loop {
            match Frame::next(bytes, PDU_MAX) {
                Frame::Whole(pdu, rest) => {
                    bytes = rest;
                    if on(pdu) == Next::Stop {
                        return Ok(());
                    }
                }
                Frame::Partial(_) => {
                    self.partial.extend_from_slice(bytes);
                    return Ok(());
                }
                Frame::Lost(_) => return Err(FramingLost),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::command::CommandId;
    use crate::smpp::frame::write_pdu;
    use crate::smpp::status::CommandStatus;

    fn three() -> Vec<u8> {
        let mut bytes = Vec::new();
        for sequence in 1..=3 {
            write_pdu(&mut bytes, CommandId::SUBMIT_SM, CommandStatus::OK, sequence, |out| {
                out.resize(out.len() + sequence as usize * 7, 9);
            });
        }
        bytes
    }

    #[test]
    fn any_cut_of_a_stream_gives_the_same_pdus() {
        let bytes = three();
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let mut stream = Stream::default();
                let mut seen = Vec::new();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    let read = stream.each(piece, |pdu| {
                        seen.push((pdu.sequence_number(), pdu.bytes().len()));
                        Next::Go
                    });
                    assert_eq!(read, Ok(()));
                }
                assert_eq!(seen, [(1, 23), (2, 30), (3, 37)], "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn nothing_is_given_after_a_stop_and_nothing_trusted_after_a_bad_length() {
        let mut seen = 0;
        let read = Stream::default().each(&three(), |_| {
            seen += 1;
            Next::Stop
        });
        assert_eq!((read, seen), (Ok(()), 1));
        assert_eq!(Stream::default().each(&[0, 0, 0, 3], |_| Next::Go), Err(FramingLost));
    }
}
