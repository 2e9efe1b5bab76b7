"""Rows 5, 6 and 15 of the fault matrix: a journal that a node wrote, damaged while nobody uses it; and one that belongs to
somebody else."""

import bisect
import collections
import dataclasses
import json
import pathlib
import random
import shutil
import struct
import time

import disk_node
import rig
from disk_node import MIB, SEGMENT

PAGE, HEAD, BATCH_HEAD = 4096, 2 * 4096, 64
# Of ten messages one waits for its receipt while the journal is at rest.
KEPT = 10
SEGMENTS_LEAST = 3
SOUND, DAMAGED, MISSING = 0, 8, 9


@dataclasses.dataclass
class Record:
    """A record and the octets of its frame."""

    lsn: int
    at: int
    end: int
    key: int
    kind: str
    # The carrier's id.
    message: str


class Journal:
    """What is in a journal at rest: its files, its records and where they stand. The frames' lengths are read from the files
    themselves."""

    def __init__(self, node):
        self.node, self.directory = node, node.directory
        _, verdicts = node.ask("verify")
        self.verdicts = {one["shard"]: one for one in verdicts}
        # By shard, in order: number, name.
        self.segments = collections.defaultdict(list)
        for line in node.ask("ls")[1]:
            self.segments[line["shard"]].append((line["segment"], line["file"]))
        names = {(shard, number): name for shard, found in self.segments.items() for number, name in found}
        self.records = collections.defaultdict(list)
        self.shard_of = {name: shard for (shard, _), name in names.items()}
        octets = {name: (self.directory / name).read_bytes() for name in self.shard_of}
        for line in node.ask("cat")[1]:
            name, at = names[line["shard"], line["segment"]], line["at"]
            length, = struct.unpack_from("<I", octets[name], at)
            self.records[name].append(Record(line["lsn"], at, at + (length + 7) // 8 * 8, line["key"], line["type"],
                                             line.get("message_id", "")))
        for found in self.records.values():
            found.sort(key=lambda record: record.at)
        self.starts = {name: [record.at for record in found] for name, found in self.records.items()}

    def promised(self, shard, lsn):
        """Whether the journal knows that it was durable, and that it is needed."""
        verdict = self.verdicts[shard]
        return verdict["front"] <= lsn <= verdict["durable"]

    def touched(self, name, first, last):
        """The records that have octets from `first` up to, without, `last`."""
        at = max(bisect.bisect_right(self.starts[name], first) - 1, 0)
        found = []
        for record in self.records[name][at:]:
            if record.at >= last:
                break
            if record.end > first:
                found.append(record)
        return found

    def place(self, name, at):
        """What stands at an octet: the word for it, and its record if it is of one."""
        if at < HEAD:
            return "header", None
        record = next(iter(self.touched(name, at, at + 1)), None)
        if record:
            return "record", record
        if at >= self.records[name][-1].end:
            return "never written", None
        begun = at // PAGE * PAGE
        follows = bisect.bisect_left(self.starts[name], begun + BATCH_HEAD)
        opens = self.starts[name][follows:follows + 1] == [begun + BATCH_HEAD]
        return ("batch header" if opens and at < begun + BATCH_HEAD else "filling"), None

    def near(self, name, at, place):
        """The record behind the header of a batch, or at or before any other place."""
        after = bisect.bisect_right(self.starts[name], at)
        return self.records[name][after if place == "batch header" else after - 1]

    def missing(self, ranges):
        """Of `(name, first, last)`, what verify has to miss: by shard, the numbers."""
        lost = collections.defaultdict(set)
        for name, first, last in ranges:
            shard = self.shard_of[name]
            lost[shard].update(record.lsn for record in self.touched(name, first, last) if self.promised(shard, record.lsn))
        return {shard: found for shard, found in lost.items() if found}


def missed(lines):
    """What verify says that is missing."""
    found = {line["shard"]: {lsn for gap in line["missing"] for lsn in range(gap["first"], gap["last"] + 1)} for line in lines}
    return {shard: lost for shard, lost in found.items() if lost}


def flip(path, at, bit):
    """One bit, the other way round."""
    with open(path, "r+b") as file:
        file.seek(at)
        octet = file.read(1)[0]
        file.seek(at)
        file.write(bytes([octet ^ 1 << bit]))


class Written:
    """A node that has written some segments with open messages in them, and was stopped; its peers wait."""

    def __init__(self, chosen, driver, folder, processes):
        self.chosen, self.folder, self.processes = chosen, folder, processes
        carriers = dict.fromkeys(disk_node.WATCHED + disk_node.BULK)
        self.setup = disk_node.ports(disk_node.Setup(driver, chosen.shards, carriers, disk_node.ALL_POOLS))
        self.node = disk_node.Node(chosen, self.setup, folder / "written", processes)
        self.world = disk_node.World(self.setup, chosen.seed, 50, holds=lambda number: number % KEPT == 0)
        # The messages of each carrier whose receipts it keeps back.
        self.kept = []

    def write(self):
        """Until each shard has some segments."""
        disk_node.bulk_carrier(self.chosen, self.processes, self.setup)
        self.world.start()
        self.node.up(self.world)
        time.sleep(0.3)
        load = disk_node.load(self.chosen, self.processes, self.setup, "--rate", "4000/s", "--for", "10m", "--receipts")

        def enough():
            count = collections.Counter(name[:3] for name in self.node.files(".seg"))
            return len(count) == self.chosen.shards and min(count.values()) >= SEGMENTS_LEAST

        rig.until("segments", enough, [self.node.proxy, load], 120)
        load.stop()
        self.world.submits = False
        rig.until("settling", self.world.is_settled, [self.node.proxy], 60)
        self.kept = [list(carrier.kept) for carrier in self.world.carriers]
        code = self.node.stop()
        return code, Journal(self.node)

    def open_keys(self, journal):
        """Messages that wait for their receipts: the record of each."""
        pending = {line["key"] for line in self.node.ask("pending")[1]}
        return {record.key: (name, record) for name, found in journal.records.items() for record in found
                if record.kind == "SENT" and record.key in pending}

    def again(self, records):
        """The messages that are not over any more when these records are lost: their receipts come once more."""
        accepted = {message: number for carrier in self.world.carriers for message, (number, _) in carrier.accepted.items()}
        lost = {int(record.message) for record in records if record.kind == "FINISH" and record.message.isdigit()}
        return {accepted[message] for message in lost if message in accepted}

    def serve(self, table, name, node, expected_lost, again):
        """Starts the node on a damaged copy; everything that waits comes, but for what is lost."""
        world = self.world
        numbers = {carrier.accepted[message][0] for carrier, kept in zip(world.carriers, self.kept) for message in kept}
        for carrier, kept in zip(world.carriers, self.kept):
            carrier.released, carrier.kept, carrier.due, carrier.aside = False, list(kept), [], []
            for clears in (carrier.acked, carrier.refused, carrier.unanswered, carrier.sent):
                clears.clear()
        world.given.clear()
        world.taken.clear()
        world.settling, world.moves = False, (None, time.monotonic())
        node.up(world)
        world.release()
        world.settled(node)
        gone = [number for number in numbers if number not in world.given]
        others = sum(one.account != world.owners[number] for number, given in world.given.items() for one in given)
        table.equal(f"{name}: kept receipts that never came", len(gone), expected_lost, f" of {len(numbers)}")
        table.equal(f"{name}: receipts to others, or over before", others + len(set(world.given) - numbers - again), 0,
                    f"   {len(again)} final records are lost")


def quarantined(table, name, node, damaged):
    """What was damaged is nowhere overwritten: `damaged` has a file's name, a place and the octets there."""
    files = [path for path in node.directory.rglob("*") if path.is_file() and path.stat().st_size >= SEGMENT]
    lost = 0
    for _, at, octets in damaged:
        lost += not any(octets_at(path, at, len(octets)) == octets for path in files)
    table.equal(f"{name}: damaged places that were overwritten", lost, 0, f" of {len(damaged)}")
    away = in_quarantine(node)
    table.line(f"{name}: segments in quarantine", f"{len(away)}", "> 0: nothing in them is needed any more", away)
    # The last one may have been put there as the node ended.
    told = sum(bool((report_of(path) or {}).get("damage")) for path in away)
    table.line(f"{name}: of them with a report of the damage", f"{told}", f">= {max(1, len(away) - node.setup.shards)}",
               told >= max(1, len(away) - node.setup.shards))


def report_of(path):
    """What is said of a segment that was put aside; nothing yet."""
    try:
        return json.loads(path.with_name(path.name + ".json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def in_quarantine(node):
    """Segments that were put aside."""
    return [path for path in (node.directory / "quarantine").glob("*") if path.suffix != ".json"]


def octets_at(path, at, length):
    """Octets of a file."""
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(length)


def flips(seen, chosen, written, journal, drawn):
    """Row 5."""
    table, count = seen.table, 20 if chosen.short else 1000
    names = sorted(journal.shard_of)
    seen.injected = f"{count} flips of one bit, at random octets of {len(names)} segments that a node wrote"
    places, codes, unseen = collections.Counter(), collections.Counter(), collections.Counter()
    wrong = []
    before = disk_node.digests(journal.directory)
    for _ in range(count):
        name, at, bit = drawn.choice(names), drawn.randrange(SEGMENT), drawn.randrange(8)
        chance = drawn.random()
        if chance < 0.4:
            # Most of what was written under little load is filling.
            record = drawn.choice(journal.records[name])
            at = drawn.randrange(record.at, record.end)
        elif chance < 0.8:
            # Most of the last segments was never written.
            at = drawn.randrange(journal.records[name][-1].end)
        place, record = journal.place(name, at)
        flip(journal.directory / name, at, bit)
        code, lines = written.node.ask("verify")
        flip(journal.directory / name, at, bit)
        places[place] += 1
        codes[code] += 1
        shard, last = journal.shard_of[name], journal.verdicts[journal.shard_of[name]]["durable"]
        known = place == "header" or journal.near(name, at, place).lsn <= last
        lost = {shard: {record.lsn}} if record and journal.promised(shard, record.lsn) else {}
        fits = missed(lines) == lost and code == (MISSING if lost else code)
        if code == SOUND:
            unseen[place] += 1
            fits &= place == "never written" or not known
        if not fits:
            wrong.append((name, at, place, record, code, missed(lines)))
    table.equal("flips that verify judges otherwise", len(wrong), 0, f"   {wrong[:2] or ''}")
    table.equal("files that verify has changed", len(before.items() ^ disk_node.digests(journal.directory).items()), 0)
    table.line("flips that cost a record", f"{codes[MISSING]}", "> 0", codes[MISSING] > 0)
    seen.say(f"in {dict(places)}; exit codes {dict(codes)}; not seen: {dict(unseen) or 'none'}; each record lost is the one flipped")


def started_on_flips(seen, chosen, written, journal, drawn):
    """Row 5: the node on damaged copies."""
    keys = written.open_keys(journal)
    trials = 1 if chosen.short else 5
    for trial in range(trials):
        name = f"start {trial + 1}"
        node = disk_node.copied(written.node, written.folder / name.replace(" ", ""))
        # Three messages that wait, what is over of three others, a header.
        owned = drawn.sample(sorted(keys), 3)
        ranges = [(keys[key][0], drawn.randrange(keys[key][1].at, keys[key][1].end)) for key in owned]
        files = sorted(journal.shard_of)
        over = [(file, one) for file in files for one in journal.records[file]
                if one.key not in keys and one.kind in ("ACCEPT", "SENT", "DLR_IN")]
        for file, record in drawn.sample(over, 3):
            ranges.append((file, drawn.randrange(record.at, record.end)))
        ranges.append((files[0], drawn.randrange(PAGE)))
        for file, at in ranges:
            flip(node.directory / file, at, drawn.randrange(8))
        damaged = [(file, at // PAGE * PAGE, octets_at(node.directory / file, at // PAGE * PAGE, PAGE)) for file, at in ranges]
        code, lines = node.ask("verify")
        expected = journal.missing([(file, at, at + 1) for file, at in ranges])
        seen.table.line(f"{name}: what verify misses", f"{code} {sum(map(len, missed(lines).values()))}",
                        f"= {MISSING} {sum(map(len, expected.values()))}", code == MISSING and missed(lines) == expected)
        written.serve(seen.table, name, node, len(owned), set())
        said = node.event("journal_records_missing")
        seen.table.line(f"{name}: the node says so", f"{bool(said)}", "= True", said)
        # They are put there by a thread of its own, when the disk knows that nothing in them is needed: with the next record.
        load = disk_node.load(chosen, written.processes, written.setup, "--rate", "100/s", "--for", "10m")
        rig.until("quarantine", lambda node=node: any(map(report_of, in_quarantine(node))), [node.proxy, load], 60)
        load.stop()
        written.processes.remove(load)
        seen.table.equal(f"{name}: exit code of run after SIGTERM", node.stop(), 0)
        quarantined(seen.table, name, node, damaged)
        shutil.rmtree(node.folder)
    seen.say(f"{trials} start{'s' * (trials > 1)} of the node on copies with 7 flips each: it runs, says so, and all that waits "
             "comes but for the 3 records flipped; what is in quarantine/ has its report")


def injuries(journal, drawn):
    """Row 6: the name of each, what it does to a folder, and the octets that it touches. Of segments that others follow: in
    the last one damage may look like a torn end."""
    shards = sorted(journal.segments)
    middle = {shard: journal.segments[shard][1][1] for shard in shards}
    name, other = middle[shards[0]], middle[shards[-1]]
    next_one = journal.segments[shards[0]][2][1]
    page = drawn.choice(journal.records[name][10:-10]).at // PAGE * PAGE

    def over(octets_of):
        def injure(directory):
            with open(directory / name, "r+b") as file:
                octets = octets_of(directory)
                file.seek(page)
                file.write(octets)
        return injure

    def heads(*pages):
        def injure(directory):
            for one in pages:
                flip(directory / name, one * PAGE + 100, 3)
        return injure

    def truncate(directory):
        with open(directory / name, "r+b") as file:
            file.truncate(page)

    one_page = [(name, page, page + PAGE)]
    return [
        ("page zeroed", over(lambda _: bytes(PAGE)), one_page),
        ("page of the next segment", over(lambda folder: octets_at(folder / next_one, page, PAGE)), one_page),
        ("page of another shard", over(lambda folder: octets_at(folder / other, page, PAGE)), one_page),
        ("page of another place", over(lambda folder: octets_at(folder / name, HEAD, PAGE)), one_page),
        ("file cut short", truncate, [(name, page, SEGMENT)]),
        ("segment gone", lambda directory: (directory / name).unlink(), [(name, 0, SEGMENT)]),
        ("first header copy", heads(0), []),
        ("second header copy", heads(1), []),
        ("both header copies", heads(0, 1), []),
    ]


def injured(seen, chosen, written, journal, drawn):
    """Row 6."""
    keys = written.open_keys(journal)
    cases = injuries(journal, drawn)
    started = {"segment gone", "both header copies"} if chosen.short else {name for name, _, _ in cases}
    seen.injected = ", ".join(name for name, _, _ in cases)
    for number, (name, injure, ranges) in enumerate(cases):
        node = disk_node.copied(written.node, written.folder / f"injured{number}")
        injure(node.directory)
        code, lines = node.ask("verify")
        lost = journal.missing(ranges)
        count = sum(map(len, lost.values()))
        seen.table.line(f"{name}: exit code, records lost", f"{code} {sum(map(len, missed(lines).values()))}",
                        f"= {MISSING if lost else DAMAGED} {count}", code == (MISSING if lost else DAMAGED) and missed(lines) == lost)
        seen.say(f"{name}: {code}, {count} lost")
        if name in started:
            touched = [record for file, first, last in ranges for record in journal.touched(file, first, last)]
            gone = sum(record.kind == "SENT" and record.key in keys for record in touched)
            written.serve(seen.table, name, node, gone, written.again(touched))
            seen.table.equal(f"{name}: exit code of run after SIGTERM", node.stop(), 0)
        shutil.rmtree(node.folder)
    seen.say(f"the node starts on {len(started)} of them and serves the rest; a stale page of a recycled file: tests/journal.rs")


def damage(chosen, driver, folder, processes):
    """Rows 5 and 6."""
    drawn = random.Random(f"{chosen.seed} damage {driver}")
    five = disk_node.Seen(5, "bit flips", chosen, driver)
    six = disk_node.Seen(6, "pages, files, headers", chosen, driver)
    written = Written(chosen, driver, folder, processes)
    try:
        code, journal = written.write()
        five.table.equal("exit code of run after SIGTERM", code, 0)
        five.table.equal("exit code of journal verify", written.node.ask("verify")[0], 0)
        flips(five, chosen, written, journal, drawn)
        started_on_flips(five, chosen, written, journal, drawn)
        injured(six, chosen, written, journal, drawn)
    finally:
        written.world.end()
    return [five, six]


def crc32c(octets, crc=0):
    """CRC-32C, bit by bit."""
    crc ^= 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def of_a_later_format(path):
    """Both headers say that a reader has to know format 9."""
    with open(path, "r+b") as file:
        for at in (0, PAGE):
            file.seek(at)
            page = bytearray(file.read(PAGE))
            page[10:12] = (9).to_bytes(2, "little")
            page[12:16] = crc32c(page[16:], crc32c(page[:12])).to_bytes(4, "little")
            file.seek(at)
            file.write(page)


def copied_live(directory, to):
    """Whether a directory could be copied while its owner renames files in it."""
    try:
        shutil.copytree(directory, to, dirs_exist_ok=True)
    except shutil.Error:
        shutil.rmtree(to)
        return False
    return True


def owners(chosen, driver, folder, processes):
    """Row 15."""
    seen = disk_node.Seen(15, "whose journal it is", chosen, driver)
    table = seen.table
    seen.injected = "a second process on the directory, a copy of the directory of a running node, headers of a later format"
    setup = disk_node.ports(disk_node.Setup(driver, chosen.shards, dict.fromkeys(disk_node.WATCHED)))
    node = disk_node.Node(chosen, setup, folder / "first", processes)
    world = disk_node.World(setup, chosen.seed)
    with disk_node.running(world):
        node.up(world)
        time.sleep(0.5)
        begun = len(world.answered)
        other = disk_node.ports(disk_node.Setup(driver, chosen.shards, dict.fromkeys(disk_node.WATCHED),
                                                data_dir=str(node.folder / setup.data_dir)))
        second = disk_node.Node(chosen, other, folder / "second", processes)
        second.start()
        code, said = second.ended()
        wanted = "another process writes to this journal" in said and "a data_dir of its own" in said
        table.line("two processes: exit code of the second", f"{code}", "= 6, and it says why", code == 6 and wanted)
        rig.until("answers of the first", lambda: len(world.answered) > begun + 50, [node.proxy])
        own = pathlib.Path(folder / "copy")
        rig.until("a copy", lambda: copied_live(node.directory, own / "data" / "journal"), [node.proxy])
        code = node.ask("verify", directory=own / "data" / "journal")[0]
        table.line("copy of a running one: exit code of verify", f"{code}", "0, 8 or 9", code in (SOUND, DAMAGED, MISSING))
        other.data_dir = "data"
        copy = disk_node.Node(chosen, other, own, processes)
        # Where files may have other inodes tomorrow nothing is told apart.
        if "place -" not in (copy.directory / "lock").read_text():
            copy.start()
            code, said = copy.ended()
            wanted = "it is a copy" in said and "bindery run --adopt" in said
            table.line("copy of a running one: exit code of run", f"{code}", "= 6, and it says why", code == 6 and wanted)
        copy.start(None, "--adopt")
        rig.until("the start", copy.has_started, [copy.proxy])
        table.equal("adopted copy: exit code of run after SIGTERM", copy.stop(), 0)
        world.settled(node)
        disk_node.judge(seen, world, node, setup)
    later(seen, node)
    seen.say("the second process ends with 6 and says why, the first goes on; so does a copy of its directory until it "
             "is adopted, and what it was copied from is untouched; a later format ends with 6 and its files stay as they were; "
             "there is one format so far: no upgrade to try")
    return [seen]


def later(seen, node):
    """A journal of a later program."""
    table = seen.table
    for name in node.files(".seg"):
        of_a_later_format(node.directory / name)
    before = disk_node.digests(node.directory)
    code, _ = node.ask("verify")
    table.equal("later format: exit code of verify", code, 1)
    node.start()
    code, said = node.ended()
    wanted = "written by a later program, which wants format 9" in said and "or a later one" in said
    table.line("later format: exit code of run", f"{code}", "= 6, and it says why", code == 6 and wanted)
    table.equal("later format: files that changed", len(before.items() ^ disk_node.digests(node.directory).items()), 0)


assert SEGMENT % MIB == 0
