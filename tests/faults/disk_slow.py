"""Rows 9, 10 and 11 of the fault matrix: a slow disk, one that hangs, a neighbour on it; a process that stands still, and
clocks that leap."""

import signal
import subprocess
import threading
import time

import disk_node
import rig
from disk_node import MIB, SECOND_NS

PROCESS = {"acc1", "acc3"}
GROUP = {"acc2", "acc4"}
WRITE_US = 100_000
# What waits for the disk takes longer than this, what does not is faster.
APART_SECONDS = 0.05
CALM_TIMES = 3
GROWN_MAX_MIB = 64
HOUR, DAY = 3600, 86_400


def setup_of(chosen, driver, **more):
    """The accounts that are watched."""
    carriers = dict.fromkeys(disk_node.WATCHED + disk_node.BULK[:"pools" in more])
    return disk_node.ports(disk_node.Setup(driver, chosen.shards, carriers, **more))


class Phase:
    """Some seconds, with messages beside that ask for no receipt."""

    def __init__(self, chosen, processes, setup, seconds):
        self.load = disk_node.load(chosen, processes, setup, "--rate", "400/s", "--binds", "2", "--for", f"{seconds}s")
        self.begun = time.monotonic()

    def report(self):
        """How it went."""
        self.load.wait(60)
        self.until = time.monotonic()
        return self.load.last_object()


def p99_ms(report):
    """Of the responses."""
    return report["response_latency"]["p99_ms"]


def slow(chosen, driver, folder, processes):
    """Row 9."""
    seen = disk_node.Seen(9, "slow disk", chosen, driver)
    slow_seconds, hang_seconds = (5, 2) if chosen.short else (20, 5)
    seen.injected = f"{WRITE_US // 1000} ms a write for {slow_seconds} s, then no write or sync ends for {hang_seconds} s"
    table, faults = seen.table, disk_node.Faults(folder)
    setup = setup_of(chosen, driver, pools=dict(disk_node.POOLS, bulk1="bulk1"))
    node = disk_node.Node(chosen, setup, folder / "node", processes, faults)
    world = disk_node.World(setup, chosen.seed)
    disk_node.bulk_carrier(chosen, processes, setup)
    with disk_node.running(world):
        node.up(world)
        calm = Phase(chosen, processes, setup, 3).report()
        memory = rig.Memory(node.proxy, 0.1)
        before = node.proxy.memory_mib()
        faults.set(write_us=WRITE_US)
        phase = Phase(chosen, processes, setup, slow_seconds)
        while_slow = phase.report()
        waited = {name: world.p99(names, phase.begun + 1, phase.until) for name, names in
                  (("process", PROCESS), ("group", GROUP))}
        faults.set(write_us=0, hangs=1)
        phase = Phase(chosen, processes, setup, hang_seconds)
        while_hung = phase.report()
        silent = world.p99(PROCESS | GROUP, phase.begun + 0.5, phase.begun + hang_seconds - 0.5)[2]
        faults.set(hangs=0)
        time.sleep(1)
        memory.ended.set()
        world.settled(node)
        for name, report in (("calm", calm), ("slow", while_slow), ("hung", while_hung)):
            # Whatever this machine does besides is in the calm figure, too.
            bound = max(APART_SECONDS * 1000, CALM_TIMES * p99_ms(calm))
            table.timing(f"{name}: p99 of responses that wait for nothing", f"{p99_ms(report):.2f} ms", f"< {bound:.0f} ms",
                         p99_ms(report) < bound)
            half = report["response_latency"]["p50_ms"]
            table.timing(f"{name}: the median of them", f"{half:.2f} ms", f"< {APART_SECONDS * 1000:.0f} ms",
                         half < APART_SECONDS * 1000)
            table.equal(f"{name}: of these unanswered", report["unanswered"], 0, f" of {report['submitted']:,}")
        for name, (_, median, count) in waited.items():
            table.line(f"slow: median of responses that wait, {name}", f"{median * 1000:.0f} ms",
                       f"> {APART_SECONDS * 1000:.0f} ms, of {count}", median > APART_SECONDS)
        table.equal("hung: responses that wait and came", silent, 0)
        grown = max(memory.samples) - before
        table.line("memory grown by", f"{grown:.1f} MiB", f"< {GROWN_MAX_MIB} MiB", grown < GROWN_MAX_MIB)
        others = sum(world.statuses.values())
        table.equal("all that waited is answered", len(world.begun) - len(world.answered) - others, 0, f" of {len(world.begun):,}")
        disk_node.judge(seen, world, node, setup)
    seen.say(f"p99 of responses that wait for nothing {p99_ms(calm):.1f} ms calm, {p99_ms(while_slow):.1f} ms slow, "
             f"{p99_ms(while_hung):.1f} ms hung; those that wait {waited['process'][1] * 1000:.0f} ms (process), "
             f"{waited['group'][1] * 1000:.0f} ms (group) in the middle, and all came; memory +{grown:.1f} MiB")
    return [seen]


class Neighbour(threading.Thread):
    """Writes to the same file system as fast as it can, again and again."""

    def __init__(self, path, megabytes):
        super().__init__(daemon=True)
        self.path, self.megabytes, self.written, self.ended = path, megabytes, 0, threading.Event()

    def run(self):
        while not self.ended.is_set():
            subprocess.run(["dd", "if=/dev/zero", f"of={self.path}", "bs=1M", f"count={self.megabytes}", "conv=fdatasync"],
                           stderr=subprocess.DEVNULL, check=True)
            self.written += self.megabytes

    def end(self):
        """After the round that it is in."""
        self.ended.set()
        self.join(120)
        self.path.unlink(missing_ok=True)


def neighbour(chosen, driver, folder, processes):
    """Row 10."""
    seen = disk_node.Seen(10, "noisy neighbour", chosen, driver)
    seconds = 4 if chosen.short else 20
    seen.injected = f"dd to the same file system, flat out for {seconds} s"
    setup = setup_of(chosen, driver)
    node = disk_node.Node(chosen, setup, folder / "node", processes)
    world = disk_node.World(setup, chosen.seed, 150)
    with disk_node.running(world):
        node.up(world)
        begun = time.monotonic()
        time.sleep(seconds / 2)
        noise = Neighbour(folder / "noise", 128 if chosen.short else 512)
        noisy = time.monotonic()
        noise.start()
        time.sleep(seconds)
        noise.end()
        over = time.monotonic()
        world.settled(node)
        for name, names in (("process", PROCESS), ("group", GROUP)):
            calm, loud = world.p99(names, begun, noisy), world.p99(names, noisy, over)
            text = (f"{name}: median and p99 {calm[1] * 1000:.1f} and {calm[0] * 1000:.1f} ms calm, "
                    f"{loud[1] * 1000:.1f} and {loud[0] * 1000:.1f} ms beside it")
            seen.table.line(f"{name}: answers beside the neighbour", f"{loud[2]:,}", f"> 0   {text}", loud[2] > 0)
            seen.say(text)
        disk_node.judge(seen, world, node, setup)
    seen.say(f"{noise.written:,} MB written beside, in {over - noisy:.0f} s; order kept, nothing lost")
    return [seen]


def busiest(times):
    """Most in any second."""
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] < at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


RATE = 120
AWAY = "acc4"


def stopped(chosen, driver, folder, processes):
    """Row 11: a process that stands still."""
    seen = disk_node.Seen(11, "SIGSTOP", chosen, driver)
    seconds = 5 if chosen.short else 30
    seen.injected = f"SIGSTOP for {seconds} s under traffic, one account of four not bound"
    setup = setup_of(chosen, driver, carrier=f'rate = "{RATE}/s"\n')
    node = disk_node.Node(chosen, setup, folder / "node", processes)
    world = disk_node.World(setup, chosen.seed, 50)
    with disk_node.running(world):
        node.up(world)
        time.sleep(1)
        world.account(AWAY).binds = False
        time.sleep(1)
        life, begun = node.proxy.child.pid, time.monotonic()
        node.proxy.send(signal.SIGSTOP)
        time.sleep(seconds)
        node.proxy.send(signal.SIGCONT)
        time.sleep(3)
        world.account(AWAY).binds = True
        node.wait_bound(world)
        world.settled(node)
        seen.table.equal("other processes of the node", int(node.proxy.child.pid != life), 0)
        storm(seen, world, begun)
        seen.table.equal("answers that are no ESME_ROK", sum(world.statuses.values()), 0, f"   {dict(world.statuses) or ''}")
        disk_node.judge(seen, world, node, setup)
    early(seen, node, world)
    return [seen]


def storm(seen, world, since):
    """No carrier gets more than twice its rate in any second."""
    most = max(busiest([at for at in carrier.times if at >= since]) for carrier in world.carriers)
    seen.table.timing("submits of one carrier in one second", f"{most}", f"<= {2 * RATE}, its rate is {RATE}", most <= 2 * RATE)
    seen.say(f"at most {most} submits of a carrier in a second (rate {RATE}/s)")


def early(seen, node, world):
    """Nothing was over before its time."""
    states = disk_node.finished(node)
    seen.table.equal("final records that say otherwise than delivered", sum(states.values()) - states[2], 0, f"   {dict(states)}")
    seen.say(f"{len(world.answered):,} answered, {len(world.given):,} receipts, all in order, none expired")


LEAPS = [HOUR, DAY, -HOUR, -DAY, 0]


def leaps(chosen, driver, folder, processes):
    """Row 11: clocks that leap."""
    seen = disk_node.Seen(11, "clock leaps", chosen, driver)
    seen.injected = "the wall clock leaps by +1 h, +1 day, -1 h, -1 day and back, under traffic and over kill -9 and start"
    faults = disk_node.Faults(folder)
    setup = setup_of(chosen, driver, carrier=f'rate = "{RATE}/s"\n')
    node = disk_node.Node(chosen, setup, folder / "node", processes, faults)
    world = disk_node.World(setup, chosen.seed, 50)
    pause = 0.7 if chosen.short else 3
    with disk_node.running(world):
        node.up(world)
        time.sleep(1)
        world.account(AWAY).binds = False
        begun = time.monotonic()
        for leap in LEAPS:
            time.sleep(pause)
            faults.set(wall_ns=leap * SECOND_NS)
        for leap in LEAPS:
            time.sleep(pause)
            node.kill()
            faults.set(wall_ns=leap * SECOND_NS)
            node.up(world)
        time.sleep(pause)
        kept = node.open_messages()
        seen.table.line("messages that wait for the account", f"{kept}", "> 0", kept > 0)
        world.account(AWAY).binds = True
        node.wait_bound(world)
        world.settled(node)
        storm(seen, world, begun)
        own = [text for number, text in world.answered.items() if setup.pools[world.owners[number]] == "both"]
        seen.table.equal("own ids given twice", len(own) - len(set(own)), 0, f" of {len(own):,}")
        disk_node.judge(seen, world, node, setup)
        date = "the dates of the journal leap with the clock"
        seen.table.line(date, f"{spread(node) / HOUR:.1f} h", "> 24 h", spread(node) > DAY)
    early(seen, node, world)
    return [seen]


def spread(node):
    """Seconds between the first and the last time that a final record says."""
    times = [line["accepted_us"] for line in node.ask("cat", "--type", "FINISH")[1]]
    return (max(times) - min(times)) / 1e6 if times else 0


assert GROWN_MAX_MIB * MIB > 2 * 16 * MIB
