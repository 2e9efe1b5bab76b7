"""Rows 12 and 13 of the fault matrix: messages that wait for long while many others pass, and receipts at any time, whose ids
are written otherwise than the responses'."""

import collections
import time

import carrier as pdus
import disk_node
import kill_peers as peers
import rig
from disk_node import MIB, SECOND_NS, SEGMENT

# Messages that wait, of each account.
STUCK = 2
# What is older is copied to the end of the journal.
MOVE_AFTER_SECONDS = 600
# Segments of a shard beside the one that live records need and the spares; see journal.md, fault 12.
BESIDE, SPARES = 4, 2
# Octets of a round; what is younger than ten minutes stays where it is, so a round is less than BESIDE segments.
ROUND = 24 * MIB
LONG = "2h"


class Pages:
    """How many octets of segments each shard has used so far."""

    def __init__(self, node, shards):
        self.node, self.shards, self.numbers = node, shards, collections.defaultdict(set)

    def look(self):
        """Segments in the folder now: of each shard how many; all files of each shard, octets."""
        files, octets = collections.Counter(), collections.Counter()
        for path in self.node.directory.iterdir():
            shard, _, rest = path.name.partition("-")
            if not rest:
                continue
            try:
                octets[shard] += path.stat().st_size
            except FileNotFoundError:
                continue
            if path.name.endswith(".seg"):
                files[shard] += 1
                self.numbers[shard].add(rest)
        return files, octets

    def used(self):
        """Octets of all segments so far."""
        return sum(map(len, self.numbers.values())) * SEGMENT


def stuck(chosen, driver, folder, processes):
    """Row 12."""
    seen = disk_node.Seen(12, "a stuck message", chosen, driver)
    total = (200 if chosen.short else 1000) * MIB
    faults = disk_node.Faults(folder)
    timers = f'answer_timeout = "{LONG}"\ninactivity_timeout = "{LONG}"\nenquire_link_interval = "{LONG}"\n'
    setup = disk_node.ports(disk_node.Setup(
        driver, chosen.shards, dict.fromkeys(disk_node.WATCHED + disk_node.BULK), disk_node.ALL_POOLS,
        esme=timers, carrier=f'enquire_link_interval = "{LONG}"\nresponse_timeout = "1h"\n'))
    node = disk_node.Node(chosen, setup, folder / "node", processes, faults)
    world = disk_node.World(setup, chosen.seed, 50, holds=lambda number: True)
    for account in world.accounts:
        account.left = STUCK
    disk_node.bulk_carrier(chosen, processes, setup, "--window", "64")
    waiting = STUCK * len(world.accounts)
    pages, rounds = Pages(node, chosen.shards), 0
    with disk_node.running(world):
        node.up(world)
        world.submit_all()
        most, largest = 0, 0
        while pages.used() < total:
            rounds += 1
            files, octets = one_round(chosen, seen, node, world, setup, processes, pages, faults)
            most, largest = max(most, *files.values()), max(largest, *octets.values())
            node.kill()
            node.up(world)
            rig.until("the last run", lambda: node.open_messages() >= 0, [node.proxy])
            back = node.open_messages()
            if back != waiting:
                seen.table.equal(f"round {rounds}: messages that are not over after a restart", back, waiting)
        bound = (1 + BESIDE + SPARES) * SEGMENT
        seen.table.most("segments of a shard after a copy", most, 1 + BESIDE)
        seen.table.most("octets of all files of a shard", largest, bound, ", 1 + 4 segments and 2 spares")
        seen.table.equal("restarts after which only the stuck ones are there", rounds, node.started - 1)
        world.release()
        world.settled(node)
        seen.table.equal("stuck messages whose receipt came", len(world.given), waiting)
        disk_node.judge(seen, world, node, setup)
    seen.injected = (f"{waiting} messages wait while {pages.used() // MIB:,} MiB pass, in {rounds} rounds with ten minutes "
                     "between by the node's clock, each followed by kill -9 and a start")
    seen.say(f"at most {most} segments and {largest // MIB} MiB a shard; after each of {rounds} starts only the {waiting} that "
             "wait are not over; their receipts came")
    return [seen]


# Of each of two shards: six segments and its reserve.
NARROW = 256 * MIB


def narrow(chosen, driver, folder, processes):
    """Row 12: no ten minutes, but little room."""
    seen = disk_node.Seen(12, "a stuck message, little room", chosen, driver)
    total = (240 if chosen.short else 1000) * MIB
    setup = disk_node.ports(disk_node.Setup(
        driver, chosen.shards, dict.fromkeys(disk_node.WATCHED + disk_node.BULK), disk_node.ALL_POOLS,
        journal=f'size_max = "{NARROW // MIB}MiB"\nmin_free = "0%"\n'))
    node = disk_node.Node(chosen, setup, folder / "node", processes)
    world = disk_node.World(setup, chosen.seed, 50, holds=lambda number: True)
    for account in world.accounts:
        account.left = STUCK
    disk_node.bulk_carrier(chosen, processes, setup, "--window", "64")
    waiting, pages, largest = STUCK * len(world.accounts), Pages(node, chosen.shards), 0
    with disk_node.running(world):
        node.up(world)
        world.submit_all()
        load = disk_node.load(chosen, processes, setup, "--rate", "8000/s", "--binds", "2", "--for", "10m", "--receipts")
        refused, begun = [], time.monotonic()
        while pages.used() < total and time.monotonic() - begun < (120 if chosen.short else 600):
            largest = max(largest, sum(pages.look()[1].values()))
            status, text = node.ready()
            if status != 200 and time.monotonic() - begun > 1:
                refused += [line for line in text.splitlines() if "size_max" in line]
            time.sleep(0.05)
        load.stop()
        report = load.last_object()
        lost = report["unanswered"] + report["receipts_missing"] + report["receipts_misdirected"]
        seen.table.equal("answers and receipts of others lost", lost, 0, f" of {report['submitted']:,}")
        seen.table.line("octets that passed", f"{pages.used() // MIB} MiB", f">= {total // MIB} MiB", pages.used() >= total)
        seen.table.most("octets of all files", largest, NARROW, ", its size_max")
        left_out = int(node.metrics()["bindery_journal_left_out_total"])
        seen.table.equal("records left out", left_out, 0)
        seen.table.equal("looks at which it was too large to be ready", len(refused), 0, f"   {set(refused) or ''}")
        node.kill()
        node.up(world)
        seen.table.equal("messages that are not over after a restart", node.open_messages(), waiting)
        world.release()
        world.settled(node)
        seen.table.equal("stuck messages whose receipt came", len(world.given), waiting)
        disk_node.judge(seen, world, node, setup)
    seen.injected = f"{waiting} messages wait while {pages.used() // MIB:,} MiB pass through a journal of {NARROW // MIB} MiB, at once"
    seen.say(f"at most {largest // MIB} MiB, {left_out} records left out, not ready {len(refused)} times")
    return [seen]


def one_round(chosen, seen, node, world, setup, processes, pages, faults):
    """Some segments of others; ten minutes later, what there is."""
    before = pages.used()
    load = disk_node.load(chosen, processes, setup, "--rate", "8000/s", "--binds", "2", "--for", "10m", "--receipts")

    def enough():
        pages.look()
        return pages.used() - before >= ROUND * chosen.shards

    rig.until("a round", enough, [node.proxy, load], 120)
    load.stop()
    report = load.last_object()
    lost = report["unanswered"] + report["receipts_missing"] + report["receipts_misdirected"]
    if lost:
        seen.table.equal("answers and receipts of others lost", lost, 0)
    processes.remove(load)
    rig.until("the others", lambda: node.open_messages() <= len(world.answered), [node.proxy])

    def looked():
        # A turn of each shard looks at the records' age, once a second by its clock.
        age(faults, 2)
        for wire in [wire for one in world.carriers for wire in one.wires]:
            wire.send(pdus.ENQUIRE)
        time.sleep(0.05)

    for _ in range(3):
        looked()
    age(faults, MOVE_AFTER_SECONDS)
    begun = time.monotonic()
    while max(pages.look()[0].values()) > 2 and time.monotonic() - begun < 5:
        looked()
    return pages.look()


def age(faults, seconds):
    """The node's clock goes on by so much, at once."""
    faults.mono = getattr(faults, "mono", 0) + seconds * SECOND_NS
    faults.set(mono_ns=faults.mono)


# How a carrier writes an id in its response and in its receipt.
FORMS = {
    "same": ("%d", "%d"),
    "zeros": ("%d", "%016d"),
    "padded": ("%016x", "%x"),
    "hexdec": ("%x", "%d"),
    "dechex": ("%d", "%x"),
    "upper": ("%X", "%x"),
}
EARLY, TOGETHER, LATER = range(3)
# The state of a message whose receipt never came.
UNKNOWN = 7


class FormCarrier(disk_node.Carrier):
    """Writes ids in a form of its own; sends a receipt before the response, in one write with it, or when it is told."""

    def __init__(self, world, port, id_first, form):
        super().__init__(world, port, id_first, (0, 0))
        self.response, self.receipt = FORMS[form]
        # By number: when its receipt is sent.
        self.when = {}

    def take(self, wire, command, status, sequence, octets):
        if command != peers.SUBMIT:
            super().take(wire, command, status, sequence, octets)
            return
        source, destination, _, text = pdus.fields(octets)
        self.next_id += 1
        message, number = self.next_id, int(text)
        self.arrived(wire, number, "accepted")
        self.accepted[message] = (number, named(source, destination, (self.receipt % message).encode(), text))
        answer = pdus.pdu(peers.SUBMIT | peers.RESPONSE, sequence, (self.response % message).encode() + b"\0")
        when = self.when.setdefault(number, self.world.when())
        if when in (EARLY, TOGETHER):
            wire.sequence += 1
            wire.open[wire.sequence] = message
            self.sent[message] = (wire.life, time.monotonic())
            receipt = pdus.pdu(peers.DELIVER, wire.sequence, self.accepted[message][1])
            if when == EARLY:
                wire.sock.sendall(receipt)
                self.world.soon.append((time.monotonic() + 0.02, wire, answer))
            else:
                wire.sock.sendall(answer + receipt)
        else:
            wire.sock.sendall(answer)
            self.kept.append(message)

    def later(self, message, seconds):
        peers.Carrier.later(self, message, seconds)

    def tick(self, now):
        soon, self.world.soon[:] = [one for one in self.world.soon if one[0] <= now], [
            one for one in self.world.soon if one[0] > now]
        for _, wire, answer in soon:
            wire.sock.sendall(answer)
        super().tick(now)


def named(source, destination, identity, text):
    """The body of a receipt for this id."""
    body = pdus.receipt(source, destination, 0, text)
    at = body.index(b"id:0 ")
    words = body[at:].replace(b"id:0 ", b"id:%s " % identity, 1)
    return body[:at - 1] + bytes([len(words)]) + words


class FormWorld(disk_node.World):
    """Peers whose messages' receipts come as the phase says."""

    def __init__(self, setup, seed):
        # Answers that leave later, receipts in turn, messages that were over before their receipts were sent.
        self.soon, self.phases, self.expired = [], [EARLY, TOGETHER, LATER], set()
        super().__init__(setup, seed, 60)
        # Its answer to the first of two messages leaves behind that to the second.
        self.ordered = False

    def carrier_at(self, at, name, port):
        return FormCarrier(self, port, disk_node.ID_FIRST * 3 + at * 1_000_000, name)

    def when(self):
        """In turn."""
        self.phases.append(self.phases.pop(0))
        return self.phases[0]


def batch(world, node, messages):
    """So many messages of each account, answered."""
    for account in world.accounts:
        account.left = messages
    world.submits = True
    world.submit_all()
    rig.until("receipts", lambda: not any(wire.open for one in world.carriers for wire in one.wires), [node.proxy], 30)


def ids(chosen, driver, folder, processes):
    """Row 13."""
    seen = disk_node.Seen(13, "receipts at any time", chosen, driver)
    seen.injected = ("receipts before, in one write with, and 71 h after the response, over kill -9 and start; ids "
                     + ", ".join(f"{response} then {receipt}" for response, receipt in FORMS.values()))
    faults, messages = disk_node.Faults(folder), 60 if chosen.short else 600
    setup = disk_node.ports(disk_node.Setup(driver, chosen.shards, dict.fromkeys(FORMS),
                                            {f"acc{at}": form for at, form in enumerate(FORMS)}))
    node = disk_node.Node(chosen, setup, folder / "node", processes, faults)
    world = FormWorld(setup, chosen.seed)
    table = seen.table
    with disk_node.running(world):
        node.up(world)
        batch(world, node, messages)
        kept = [message for one in world.carriers for message in one.kept]
        early = len(world.given)
        table.equal("before and together: receipts that came", early, len(world.answered) - len(kept))
        node.kill()
        faults.set(wall_ns=71 * 3600 * SECOND_NS)
        node.up(world)
        world.release()
        world.settled(node)
        table.equal("71 h later, after a restart: receipts that came", len(world.given), len(world.answered))
        late = len(world.given) - early
        expire(seen, world, node, faults, messages)
        world.settled(node)
        came = len(world.expired & set(world.given))
        for number in world.expired:
            world.answered.pop(number)
        disk_node.judge(seen, world, node, setup)
    unknown = disk_node.finished(node)[UNKNOWN]
    table.equal("final records without a receipt", unknown, len(world.expired))
    seen.say(f"after 73 h {unknown} are over without one, each with a final record; {came} of their receipts went on all the same")
    seen.say(f"{early:,} before or together and {late:,} 71 h later all came, in the form of the response")
    return [seen]


def expire(seen, world, node, faults, messages):
    """A batch whose receipts come after 73 hours: it is over without them."""
    for one in world.carriers:
        one.released = False
    world.settling, world.phases = False, [LATER]
    before = len(world.answered)
    batch(world, node, messages // 4)
    late = len(world.answered) - before
    seen.table.equal("before 72 h: messages that are not over", node.open_messages(), late)
    node.kill()
    faults.set(wall_ns=(71 + 73) * 3600 * SECOND_NS)
    node.up(world)
    rig.until("the end of what is too old", lambda: node.open_messages() == 0, [node.proxy], 30)
    world.expired = set(list(world.answered)[before:])
    world.release()
