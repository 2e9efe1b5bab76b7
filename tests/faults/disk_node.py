"""A node with a journal for the fault matrix: its processes on one folder, its peers, what it says, what its journal says, and
a library that makes its disk slow and its clocks wrong."""

import collections
import contextlib
import dataclasses
import hashlib
import importlib.machinery
import importlib.util
import json
import mmap
import pathlib
import shutil
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request

import kill_peers as peers
import rig

HERE = pathlib.Path(__file__).resolve().parent
SEGMENT = 16 << 20
MIB = 1 << 20
WINDOW = 50
ID_FIRST = 1_000_000_000
SETTLE_SECONDS = 120
# Accounts and their pools: two promises, a pool of one carrier and one of both.
POOLS = {"acc1": "both", "acc2": "both", "acc3": "alpha", "acc4": "beta"}
PROMISES = ("process", "group")
# Carriers of messages that need no watching, each at home on another shard, and an account of each.
BULK = ("bulk1", "bulk2")
WATCHED = ("alpha", "beta")
ALL_POOLS = dict(POOLS, **{name: name for name in BULK})
SECOND_NS = 1_000_000_000


def script(name):
    """A script beside this one, as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(HERE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


kill = script("kill")


class Seen:
    """What a row of the matrix saw: figures with their bounds, and a few words for its line."""

    def __init__(self, row, fault, chosen, driver):
        self.row, self.fault, self.driver, self.short = row, fault, driver, chosen.short
        self.lines, self.injected, self.words, self.skipped = [], "", [], None
        self.table = rig.Table(self.lines.append, chosen.short)

    def say(self, text):
        """Some words for the line."""
        self.words.append(text)

    def verdict(self):
        """In one word."""
        if self.table.failed or not self.table.passed:
            return "SKIPPED" if self.skipped and not self.table.failed else "FAILED"
        return "pass"

    def result(self):
        """For whoever prints it."""
        missed = [line.split("   ")[0] for line in map(str.strip, self.lines) if line.startswith(("MISSED", "slow "))]
        return {"row": self.row, "fault": self.fault, "io": self.driver, "injected": self.injected,
                "seen": "; ".join(self.words + missed), "verdict": self.verdict(),
                "why": self.skipped, "lines": self.lines}


@dataclasses.dataclass
class Setup:
    """What a configuration says beside what all of them say."""

    driver: str
    shards: int
    # Names and ports.
    carriers: dict
    pools: dict = dataclasses.field(default_factory=lambda: dict(POOLS))
    durability: str = "group"
    journal: str = 'size_max = "2GiB"\nmin_free = "0%"\n'
    carrier: str = ""
    esme: str = ""
    data_dir: str = "data"
    listen: int = 0
    http: int = 0

    def promise(self, account):
        """What an answer to an account survives: by turns."""
        return PROMISES[list(self.pools).index(account) % len(PROMISES)]

    def text(self):
        """The configuration."""
        homes = rig.homes(self.carriers, self.shards)
        node = rig.node("disk", self.listen, self.driver, self.shards, self.http)
        parts = [node.replace("[node]\n", f'[node]\ndata_dir = "{self.data_dir}"\n', 1),
                 f'[journal]\ndurability = "{self.durability}"\nsegment_size = "16MiB"\n{self.journal}']
        for name, port in self.carriers.items():
            parts.append(f'[carrier.{name}]\naddresses = ["127.0.0.1:{port}"]\nsystem_id = "bindery"\n'
                         f'password = "secret"\nsessions = 1\nwindow_max = 100\n'
                         f'reconnect = {{ min = "10ms", max = "20ms" }}\n{self.carrier}{homes[name]}'
                         f'[pool.{name}]\nmembers = [{{ carrier = "{name}" }}]')
        both = ", ".join(f'{{ carrier = "{name}" }}' for name in self.carriers if name in WATCHED)
        parts.append(f"[pool.both]\nmembers = [{both}]" if both else "")
        for name, pool in self.pools.items():
            parts.append(f'[esme.{name}]\npassword = "secret"\npool = "{pool}"\nsessions_max = 8\nwindow_max = {WINDOW}\n'
                         f'durability = "{self.promise(name)}"\n{self.esme}')
        return "\n".join(parts) + "\n"


# What is written in large pieces is the preparation of a file, for which nobody waits: only a disk that hangs holds it up.
FAULTY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct faults { int64_t write_us, hangs, wall_ns, mono_ns; };
static struct faults none;
static volatile struct faults *faults = &none;
static ssize_t (*real_write)(int, const void *, size_t, off_t);
static int (*real_sync)(int);
static int (*real_time)(clockid_t, struct timespec *);
static long (*real_call)(long, ...);

__attribute__((constructor)) static void begin(void) {
  real_write = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
  real_sync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  real_call = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  if (!real_time) real_time = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int file = open(getenv("DISK_FAULTS"), O_RDONLY);
  void *shared = mmap(0, sizeof(struct faults), PROT_READ, MAP_SHARED, file, 0);
  if (shared == MAP_FAILED) abort();
  faults = shared;
}

static void disk(size_t length) {
  while (faults->hangs) usleep(1000);
  if (faults->write_us && length < 512 * 1024) usleep(faults->write_us);
}

ssize_t pwrite64(int file, const void *octets, size_t length, off_t at) {
  disk(length);
  return real_write(file, octets, length, at);
}

int fdatasync(int file) {
  while (faults->hangs) usleep(1000);
  return real_sync(file);
}

static void shift(struct timespec *time, int64_t by) {
  int64_t nanos = time->tv_nsec + by % 1000000000;
  time->tv_sec += by / 1000000000 + (nanos >= 1000000000) - (nanos < 0);
  time->tv_nsec = (nanos + 1000000000) % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  if (!real_time) real_time = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real_time(clock, time);
  if (clock == CLOCK_REALTIME) shift(time, faults->wall_ns);
  if (clock == CLOCK_MONOTONIC) shift(time, faults->mono_ns);
  return result;
}

/* Who waits for a moment of the clock waits for one of the kernel's. */
long syscall(long number, ...) {
  long words[6];
  struct timespec until;
  va_list list;
  va_start(list, number);
  for (int at = 0; at < 6; at++) words[at] = va_arg(list, long);
  va_end(list);
  if (number == SYS_futex && (words[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && words[3] &&
      !(words[1] & FUTEX_CLOCK_REALTIME)) {
    until = *(struct timespec *)words[3];
    shift(&until, -faults->mono_ns);
    words[3] = (long)&until;
  }
  return real_call(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
"""


class Faults:
    """What is wrong with the disk and the clocks of a process, at any moment."""

    PLACES = {"write_us": 0, "hangs": 8, "wall_ns": 16, "mono_ns": 24}

    def __init__(self, folder):
        source, self.library, self.path = folder / "faulty.c", folder / "faulty.so", folder / "faults"
        source.write_text(FAULTY)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"], check=True)
        self.path.write_bytes(bytes(mmap.PAGESIZE))
        with open(self.path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def set(self, **values):
        """From now on."""
        for name, value in values.items():
            struct.pack_into("<q", self.shared, self.PLACES[name], value)

    def before(self):
        """What stands before the program."""
        return ["env", f"DISK_FAULTS={self.path}", f"LD_PRELOAD={self.library}"]


def is_free(port):
    """Whether somebody may listen there."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class Node:
    """The processes of a node, one after the other, on one folder."""

    def __init__(self, chosen, setup, folder, processes, faults=None):
        self.chosen, self.setup, self.folder, self.processes = chosen, setup, folder, processes
        self.before = faults.before() if faults else []
        self.proxy, self.started = None, 0
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "bindery.toml"
        self.path.write_text(setup.text())
        self.directory = folder / setup.data_dir / "journal"

    def start(self, world=None, *more):
        """The next one."""
        if world:
            world.life += 1
        self.started += 1
        self.proxy = self.processes.start("run", [*self.before, self.chosen.binary, "run", "-c", self.path, *more])

    def wait_bound(self, world):
        """Whoever wants to be bound is."""
        rig.until("binding", world.is_bound, [self.proxy])

    def up(self, world):
        """Starts it, all bound."""
        self.start(world)
        self.wait_bound(world)

    def kill(self):
        """With SIGKILL; the kernel may hold its sockets a little longer."""
        self.proxy.end()
        self.processes.remove(self.proxy)
        for port in (self.setup.listen, self.setup.http):
            rig.until("the port", lambda port=port: is_free(port), [])

    def stop(self):
        """With SIGTERM; the exit code."""
        code = self.proxy.stop()
        self.processes.remove(self.proxy)
        return code

    def ended(self):
        """The exit code of one that ends by itself, and all it said."""
        code = self.proxy.wait(30)
        self.processes.remove(self.proxy)
        return code, "\n".join(self.proxy.errors)

    def event(self, name):
        """The log line of this event, if there was one."""
        for line in list(self.proxy.errors):
            if line.startswith("{") and json.loads(line).get("event") == name:
                return json.loads(line)
        return None

    def ask(self, what, *more, directory=None):
        """Exit code and lines of `bindery journal`."""
        done = subprocess.run([self.chosen.binary, "journal", what, directory or self.directory, *more],
                              capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def ready(self):
        """The status of /readyz and what it says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.setup.http}/readyz", timeout=10) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def has_started(self):
        """Whether it has said so: from then on SIGTERM drains."""
        return any(line.startswith("http address") for line in list(self.proxy.errors))

    def metrics(self):
        """All samples, by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.setup.http}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def files(self, ending=""):
        """Names in the journal's folder, with this ending."""
        return sorted(path.name for path in self.directory.iterdir() if path.is_file() and path.name.endswith(ending))

    def open_messages(self):
        """Those that are not over."""
        metrics = self.metrics()
        return sum(int(metrics.get(f'bindery_table_used{{table="{table}"}}', -1)) for table in ("journal_open", "journal_asleep"))


class Account(peers.Account):
    """Writes down how long each answer took, and can be told how many messages it submits."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.left = None

    def submit(self):
        if self.left is not None:
            if not self.left:
                return
            self.left -= 1
        super().submit()
        self.world.begun[self.world.number] = time.monotonic()

    def take(self, wire, command, status, sequence, octets):
        number = wire.open.get(sequence) if command == peers.SUBMIT | peers.RESPONSE else None
        super().take(wire, command, status, sequence, octets)
        if number is not None:
            now = time.monotonic()
            self.world.spans.append((now, self.name, now - self.world.begun[number]))


class Carrier(peers.Carrier):
    """Keeps back the receipts of some messages until it is told; writes down when it was submitted to."""

    def __init__(self, world, port, id_first, delay, holds=lambda number: False):
        super().__init__(world, port, id_first, delay, 100)
        self.holds, self.kept, self.released, self.times = holds, [], False, []

    def take(self, wire, command, status, sequence, octets):
        if command == peers.SUBMIT:
            self.times.append(time.monotonic())
        super().take(wire, command, status, sequence, octets)

    def later(self, message, seconds):
        if not self.released and self.holds(self.accepted[message][0]):
            self.kept.append(message)
        else:
            super().later(message, seconds)

    def tick(self, now):
        if self.released and self.kept:
            kept, self.kept = self.kept, []
            for message in kept:
                super().later(message, 0)
        super().tick(now)


class World(peers.World):
    """All peers of one node."""

    def __init__(self, setup, seed, rate=75, delay=(0.0, 0.15), holds=lambda number: False):
        super().__init__(setup.listen, seed)
        # When each message was submitted; each answer: when, whose, how long it took. Whether carriers answer in order.
        self.begun, self.spans, self.ordered = {}, [], True
        self.accounts = [Account(self, name, rate, WINDOW) for name in setup.pools if not name.startswith("bulk")]
        found = [(name, port) for name, port in setup.carriers.items() if not name.startswith("bulk")]
        self.delay, self.holds = delay, holds
        self.carriers = [self.carrier_at(at, name, port) for at, (name, port) in enumerate(found)]

    def carrier_at(self, at, name, port):
        """The carrier of this name."""
        del name
        return Carrier(self, port, ID_FIRST * (at + 1), self.delay, self.holds)

    def account(self, name):
        """By its name."""
        return next(one for one in self.accounts if one.name == name)

    def release(self):
        """The receipts that were kept back are sent."""
        for one in self.carriers:
            one.released = True
        rig.until("release", lambda: not any(one.kept for one in self.carriers), [])

    def submit_all(self):
        """Waits until nobody has anything left to submit, or to be answered."""
        rig.until("answers", lambda: all(one.left == 0 and one.wire and not one.wire.open for one in self.accounts), [], 60)

    def settled(self, node):
        """Nothing is on its way any more."""
        self.settle()
        rig.until("settling", self.is_settled, [node.proxy], SETTLE_SECONDS)

    def p99(self, names, since, until=float("inf")):
        """The 99th percentile and the median of how long answers took, seconds."""
        spans = sorted(span for at, name, span in list(self.spans) if name in names and since <= at <= until)
        if not spans:
            return 0, 0, 0
        return spans[len(spans) * 99 // 100], spans[len(spans) // 2], len(spans)


@contextlib.contextmanager
def running(world):
    """The peers, for as long as this takes."""
    world.start()
    try:
        yield world
    finally:
        world.end()


def ports(setup):
    """Gives a configuration its ports; one process is all carriers of the messages that need no watching."""
    setup.listen, setup.http, *free = rig.free_ports(2 + len(setup.carriers))
    setup.carriers = dict(zip(setup.carriers, free))
    for name in BULK:
        if name in setup.carriers:
            setup.carriers[name] = setup.carriers[BULK[0]]
    return setup


def out_of_order(world, setup):
    """Answers and receipts of accounts with one carrier, of one session, that came in another order than the carrier gave
    them in: neither as it sent them (those of messages that are not known yet wait) nor as it was answered (those that need
    no record are answered later than some that do). Receipts that a life of the node did not answer are sent again, and have
    no order."""
    answers = receipts = 0
    names = list(setup.carriers)
    for account in world.accounts:
        pool = setup.pools[account.name]
        if pool == "both":
            continue
        carrier = world.carriers[names.index(pool)]
        ids = [text for number, text in list(world.answered.items()) if world.owners[number] == account.name]
        if world.ordered:
            answers += sum(int(later) < int(former) for former, later in zip(ids, ids[1:]))
        asked = {carrier.accepted[message][0]: (place, carrier.sent[message][1])
                 for place, message in enumerate(list(carrier.acked))
                 if not carrier.unanswered[message] and not carrier.refused[message]}
        places = [asked[number] for number, given in list(world.given.items())
                  if given[0].account == account.name and number in asked]
        receipts += sum(later[0] < former[0] and later[1] < former[1] for former, later in zip(places, places[1:]))
    return answers, receipts


def judge(seen, world, node, setup, besides=()):
    """What every row holds: nothing lost, doubled or given to others, in order, and a journal that ends sound."""
    table = seen.table
    kill.judge_receipts(table, world, besides)
    answers, receipts = out_of_order(world, setup)
    table.equal("answers out of order", answers, 0)
    table.equal("receipts out of order", receipts, 0)
    table.line("messages answered ESME_ROK", f"{len(world.answered):,}", "> 0", len(world.answered) > 0)
    table.equal("exit code of run after SIGTERM", node.stop(), 0)
    table.equal("exit code of journal verify", node.ask("verify")[0], 0)


def finished(node):
    """The final records: how many of each state."""
    return collections.Counter(line["state"] for line in node.ask("cat", "--type", "FINISH")[1])


def copied(node, folder):
    """Another node on a copy of the journal, which has to be at rest."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(node.directory, folder / node.setup.data_dir / "journal")
    return Node(node.chosen, node.setup, folder, node.processes)


def digests(directory):
    """What is in each file."""
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(directory.rglob("*")) if path.is_file()}


def bulk_carrier(chosen, processes, setup, *more):
    """A simulated carrier for the messages that need no watching."""
    smsc = processes.start("smsc", [chosen.binary, "smsc", "--listen", f"127.0.0.1:{setup.carriers[BULK[0]]}", "--account",
                                    "bindery:secret", "--json", *more])
    rig.until("listening", lambda: rig.listening(smsc), [smsc])


def load(chosen, processes, setup, *more):
    """`bindery load` of the accounts whose names begin with bulk."""
    accounts = [part for name in setup.pools if name.startswith("bulk") for part in ("--account", f"{name}:secret")]
    return processes.start("load", [chosen.binary, "load", "--to-address", f"127.0.0.1:{setup.listen}", *accounts, "--late-max",
                                    "100%", "--json", "--quiet", *more])
