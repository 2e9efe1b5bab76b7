"""The part of the kills that is about `mode = "store"`: accounts whose messages wait for each other, end early or leave
later, carriers that refuse, fall silent and go away, and what was promised to whom."""

import collections
import json
import time

import kill_peers as peers

# Submits of an account in a second, so many at a time.
RATE, BURST = 200, 4
# Accounts, their pools, and those whose messages may be sent again when it is not known whether a carrier has them.
POOLS = {"sto1": "both", "sto2": "again", "sto3": "alpha"}
MAY_DOUBLE = {"sto2"}
# What they are promised where the journal promises `group`; else as it says.
MIXED = {"sto1": "process", "sto2": "group", "sto3": "strict"}
RETRY = 'retry = { first = "100ms", factor = 1.5, max = "400ms", jitter = "20%", give_up_after = "1m" }\n'
# Longer than any wait of a message: nothing comes any more after it.
STILL_SECONDS = 1.6

# Numbers that many messages go to, so that some wait for others; one that is full for ever, one that does not exist.
SHARED = [b"3826700000%d" % number for number in range(6)]
FULL, WRONG = b"38267999999", b"38267888888"
ONE_SECOND = b"000000000001000R"
SCHEDULE_SECONDS, SCHEDULE_SLACK = 1.0, 0.05
QUEUE_FULL, WRONG_DESTINATION = 0x14, 0x0B
# A journal without room says so.
FOR_NOW = (QUEUE_FULL, 0x58)
# Of the messages: a share for each.
TO_FULL, TO_WRONG, LATER, UNASKED, REFUSED = 0.04, 0.03, 0.05, 0.15, 0.04
# A carrier stays for so long, is silent at the end of it, then away.
STAYS, SILENT_SECONDS, AWAY_SECONDS = (2.0, 6.0), 0.03, 1.0
# Between two looks of the peers at their sockets, on a machine that does something else.
READ_SECONDS = 0.3
TAKEN = ("accepted", "silent")
# What receipts and call detail records call the same end.
STATES = {"DELIVRD": "delivered", "EXPIRED": "expired", "UNKNOWN": "unknown", "REJECTD": "rejected"}
OURS = ("EXPIRED", "UNKNOWN", "REJECTD")


class Account(peers.Account):
    """Submits what is stored. Its source address is the number of the message: receipts of ours quote no text."""

    def __init__(self, world, name, window):
        super().__init__(world, name, RATE / BURST, window)
        self.destination = SHARED[0]

    def submit(self):
        # Those of one burst mostly go to one number.
        self.destination = self.world.random.choice(SHARED)
        for _ in range(min(BURST, self.window - len(self.wire.open))):
            super().submit()

    def shape(self, number):
        world, drawn = self.world, self.world.random
        source, kind, asked = b"9%012d" % number, drawn.random(), drawn.random() >= UNASKED
        if not asked:
            world.unasked.add(number)
        made = peers.Shape(source, self.destination, asked=asked)
        if kind < TO_FULL:
            made = peers.Shape(source, FULL, validity=ONE_SECOND, asked=asked)
        elif kind < TO_FULL + TO_WRONG:
            made = peers.Shape(source, WRONG, asked=asked)
        elif kind < TO_FULL + TO_WRONG + LATER:
            made = peers.Shape(source, b"38268%09d" % number, schedule=ONE_SECOND, asked=asked)
            world.later[number] = time.monotonic()
        world.destinations[number] = made.destination
        return made

    @staticmethod
    def number_of(sender, words):
        del words
        return int(sender[1:])


class Carrier(peers.Carrier):
    """Refuses some for now and some for good, takes some and says nothing, and goes away now and then."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.back_at, self.leaves_at = None, self.stays(time.monotonic())

    def stays(self, now):
        """Until when."""
        return now + self.world.random.uniform(*STAYS)

    def is_bound(self):
        return self.back_at is not None or super().is_bound()

    def submitted(self, wire, sequence, fields):
        source, destination, _, text = fields
        if source.startswith(b"9"):
            self.world.happened("taken")
        if self.leaves_at < time.monotonic() and not self.world.settling:
            self.arrived(wire, int(text), "silent")
        elif destination == FULL or not self.world.settling and self.world.random.random() < REFUSED:
            self.refuse(wire, sequence, int(text), QUEUE_FULL)
        elif destination == WRONG:
            self.refuse(wire, sequence, int(text), WRONG_DESTINATION)
        else:
            super().submitted(wire, sequence, fields)

    def refuse(self, wire, sequence, number, status):
        """Says no."""
        self.arrived(wire, number, "refused")
        wire.send(peers.SUBMIT | peers.RESPONSE, sequence=sequence, status=status)

    def tick(self, now):
        if self.back_at is not None:
            if now >= self.back_at:
                self.back_at, self.leaves_at = None, self.stays(now)
                self.listen()
        elif self.leaves_at < now and not self.world.settling:
            self.leave(now)
        else:
            super().tick(now)

    def leave(self, now):
        """Goes when it was silent for long enough; never two at a time."""
        if any(one.back_at is not None for one in self.world.carriers):
            self.leaves_at = self.stays(now)
        elif now - self.leaves_at > SILENT_SECONDS:
            self.world.selector.unregister(self.listener)
            self.listener.close()
            for wire in list(self.wires):
                wire.close()
            self.world.departures += 1
            self.back_at = now + AWAY_SECONDS


def prepare(world):
    """What the peers of this kind write down."""
    world.still_seconds = STILL_SECONDS
    # When a message was submitted that is to leave later; where each goes; how often a carrier went away.
    world.later, world.destinations, world.departures = {}, {}, 0


def esmes(mixed, window):
    """The accounts, as the configuration has them."""
    return "".join(f'[esme.{name}]\npassword = "secret"\npool = "{pool}"\nmode = "store"\nsessions_max = 8\nwindow_max = {window}\n'
                   + (f'durability = "{MIXED[name]}"\n' if mixed else "") for name, pool in POOLS.items())


def call_records(folder):
    """The lines of the sink."""
    return [json.loads(line) for path in sorted((folder / "data" / "cdr").glob("*.jsonl"))
            for line in path.read_text().splitlines()]


class Facts:
    """What the peers heard of stored messages, by number."""

    def __init__(self, world, records):
        self.world, self.records = world, records
        self.numbers = {number for number, owner in world.owners.items() if owner in POOLS}
        self.answered = {number: text for number, text in world.answered.items() if number in self.numbers}
        self.arrivals = collections.defaultdict(list)
        # What one life has left in a socket may be read beside what the next one sends.
        for one in sorted(world.arrivals, key=lambda one: one.wire.life):
            if one.number in self.numbers:
                self.arrivals[one.number].append(one)
        self.of_id = {(line["esme"], line["id"]): line for line in records if line["id"]}

    def taken(self, number):
        """When a carrier took it."""
        return [one for one in self.arrivals[number] if one.what in TAKEN]

    def record(self, number):
        """The call detail record of a message that was answered."""
        return self.of_id.get((self.world.owners[number], self.answered[number]), {})

    def stats(self, number):
        """What its receipts say."""
        return {one.stat for one in self.world.given.get(number, [])}

    def is_kept(self, number):
        """A carrier has it, or its account was told that none has; without a receipt its record says so."""
        over = self.stats(number) & set(OURS) if number not in self.world.unasked else self.record(number).get("state") in [
            STATES[stat] for stat in OURS]
        return bool(self.taken(number)) or bool(over)

    def doubled(self):
        """Messages that reached carriers twice, though they are not sent again."""
        return sum(len(self.taken(number)) > 1 for number in self.numbers if self.world.owners[number] not in MAY_DOUBLE)

    def again(self):
        """Of those that may: pairs of attempts; those where the link of the first was there, or its receipt had come; the
        longest from an answer until its link was lost."""
        pairs, linked, known_too, longest = 0, 0, 0, 0.0
        acked = {one.accepted[message][0]: when for one in self.world.carriers for message, when in one.acked.items()}
        for number in self.numbers:
            known = [one.time for one in self.world.given.get(number, [])] + [acked.get(number, float("inf"))]
            taken = self.taken(number)
            for first, second in zip(taken, taken[1:]):
                pairs += 1
                lost = first.wire.closed_at
                # A kill ends all links of its life, whenever their carrier sees it. Else both may be read in one look,
                # the later one first.
                one_life = first.wire.life == second.wire.life
                linked += one_life and (lost is None or lost > second.time + READ_SECONDS)
                known_too += min(known) < second.time
                if lost is not None and first.what == "accepted":
                    longest = max(longest, lost - first.time)
        return pairs, linked, known_too, longest

    def out_of_order(self):
        """Messages that a carrier read after a later one of the same account to the same destination."""
        last, found = collections.defaultdict(int), 0
        for one in sorted(self.world.arrivals, key=lambda one: one.wire.life):
            if one.number in self.numbers:
                chain = self.world.owners[one.number], self.world.destinations[one.number]
                found += one.number < last[chain]
                last[chain] = max(last[chain], one.number)
        return found


def judge_store(table, facts):
    """The promises."""
    world, answered = facts.world, facts.answered
    ends = collections.Counter(one.stat for number in facts.numbers for one in world.given.get(number, []))
    table.figure("stored: submitted, answered ESME_ROK", f"{len(facts.numbers):,} {len(answered):,}",
                 f"receipts {dict(sorted(ends.items()))}; carriers went away {world.departures} times")
    kinds = [kind for kind in STATES if not ends[kind]]
    table.equal("stored: kinds of receipts that nobody was given", len(kinds), 0, f"   {' '.join(kinds)}")
    lost = [number for number in answered if not facts.is_kept(number)]
    table.equal("stored: no carrier has it and nobody was told", len(lost), 0, f" of {len(answered):,}   {lost[:5] or ''}")
    false = [number for number in facts.numbers if "DELIVRD" in facts.stats(number) and not facts.taken(number)]
    table.equal("stored: delivered, and no carrier had it", len(false), 0)
    many = sum(len(facts.stats(number)) > 1 for number in facts.numbers)
    table.equal("stored: receipts that contradict each other", many, 0)
    table.equal("stored: at a carrier twice, where it must not", facts.doubled(), 0)
    pairs, linked, known, longest = facts.again()
    table.equal("stored: sent again, its receipt had come", known, 0, f" of {pairs:,}")
    table.equal("stored: sent again, the link of its first attempt was there", linked, 0,
                f" of {pairs:,}; {1000 * longest:.0f} ms at most from an answer to the end of its link")
    moved = sum(map(len, facts.arrivals.values()))
    table.equal("stored: read behind a later one to its number", facts.out_of_order(), 0, f" of {moved:,}")
    early = sum(facts.arrivals[number][0].time - when < SCHEDULE_SECONDS - SCHEDULE_SLACK
                for number, when in world.later.items() if facts.arrivals[number])
    table.equal("stored: left before its time", early, 0, f" of {len(world.later):,}")
    table.equal("stored: receipts that nobody asked for", sum(number in world.given for number in world.unasked), 0)
    refused = {key: count for key, count in world.statuses.items() if key[0] in POOLS}
    # A journal has nothing prepared for a moment after its start.
    for_good = sum(count for (_, status), count in refused.items() if status not in FOR_NOW)
    table.equal("stored: refused, and not for now", for_good, 0, f"   {refused or ''}")
    unknown = [one for number in facts.numbers - set(answered) for one in world.given.get(number, [])]
    strange = sum((one.account, one.id) not in facts.of_id for one in unknown)
    table.equal("stored: receipts with an id that no record has", strange, 0,
                f" of {len(unknown):,} for messages that were not answered")


def judge_records(table, facts):
    """The call detail records, of all accounts."""
    world, records = facts.world, facts.records
    ids = collections.Counter((line["esme"], line["id"]) for line in records if line["id"])
    places = collections.Counter((line["journal"], line["shard"], line["lsn"]) for line in records)
    table.equal("call detail records that are there twice",
                sum(count > 1 for found in (ids, places) for count in found.values()), 0, f" of {len(records):,}")
    without = [number for number, text in world.answered.items() if (world.owners[number], text) not in ids]
    table.equal("answered ESME_ROK, no call detail record", len(without), 0, f" of {len(world.answered):,}")
    wrong = [number for number in facts.answered for stat in facts.stats(number)
             if facts.record(number).get("state") != STATES[stat]]
    table.equal("stored: receipt and record say different ends", len(wrong), 0, f"   {wrong[:5] or ''}")
