"""What is measured of encrypted transports, and what it must be: CPU time of a query against a bare server in C and others."""

from __future__ import annotations

import msgspec

from loadtest.goals import Verdict

BARE, OURS = "bare C", "pdns"
TLS, HTTPS, QUIC = "tls", "https", "quic"


class EncryptedPath(msgspec.Struct, frozen=True, kw_only=True):
    """One way to ask over an encrypted transport. Names are asked for again and again: answers are cached ones."""

    key: str
    title: str
    transport: str
    connections: int = 1
    window: int = 1  # queries in flight on each connection
    new: bool = False  # each query has a connection of its own
    resume: bool = False  # that begins with a session of an earlier one
    max_ratios: dict[str, float] = {}  # by server: what ours may cost, with that one as 1


DOT_ONE = EncryptedPath(
    key="dot_one", title="DoT, one outstanding", transport=TLS, max_ratios={BARE: 1.15, "dnsdist": 0.65}
)  # fmt: skip
DOT_MANY = EncryptedPath(
    key="dot_many", title="DoT, 10 connections x 100", transport=TLS, connections=10, window=100,
    max_ratios={BARE: 1.15, "dnsdist": 0.65},
)  # fmt: skip
DOH_ONE = EncryptedPath(
    key="doh_one", title="DoH, one stream", transport=HTTPS, max_ratios={BARE: 1.15, "dnsdist": 0.8, "dnsproxy": 0.2}
)  # fmt: skip
DOH_MANY = EncryptedPath(
    key="doh_many", title="DoH, 10 connections x 20", transport=HTTPS, connections=10, window=20,
    max_ratios={BARE: 1.15, "dnsdist": 0.8, "dnsproxy": 0.2},
)  # fmt: skip
DOT_NEW = EncryptedPath(
    key="dot_new", title="DoT, new connection and a query", transport=TLS, connections=4, new=True, max_ratios={BARE: 1.05}
)  # fmt: skip
DOT_RESUMED = EncryptedPath(
    key="dot_resumed", title="DoT, resumed connection and a query", transport=TLS, connections=4, new=True, resume=True,
)  # fmt: skip
DOH_NEW = EncryptedPath(
    key="doh_new", title="DoH, new connection and a query", transport=HTTPS, connections=4, new=True, max_ratios={BARE: 1.05}
)  # fmt: skip
DOQ_ONE = EncryptedPath(key="doq_one", title="DoQ, one outstanding", transport=QUIC)
DOQ_MANY = EncryptedPath(key="doq_many", title="DoQ, 20 outstanding", transport=QUIC, window=20)
PATHS = (DOT_ONE, DOT_MANY, DOH_ONE, DOH_MANY, DOT_NEW, DOT_RESUMED, DOH_NEW, DOQ_ONE, DOQ_MANY)

IDLE, BESIDE = "idle", "beside"  # keys of what is measured besides
IDLE_CONNECTIONS = 2_000
MAX_IDLE_BYTES = 25_000.0
NEW_PER_S = 500.0
BESIDE_UDP_PER_S = 4_300.0
MAX_BESIDE_RATIO = 1.5


def chosen(only: str) -> tuple[EncryptedPath, ...]:
    """The paths whose keys hold `only`; all for `encrypted`."""
    return PATHS if only == "encrypted" else tuple(path for path in PATHS if only in path.key)


def is_key(only: str) -> bool:
    """Whether `only` chooses anything here."""
    return bool(chosen(only)) or only in (IDLE, BESIDE)


def ratio_verdict(most: float, server: str, ratio: float) -> Verdict:
    """CPU time of ours for a query, with that of `server` as 1."""
    return Verdict(goal=f"≤ {most:g} x {server}", measured=f"{ratio:.2f} x {server}", met=ratio <= most)


def idle_verdict(connection_bytes: float) -> Verdict:
    """Memory of one idle DoT connection."""
    return Verdict(
        goal=f"≤ {MAX_IDLE_BYTES / 1000:.0f} kB",
        measured=f"{connection_bytes / 1000:.1f} kB",
        met=connection_bytes <= MAX_IDLE_BYTES,
    )


def beside_verdict(ratio: float) -> Verdict:
    """p99 of UDP while others connect, with that of UDP alone as 1."""
    return Verdict(goal=f"≤ {MAX_BESIDE_RATIO:g} x alone", measured=f"{ratio:.2f} x alone", met=ratio <= MAX_BESIDE_RATIO)
