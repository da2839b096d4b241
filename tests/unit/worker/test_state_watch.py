"""A worker takes up what commands have written, and its service decides by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from feeds.commands import CommandRunner
from pdns.config.load import from_tables
from pdns.core.credentials import Credential
from pdns.core.enrolled import token_digest
from pdns.core.local_rules import NO_RULES
from pdns.core.ruleset import RuleSet
from pdns.state import enrolments, overrides
from pdns.state.commands import Command
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import CREDENTIALS_REVISION, OVERRIDES_REVISION, Stats
from pdns.worker.kernels import COMPILED
from pdns.worker.query_tapping import QueryTapping
from pdns.worker.service import Service
from pdns.worker.state_watch import StateWatch
from tests.unit.feeds.test_commands import Feeds

SOUTH = Credential(token=b"south")
TABLES = {"upstream": {"servers": ["127.0.0.1:9"]}, "tenant": [{"name": "leeds", "networks": ["10.0.0.0/8"]}]}


class Worker:
    """What watches, and what it changes. Commands are carried out at once."""

    def __init__(self, state_dir: Path, counters: Counters) -> None:
        config = from_tables(TABLES, "", state_dir)
        self.counters, stats = counters, Stats(counters)
        forwarder: Any = None  # nothing is asked
        self.service = Service(RuleSet.of(config), forwarder, stats, lambda: 1000.0, COMPILED)
        self.watch = StateWatch(state_dir, self.service, QueryTapping(self.service.fast_path, config, stats, b""), stats)
        self._commands = CommandRunner(state_dir, Feeds())

    async def after(self, command: str, **order: Any) -> None:
        """Carry out a command, and let the worker look."""
        outcome = await self._commands.carry_out(Command(command=command, user="ann", reason="x", **order))  # type: ignore[arg-type]
        assert outcome.done, outcome
        self.watch.look()
        await self.watch.taken_up()
        assert self.counters.value(CREDENTIALS_REVISION) == outcome.wanted.credentials
        assert self.counters.value(OVERRIDES_REVISION) == outcome.wanted.overrides

    @property
    def epoch(self) -> int:
        path: Any = self.service.fast_path
        return int(path.clients_epoch)


def files(state_dir: Path) -> list[Path]:
    """What is monitored, with the second copies."""
    return [path for name in (enrolments.FILE_NAME, overrides.FILE_NAME) for path in state_dir.glob(f"{name}*")]


@contextmanager
def worker(state_dir: Path) -> Iterator[Worker]:
    counters = Counters.create(4096)
    try:
        yield Worker(state_dir, counters)
    finally:
        counters.close()


def test_credentials_are_taken_up(tmp_path: Path) -> None:
    """Enrolled, revoked: each time connections must ask again who they are. A local entry concerns none of them."""

    async def main(one: Worker) -> None:
        assert not one.service.admits("192.0.2.1", SOUTH)
        epoch = one.epoch
        await one.after("enroll", tenant="leeds", device="phone", credential=f"token:{token_digest(b'south').hex()}")
        assert one.service.admits("192.0.2.1", SOUTH)
        assert one.epoch != epoch
        epoch = one.epoch
        await one.after("block", name="x.example")
        assert one.service.rules.local is not NO_RULES
        assert one.epoch == epoch
        await one.after("revoke", tenant="leeds", device="phone")
        assert not one.service.admits("192.0.2.1", SOUTH)
        assert one.epoch != epoch
        refused = {labels[0]: n for family, labels, n in one.counters.items() if family == "credentials_refused_total"}
        assert refused == {"unknown_token": 1, "revoked": 1}

    with worker(tmp_path) as one:
        asyncio.run(main(one))


def test_files_that_cannot_be_used_change_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is in force stays, and the log says so once."""

    async def main(one: Worker) -> None:
        await one.after("enroll", tenant="leeds", credential=f"token:{token_digest(b'south').hex()}")
        await one.after("block", name="x.example")
        for path in files(tmp_path):
            path.write_bytes(b'{"version":9}')
        for _ in range(2):
            one.watch.look()
            await one.watch.taken_up()
        assert one.service.admits("192.0.2.1", SOUTH)
        assert one.service.rules.local is not NO_RULES

    with worker(tmp_path) as one:
        asyncio.run(main(one))
    for name in (enrolments.FILE_NAME, overrides.FILE_NAME):
        assert len([line for line in caplog.messages if line.startswith(f"{name} cannot be used")]) == 1
