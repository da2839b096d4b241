"""A forwarder with the bookkeeping that tests want."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from pdns.config.groups import DEFAULT, ServerGroup
from pdns.config.schema import Upstream
from pdns.upstream import Forwarder, UpstreamAnswer, UpstreamFailure, UpstreamQuestion
from pdns.wire.names import from_text
from pdns.worker.kernels import COMPILED
from tests.fakes.patience import PATIENCE_S, patient
from tests.fakes.patience import impatient as soon
from tests.fakes.upstream import FakeUpstream

Outcome = UpstreamAnswer | UpstreamFailure


class Recorder:
    """What was counted."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()  # over all upstreams
        self.by_upstream: Counter[tuple[str, str]] = Counter()
        self.up: dict[str, bool] = {}
        self.useful: dict[str, bool] = {}
        self.fallbacks: Counter[str] = Counter()
        self.blocked: Counter[str] = Counter()
        self.handshakes: Counter[str] = Counter()
        self.changes: list[tuple[str, bool]] = []

    def upstream(self, upstream: str, result: str, duration_s: float | None) -> None:
        assert duration_s is None or duration_s >= 0
        self.results[result] += 1
        self.by_upstream[upstream, result] += 1

    def upstream_up(self, upstream: str, up: bool) -> None:
        self.up[upstream] = up
        self.changes.append((upstream, up))

    def upstream_useful(self, upstream: str, useful: bool) -> None:
        self.useful[upstream] = useful

    def upstream_blocked(self, upstream: str) -> None:
        self.blocked[upstream] += 1

    def upstream_handshake(self, upstream: str, session: str) -> None:
        self.handshakes[session] += 1

    def fell_back(self, group: str) -> None:
        self.fallbacks[group] += 1


class Asker:
    """Asks a forwarder, and notes as `problems` what it must not do."""

    def __init__(self, forwarder: Forwarder, stats: Recorder, timeout_s: float) -> None:
        self.forwarder = forwarder
        self.stats = stats
        self.problems: list[str] = []
        self._timeout_s = timeout_s

    async def ask(self, name: str, qtype: int = 1, *, do: bool = False, cd: bool = False) -> Outcome:
        return await self.start(name, qtype, do=do, cd=cd)

    def start(self, name: str, qtype: int = 1, *, do: bool = False, cd: bool = False) -> asyncio.Future[Outcome]:
        """The outcome to come."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        started_s = time.monotonic()

        def done(outcome: Outcome) -> None:
            took_s = time.monotonic() - started_s
            if took_s > self._timeout_s + PATIENCE_S:
                self.problems.append(f"{name}: an outcome after {took_s:.3f} s")
            if future.done():
                self.problems.append(f"{name}: a second outcome")
            else:
                future.set_result(outcome)

        self.forwarder.resolve(UpstreamQuestion(from_text(name), qtype, 1, do, cd), done)
        if future.done():
            self.problems.append(f"{name}: an outcome from within resolve")
        return future

    async def addresses(self, name: str) -> list[str]:
        """The IPv4 addresses of the answer; fails the test when there is none."""
        outcome = await self.ask(name)
        assert isinstance(outcome, UpstreamAnswer), outcome
        wire = outcome.message.wire
        return [".".join(map(str, wire[one.rdata_at : one.end])) for one in outcome.message.answer if one.rtype == 1]

    def why(self, server: str) -> str:
        """Why the last connection or stream to `server` failed."""
        return next(one.stream_error for one in self.forwarder._pools if one.name == server)


class _Errors(logging.Handler):
    def __init__(self, problems: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        self._problems.append(logging.Formatter().format(record))


def url(upstream: FakeUpstream, transport: str = "udp") -> str:
    return f"{transport}://127.0.0.1:{upstream.port}"


@asynccontextmanager
async def forwarding(
    *upstreams: FakeUpstream | str,
    timeout_s: float = PATIENCE_S,
    case_randomisation: bool = True,
    ca_file: str = "",
    impatient: bool = False,
    repeats: bool = False,
) -> AsyncIterator[Asker]:
    """A forwarder to these upstreams, closed at the end. It fails the test by what it logs as an error.

    It gives up so late that a busy machine cannot cause it. Only one that `repeats` asks a silent upstream again before; an
    impatient one does both soon.
    """
    servers = tuple(one if isinstance(one, str) else url(one) for one in upstreams)
    config = Upstream(
        servers=servers,
        timeout_s=timeout_s,
        case_randomisation=case_randomisation,
        ca_file=ca_file,
    )
    stats = Recorder()
    asker = Asker(
        Forwarder({DEFAULT: ServerGroup.of(config)}, asyncio.get_running_loop(), stats, COMPILED.upstream), stats, timeout_s
    )
    handler = _Errors(asker.problems)
    logger = logging.getLogger("pdns.upstream")
    logger.addHandler(handler)
    with soon() if impatient else nullcontext() if repeats else patient():
        try:
            yield asker
        finally:
            asker.forwarder.close()
            await asyncio.sleep(0)  # transports close in the next turn of the loop
            await asyncio.sleep(0)
            logger.removeHandler(handler)
    assert asker.problems == []
