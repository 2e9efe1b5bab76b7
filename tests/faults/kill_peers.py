"""Both ends of a proxy that is killed: accounts that submit, carriers that send receipts. One thread, one clock, plain
sockets; each writes down what it heard, from whom, when, and from which life of the proxy."""

import collections
import heapq
import os
import random
import selectors
import signal
import socket
import struct
import threading
import time

import carrier as pdus

BIND_TRX, SUBMIT, DELIVER = 0x09, pdus.SUBMIT, pdus.DELIVER
RESPONSE = pdus.RESPONSE
OK = 0
# How long the loop waits for a socket, and an account before it connects again.
TICK, AGAIN = 0.002, 0.01
# A carrier tries a receipt again that was refused for now after so long; one that so many lives of the proxy have not
# answered, or that it refused, waits until the others are through: its message may not be known at all.
REFUSED_WAIT, REFUSED_TIMES, LIVES_MAX = 0.3, 3, 3
# At the end something that has not come for so long does not come any more: longer than a receipt is held that is
# refused, or given again.
STILL_SECONDS = 8

Given = collections.namedtuple("Given", "account id life time stat")
# A submit that a carrier has read: what it did with it, and the wire it came by.
Arrival = collections.namedtuple("Arrival", "number carrier wire what time")
SENDER = b"14499"


class Shape:
    """What a message says of itself."""

    def __init__(self, source, destination, schedule=b"", validity=b"", asked=True):
        self.source, self.destination = source, destination
        self.schedule, self.validity, self.asked = schedule, validity, asked


class Wire:
    """A socket, its PDUs, and the life of the proxy it leads to."""

    def __init__(self, world, sock, owner):
        self.world, self.sock, self.owner, self.life = world, sock, owner, world.life
        self.received, self.sequence, self.open, self.bound = b"", 0, {}, False
        # When it was closed, by whom ever.
        self.closed_at = None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        world.selector.register(sock, selectors.EVENT_READ, self)

    def send(self, command, body=b"", sequence=None, status=OK):
        """One PDU, a request unless it has a number; what a dead peer does not take is lost."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        try:
            self.sock.sendall(pdus.pdu(command, sequence, body, status))
        except OSError:
            pass
        return sequence

    def read(self):
        """Gives what came to the owner, PDU by PDU."""
        try:
            octets = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self.close()
            return
        octets, at = self.received + octets, 0
        while len(octets) - at >= 16:
            length, command, status, sequence = struct.unpack_from(">IIII", octets, at)
            if len(octets) - at < length:
                break
            if command in (pdus.ENQUIRE, pdus.UNBIND):
                self.send(command | RESPONSE, sequence=sequence)
            else:
                self.owner.take(self, command, status, sequence, octets[at:at + length])
            at += length
        self.received = octets[at:]

    def close(self):
        """From either side."""
        self.closed_at = time.monotonic()
        self.world.selector.unregister(self.sock)
        self.sock.close()
        self.owner.lost(self)


class Account:
    """Binds, submits at its rate with a receipt asked for, answers each receipt."""

    def __init__(self, world, name, rate, window):
        self.world, self.name, self.rate, self.window = world, name, rate, window
        self.wire, self.not_before, self.next_submit = None, 0, 0
        # What it does: stays bound, submits, answers receipts.
        self.binds, self.submits, self.answers = True, True, True

    def is_bound(self):
        return self.wire is not None and self.wire.bound and self.wire.life == self.world.life

    def tick(self, now):
        if self.wire is None:
            if self.binds and now >= self.not_before:
                self.connect(now)
        elif not self.binds:
            self.wire.close()
        elif self.wire.bound and self.submits and self.world.submits:
            self.next_submit = max(self.next_submit, now - 0.05)
            while self.next_submit <= now and len(self.wire.open) < self.window:
                self.next_submit += self.world.random.expovariate(self.rate)
                self.submit()

    def connect(self, now):
        self.not_before = now + AGAIN
        sock = socket.socket()
        try:
            sock.connect(("127.0.0.1", self.world.listen))
        except OSError:
            sock.close()
            return
        self.wire = Wire(self.world, sock, self)
        self.wire.send(BIND_TRX, b"%s\0secret\0\0\x34\0\0\0" % self.name.encode())

    def submit(self):
        number = self.world.next_number()
        self.world.owners[number] = self.name
        shape, text = self.shape(number), b"%012d" % number
        body = b"\0\1\1%s\0\1\1%s\0\0\0\0%s\0%s\0%c\0\0\0%c%s" % (
            shape.source, shape.destination, shape.schedule, shape.validity, shape.asked, len(text), text)
        self.wire.open[self.wire.send(SUBMIT, body)] = number

    def shape(self, number):
        """What the next message says besides its number."""
        return Shape(SENDER, b"38267%09d" % number)

    def take(self, wire, command, status, sequence, octets):
        world = self.world
        if command == BIND_TRX | RESPONSE:
            wire.bound = status == OK
        elif command == SUBMIT | RESPONSE:
            number = wire.open.pop(sequence, None)
            if number is None or number in world.answered:
                world.answered_twice += 1
            elif status == OK:
                world.answered[number] = octets[16:octets.index(b"\0", 16)].decode()
                world.happened("answer")
            else:
                world.statuses[self.name, status] += 1
        elif command == DELIVER:
            _, sender, _, text = pdus.fields(octets)
            words = dict(part.split(":", 1) for part in text.decode().split(" ") if ":" in part)
            number = self.number_of(sender, words)
            world.given[number].append(Given(self.name, words["id"], wire.life, time.monotonic(), words["stat"]))
            if self.answers:
                wire.send(DELIVER | RESPONSE, b"\0", sequence)
                world.taken.add(number)
                world.happened("receipt")

    @staticmethod
    def number_of(sender, words):
        """The message that a receipt is about, by who sent that and what the receipt says."""
        del sender
        return int(words["text"])

    def lost(self, wire):
        if wire is self.wire:
            self.wire = None


class Carrier:
    """Accepts everything, and sends each receipt until it is answered ESME_ROK."""

    def __init__(self, world, port, id_first, delay, window):
        self.world, self.port, self.delay, self.window, self.next_id = world, port, delay, window, id_first
        self.wires, self.due, self.aside = [], [], []
        # By id: the number and the receipt; how many lives did not answer it; when it was sent last, to which life.
        self.accepted, self.unanswered, self.sent = {}, collections.Counter(), {}
        self.acked, self.refused = {}, collections.Counter()
        self.listener = None
        self.listen()

    def listen(self):
        """Can be bound to."""
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.listener.setblocking(False)
        self.world.selector.register(self.listener, selectors.EVENT_READ, self)

    def is_bound(self):
        return any(wire.bound and wire.life == self.world.life for wire in self.wires)

    def read(self):
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        self.wires.append(Wire(self.world, sock, self))

    def take(self, wire, command, status, sequence, octets):
        if command in pdus.BIND:
            wire.send(command | RESPONSE, b"SMSC\0", sequence)
            wire.bound = True
        elif command == SUBMIT:
            self.submitted(wire, sequence, pdus.fields(octets))
        elif command == DELIVER | RESPONSE and sequence in wire.open:
            message = wire.open.pop(sequence)
            if status == OK:
                self.acked[message] = time.monotonic()
                self.world.happened("acked")
            else:
                self.refused[message] += 1
                self.put_back(message, REFUSED_WAIT)

    def submitted(self, wire, sequence, fields):
        """A submit, which it accepts."""
        source, destination, asked, text = fields
        self.next_id += 1
        self.arrived(wire, int(text), "accepted")
        self.accepted[self.next_id] = (int(text), pdus.receipt(source, destination, self.next_id, text))
        wire.send(SUBMIT | RESPONSE, b"%d\0" % self.next_id, sequence)
        if asked:
            self.later(self.next_id, self.world.random.uniform(*self.delay))

    def arrived(self, wire, number, what):
        """Writes down what it does with a submit."""
        self.world.arrivals.append(Arrival(number, self, wire, what, time.monotonic()))

    def later(self, message, seconds):
        heapq.heappush(self.due, (time.monotonic() + seconds, message))

    def put_back(self, message, seconds):
        if self.world.settling or self.refused[message] + self.unanswered[message] < LIVES_MAX:
            self.later(message, seconds)
        else:
            self.aside.append(message)

    def lost(self, wire):
        if wire in self.wires:
            self.wires.remove(wire)
        for message in wire.open.values():
            self.unanswered[message] += 1
            self.put_back(message, 0)

    def tick(self, now):
        if self.world.settling and self.aside:
            aside, self.aside = self.aside, []
            for message in aside:
                self.later(message, 0)
        bound = [wire for wire in self.wires if wire.bound and len(wire.open) < self.window]
        while bound and self.due and self.due[0][0] <= now:
            _, message = heapq.heappop(self.due)
            wire = self.world.random.choice(bound)
            self.sent[message] = (wire.life, time.monotonic())
            wire.open[wire.send(DELIVER, self.accepted[message][1])] = message
            if len(wire.open) >= self.window:
                bound.remove(wire)

    def is_quiet(self):
        """Every receipt is answered, or was refused for now again and again since the end began: that of a message that was
        promised nothing. Once is nothing: a queue may have been full."""
        waits = [message for _, message in list(self.due)] + self.aside
        return not any(wire.open for wire in self.wires) and all(self.refused[message] >= REFUSED_TIMES for message in waits)


class World(threading.Thread):
    """All peers of one proxy."""

    def __init__(self, listen, seed):
        super().__init__(daemon=True)
        self.listen, self.random, self.selector = listen, random.Random(seed), selectors.DefaultSelector()
        self.life, self.submits, self.settling, self.ended = 0, True, False, False
        self.accounts, self.carriers, self.number, self.error = [], [], 0, None
        # When all were bound to a life.
        self.bound_at = {}
        # The account of each message, by its number; the id of each that was answered ESME_ROK; other answers by
        # account and status.
        self.owners, self.answered, self.statuses = {}, {}, collections.Counter()
        self.answered_twice = 0
        # Messages without a receipt asked for; everything that carriers have read, in order.
        self.unasked, self.arrivals = set(), []
        # How often something was heard at the end, and when last; for how long nothing must be heard.
        self.moves, self.still_seconds = (None, time.monotonic()), 0
        # All receipts, by the number that they quote; the numbers of those that were answered.
        self.given, self.taken = collections.defaultdict(list), set()
        # What kills the proxy as soon as it happens, and its process.
        self.trigger, self.killed = None, threading.Event()

    def next_number(self):
        self.number += 1
        return self.number

    def happened(self, event):
        """Pulls the trigger that waits for this."""
        trigger = self.trigger
        if trigger and trigger[0] == event:
            self.trigger = None
            os.kill(trigger[1], signal.SIGKILL)
            self.killed.set()

    def run(self):
        try:
            while not self.ended:
                for key, _ in self.selector.select(TICK):
                    if key.fileobj.fileno() >= 0:
                        key.data.read()
                now = time.monotonic()
                for peer in self.accounts + self.carriers:
                    peer.tick(now)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
            raise

    def is_bound(self):
        """Everybody who wants to be, to the life that runs now."""
        if self.error:
            raise self.error
        return all(account.is_bound() for account in self.accounts if account.binds) and all(
            one.is_bound() for one in self.carriers)

    def settle(self):
        """Nobody submits; every receipt is tried until it is answered or refused anew."""
        self.submits = False
        for one in self.carriers:
            one.refused = collections.Counter()
        self.settling = True

    def lost(self):
        """Messages that were answered ESME_ROK and whose receipt did not come."""
        return [number for number in self.answered if number not in self.given and number not in self.unasked]

    def is_settled(self):
        """Nothing is on its way that could still come, or nothing has moved for long."""
        if self.error:
            raise self.error
        moves = sum(map(len, list(self.given.values()))) + sum(len(one.acked) for one in self.carriers) + len(self.arrivals)
        asked = any(account.wire and account.wire.open for account in self.accounts)
        if moves != self.moves[0]:
            self.moves = moves, time.monotonic()
        still = time.monotonic() - self.moves[1]
        if still > STILL_SECONDS:
            return True
        if still < self.still_seconds:
            return False
        acked = {one.accepted[message][0] for one in self.carriers for message in list(one.acked)}
        return not asked and all(one.is_quiet() for one in self.carriers) and acked | set(list(self.given)) <= self.taken

    def end(self):
        """Closes all sockets."""
        self.ended = True
        self.join(10)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
