"""Traffic as a resolver sees it: few names asked often, many asked rarely, one question in fifty for something bad."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from pdns.demo import world
from pdns.demo.client import DemoClient, Reply
from pdns.errors import WireError
from pdns.wire import protocol as p

ONE_BAD_IN = 50
_QTYPES = {p.A: 58, p.AAAA: 24, p.HTTPS: 12}  # weights, as stub resolvers ask for one host
_SHOWN_FAULTS = 5


class Question(NamedTuple):
    """A name as text, without the last dot, and a query type."""

    name: str
    qtype: int


def questions(seed: int) -> Iterator[Question]:
    """Questions without end: popularity after Zipf, types as clients send them, the same for the same `seed`."""
    rng = random.Random(seed)  # noqa: S311  # a demo should be the same each time
    benign = list(accumulate(1 / rank for rank in range(1, len(world.BENIGN_NAMES) + 1)))
    bad_names = [listed.name for feed in world.FEEDS.values() for listed in feed]
    bad = list(accumulate(1 / rank for rank in range(1, len(bad_names) + 1)))
    kinds = list(_QTYPES)
    type_weights = list(accumulate(_QTYPES.values()))
    rare: Sequence[Callable[[str], Question]] = (
        lambda name: Question(world.reverse_name(name), p.PTR),
        lambda name: Question(name.split(".", 1)[1], p.MX),
        lambda name: Question(name.split(".", 1)[1], p.TXT),
        lambda name: Question("misspelt-" + name, p.A),
        lambda _: Question(world.BULKY, p.TXT),
        lambda _: Question(world.EXCEPTION, p.A),
        lambda _: Question(world.BENIGN_BELOW_EXACT, p.A),
    )
    rare_weights = list(accumulate((8, 6, 6, 12, 1, 1, 1)))
    while True:
        if rng.randrange(ONE_BAD_IN) == 0:
            name = rng.choices(bad_names, cum_weights=bad)[0]
            above = any(listed.name == name and not listed.and_below for listed in world.FEEDS["botnet"])
            prefix = "" if above else rng.choice(("", "", "", "www.", "cdn.img."))
            cloaked = rng.random() < 0.05
            yield Question(
                world.CLOAKED if cloaked else prefix + name, p.A if cloaked else rng.choice((p.A, p.A, p.AAAA, p.HTTPS, p.TXT))
            )
            continue
        name = rng.choices(world.BENIGN_NAMES, cum_weights=benign)[0]
        if rng.random() < 0.06:
            yield rng.choices(rare, cum_weights=rare_weights)[0](name)
        else:
            yield Question(name, rng.choices(kinds, cum_weights=type_weights)[0])


@dataclass
class ReplyCounts:
    """What the clients saw. Every question ends in exactly one of `blocked`, `clean`, `failed` and `faults`."""

    blocked: int = 0
    clean: int = 0
    failed: int = 0  # SERVFAIL, while the upstream was away
    stale: int = 0  # of the clean
    tenant_blocked: Counter[str] = field(default_factory=Counter)
    blocked_names: set[str] = field(default_factory=set)
    waits_s: list[float] = field(default_factory=list)
    faults: int = 0
    first_faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Counts an answer that must not be, and keeps the first few to show."""
        self.faults += 1
        if len(self.first_faults) < _SHOWN_FAULTS:
            self.first_faults.append(text)


class Crowd:
    """Every client of the demo, by tenant, and what they saw."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.counts = ReplyCounts()
        self.upstream_away = False  # while True a SERVFAIL is no fault
        self._tenants: dict[str, str] = {}
        self._clients: list[DemoClient] = []
        for tenant, network in world.TENANTS.items():
            for host in range(1, world.CLIENTS_PER_TENANT + 1):
                self._tenants[f"{network}.{host}"] = tenant
                self._clients.append(DemoClient(f"{network}.{host}", server, seed=len(self._clients)))

    async def open(self) -> None:
        """Binds every source address. Raises `OSError` where 127.0.0.0/8 is not all local."""
        for client in self._clients:
            await client.open()

    def close(self) -> None:
        for client in self._clients:
            client.close()

    @property
    def sent(self) -> int:
        """Questions sent, one more for each that was asked again over TCP."""
        return sum(client.sent for client in self._clients)

    @property
    def answered(self) -> int:
        return sum(client.answered for client in self._clients)

    async def play(self, rate: float, until: Callable[[], bool], seed: int = 1) -> None:
        """Asks about `rate` questions a second, at irregular moments, until `until()`; then waits for what is unanswered."""
        rng = random.Random(seed)  # noqa: S311  # a demo should be the same each time
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for question in questions(seed):
                if until():
                    break
                due += rng.expovariate(rate)
                await asyncio.sleep(max(0.0, due - loop.time()))
                tasks.create_task(self.ask(rng.choice(self._clients), question))

    async def ask_as(self, tenant: str, name: str, qtype: int = p.A) -> Reply | None:
        """One question more, from the first client of `tenant`, judged and counted like all others."""
        return await self.ask(
            next(client for client in self._clients if self._tenants[client.source] == tenant), Question(name, qtype)
        )

    async def ask(self, client: DemoClient, question: Question) -> Reply | None:
        """Asks, judges and counts. None when no answer came, or none that can be read."""
        try:
            reply = await client.ask(*question)
        except WireError as error:
            self.counts.fault(f"{question.name}: {error}")
            return None
        if reply is None:
            self.counts.fault(f"{question.name} type {question.qtype}: no answer to {client.source}")
            return None
        self._judge(self._tenants[client.source], question, reply)
        return reply

    def _judge(self, tenant: str, question: Question, reply: Reply) -> None:
        counts = self.counts
        counts.waits_s.append(reply.wait_s)
        said = (
            f"{question.name} type {question.qtype}: {reply.addresses or p.RCODE_NAMES.get(reply.rcode, reply.rcode)} to {tenant}"
        )
        if reply.rcode == p.SERVFAIL:
            if self.upstream_away and not world.is_listed(question.name):
                counts.failed += 1
            else:
                counts.fault(said)
        elif reply.blocked:
            counts.blocked += 1
            counts.tenant_blocked[tenant] += 1
            counts.blocked_names.add(world.listed_name(question.name) or question.name)
            sinkhole = {p.A: (world.SINKHOLE_V4,), p.AAAA: (world.SINKHOLE_V6,)}.get(question.qtype, ())
            if not world.must_block(question.name, tenant) and question.name != world.PUBLISHED_LATER:
                counts.fault(f"blocked, and should not be: {said}")
            elif reply.addresses != sinkhole or reply.records != len(sinkhole):
                counts.fault(f"not the sinkhole: {said}")
        else:
            counts.clean += 1
            counts.stale += reply.stale
            if world.must_block(question.name, tenant) and question.name != world.PUBLISHED_LATER:
                counts.fault(f"not blocked: {said}")
            elif not _as_upstream_says(question, reply):
                counts.fault(f"not what the upstream says: {said}")


def _as_upstream_says(question: Question, reply: Reply) -> bool:
    records = world.records(question.name, question.qtype)
    if records is None:
        return reply.rcode == p.NXDOMAIN and reply.records == 0
    addresses = {text for _, rtype, text in records if rtype in (p.A, p.AAAA)}
    return reply.rcode == p.NOERROR and reply.records == len(records) and set(reply.addresses) == addresses
