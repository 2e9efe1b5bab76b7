"""Rows 7, 8 and 9 of the fault matrix on a disk that is full, that fails, and that is slow."""

import collections
import errno
import random
import time

import device_rig
import disk_full
import disk_node
import kill_store as store
import rig
from disk_node import MIB

# Accounts and their pools: stored; relayed with receipts, which wait for the journal; relayed without, which wait for nothing;
# stored, more than a slow disk takes.
POOLS = {"sto1": "alpha", "sto2": "both", "rel1": "beta", "bulk1": "bulk1", "bulk2": "bulk1"}
STORED = ("sto1", "sto2", "bulk2")
RATE = 75
# It leaves as the disk begins to fail, while its receipts are still to come.
AWAY, RECEIPT_DELAY = "sto2", (0.1, 0.4)
SYSERR, QUEUE_FULL, THROTTLED = 0x08, 0x14, 0x58
NAMES = {SYSERR: "ESME_RSYSERR", QUEUE_FULL: "ESME_RMSGQFUL", THROTTLED: "ESME_RTHROTTLED"}
FLOOD_WINDOW = 5000
RECOVER_MAX_SECONDS = 5.0
GROWN_MAX_MIB = 96
TURN_MAX_MS = 1.0
SLOW_US, HANG_SECONDS, SLOW_RATE = 100_000, 5, 1_000_000
# What waits for a slow disk takes longer than this, what does not is faster, or not much slower than with a quick one.
APART_SECONDS, CALM_TIMES = 0.1, 3
FLOOD_BINDS, FLOOD_RATE = 8, "8000/s"


def setup_of(chosen, driver, place):
    """The node."""
    carriers = dict.fromkeys(disk_node.WATCHED + disk_node.BULK[:1])
    setup = disk_node.ports(device_rig.Setup(driver, chosen.shards, carriers, dict(POOLS), "group", 'min_free = "0%"\n'
                                             'size_max = "2GiB"\n' + store.RETRY, stored=STORED, place=place))
    setup.windows = {"bulk2": FLOOD_WINDOW}
    return setup


class Failing:
    """A node on a disk, and what is done to that."""

    def __init__(self, chosen, driver, folder, processes, disk):
        self.chosen, self.folder, self.processes, self.disk = chosen, folder, processes, disk
        self.setup = setup_of(chosen, driver, disk.place)
        self.node = disk_node.Node(chosen, self.setup, folder / "node", processes)
        self.world = device_rig.World(self.setup, chosen.seed, RATE, RECEIPT_DELAY)
        self.watch, self.cuts, self.ids = None, 0, {}
        self.drawn = random.Random(chosen.seed)

    def up(self):
        """All bound."""
        disk_node.bulk_carrier(self.chosen, self.processes, self.setup)
        self.node.up(self.world)
        self.watch = disk_full.Watch(self.node)
        rig.until("readiness", lambda: self.watch.first(0, 200), [self.node.proxy])

    def load(self, account, seconds, *more):
        """Messages of one account that need no watching."""
        return self.processes.start("load", [self.chosen.binary, "load", "--to-address", f"127.0.0.1:{self.setup.listen}",
                                             "--account", f"{account}:secret", "--late-max", "100%", "--json", "--quiet",
                                             "--for", f"{seconds:.0f}s", *more])

    def relayed(self, seconds):
        """That are relayed, without receipts."""
        return self.load("bulk1", seconds, "--rate", "300/s", "--binds", "2")

    def metric(self, name):
        """Its value."""
        return self.node.metrics()[f"bindery_{name}"]

    def lost(self, table, name):
        """What was answered by now and is not on the medium, if the power goes now."""
        path, place = self.folder / "cut", self.folder / "left"
        self.cuts += 1
        known = device_rig.Known(self.world)
        self.disk.cut(path, self.drawn.getrandbits(32), "drop")
        with device_rig.mounted(path, place):
            node = disk_node.Node(self.chosen, self.setup, self.folder / "later", self.processes)
            node.directory = place / "data" / "journal"
            left = device_rig.Left(node, place, self.ids)
        stored = {number for number in known.answered if self.world.owners[number] in STORED}
        lost = stored & set(known.lost(self.world, left))
        # What is relayed goes on while nothing can be promised: a receipt that its account has is no promise of ours.
        receipts = set(known.receipts_lost(self.world, left)) - known.taken
        table.equal(f"{name}: stored, answered, and lost by a cut now", len(lost), 0, f" of {len(stored):,}")
        table.equal(f"{name}: receipts answered, and lost by a cut now", len(receipts), 0, f" of {len(known.acked):,}")
        table.equal(f"{name}: messages that nobody submitted so", len(device_rig.strange(self.world, left)), 0)

    def statuses(self):
        """What stored messages were answered so far that is not ESME_ROK."""
        found = collections.Counter()
        for (account, status), count in self.world.statuses.items():
            if account in STORED:
                found[status] += count
        return found

    def ended(self, seen):
        """All that waits comes, and the journal is as it must be."""
        self.watch.ended.set()
        self.world.settled(self.node)
        table = seen.table
        table.equal("messages without their end", len(self.world.lost()), 0, f" of {len(self.world.answered):,}")
        table.equal("processes of the node", self.node.started, 1)
        table.equal("exit code of run after SIGTERM", self.node.stop(), 0)
        missing = sum(one["missing_records"] for one in self.node.ask("verify")[1])
        table.equal("acknowledged records that verify misses", missing, 0)


def fails(chosen, driver, _, folder):
    """Rows 7 and 8."""
    full, failing = (disk_node.Seen(row, fault, chosen, driver) for row, fault in
                     ((7, "ENOSPC at write"), (8, "EIO once and for ever")))
    seconds = 3 if chosen.short else 10
    full.injected = f"each write of data answers ENOSPC for {seconds} s, as on a thin volume"
    failing.injected = f"EIO on one write, on one flush, for {seconds} s on each write, for {seconds} s on each flush"
    with device_rig.a_disk(folder / "disk", device_rig.LARGE, device_rig.NO_JOURNAL) as disk, rig.Processes() as processes:
        made = Failing(chosen, driver, folder, processes, disk)
        with disk_node.running(made.world):
            made.up()
            time.sleep(1)
            for what in ("write", "flush"):
                once(made, failing, what)
            for what in ("write", "flush"):
                for_ever(made, failing, what, errno.EIO, seconds)
            for_ever(made, full, "write", errno.ENOSPC, seconds)
            made.ended(failing)
    return [full, failing]


def once(made, seen, what):
    """One call fails; the journal's own, at last."""
    table, name = seen.table, f"one {what}"
    before = made.metric("journal_failed_files_total")
    for injected in range(1, 21):
        told = f"failed_{what}{'s' if what == 'write' else 'es'}"
        had = made.disk.ask("stat")[told]
        made.disk.fail(what, 1)
        rig.until("a fault", lambda told=told, had=had: made.disk.ask("stat")[told] > had, [made.node.proxy])
        time.sleep(0.2)
        if made.metric("journal_failed_files_total") > before:
            break
    files = made.metric("journal_failed_files_total") - before
    table.equal(f"{name}: files of the journal given up", int(files), 1, f", by fault {injected}; others hit call detail records")
    answered = len(made.world.answered)
    rig.until("answers", lambda: len(made.world.answered) > answered + 20, [made.node.proxy])
    made.lost(table, name)
    table.equal(f"{name}: refused", sum(made.statuses().values()), 0, f"   {dict(made.statuses()) or ''}")


def for_ever(made, seen, what, number, seconds):
    """All calls fail for a while."""
    table, name = seen.table, f"{errno.errorcode[number]} on each {what}"
    world, before = made.world, made.statuses()
    load = made.relayed(seconds + 3)
    begun = time.monotonic()
    made.disk.fail(what, device_rig.FOREVER, number)
    rig.until("its word", lambda: made.watch.first(begun, 503), [made.node.proxy], 20)
    told = made.watch.first(begun, 503) - begun
    world.account(AWAY).binds = False
    time.sleep(max(seconds - told, 1) / 2)
    made.lost(table, name)
    time.sleep(max(seconds - told, 1) / 2)
    over = time.monotonic()
    reasons = made.watch.reasons(begun, over)
    relayed = sum(account == "rel1" and begun + told <= at <= over for at, account, _ in list(world.spans))
    made.disk.fail(what, 0)
    rig.until("readiness", lambda: made.watch.first(over, 200), [made.node.proxy], 60)
    ready = made.watch.first(over, 200) - over
    world.account(AWAY).binds = True
    made.node.wait_bound(world)
    answered = len(world.answered)
    rig.until("answers", lambda: len(world.answered) > answered + 20, [made.node.proxy], 60)
    made.lost(table, f"after {name}")
    refused = made.statuses() - before
    load.wait(60)
    report = load.last_object()
    table.equal(f"{name}: relayed and not answered", report["unanswered"], 0, f" of {report['submitted']:,}")
    worst = report["response_latency"]["p99_ms"]
    table.timing(f"{name}: p99 of relayed answers", f"{worst:.1f} ms", "< 500 ms", worst < 500)
    said = {NAMES.get(status, hex(status)): count for status, count in refused.items()}
    table.line(f"{name}: stored messages refused", f"{sum(refused.values()):,}", f"> 0   {said}", refused)
    table.equal(f"{name}: of them in other words", sum(count for status, count in refused.items() if status not in NAMES), 0)
    # What is broken for want of space is told as such, what is broken otherwise is not.
    if number == errno.ENOSPC:
        table.equal(f"{name}: ESME_RSYSERR", refused[SYSERR], 0, f"   of {sum(refused.values()):,}")
    else:
        table.line(f"{name}: ESME_RSYSERR", f"{refused[SYSERR]:,}", "> 0", refused[SYSERR])
    table.line(f"{name}: /readyz says why", f"{len(reasons)}", f"> 0   {sorted(reasons)}", reasons)
    table.timing(f"{name}: until it said so", f"{told:.2f} s", "< 3 s", told < 3)
    table.timing(f"{name}: ready again", f"{ready:.2f} s", f"<= {RECOVER_MAX_SECONDS} s", ready <= RECOVER_MAX_SECONDS)
    seen.say(f"{name}: {sorted(reasons)} after {told:.2f} s, stored hear {said}, relay went on (p99 {worst:.1f} ms; "
             f"{relayed} answers of those with receipts), ready {ready:.2f} s after it, nothing lost by two cuts")


class Phase:
    """Some seconds, with messages beside that wait for nothing."""

    def __init__(self, made, name, seconds):
        self.made, self.name, self.report, self.turn, self.until = made, name, None, 0, None
        self.turns = turns(made.node)
        self.load = made.relayed(seconds)
        self.begun = time.monotonic()

    def p99(self):
        """Of the responses, milliseconds."""
        return self.report["response_latency"]["p99_ms"]

    def end(self, table):
        """How it went."""
        self.load.wait(120)
        self.until = time.monotonic()
        self.report = self.load.last_object()
        self.turn = 1000 * quantile(self.turns, turns(self.made.node), 0.999)
        table.equal(f"{self.name}: relayed and not answered", self.report["unanswered"], 0, f" of {self.report['submitted']:,}")
        table.figure(f"{self.name}: turns of the shards, 99.9 %", f"<= {self.turn:g} ms")
        table.figure(f"{self.name}: p99 of answers that wait for nothing", f"{self.p99():.2f} ms")
        return self

    def is_quick(self, table, calm):
        """What waits for nothing does not wait for the disk."""
        bound = max(CALM_TIMES * calm.p99(), 1000 * APART_SECONDS)
        table.timing(f"{self.name}: that, beside {calm.p99():.2f} ms", f"{self.p99():.2f} ms", f"< {bound:.0f} ms",
                     self.p99() < bound)


def turns(node):
    """The turns of all shards so far: by their upper bound, how many."""
    found = collections.Counter()
    for name, value in node.metrics().items():
        if name.startswith("bindery_added_seconds_bucket"):
            found[float(name.split('le="')[1].split('"')[0])] += value
    return found


def quantile(before, after, share):
    """Of what came between."""
    grown = sorted((bound, count - before[bound]) for bound, count in after.items())
    return next((bound for bound, count in grown if count >= share * grown[-1][1]), 0)


def slow(chosen, driver, _, folder):
    """Row 9."""
    seen = disk_node.Seen(9, "slow disk", chosen, driver)
    long, flood = (8, 7) if chosen.short else (60, 30)
    seen.injected = (f"{SLOW_US // 1000} ms each write for {long} s; nothing is done for {HANG_SECONDS} s; "
                     f"{SLOW_RATE / 1e6:g} MB/s for {flood} s under more than that")
    table = seen.table
    with device_rig.a_disk(folder / "disk", device_rig.LARGE) as disk, rig.Processes() as processes:
        made = Failing(chosen, driver, folder, processes, disk)
        with disk_node.running(made.world):
            made.up()
            time.sleep(1)
            calm = Phase(made, "calm", 2).end(table)
            before, memory = made.node.proxy.memory_mib(), rig.Memory(made.node.proxy, 0.1)
            late = delayed(made, table, calm, long)
            hung = hangs(made, table, calm)
            said = narrow(made, table, flood)
            memory.ended.set()
            grown = max(memory.samples) - before
            table.line("memory grown by", f"{grown:.1f} MiB", f"< {GROWN_MAX_MIB} MiB", grown < GROWN_MAX_MIB)
            made.ended(seen)
    seen.say(f"p99 of answers that wait for nothing {calm.p99():.1f} ms calm, {late.p99():.1f} ms slow, {hung.p99():.1f} ms hung; "
             f"99.9 % of the turns <= {calm.turn:g}, {late.turn:g}, {hung.turn:g} ms; of what is stored none is answered while it "
             f"hangs, and all in the end; at {SLOW_RATE / 1e6:g} MB/s {said}; memory +{grown:.0f} MiB")
    return [seen]


def delayed(made, table, calm, seconds):
    """Each write takes its time."""
    made.disk.ask("delay", SLOW_US)
    phase = Phase(made, "slow", seconds).end(table)
    made.lost(table, "slow")
    made.disk.ask("delay", 0)
    phase.is_quick(table, calm)
    _, middle, count = made.world.p99(set(STORED), phase.begun + 1, phase.until)
    table.line("slow: median of answers to what is stored", f"{middle * 1000:.0f} ms",
               f"> {APART_SECONDS * 1000:.0f} ms, of {count:,}", middle > APART_SECONDS)
    time.sleep(1)
    return phase


def hangs(made, table, calm):
    """Nothing is done for a while."""
    world, phase = made.world, Phase(made, "hung", HANG_SECONDS)
    made.disk.ask("hang", HANG_SECONDS * 1000)
    # One may have been on its way.
    time.sleep(0.5)
    since, known = time.monotonic(), stored_answers(world)
    time.sleep(HANG_SECONDS - 1.5)
    table.equal("hung: answers to what is stored", stored_answers(world) - known, 0, f" in {time.monotonic() - since:.1f} s")
    phase.end(table)
    phase.is_quick(table, calm)
    rig.until("answers", lambda: stored_answers(world) > known + 20, [made.node.proxy], 60)
    made.lost(table, "hung")
    return phase


def stored_answers(world):
    """How many there are so far."""
    return sum(account in STORED for _, account, _ in list(world.spans))


def narrow(made, table, seconds):
    """So many octets a second, and messages that are more than that: what they are answered."""
    made.disk.ask("rate", SLOW_RATE)
    phase = Phase(made, "narrow", seconds)
    flood = made.load("bulk2", seconds, "--rate", FLOOD_RATE, "--binds", FLOOD_BINDS, "--window", FLOOD_WINDOW, "--length", "254",
                      "--response-timeout", "90s")
    phase.end(table)
    made.lost(table, "narrow")
    made.disk.ask("rate", 0)
    flood.wait(120)
    report = flood.last_object()
    said = report["responses"]
    table.equal("narrow: stored and not answered", report["unanswered"], 0, f" of {report['submitted']:,}")
    table.line("narrow: throttled", f"{said.get('ESME_RTHROTTLED', 0):,}", f"> 0   {said}", said.get("ESME_RTHROTTLED"))
    others = sum(count for name, count in said.items() if name not in {"ESME_ROK", *NAMES.values()})
    table.equal("narrow: refused in other words", others, 0)
    return said


assert GROWN_MAX_MIB * MIB > 3 * 16 * MIB
