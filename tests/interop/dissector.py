"""Capturing with dumpcap and reading with tshark, Wireshark's own SMPP dissector."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple

RESPONSE = 0x80000000
BINDS = (0x01, 0x02, 0x09)

# A PDU as tshark names it.
Dissected = namedtuple("Dissected", "stream from_port to_port command sequence")
Reading = namedtuple("Reading", "pdus malformed")


def require_tools():
    missing = [name for name in ("dumpcap", "tshark", "node", "npm") if not shutil.which(name)]
    if missing:
        raise SystemExit(f"interop: not installed: {', '.join(missing)} (Debian: apt-get install tshark nodejs npm)")


class Capture:
    """dumpcap on the loopback interface; knows when it has begun and when it has all of it."""

    def __init__(self, path, ports):
        self.path = path
        self.sentinel = socket.socket()
        self.sentinel.bind(("127.0.0.1", 0))
        self.sentinel.listen(64)
        ports = [*ports, self.sentinel.getsockname()[1]]
        what = " or ".join(f"tcp port {port}" for port in ports)
        command = ["dumpcap", "-q", "-P", "-B", "64", "-i", "lo", "-f", what, "-w", str(path)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self.child = subprocess.Popen(command, stderr=subprocess.PIPE, **quiet)
        self.wait_for_sentinel()

    def wait_for_sentinel(self):
        """Connects to a port of its own until that very connection is in the file."""
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if self.child.poll() is not None:
                self.refuse(self.child.stderr.read().decode(errors="replace"))
            with socket.create_connection(self.sentinel.getsockname()) as probe:
                port = probe.getsockname()[1].to_bytes(2, "big") + self.sentinel.getsockname()[1].to_bytes(2, "big")
                accepted, _ = self.sentinel.accept()
                accepted.close()
            for _ in range(10):
                time.sleep(0.05)
                if self.path.exists() and port in self.path.read_bytes():
                    return
        self.refuse("nothing was captured")

    def refuse(self, reason):
        stars = "*" * 100
        why = f"interop: CANNOT CAPTURE on the loopback interface: {reason.strip()}"
        need = "dumpcap needs root or CAP_NET_RAW. Without the capture nothing can be compared."
        print(stars, why, need, stars, sep="\n", file=sys.stderr)
        # Elsewhere too nothing was tested, but a gate must not pass for want of a right.
        raise SystemExit(1 if os.environ.get("CI") else 77)

    def finish(self):
        """All that was sent before this is in the file."""
        self.wait_for_sentinel()
        self.abandon()

    def abandon(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def tshark(path, ports, *arguments):
    decode = [part for port in ports for part in ("-d", f"tcp.port=={port},smpp")]
    command = ["tshark", "-r", str(path), *decode, *arguments]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return result.stdout.splitlines()


def read(path, ports):
    """Every PDU that the dissector names, and a line for each frame in which it finds fault."""
    fields = ("tcp.stream", "tcp.srcport", "tcp.dstport", "smpp.command_id", "smpp.sequence_number")
    wanted = [part for field in fields for part in ("-e", field)]
    pdus = []
    for line in tshark(path, ports, "-Y", "smpp", "-T", "fields", "-E", "occurrence=a", *wanted):
        stream, source, destination, commands, sequences = line.split("\t")
        for command, sequence in zip(commands.split(","), sequences.split(","), strict=True):
            pdus.append(Dissected(int(stream), int(source), int(destination), int(command, 0), int(sequence, 0)))
    malformed = tshark(path, ports, "-Y", "_ws.malformed && tcp")
    return Reading(pdus, [" ".join(line.split()) for line in malformed])


def unanswered(reading, esme_port):
    """Requests that Bindery sent and that have no response, by the dissector's own fields."""
    responses = [pdu for pdu in reading.pdus if pdu.command & RESPONSE]
    answered = {(pdu.stream, pdu.to_port, pdu.command & ~RESPONSE, pdu.sequence) for pdu in responses}
    # To an ESME Bindery is the listening side, to a carrier the one that binds.
    carrier_ports = {pdu.to_port for pdu in reading.pdus if pdu.command in BINDS} - {esme_port}
    ours = [
        pdu
        for pdu in reading.pdus
        if not pdu.command & RESPONSE and (pdu.from_port == esme_port or pdu.to_port in carrier_ports)
    ]
    if not ours:
        return ["the dissector saw no request of ours"]
    return [str(pdu) for pdu in ours if (pdu.stream, pdu.from_port, pdu.command, pdu.sequence) not in answered]
