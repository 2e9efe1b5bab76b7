"""ESMEs that behave badly on purpose, many at once: those that never bind, that come and go, that reset their links,
that do not read, that forget to answer. One event loop, plain sockets: what is not asked to be read is not read."""

import asyncio
import collections
import itertools
import random
import socket
import struct

BIND_TRANSCEIVER, UNBIND, SUBMIT_SM, DELIVER_SM, ENQUIRE_LINK = 0x09, 0x06, 0x04, 0x05, 0x15
RESPONSE = 0x8000_0000
# Nothing that a proxy is asked here takes longer, on a machine that is busy with other things as well.
PATIENCE_SECONDS = 20
SOURCES = 250


def pdu(command, sequence, body=b"", status=0):
    """One PDU."""
    return struct.pack(">IIII", 16 + len(body), command, status, sequence) + body


def bind_pdu(account, sequence=1):
    """bind_transceiver of an account (its name, its password)."""
    name, password = (part.encode() for part in account)
    return pdu(BIND_TRANSCEIVER, sequence, name + b"\0" + password + b"\0\0\x34\0\0\0")


def submit_pdu(sequence, receipt):
    """submit_sm of a short text, with or without a receipt."""
    text = b"churn %d" % sequence
    body = (b"\0\1\1" + b"14499\0" + b"\1\1" + b"382670%06d\0" % (sequence % 1_000_000) + b"\0\0\0\0\0"
            + bytes([receipt]) + b"\0\0\0" + bytes([len(text)]) + text)
    return pdu(SUBMIT_SM, sequence, body)


class Link:
    """One connection, from an address of its own."""

    def __init__(self, source, receive_buffer=0):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.bind((source, 0))
        self.unread = bytearray()
        self.loop = asyncio.get_running_loop()

    async def open(self, port):
        """Connects."""
        await self.loop.sock_connect(self.sock, ("127.0.0.1", port))

    async def send(self, octets):
        """Writes all of it."""
        await self.loop.sock_sendall(self.sock, octets)

    async def receive(self, most=65536):
        """What has come; b"": the other end has closed, in whatever way."""
        try:
            return await self.loop.sock_recv(self.sock, most)
        except ConnectionError:
            return b""

    async def pdus(self):
        """Every PDU that comes, as (command, status, sequence), until the link is closed."""
        while came := await self.receive():
            self.unread += came
            at = 0
            while len(self.unread) - at >= 16:
                length, command, status, sequence = struct.unpack_from(">IIII", self.unread, at)
                if len(self.unread) - at < length:
                    break
                at += length
                yield command, status, sequence
            del self.unread[:at]

    async def until(self, wanted):
        """Reads to the response `wanted`; its status, or None when the link was closed before."""
        async for command, status, _ in self.pdus():
            if command == wanted | RESPONSE:
                return status
        return None

    async def closed(self):
        """Reads until the other end closes."""
        while await self.receive():
            pass

    def close(self):
        """With a FIN."""
        self.sock.close()

    def reset(self):
        """With an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Peers:
    """All of them, before one proxy."""

    def __init__(self, port, plan, seed):
        self.port, self.plan, self.prng = port, plan, random.Random(seed)
        self.counts = collections.Counter()
        self.wrong = collections.Counter()
        self.tasks = set()
        self.sequence = 0

    async def run(self, seconds, ticks):
        """So long; `ticks` is called once a second with the seconds that have passed."""
        loop = asyncio.get_running_loop()
        started, plan = loop.time(), self.plan
        for rate, kind in ((plan.silent, self.silent), (plan.visits, self.visit), (plan.resets, self.reset)):
            self.begin(self.every(rate, kind))
        for account in plan.forgetful:
            self.begin(self.forgetful(account))
        for account, manner in plan.slow.items():
            self.begin(self.slow(account, manner))
        for second in range(seconds + 1):
            await asyncio.sleep(started + second - loop.time())
            ticks(second)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def begin(self, coroutine):
        """One that goes on beside the others."""
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task):
        """What one that failed of itself failed of."""
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.wrong[f"failed: {task.exception()!r}"] += 1

    async def every(self, rate, kind):
        """So many a second, on schedule."""
        loop = asyncio.get_running_loop()
        started, number = loop.time(), 0
        while True:
            number += 1
            await asyncio.sleep(started + number / rate - loop.time())
            self.begin(kind())

    async def link(self, receive_buffer=0):
        """A new connection, from one of the addresses."""
        number = self.prng.randrange(SOURCES)
        link = Link(f"127.3.0.{1 + number}", receive_buffer)
        try:
            await asyncio.wait_for(link.open(self.port), PATIENCE_SECONDS)
        except BaseException:
            link.close()
            raise
        self.counts["connects"] += 1
        return link

    async def put_out(self, link, why):
        """The proxy closes the link within the time that one of its timers and a busy machine need."""
        try:
            await asyncio.wait_for(link.closed(), PATIENCE_SECONDS)
            self.counts[why] += 1
        except asyncio.TimeoutError:
            self.wrong[f"{why}: not closed by the proxy"] += 1

    async def silent(self):
        """Never binds: says nothing, or half a bind, and waits to be closed, or goes by itself."""
        link = await self.link()
        try:
            whole = bind_pdu(self.plan.guest)
            await link.send(whole[:self.prng.choice((0, 0, 1, 15, 16, len(whole) - 1))])
            if self.prng.random() < 0.5:
                return await self.put_out(link, "closed before it bound")
            await asyncio.sleep(self.prng.random())
            if self.prng.random() < 0.5:
                link.reset()
            self.counts["gone before it bound"] += 1
        except ConnectionError:
            self.wrong["closed too early"] += 1
        finally:
            link.close()

    async def visit(self):
        """Binds, submits a little, unbinds."""
        link = await self.link()
        try:
            await asyncio.wait_for(self.polite(link), PATIENCE_SECONDS)
            self.counts["visits"] += 1
        except (ConnectionError, asyncio.TimeoutError) as error:
            self.wrong[f"visit: {error!r}"] += 1
        finally:
            link.close()

    async def polite(self, link):
        """What a visit says."""
        await link.send(bind_pdu(self.plan.guest))
        if await link.until(BIND_TRANSCEIVER) != 0:
            self.wrong["visit: not bound"] += 1
        for number in range(2, 2 + self.prng.randrange(3)):
            await link.send(submit_pdu(number, 0))
            if await link.until(SUBMIT_SM) is None:
                self.wrong["visit: not answered"] += 1
        await link.send(pdu(UNBIND, 9))
        if await link.until(UNBIND) != 0:
            self.wrong["visit: not unbound"] += 1

    async def reset(self):
        """Binds, submits, and goes without a word; mostly with an RST, mostly in the middle of a PDU."""
        link = await self.link()
        try:
            await link.send(bind_pdu(self.plan.guest))
            if self.prng.random() < 0.8 and await asyncio.wait_for(link.until(BIND_TRANSCEIVER), PATIENCE_SECONDS) != 0:
                self.wrong["reset: not bound"] += 1
            octets = b"".join(submit_pdu(number, 0) for number in range(2, 2 + self.prng.randrange(1, 20)))
            half = self.prng.random() < 0.8
            await link.send(octets[:len(octets) - self.prng.randrange(1, 50)] if half else octets)
            if half and self.prng.random() < 0.1:
                return await self.put_out(link, "closed with half a PDU")
            await asyncio.sleep(self.prng.choice((0, 0.001, 0.05)))
            if self.prng.random() < 0.9:
                link.reset()
            self.counts["resets in the middle of a PDU" if half else "resets after a bind"] += 1
        except (ConnectionError, asyncio.TimeoutError) as error:
            self.wrong[f"reset: {error!r}"] += 1
        finally:
            link.close()

    async def forgetful(self, account):
        """Stays bound, submits with receipts, and never answers one delivery in a hundred."""
        link = await self.link()
        try:
            await link.send(bind_pdu(account))
            if await asyncio.wait_for(link.until(BIND_TRANSCEIVER), PATIENCE_SECONDS) != 0:
                self.wrong["forgetful: not bound"] += 1
            self.begin(self.submits(link))
            await self.answers(link, 0.01)
            self.wrong["forgetful: closed by the proxy"] += 1
        finally:
            link.close()

    async def submits(self, link):
        """One after another, each with a receipt."""
        while True:
            self.sequence += 1
            await link.send(submit_pdu(self.sequence, 1))
            await asyncio.sleep(1 / self.plan.forgetful_rate)

    async def answers(self, link, forgotten):
        """Answers every delivery but this share, until the link is closed."""
        async for command, _, sequence in link.pdus():
            if command == DELIVER_SM and self.prng.random() < forgotten:
                self.counts["deliveries never answered"] += 1
            elif command == DELIVER_SM:
                self.counts["deliveries answered"] += 1
                await link.send(pdu(DELIVER_SM | RESPONSE, sequence, b"\0"))
            elif command == ENQUIRE_LINK:
                await link.send(pdu(ENQUIRE_LINK | RESPONSE, sequence))

    async def slow(self, account, manner):
        """By turns: asks for many receipts and reads next to nothing until it is closed, then comes back and takes them."""
        while True:
            link = await self.link(receive_buffer=4096)
            try:
                await self.overfill(link, account, manner)
            finally:
                link.reset()
            link = await self.link()
            try:
                await link.send(bind_pdu(account))
                await asyncio.wait_for(self.answers(link, 0), self.plan.taking)
                self.wrong["slow: closed while it read"] += 1
            except asyncio.TimeoutError:
                pass
            finally:
                link.close()

    async def overfill(self, link, account, manner):
        """One turn of it: what it asks for does not fit the output that may wait for it."""
        await link.send(bind_pdu(account))
        if await asyncio.wait_for(link.until(BIND_TRANSCEIVER), PATIENCE_SECONDS) != 0:
            self.wrong["slow: not bound"] += 1
        submits = b"".join(submit_pdu(number, 1) for number in range(2, 2 + self.plan.overfill))
        try:
            await asyncio.wait_for(self.ask(link, submits, manner), PATIENCE_SECONDS)
        except ConnectionError:
            self.counts[f"closed that read {manner}"] += 1
        except asyncio.TimeoutError:
            self.wrong["slow: not closed by the proxy"] += 1

    async def ask(self, link, submits, manner):
        """Asks for more and more until the link is closed: the system holds some MiB before the proxy has to."""
        await link.send(submits)
        enquiries = pdu(ENQUIRE_LINK, 1) * 1024
        for turn in itertools.count():
            if manner == "slowly" and turn < 200:
                await link.receive(1024)
            await link.send(enquiries)
            await asyncio.sleep(0.002)
