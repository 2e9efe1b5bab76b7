#!/usr/bin/env python3
"""A client written with PyPI smpplib against the running demo (`bindery` without arguments).

    pip install smpplib==2.2.4
    python3 tests/interop/demo_client.py [--address 127.0.0.1:2775] [--system-id demo] [--password demo]

Submits GSM text, UCS-2, binary with a user data header in parts, and message_payload; prints each with its id and its
receipt. Exits 1 when one was refused or its receipt did not come.
"""

import argparse
import logging
import re
import sys
import time

import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.gsm

BINARY = bytes(range(256))
LONG = "A long text travels in one PDU as message_payload, not in parts. " * 12


def parts_of_binary():
    """256 octets in two parts, each with a concatenation header (reference 0x2a)."""
    halves = [BINARY[:130], BINARY[130:]]
    return [bytes([5, 0, 3, 0x2A, 2, number]) + half for number, half in enumerate(halves, start=1)]


def messages():
    """(what, destination, fields)."""
    text = smpplib.gsm.gsm_encode("Hello {world} [€] @£$")
    yield "GSM 7-bit", "38267000001", {"data_coding": 0, "short_message": text}
    text = "Здраво, 你好 😀".encode("utf-16-be")
    yield "UCS-2", "38267000002", {"data_coding": 8, "short_message": text}
    for number, part in enumerate(parts_of_binary(), start=1):
        fields = {"data_coding": 4, "esm_class": smpplib.consts.SMPP_GSMFEAT_UDHI, "short_message": part}
        yield f"binary with UDH {number}/2", f"3826700001{number}", fields
    yield "message_payload", "38267000003", {"data_coding": 0, "message_payload": smpplib.gsm.gsm_encode(LONG)}


class Demo:
    """One transceiver and what it was told."""

    def __init__(self, options):
        host, port = options.address.rsplit(":", 1)
        self.answers, self.receipts, self.waiting = {}, {}, {}
        self.client = smpplib.client.Client(host, port, timeout=1, allow_unknown_opt_params=True)
        self.client.set_message_sent_handler(self.on_answer)
        self.client.set_error_pdu_handler(self.on_answer)
        self.client.set_message_received_handler(self.on_deliver)
        self.client.connect()
        self.client.bind_transceiver(system_id=options.system_id, password=options.password)

    def on_answer(self, pdu):
        if pdu.sequence in self.waiting:
            identity = pdu.message_id.decode() if pdu.status == 0 else None
            self.answers[self.waiting.pop(pdu.sequence)] = (pdu.status, identity)

    def on_deliver(self, pdu):
        text = (pdu.short_message or b"").decode("latin-1")
        found = re.search(r"\bid:(\S+).*\bstat:(\S+)", text)
        if pdu.esm_class & 0x3C == 0x04 and found:
            self.receipts[found.group(1)] = found.group(2)

    def read_until(self, done, seconds):
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            self.client.read_once()

    def run(self, receipt_wait):
        todo = list(messages())
        for what, to, fields in todo:
            addresses = {"source_addr": "14499", "dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": to}
            pdu = self.client.send_message(registered_delivery=1, **addresses, **fields)
            self.waiting[pdu.sequence] = what
        self.read_until(lambda: not self.waiting, receipt_wait)
        wanted = [identity for status, identity in self.answers.values() if status == 0]
        self.read_until(lambda: all(identity in self.receipts for identity in wanted), receipt_wait)
        good = True
        for what, to, _ in todo:
            status, identity = self.answers.get(what, (None, None))
            receipt = self.receipts.get(identity)
            good = good and receipt is not None
            answer = "no response" if status is None else f"status={status:#x} id={identity}"
            print(f"{what:<20} to={to:<12} {answer:<50} receipt={receipt}")
        self.unbind()
        return good

    def unbind(self):
        self.client.send_pdu(smpplib.smpp.make_pdu("unbind", client=self.client))
        while self.client.read_pdu().command != "unbind_resp":
            pass
        self.client.disconnect()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--address", default="127.0.0.1:2775")
    arguments.add_argument("--system-id", default="demo")
    arguments.add_argument("--password", default="demo")
    arguments.add_argument("--receipt-wait", type=float, default=10.0, help="seconds; default 10")
    options = arguments.parse_args()
    # smpplib warns of every parameter that it does not know.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        demo = Demo(options)
    except (smpplib.exceptions.ConnectionError, smpplib.exceptions.PDUError) as reason:
        print(f"cannot bind at {options.address}: {reason}", file=sys.stderr)
        return 4
    try:
        good = demo.run(options.receipt_wait)
    except smpplib.exceptions.ConnectionError:
        print("the session was closed", file=sys.stderr)
        return 1
    print("every message has its receipt" if good else "not every message has its receipt")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
