"""What went over the wire: a capture file to TCP streams to PDUs. Knows neither Bindery nor any library.

Owns: nothing. Takes: a pcap file of the loopback interface, the ports that speak SMPP. Gives: every PDU of every
stream in both directions, octet for octet. Never: guesses; a hole in a stream is an error.
"""

import struct
from collections import namedtuple

SUBMIT_SM, DELIVER_SM = 0x04, 0x05
ENQUIRE_LINK, UNBIND = 0x15, 0x06
RESPONSE = 0x80000000
MESSAGE_PAYLOAD, RECEIPTED_MESSAGE_ID = 0x0424, 0x001E

# One PDU: the number of the TCP connection, who sent it (the connecting or the listening side), the port that listens,
# the frame that completed it, and its octets.
Pdu = namedtuple("Pdu", "connection from_client port frame octets")


class CaptureIncomplete(Exception):
    """The capture lacks octets of a stream, so nothing can be said about it."""


def header(pdu):
    """command_length, command_id, command_status, sequence_number."""
    return struct.unpack(">IIII", pdu.octets[:16])


def body(pdu):
    return pdu.octets[16:]


def without_sequence(pdu):
    """All octets but those of the sequence_number."""
    return pdu.octets[:12] + pdu.octets[16:]


def frames(path):
    """(number, Ethernet frame) of each record of a pcap file."""
    with open(path, "rb") as file:
        data = file.read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    if struct.unpack(order + "I", data[:4])[0] not in (0xA1B2C3D4, 0xA1B23C4D):
        raise CaptureIncomplete("not a pcap file")
    at, number = 24, 0
    while at + 16 <= len(data):
        _, _, length, original = struct.unpack(order + "IIII", data[at : at + 16])
        if length != original:
            raise CaptureIncomplete(f"frame {number + 1} is cut short")
        number += 1
        yield number, data[at + 16 : at + 16 + length]
        at += 16 + length


def segments(path):
    """(frame, source port, destination port, sequence, is SYN, payload) of each TCP segment over IPv4."""
    for number, frame in frames(path):
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        start = 14 + (frame[14] & 0x0F) * 4
        total = struct.unpack(">H", frame[16:18])[0]
        source, destination, sequence = struct.unpack(">HHI", frame[start : start + 8])
        offset = start + (frame[start + 12] >> 4) * 4
        syn = bool(frame[start + 13] & 0x02)
        yield number, source, destination, sequence, syn, frame[offset : 14 + total]


def cut(stream):
    """(frame that completed it, octets) of each PDU of one direction's pieces [(frame, octets)]."""
    buffer = b""
    for frame, octets in stream:
        buffer += octets
        while len(buffer) >= 16:
            length = struct.unpack(">I", buffer[:4])[0]
            if length < 16 or length > len(buffer):
                break
            yield frame, buffer[:length]
            buffer = buffer[length:]
    if buffer:
        raise CaptureIncomplete(f"{len(buffer)} octets at the end of a stream are no whole PDU")


def in_order(first, pieces):
    """The pieces of one direction by their place in the stream, each octet once."""
    expected = (first + 1) & 0xFFFFFFFF
    waiting = {}
    for frame, sequence, octets in pieces:
        waiting.setdefault(sequence, (frame, octets))
        while expected in waiting:
            frame_then, taken = waiting.pop(expected)
            yield max(frame, frame_then), taken
            expected = (expected + len(taken)) & 0xFFFFFFFF
    # What is left was sent again, or a hole lies before it.
    for sequence, (_, octets) in waiting.items():
        behind = (expected - sequence) & 0xFFFFFFFF
        if behind >= 0x80000000 or behind < len(octets):
            raise CaptureIncomplete("a stream has a hole")


def pdus(path, ports):
    """Every PDU on connections to these ports, in the order in which they were completed."""
    connections, numbers, result = {}, {}, []
    for frame, source, destination, sequence, syn, payload in segments(path):
        if source not in ports and destination not in ports:
            continue
        from_client = destination in ports
        key = (source, destination) if from_client else (destination, source)
        if syn and from_client:
            numbers[key] = numbers.get(key, 0) + 1
        direction = (key, numbers.get(key, 0), from_client)
        if syn:
            connections[direction] = (sequence, [])
        elif payload:
            if direction not in connections:
                raise CaptureIncomplete(f"a stream to port {key[1]} has no beginning")
            connections[direction][1].append((frame, sequence, payload))
    ids = {}
    for (key, number, from_client), (first, pieces) in connections.items():
        connection = ids.setdefault((key, number), len(ids))
        for frame, octets in cut(in_order(first, pieces)):
            result.append(Pdu(connection, from_client, key[1], frame, octets))
    return sorted(result, key=lambda pdu: pdu.frame)


class Message:
    """submit_sm and deliver_sm taken apart, so that what may change can be named; the rest is compared as octets."""

    def __init__(self, pdu):
        data, at = body(pdu), 0

        def c_string():
            nonlocal at
            end = data.index(b"\0", at)
            value, at = data[at:end], end + 1
            return value

        def octet():
            nonlocal at
            at += 1
            return data[at - 1]

        self.service_type = c_string()
        self.source = (octet(), octet(), c_string())
        self.destination = (octet(), octet(), c_string())
        self.esm_class, self.protocol_id, self.priority_flag = octet(), octet(), octet()
        self.times = (c_string(), c_string())
        self.registered_delivery, self.replace, self.data_coding, self.default_id = octet(), octet(), octet(), octet()
        length = octet()
        self.short_message, at = data[at : at + length], at + length
        self.tlvs = []
        while at < len(data):
            tag, size = struct.unpack(">HH", data[at : at + 4])
            self.tlvs.append((tag, data[at + 4 : at + 4 + size]))
            at += 4 + size
        if at != len(data):
            raise ValueError("the last parameter is longer than the PDU")

    def is_receipt(self):
        return self.esm_class & 0x3C == 0x04

    def content(self):
        return self.short_message or dict(self.tlvs).get(MESSAGE_PAYLOAD, b"")

    def with_id(self, old, new):
        """All fields, with one message id put for another wherever a receipt carries it."""
        text = self.short_message.replace(b"id:" + old + b" ", b"id:" + new + b" ")
        tlvs = [
            (tag, value.replace(old, new) if tag == RECEIPTED_MESSAGE_ID else value) for tag, value in self.tlvs
        ]
        return (
            self.service_type, self.source, self.destination, self.esm_class, self.protocol_id, self.priority_flag,
            self.times, self.registered_delivery, self.replace, self.data_coding, self.default_id, text, tlvs,
        )
