#!/usr/bin/env python3
"""A carrier that looks at the order: of each source and destination it must read the messages by their numbers.

    ordered.py --port N

It accepts every bind and every submit_sm and sends no receipts. The first twelve digits of a text are the number of the
message. Prints one JSON object on a line now and then and at the end, when SIGTERM comes: how many it has read, how many of
them again, how many behind a later one of the same source and destination (the first ten: number, that of the other,
seconds since then), when it read the first and the last, and the longest time in which it read nothing.
"""

import argparse
import json
import selectors
import signal
import socket
import struct
import time

BIND, SUBMIT, ENQUIRE, UNBIND, RESPONSE = {0x01, 0x02, 0x09}, 0x04, 0x15, 0x06, 0x80000000
EVERY = 0.1


class Carrier:
    """All sessions."""

    def __init__(self, port):
        self.selector, self.stopped = selectors.DefaultSelector(), False
        self.numbers, self.last = set(), {}
        self.figures = {"binds": 0, "submits": 0, "doubled": 0, "out_of_order": 0, "chains": 0, "first": None, "last": None,
                        "pause_max": 0.0, "behind": []}
        self.read_at = time.monotonic()
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.selector.register(listener, selectors.EVENT_READ, None)

    def run(self):
        """Until it is stopped."""
        said = 0
        while not self.stopped:
            for key, _ in self.selector.select(EVERY):
                if key.data is None:
                    sock, _ = key.fileobj.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.selector.register(sock, selectors.EVENT_READ, bytearray())
                else:
                    self.read(key.fileobj, key.data)
            if time.monotonic() - said > EVERY:
                said = time.monotonic()
                self.say()
        self.say()

    def say(self):
        """The figures, for whoever started it."""
        self.figures["chains"] = len(self.last)
        print(json.dumps(self.figures), flush=True)

    def read(self, sock, received):
        """What came, and the answers to it."""
        now = time.monotonic()
        if self.last:
            self.figures["pause_max"] = max(self.figures["pause_max"], now - self.read_at)
        self.read_at = now
        try:
            octets = sock.recv(262_144)
        except OSError:
            octets = b""
        if not octets:
            self.selector.unregister(sock)
            sock.close()
            return
        received += octets
        at, out, whole = 0, [], bytes(received)
        while len(whole) - at >= 16:
            length, command, _, sequence = struct.unpack_from(">IIII", whole, at)
            if len(whole) - at < length:
                break
            if command == SUBMIT:
                out.append(self.submit(whole, at, sequence))
            elif command in BIND:
                self.figures["binds"] += 1
                out.append(struct.pack(">IIII", 21, command | RESPONSE, 0, sequence) + b"SMSC\0")
            elif command in (ENQUIRE, UNBIND):
                out.append(struct.pack(">IIII", 16, command | RESPONSE, 0, sequence))
            at += length
        del received[:at]
        if out:
            # Small answers to a peer that reads: the socket's buffer takes them whole.
            sock.sendall(b"".join(out))

    def submit(self, octets, at, sequence):
        """One message; its answer."""
        now, figures = time.time(), self.figures
        at = octets.index(b"\0", at + 16) + 3
        end = octets.index(b"\0", at)
        source, at = octets[at:end], end + 3
        end = octets.index(b"\0", at)
        chain, at = (source, octets[at:end]), end + 4
        at = octets.index(b"\0", octets.index(b"\0", at) + 1) + 6
        number = int(octets[at:at + 12])
        figures["first"], figures["last"] = figures["first"] or now, now
        figures["submits"] += 1
        figures["doubled"] += number in self.numbers
        last, when = self.last.get(chain, (0, now))
        if number < last:
            figures["out_of_order"] += 1
            figures["behind"] = [*figures["behind"], [number, last, round(now - when, 6)]][:10]
        self.numbers.add(number)
        self.last[chain] = number, now
        text = b"%d\0" % figures["submits"]
        return struct.pack(">IIII", 16 + len(text), SUBMIT | RESPONSE, 0, sequence) + text


def main():
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    carrier = Carrier(parser.parse_args().port)
    signal.signal(signal.SIGTERM, lambda *_: setattr(carrier, "stopped", True))
    print("listening", flush=True)
    carrier.run()


if __name__ == "__main__":
    main()
