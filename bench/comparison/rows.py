"""The rows of the comparison: what is sent through each proxy, and what is wanted of Bindery."""

import dataclasses

ACCOUNTS = 8
IDLE_BINDS = 10_000
IDLE_ACCOUNTS = 10


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on a figure of Bindery: `to` says what it is held against."""

    # cpu, p50_ms, p99_ms: a ratio; extra_us: a difference; kib_per_bind, idle_busy: the figure itself.
    figure: str
    most: float
    to: str = "haproxy"
    stretch: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of load and the set-ups that it is sent through."""

    name: str
    title: str
    # Sessions of each account, and of how many accounts.
    binds: int
    window: int
    accounts: int = ACCOUNTS
    # Of the carriers alpha and beta, weight 3 and 1.
    sessions: tuple[int, int] = (6, 2)
    rate: int | None = None
    receipts: bool = False
    # What Bindery is compared with: other programs, or itself without something.
    beside: str = "haproxy"
    targets: tuple[Target, ...] = ()


ROWS = [
    Row("8x64", "8 binds x window 64, 8 carrier sessions, closed loop", 1, 64,
        targets=(Target("cpu", 1.5, stretch=1.15),)),
    Row("64x16", "64 binds x window 16, 4 carrier sessions, closed loop", 8, 16, sessions=(3, 1),
        targets=(Target("cpu", 0.8),)),
    Row("256x1", "256 binds x window 1, 4 carrier sessions, closed loop", 32, 1, sessions=(3, 1),
        targets=(Target("cpu", 0.6),)),
    Row("open5k", "5,000 messages/s on schedule over 8 binds, 8 carrier sessions", 1, 64, rate=5000,
        targets=(Target("cpu", 1.1), Target("p99_ms", 1.2))),
    Row("1x1", "1 bind x window 1, 8 carrier sessions, closed loop", 1, 1, accounts=1,
        targets=(Target("p50_ms", 1.0), Target("cpu", 1.2))),
    Row("8x64-receipts", "8 binds x window 64, 8 carrier sessions, a receipt for every message", 1, 64, receipts=True,
        targets=(Target("cpu", 2.0),)),
    Row("8x64-idle", "8 binds x window 64, 8 carrier sessions, with and without 10,000 idle binds", 1, 64,
        beside="idle", targets=(Target("cpu", 1.05, to="base"), Target("kib_per_bind", 4.0, to="itself"),
                                Target("idle_busy", 0.01, to="itself"))),
    Row("8x64-2shards", "8 binds x window 64, 8 carrier sessions, ESMEs and carriers on one shard and on two", 1, 64,
        beside="shards", targets=(Target("extra_us", 0.15, to="base"),)),
]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One set-up of a row."""

    name: str
    # direct, haproxy or bindery
    program: str
    io: str = ""
    shards: int = 1
    idle: int = 0
    # The variant of the same row that it is held against.
    base: str | None = None


def variants(row, drivers, haproxy, idle):
    """The set-ups of a row in the order in which a round takes them."""
    if row.beside == "idle":
        pairs = [(Variant(io, "bindery", io), Variant(f"{io}+idle", "bindery", io, idle=idle, base=io)) for io in drivers]
        return [variant for pair in pairs for variant in pair]
    if row.beside == "shards":
        pairs = [(Variant(io, "bindery", io), Variant(f"{io}/2", "bindery", io, shards=2, base=io)) for io in drivers]
        return [variant for pair in pairs for variant in pair]
    relays = [Variant("haproxy", "haproxy")] if haproxy else []
    return [Variant("direct", "direct"), *relays,
            *(Variant(io, "bindery", io, base="haproxy" if haproxy else None) for io in drivers)]
