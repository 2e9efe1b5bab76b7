"""The floor: what the machine alone asks for the sends and recvs of a message, at the batches of a row."""

import json
import os
import shutil
import signal
import subprocess
import time

from comparison import programs

SUBMIT, RESPONSE = 218, 28
# What moves octets in and out, and returns how many.
RECV = ("recvfrom", "recvmsg", "read", "readv")
SEND = ("sendto", "sendmsg", "write", "writev")


def measure(cores):
    """What bench/floor.rs finds on the proxy's core."""
    cargo = shutil.which("cargo") or os.path.expanduser("~/.cargo/bin/cargo")
    command = [cargo, "bench", "--quiet", "--bench", "floor"]
    subprocess.run([*command, "--no-run"], cwd=programs.ROOT, check=True)
    made = subprocess.run([*command, "--", "--json"], cwd=programs.ROOT, check=True, capture_output=True, text=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, cores))
    return json.loads(made.stdout.splitlines()[-1])


def cost(floor, octets, call, batch):
    """CPU time of one call that carries so many PDUs, nanoseconds; between two batches that were measured, in
    proportion."""
    points = sorted((one["batch"], one[call]) for one in floor["moved"] if one["octets"] == octets)
    below = max((point for point in points if point[0] <= batch), default=points[0])
    above = min((point for point in points if point[0] >= batch), default=points[-1])
    if above[0] == below[0]:
        return below[1]
    return below[1] + (above[1] - below[1]) * (batch - below[0]) / (above[0] - below[0])


def of_message(floor, calls):
    """CPU time of a message, microseconds: its submit and its response, each received and sent once, at the calls per
    message that were counted."""
    nanos = 0.0
    for call, number in (("recv_ns", calls["recv"]), ("send_ns", calls["send"])):
        batch = max(1.0, calls["pdus"] / number)
        nanos += number * (cost(floor, SUBMIT, call, batch) + cost(floor, RESPONSE, call, batch)) / 2
    return nanos / 1000


class Counter:
    """Counts the calls of a process that moved octets, with perf; without perf, or without the right to, nothing."""

    def __init__(self, process_id, folder):
        self.path = folder / "perf.csv"
        self.child = None
        if not shutil.which("perf"):
            return
        command = ["perf", "stat", "-x", ";", "-o", self.path, "-p", str(process_id)]
        for name in (*RECV, *SEND):
            command += ["-e", f"syscalls:sys_exit_{name}", "--filter", "ret > 0"]
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def calls(self, messages, pdus):
        """Calls per message, of each kind; `None` when they could not be counted."""
        if self.child is None or self.child.poll() is not None:
            return None
        self.child.send_signal(signal.SIGINT)
        self.child.wait()
        counts = {}
        for line in self.path.read_text().splitlines():
            fields = line.split(";")
            if len(fields) > 2 and fields[0].isdigit():
                counts[fields[2].split("sys_exit_")[-1]] = int(fields[0])
        recv, send = (sum(counts.get(name, 0) for name in names) for names in (RECV, SEND))
        if not recv or not send:
            return None
        return {"recv": recv / messages, "send": send / messages, "pdus": pdus}


def as_windows_allow(row, pdus):
    """The batch when nobody can count: whole windows, at most 64 PDUs, which no program can better by much."""
    batch = 1 if row.rate else min(row.window, 64)
    return {"recv": pdus / batch, "send": pdus / batch, "pdus": pdus}
