#!/usr/bin/env python3
"""A carrier that is cut off, and that looks at its sockets as the kernel does.

    carrier.py --port N [--cut-after FIRST-LAST --window N --cuts N] [--seed N]

It accepts every bind and every submit_sm, and sends a receipt for each at once when asked to. It counts the sockets that
are established at each moment, bound or not, by the kernel's own state and not by what it has read so far.

With --cut-after it answers so many submits of a session, drawn anew for each, holds back the responses to the next few
(one up to the window, drawn too), and cuts the link: by turns with a FIN and with an RST. After so many cuts it behaves.

Prints one JSON object on a line now and then and at the end, when SIGTERM comes.
"""

import argparse
import array
import fcntl
import json
import random
import selectors
import signal
import socket
import struct
import time

BIND = {0x01, 0x02, 0x09}
SUBMIT, DELIVER, ENQUIRE, UNBIND, RESPONSE = 0x04, 0x05, 0x15, 0x06, 0x80000000
ESTABLISHED = 1
LINGER_RST = struct.pack("ii", 1, 0)
NUMBER_DIGITS = 12
# A session that has nothing to read is cut all the same, so that no message waits long for its company.
CUT_WAIT = 0.05


def pdu(command, sequence, body=b"", status=0):
    """Octets of a PDU."""
    return struct.pack(">IIII", 16 + len(body), command, status, sequence) + body


class Session:
    """One socket and what came over it."""

    def __init__(self, sock, plan):
        self.sock, self.received, self.sequence = sock, b"", 0
        self.answered, self.held, self.held_at = 0, [], None
        # How many submits it answers, and how many it then holds back; None: it is never cut.
        self.answers, self.holds = plan if plan else (None, 0)
        self.submits = []

    def established(self):
        """What the kernel says, which may know more than was read."""
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return info[0] == ESTABLISHED


class Carrier:
    """All sessions."""

    def __init__(self, chosen):
        self.chosen, self.random = chosen, random.Random(chosen.seed)
        self.selector, self.sessions, self.stopped = selectors.DefaultSelector(), set(), False
        self.next_id = chosen.id_first
        self.figures = {"sockets_max": 0, "binds": 0, "submits": 0, "accepted": 0, "cuts_fin": 0, "cuts_rst": 0,
                        "receipts_acked": 0, "held_max": 0}
        # Each session that was cut: the numbers of its messages, those that it answered first, how many these are.
        self.cut = []
        self.left = []
        listener = socket.create_server(("127.0.0.1", chosen.port), backlog=256)
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, None)
        self.port = listener.getsockname()[1]

    def cuts(self):
        return self.figures["cuts_fin"] + self.figures["cuts_rst"]

    def plan(self):
        """What a new session does before it is cut."""
        if self.chosen.cut_after is None or self.cuts() >= self.chosen.cuts:
            return None
        first, last = self.chosen.cut_after
        return self.random.randint(first, last), self.random.randint(1, self.chosen.window)

    def run(self):
        said = time.monotonic()
        while not self.stopped:
            for key, _ in self.selector.select(CUT_WAIT):
                if key.data is None:
                    self.accept(key.fileobj)
                elif key.data in self.sessions:
                    self.read(key.data)
            now = time.monotonic()
            for session in [one for one in self.sessions if one.held and now - one.held_at > CUT_WAIT]:
                self.cut_off(session)
            if now - said >= 0.2:
                said = now
                self.say()
        self.say()
        if self.chosen.out:
            everything = {"cut": self.cut, "kept": self.left + [one.submits for one in self.sessions]}
            with open(self.chosen.out, "w", encoding="ascii") as file:
                json.dump(everything, file)

    def say(self):
        """The figures, for whoever started it."""
        print(json.dumps(self.figures), flush=True)

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(sock, self.plan())
            self.sessions.add(session)
            self.selector.register(sock, selectors.EVENT_READ, session)
            open_now = sum(one.established() for one in self.sessions)
            if open_now > self.figures["sockets_max"]:
                self.figures["sockets_max"] = open_now
                # At once: it may be killed before it says anything again.
                self.say()

    def close(self, session):
        self.selector.unregister(session.sock)
        session.sock.close()
        self.sessions.discard(session)

    def gone(self, session):
        """The peer has closed."""
        self.left.append(session.submits)
        self.close(session)

    def read(self, session):
        try:
            octets = session.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self.gone(session)
            return
        octets, at, out = session.received + octets, 0, []
        while len(octets) - at >= 16:
            length, command, _, sequence = struct.unpack_from(">IIII", octets, at)
            if len(octets) - at < length:
                break
            if not self.take(session, command, sequence, octets[at:at + length], out):
                break
            at += length
        session.received = octets[at:]
        try:
            if out:
                # Small answers to a peer that reads: the socket's buffer takes them whole.
                session.sock.sendall(b"".join(out))
        except OSError:
            self.gone(session)
            return
        if session.holds and len(session.held) >= session.holds:
            self.cut_off(session)

    def take(self, session, command, sequence, octets, out):
        """One PDU; False when no more is read before the cut."""
        if command == SUBMIT:
            return self.submit(session, sequence, octets, out)
        if command in BIND:
            self.figures["binds"] += 1
            if self.chosen.cut_after is None:
                self.say()
            out.append(pdu(command | RESPONSE, sequence, b"SMSC\0"))
        elif command in (ENQUIRE, UNBIND):
            out.append(pdu(command | RESPONSE, sequence))
        elif command == DELIVER | RESPONSE:
            self.figures["receipts_acked"] += 1
        return True

    def submit(self, session, sequence, octets, out):
        if session.answers is not None and len(session.held) >= session.holds:
            return False
        self.figures["submits"] += 1
        source, destination, asked, text = fields(octets)
        session.submits.append(int(text[:NUMBER_DIGITS]))
        if session.answers is not None and session.answered >= session.answers:
            session.held_at = session.held_at or time.monotonic()
            session.held.append(sequence)
            self.figures["held_max"] = max(self.figures["held_max"], len(session.held))
            return True
        session.answered += 1
        self.figures["accepted"] += 1
        self.next_id += 1
        out.append(pdu(SUBMIT | RESPONSE, sequence, b"%d\0" % self.next_id))
        if asked:
            session.sequence += 1
            out.append(pdu(DELIVER, session.sequence, receipt(source, destination, self.next_id, text)))
        return True

    def cut_off(self, session):
        """Closes the link before the responses that were held back."""
        with_rst = self.cuts() % 2 == 1
        self.figures["cuts_rst" if with_rst else "cuts_fin"] += 1
        if with_rst:
            session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
        else:
            # What was not read would make the close an RST.
            unread = array.array("i", [0])
            fcntl.ioctl(session.sock, 0x541B, unread)
            if unread[0]:
                session.sock.recv(1 << 20)
            session.sock.shutdown(socket.SHUT_WR)
        self.cut.append([session.submits, session.answered])
        self.close(session)


def fields(octets):
    """Source, destination, whether a receipt is asked for, and the text of a submit_sm."""
    at = octets.index(b"\0", 16) + 3
    end = octets.index(b"\0", at)
    source, at = octets[at:end], end + 3
    end = octets.index(b"\0", at)
    destination, at = octets[at:end], end + 4
    at = octets.index(b"\0", octets.index(b"\0", at) + 1) + 1
    return source, destination, octets[at] & 1, octets[at + 5:at + 5 + octets[at + 4]]


def receipt(source, destination, message, text):
    """The body of a deliver_sm that says that a message was delivered."""
    date = time.strftime("%y%m%d%H%M", time.gmtime()).encode()
    words = b"id:%d sub:001 dlvrd:001 submit date:%s done date:%s stat:DELIVRD err:000 text:%s" % (
        message, date, date, text[:20])
    head = b"\0\1\1%s\0\0\1%s\0" % (destination, source)
    return head + b"\x04\0\0\0\0\0\0\0\0" + bytes([len(words)]) + words


def span(text):
    """FIRST-LAST."""
    first, last = map(int, text.split("-"))
    return first, last


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cut-after", type=span)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--id-first", type=int, default=1_000_000_000)
    parser.add_argument("--out", help="what every session was given, as JSON, at the end")
    carrier = Carrier(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: setattr(carrier, "stopped", True))
    print("listening", flush=True)
    carrier.run()


if __name__ == "__main__":
    main()
