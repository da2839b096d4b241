"""Tunnels through DNS, by how much the names themselves say: information-based heavy hitters (arXiv 2307.02614).

A tunnel carries data in the labels below a domain that its operator owns, and asks for no name twice. So each name that was never
seen counts for its domain, with the most data that its labels can carry. A domain with more than ordinary ones ever have in a
window is reported. Nothing is blocked.

The memory is constant: a table of the names seen, and one of the domains that count in this window.
"""

# kernel: pdns/fast/tunnels.pyx

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from pdns.core.cookies import siphash
from pdns.wire.names import domain_of, parent

WINDOW_S: Final = 300  # the windows of all workers begin at the same moment
MINUTES: Final = WINDOW_S // 60
LEARN_S: Final = 600  # after a start all names are new
LEARN_FACTOR: Final = 8  # then a domain must carry so many times as much
BYTE: Final = 80  # what is counted is tenths of a bit
BUCKETS: Final = 16384  # of names seen
PLACES: Final = 32  # of a bucket, 2 bytes each: 1 MiB in all
NEW_AT: Final = 16  # where a new name is put; one that was met again moves to the first, so that a flood displaces few
SETS: Final = 256  # of domains
WAYS: Final = 8
MOST_REPORTS: Final = 1024  # that wait to be taken
MOST_TENANTS: Final = 65535
MOST_TENTHS: Final = 2**32 - 1
ROUNDS: Final = (1, 3)  # of SipHash
TENANT_FACTOR: Final = 0x9E3779B97F4A7C15  # spreads the numbers of tenants over the keys of their domains
KEY_BYTES: Final = 16
STEP: Final = 4  # a domain is reported anew when it has a quarter more

_DIGIT, _HEXADECIMAL, _LETTER, _BINARY = 1, 2, 4, 8
CLASSES: Final = bytes(
    _DIGIT
    if 48 <= byte <= 57
    else _HEXADECIMAL
    if 97 <= byte <= 102
    else _LETTER
    if 97 <= byte <= 122 or byte in b"-_"
    else _BINARY
    for byte in range(256)
)  # of the bytes of a label
TENTHS: Final = bytes(
    80 if mask >= _BINARY else 50 if mask >= _LETTER else 40 if mask >= _HEXADECIMAL else 33 for mask in range(16)
)
"""Of a bit that a byte carries, by all the classes of its label: decimal, hexadecimal, base 32, anything."""


class TunnelRules(NamedTuple):
    """What is a tunnel. The allowed names may be at any depth."""

    bytes_per_minute: int = 0  # below one domain, by one tenant; 0: look for none
    workers: int = 1  # that see a part of the names each
    allow: frozenset[bytes] = frozenset()  # names, in wire form, below which nothing counts
    partly_allowed: frozenset[bytes] = frozenset()  # domains (`names.domain_of`) with such a name below them
    keep_clients: bool = False

    @classmethod
    def of(cls, bytes_per_minute: int, workers: int, allow: Iterable[bytes], *, keep_clients: bool) -> TunnelRules:
        """The rules with which nothing below the names `allow` counts."""
        allowed = frozenset(allow)
        return cls(bytes_per_minute, workers, allowed, frozenset(map(domain_of, allowed)), keep_clients)


class TunnelReport(NamedTuple):
    """A domain below which a tenant's queries carried much, as far as this worker saw.

    A later report of a window replaces earlier ones.
    """

    tenant: str
    domain: bytes
    sample: bytes  # one of the names
    window: int  # number of the window: its start on the clock of the meter, in `WINDOW_S`
    at_s: float  # of the clock of the meter
    size_bytes: int  # that the new names can have carried in this window, so far
    least_bytes: int  # what makes a tunnel, over all workers
    names: int  # new ones
    client: bytes  # 16 bytes: who asked for three quarters of the names or more, where clients are kept; b"": unknown


def information(qname: bytes) -> int:
    """How many tenths of a bit the labels of `qname`, in wire form and lower case, carry below its domain."""
    at = tenths = 0
    while at < len(qname) - len(domain_of(qname)):
        label = qname[at + 1 : at + 1 + qname[at]]
        mask = 0
        for byte in label:
            mask |= CLASSES[byte]
        tenths += TENTHS[mask] * len(label)
        at += 1 + len(label)
    return tenths


class _Domain:
    """What one tenant's new names below one domain have carried in this window."""

    def __init__(self, key: int, tenant: str, name: bytes) -> None:
        self.key, self.tenant, self.name = key, tenant, name
        self.rule = ""  # "allowed" | "partly" | "counts"; not looked up before it has much
        self.sample = self.client = b""
        self.restart()

    def restart(self) -> None:
        self.tenths = self.names = self.votes = 0
        self.reported = 0  # tenths
        self.next = 0  # when it is reported again


class TunnelMeter:
    """Counts what new names carry, and reports the domains that have much. `key` is secret."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._rules = TunnelRules()
        self._seen: dict[int, list[int]] = {}
        self._domains: dict[int, list[_Domain]] = {}
        self._tenants: list[str] = []
        self._reports: list[TunnelReport] = []
        self._window = self._least = self._least_bytes = 0
        self._ends_s = 0.0
        self._learnt_s = -1.0

    @property
    def on(self) -> bool:
        """Whether it looks for anything."""
        return self._rules.bytes_per_minute > 0

    def adopt(self, rules: TunnelRules, now: float) -> None:
        """Go by `rules` from now on. What was seen stays."""
        self._rules = rules
        if self.on and self._learnt_s < 0:
            self._learnt_s = now + LEARN_S
        self._turn(now)

    def saw(self, qname: bytes, tenant: str, client: bytes, now: float) -> None:
        """A tenant asks for `qname`, in wire form and lower case, which is in no cache. `client` is its address in 16 bytes."""
        if not self.on or domain_of(qname) == qname:
            return
        if now >= self._ends_s:
            self._turn(now)
        if self._was_seen(qname):
            return
        domain = self._domain(domain_of(qname), tenant)
        if domain is None or (domain.rule == "partly" and self._is_allowed(qname)):
            return
        self._count(domain, qname, client)
        if domain.tenths < self._least:
            return
        if not domain.rule:
            domain.rule = self._rule(domain.name)
            if domain.rule == "partly":  # what was counted may be allowed
                domain.restart()
                if self._is_allowed(qname):
                    return
                self._count(domain, qname, client)
                if domain.tenths < self._least:
                    return
        if domain.rule != "allowed" and domain.tenths >= domain.next:
            domain.next = domain.tenths + domain.tenths // STEP
            domain.sample = qname
            self._report(domain, now)

    def take(self, now: float) -> list[TunnelReport]:
        """What was found since the last call."""
        if self.on and now >= self._ends_s:
            self._turn(now)
        reports, self._reports = self._reports, []
        return reports

    def _count(self, domain: _Domain, qname: bytes, client: bytes) -> None:
        domain.tenths = min(domain.tenths + information(qname), MOST_TENTHS)
        domain.names += 1
        if self._rules.keep_clients:
            if domain.votes == 0:
                domain.client = client
            domain.votes += 1 if domain.client == client else -1  # whoever has the majority is left

    def _was_seen(self, qname: bytes) -> bool:
        hashed = siphash(self._key, qname, *ROUNDS)
        mark = (hashed >> 32) & 0xFFFF or 1
        places = self._seen.setdefault(hashed % BUCKETS, [0] * PLACES)
        if mark not in places:
            places.insert(NEW_AT, mark)
            places.pop()
            return False
        if (at := places.index(mark)) >= NEW_AT:
            places.insert(0, places.pop(at))
        return True

    def _domain(self, name: bytes, tenant: str) -> _Domain | None:
        if tenant not in self._tenants:
            if len(self._tenants) == MOST_TENANTS:
                return None
            self._tenants.append(tenant)
        number = self._tenants.index(tenant) + 1
        key = siphash(self._key, name, *ROUNDS) ^ (number * TENANT_FACTOR & 0xFFFF_FFFF_FFFF_FFFF) or 1
        ways = self._domains.setdefault(key % SETS, [])
        for domain in ways:
            if domain.key == key:
                return domain
        new = _Domain(key, tenant, name)
        if len(ways) < WAYS:
            ways.append(new)
        else:
            ways[min(range(WAYS), key=lambda way: ways[way].tenths)] = new
        return new

    def _rule(self, domain: bytes) -> str:
        if self._is_allowed(domain):
            return "allowed"
        return "partly" if domain in self._rules.partly_allowed else "counts"

    def _is_allowed(self, name: bytes) -> bool:
        while name not in self._rules.allow:
            if name == b"\0":
                return False
            name = parent(name)
        return True

    def _turn(self, now: float) -> None:
        """End a window, if it is over, and begin the next."""
        if now >= self._ends_s:
            for number in sorted(self._domains):
                for domain in self._domains[number]:
                    if domain.reported and domain.tenths != domain.reported:
                        self._report(domain, self._ends_s)
            self._domains.clear()
            self._window = int(now / WINDOW_S)
            self._ends_s = float((self._window + 1) * WINDOW_S)
        is_learning = now < self._learnt_s
        self._least_bytes = self._rules.bytes_per_minute * MINUTES * (LEARN_FACTOR if is_learning else 1)
        self._least = self._least_bytes * BYTE // (2 * self._rules.workers) or 1  # a worker may have less than its share

    def _report(self, domain: _Domain, at_s: float) -> None:
        domain.reported = domain.tenths
        if len(self._reports) == MOST_REPORTS:
            return
        has_one_client = self._rules.keep_clients and 2 * domain.votes >= domain.names
        self._reports.append(
            TunnelReport(
                domain.tenant, domain.name, domain.sample, self._window, at_s, domain.tenths // BYTE, self._least_bytes,
                domain.names, domain.client if has_one_client else b"",
            )
        )  # fmt: skip
