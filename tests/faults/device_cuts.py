"""Rows 2 and 3 of the fault matrix on a disk whose power is cut: what was answered is there."""

import collections
import random
import time

import device_rig
import disk_node
import kill_store as store
import rig

# Accounts and their pools: stored for a carrier that takes them, for one that is not there, relayed.
POOLS = {"sto1": "alpha", "sto2": "both", "sto3": "gone", "rel1": "beta"}
STORED = ("sto1", "sto2", "sto3")
AWAY = "gone"
RATE = 100
# A write takes so long, by turns: behind a slow one more is in flight.
DELAYS_US = (0, 4000)
# Cuts of which a node is started on what is left.
START_EVERY = 10
WRITES_MAX = 6
LATE_MAX_SECONDS = 0.5
GRACE_SECONDS = 0.2
KINDS = {2: ("drop", "subset"), 3: ("garbage",)}
FAULTS = {2: "power cut, what is not flushed dropped or kept sector by sector", 3: "power cut, sectors in flight garbage"}


class Away(disk_node.Carrier):
    """A carrier that nobody can bind to."""

    def listen(self):
        """Never."""

    def is_bound(self):
        return True


class World(device_rig.World):
    """Peers of the node on the disk: of three receipts one is kept back."""

    def __init__(self, setup, seed):
        super().__init__(setup, seed, RATE, holds=lambda number: number % 3 == 0 and self.owners[number] in STORED)

    def carrier_at(self, at, name, port):
        kind = Away if name == AWAY else disk_node.Carrier
        return kind(self, port, disk_node.ID_FIRST * (at + 1), self.delay, self.holds)


class Later(device_rig.World):
    """Peers of a node that begins with what a cut has left: nobody submits, carriers send the receipts that are still
    awaited."""

    def __init__(self, setup, former, known, left):
        super().__init__(setup, 1)
        self.submits, self.owners, self.answered = False, former.owners, known.answered
        for carrier, one in zip(self.carriers, former.carriers):
            carrier.accepted, carrier.next_id = dict(one.accepted), one.next_id + 1_000_000
            for message, (number, _) in carrier.accepted.items():
                key = left.key((self.owners[number], known.answered[number])) if number in known.answered else None
                if key in left.pending and "SENT" in left.kinds[key]:
                    carrier.kept.append(message)


def setup_of(chosen, driver, place, durability):
    """The node."""
    carriers = dict.fromkeys(disk_node.WATCHED + (AWAY,))
    return disk_node.ports(device_rig.Setup(driver, chosen.shards, carriers, dict(POOLS), durability, 'min_free = "0%"\n'
                                            'size_max = "192MiB"\n' + store.RETRY, stored=STORED, place=place))


class Cuts:
    """Cuts of the disk of one node, and what is found after them."""

    def __init__(self, chosen, driver, durability, folder):
        self.chosen, self.driver, self.durability, self.folder = chosen, driver, durability, folder
        self.drawn = random.Random(f"{chosen.seed} {driver} {durability}")
        self.cut, self.started, self.ids = 0, 0, {}

    def one(self, disk, world, kind, starts=False, writes=WRITES_MAX):
        """One cut after at most so many writes: what had been promised by then, what is left, how many sectors went which
        way."""
        self.cut += 1
        path, place = self.folder / "cut", self.folder / "left"
        disk.ask("delay", DELAYS_US[self.cut % len(DELAYS_US)])
        known = device_rig.Known(world)
        sectors = disk.cut(path, self.drawn.getrandbits(32), kind, self.drawn.randint(min(1, writes), writes))
        setup = setup_of(self.chosen, self.driver, place, self.durability)
        with device_rig.mounted(path, place), rig.Processes() as processes:
            node = disk_node.Node(self.chosen, setup, self.folder / "later", processes)
            left = device_rig.Left(node, place, self.ids)
            faults = self.after_a_start(node, world, known, left, place) if starts else {}
        return known, left, sectors, faults

    def after_a_start(self, node, world, known, left, place):
        """What is wrong with a node that begins here."""
        self.started += 1
        later = Later(node.setup, world, known, left)
        owed = {number for number in known.answered if (who := known.who(world, number)) not in left.over
                and not left.kinds[left.key(who)] & {"DLR_IN"}}
        with disk_node.running(later):
            node.up(later)
            later.release()
            later.settled(node)
            code = node.stop()
        after = device_rig.Left(node, place, self.ids)
        ids = collections.Counter((line["esme"], line["id"]) for line in after.lines)
        places = collections.Counter((line["shard"], line["lsn"]) for line in after.lines)
        given = later.given
        return {
            "exit code": code, "verify": after.code,
            "owed and never given": sum(number not in given for number in owed),
            "given to others": sum(one.account != world.owners[number] or one.id != known.answered.get(number, one.id)
                                   for number, found in given.items() for one in found),
            "nowhere after it": len(known.lost(world, after)),
            "not as submitted": len(device_rig.strange(world, after)),
            "submitted once more": sum(one.number in known.answered and "SENT" in left.kinds[left.key(
                known.who(world, one.number))] for one in later.arrivals),
            # What was refused has no id.
            "records twice": sum(count > 1 for (_, name), count in ids.items() if name) + sum(
                count > 1 for count in places.values()),
            "over, and no line": len(left.over - set(ids)),
            "lines that are none": after.torn,
        }


def cuts(chosen, driver, durability, folder):
    """Rows 2 and 3: the disk of one node is cut again and again."""
    count = 5 if chosen.short else 50
    seen = {row: disk_node.Seen(row, FAULTS[row], chosen, driver) for row in KINDS}
    made = Cuts(chosen, driver, durability, folder)
    with device_rig.a_disk(folder / "disk") as disk, rig.Processes() as processes:
        setup = setup_of(chosen, driver, disk.place, durability)
        node = disk_node.Node(chosen, setup, folder / "node", processes)
        world = World(setup, chosen.seed)
        with disk_node.running(world):
            node.up(world)
            time.sleep(0.5)
            for row, one in seen.items():
                some(made, one, disk, world, KINDS[row], count)
            control(made, seen[2], disk, world)
            ended(seen[3], node, world, setup)
    return list(seen.values())


def some(made, seen, disk, world, kinds, count):
    """So many cuts of one row."""
    table, sums, sectors, codes, faults = seen.table, collections.Counter(), collections.Counter(), collections.Counter(), []
    first, checked = made.started, 0
    for number in range(count):
        known, left, found, wrong = made.one(disk, world, kinds[number % len(kinds)], number % START_EVERY == 0)
        sums["lost"] += len(known.lost(world, left))
        sums["receipts"] += len(known.receipts_lost(world, left))
        sums["strange"] += len(device_rig.strange(world, left))
        sums["damaged"] += not all(map(device_rig.is_whole, left.verdicts)) or left.code != 0
        checked += len(known.answered)
        codes.update(shard["verdict"] for shard in left.verdicts)
        sectors.update({name: found[name] for name in ("kept", "dropped", "garbage")})
        faults += [f"{what}: {many}" for what, many in wrong.items() if many]
    starts = made.started - first
    seen.injected = f"{count} cuts under durability = \"{made.durability}\", {dict(sectors)}"
    table.equal("answered ESME_ROK before a cut, not there", sums["lost"], 0, f" of {checked:,}")
    table.equal("receipts answered before a cut, not there", sums["receipts"], 0)
    table.equal("messages that nobody submitted so", sums["strange"], 0)
    table.equal("journals that are neither sound nor torn", sums["damaged"], 0, f"   {dict(codes)}")
    table.line("sectors that were in flight", f"{sum(sectors.values()):,}", "> 0", sum(sectors.values()) > 0)
    if "garbage" in kinds:
        table.line("sectors that became garbage", f"{sectors['garbage']:,}", "> 0", sectors["garbage"] > 0)
    table.equal("nodes started on what was left, and wrong then", len(faults), 0, f" of {starts}   {faults or ''}")
    seen.say(f"{checked:,} answers checked, 0 lost" if not sums["lost"] else f"{sums['lost']} of {checked:,} answers lost")
    seen.say(f"journals {dict(codes)}; {starts} nodes started on what was left")


def control(made, seen, disk, world):
    """A disk that says of flushes what is not so must lose."""
    disk.ask("lie", 1)
    time.sleep(0.5)
    lost = 0
    for _ in range(2):
        known, left, _, _ = made.one(disk, world, "drop")
        lost += len(known.lost(world, left))
    disk.ask("lie", 0)
    seen.table.line("on a disk that lies: answers lost", f"{lost:,}", "> 0", lost > 0)
    seen.say(f"the control, a disk whose flushes do nothing, lost {lost:,}")


def ended(seen, node, world, setup):
    """The node that wrote all of it goes on to its end."""
    world.release()
    world.settled(node)
    waits = {number for number in world.answered if setup.pools[world.owners[number]] == AWAY}
    seen.table.equal("the node itself: messages without their end", len(set(world.lost()) - waits), 0)
    seen.table.equal("exit code of run after SIGTERM", node.stop(), 0)
    seen.table.equal("exit code of journal verify", node.ask("verify")[0], 0)


def process(chosen, driver, durability, folder):
    """Row 2: what is promised to survive the end of a process only is lost, and not more than that."""
    seen = disk_node.Seen(2, "power cut, nothing promised", chosen, driver)
    count, made = 3 if chosen.short else 20, Cuts(chosen, driver, durability, folder)
    ages, lost, strange = [], 0, 0
    with device_rig.a_disk(folder / "disk") as disk, rig.Processes() as processes:
        setup = setup_of(chosen, driver, disk.place, durability)
        node = disk_node.Node(chosen, setup, folder / "node", processes)
        world = World(setup, chosen.seed)
        with disk_node.running(world):
            node.up(world)
            time.sleep(0.5)
            for _ in range(count):
                time.sleep(made.drawn.random() * GRACE_SECONDS)
                # Its writes come with the sync that would save them.
                known, left, _, _ = made.one(disk, world, "drop", writes=0)
                gone = known.lost(world, left)
                lost += len(gone)
                ages += [known.time - world.begun[number] for number in gone]
                strange += len(device_rig.strange(world, left))
            ended(seen, node, world, setup)
    seen.injected = f"{count} cuts under durability = \"{durability}\""
    table = seen.table
    table.line("answered ESME_ROK and lost", f"{lost:,}", "> 0: a power cut is not what it survives", lost > 0)
    table.equal("messages that nobody submitted so", strange, 0)
    oldest = max(ages, default=0)
    table.timing("the oldest of them was submitted before the cut", f"{oldest:.2f} s", f"<= {LATE_MAX_SECONDS} s",
                 oldest <= LATE_MAX_SECONDS)
    seen.say(f"{lost} answers lost, the oldest {oldest * 1000:.0f} ms before the cut")
    return [seen]
