"""Row 7 of the fault matrix: a file system without space, or without inodes, under a journal that needs both."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import disk_node
import rig
from disk_node import MIB

IMAGE, INODES = 256 * MIB, 64
# No shard has brought anything to the disk for so long, under traffic.
STILL_SECONDS = 0.5
RESUME_MAX_SECONDS = 1.0
# The first messages wait for their receipts: nothing behind them can be given back.
KEPT = 40


@contextlib.contextmanager
def small_disk(folder, inodes):
    """A file system of its own: ext4 over a loop device where that is possible, else in memory; says which."""
    place, image = folder / "small", folder / "image"
    place.mkdir(parents=True)
    with open(image, "wb") as file:
        file.truncate(IMAGE)
    kind, why = "ext4 over a loop device", over_loop(image, place, inodes)
    if why:
        options = f"size={IMAGE}" + (f",nr_inodes={INODES}" if inodes else "")
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
        kind = f"tmpfs, since {why}"
    try:
        yield place, kind
    finally:
        # Whoever used it has been killed; its last reference may take a moment.
        for _ in range(100):
            if subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            subprocess.run(["umount", "-l", place], check=False)


def over_loop(image, place, inodes):
    """Mounts ext4 in a file; why that is not possible, if it is not."""
    few = ["-N", str(INODES)] if inodes else []
    for command in (["mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", *few, image], ["mount", "-o", "loop", image, place]):
        if not shutil.which(command[0]):
            return f"there is no {command[0]}"
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip()
    return None


def fill(place):
    """All space."""
    with open(place / "filler", "wb", buffering=0) as file:
        for octets in (MIB, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(octets)) == octets:
                    pass
        os.fsync(file.fileno())


def empty(place):
    """Gives it back."""
    (place / "filler").unlink()


def fill_inodes(place):
    """All inodes."""
    (place / "many").mkdir()
    with contextlib.suppress(OSError):
        for number in range(100_000):
            (place / "many" / str(number)).touch()


def empty_inodes(place):
    """Gives them back."""
    for path in (place / "many").iterdir():
        path.unlink()


class Watch(threading.Thread):
    """What the node says of itself, looked at often."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.ended, self.looks = node, threading.Event(), []
        self.start()

    def run(self):
        while not self.ended.wait(0.02):
            with contextlib.suppress(OSError):
                self.looks.append((time.monotonic(), *self.node.ready()))

    def first(self, since, status):
        """When it first had this status."""
        return next((at for at, found, _ in list(self.looks) if at >= since and found == status), None)

    def reasons(self, since, until):
        """What it said of the journal."""
        return {line.strip() for at, status, text in list(self.looks) if since <= at <= until and status != 200
                for line in text.splitlines() if "journal" in line}


def rate(world, since, until):
    """Answers a second."""
    return sum(since <= at <= until for at, _, _ in list(world.spans)) / (until - since)


def longest(world, since, until):
    """Longest time in which an account had no answer."""
    pauses = []
    for account in world.accounts:
        times = [since, *(at for at, name, _ in list(world.spans) if name == account.name and since <= at <= until), until]
        pauses += [later - former for former, later in zip(times, times[1:])]
    return max(pauses)


def setup_of(chosen, driver, place):
    """Accounts that are watched, and two that need space."""
    return disk_node.ports(disk_node.Setup(
        driver, chosen.shards, dict.fromkeys(disk_node.WATCHED + disk_node.BULK), disk_node.ALL_POOLS,
        journal='size_max = "1GiB"\nmin_free = "5%"\n', data_dir=str(place / "data")))


def without(chosen, driver, folder, seen, *, inodes):
    """Relay on a disk that is full for a while."""
    table = seen.table
    # Its processes end before the file system goes.
    with small_disk(folder, inodes) as (place, kind), rig.Processes() as own:
        setup = setup_of(chosen, driver, place)
        node = disk_node.Node(chosen, setup, folder / "node", own)
        world = disk_node.World(setup, chosen.seed, 40, holds=lambda number: number <= KEPT)
        what = "inodes used up" if inodes else "file system filled to the last page"
        seen.injected = f"{what} ({kind}, {IMAGE // MIB} MiB) under traffic, while messages wait for receipts"
        disk_node.bulk_carrier(chosen, own, setup, "--window", "64")
        with disk_node.running(world):
            node.up(world)
            time.sleep(0.5)
            more = ["--rate", "3000/s", "--for", "10m", "--receipts", "--response-timeout", "60s", "--receipt-wait", "60s"]
            load = disk_node.load(chosen, own, setup, *more)
            watch = Watch(node)
            begun = time.monotonic()
            time.sleep(2)
            spent(chosen, seen, world, node, watch, place, inodes, begun, load)
            load.send(signal.SIGTERM)
            load.wait(120)
            world.release()
            world.settled(node)
            watch.ended.set()
            watch.join(10)
            report = load.last_object()
            lost = report["unanswered"] + report["receipts_missing"] + report["responses_unknown"] + report["receipts_misdirected"]
            table.equal("of the others: answers and receipts lost or wrong", lost, 0, f" of {report['submitted']:,}")
            seen.say(f"{len(world.answered) + report['answered']:,} messages answered, none lost")
            table.equal("processes of the node", node.started, 1)
            disk_node.judge(seen, world, node, setup)


def spent(chosen, seen, world, node, watch, place, inodes, begun, load):
    """Space goes, and comes back."""
    table = seen.table
    full = time.monotonic()
    (fill_inodes if inodes else fill)(place)

    def syncs():
        return [value for name, value in node.metrics().items() if name.startswith("bindery_journal_sync_seconds_count")]

    def used_up():
        before = syncs()
        time.sleep(STILL_SECONDS)
        return not node.files(".spare") and before == syncs()

    # What waits is copied where space is short, so that a disk may stay full for ever and the journal goes round in its files.
    limit = time.monotonic() + (8 if chosen.short and not inodes else 60)
    stands = used_up()
    while not stands and time.monotonic() < limit:
        stands = used_up()
        rig.until("traffic", lambda: True, [node.proxy, load])
    seen.say("no file was left" if stands else "its files were used again and again")
    gone = time.monotonic()
    time.sleep(3 if chosen.short else 15)
    back = time.monotonic()
    left_out = node.metrics()["bindery_journal_left_out_total"]
    (empty_inodes if inodes else empty)(place)
    rig.until("readiness", lambda: watch.first(back, 200), [node.proxy], 60)
    resumed = watch.first(back, 200) - back
    before, during = rate(world, begun, full), rate(world, gone, back)
    table.timing("answers a second while it is full", f"{during:.0f}", f">= {before / 2:.0f}, half of before", during >= before / 2)
    pause = longest(world, gone, back)
    table.timing("longest time without an answer", f"{pause:.2f} s", "< 2.0 s", pause < 2.0)
    reasons = watch.reasons(gone, back)
    table.line("/readyz says why", f"{len(reasons)}", f"> 0   {sorted(reasons)}", reasons)
    # Files are prepared first; beside the other rows of the short form that takes its time.
    bound = 4 * RESUME_MAX_SECONDS if chosen.short else RESUME_MAX_SECONDS
    table.timing("ready again after space is back", f"{resumed:.2f} s", f"<= {bound} s", resumed <= bound)
    seen.say(f"relay went on, {before:.0f} answers/s before and {during:.0f} while full, at most {pause:.2f} s without one; "
             f"{sorted(reasons)}; ready {resumed:.2f} s after space was back; {left_out:.0f} records left out")


def full(chosen, driver, folder, processes):
    """Row 7: no space."""
    del processes
    return one(chosen, driver, folder, "ENOSPC at prepare", False)


def inodes(chosen, driver, folder, processes):
    """Row 7: no inodes."""
    del processes
    return one(chosen, driver, folder, "no inodes", True)


def one(chosen, driver, folder, fault, few):
    seen = disk_node.Seen(7, fault, chosen, driver)
    if os.geteuid() != 0:
        seen.skipped = "only root can mount a small file system"
        return [seen]
    without(chosen, driver, pathlib.Path(folder), seen, inodes=few)
    return [seen]
