"""Attacks on the encrypted transports of the real program: what they cost, how they are counted, and who else notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest import process
from pdns.net.descriptors import raise_descriptor_limit
from tests.fakes.upstream import answer, by_name, drop
from tests.integration import http2attacks, quicattacks, tlsattacks
from tests.integration.dohconnection import DohConnection, over_dot, trusting
from tests.integration.encryptedserving import NAME, Encrypted, encrypted
from tests.integration.hostileclients import Play

SECONDS = 0.5
PATIENCE_S = 60.0
MAX_GROWTH_BYTES = 64 << 20  # of one process, in all attacks together
LIMITS = {
    "max_connections": 400,
    "max_connections_per_client": 20,
    "handshake_timeout_s": 1.0,
    "idle_timeout_s": 1.0,
    "max_handshakes": 100,
    "new_connections_per_client_per_s": 100,
}
ATTACKS = {**tlsattacks.ATTACKS, **http2attacks.ATTACKS, **quicattacks.ATTACKS}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    raise_descriptor_limit()
    directory = tmp_path_factory.mktemp("attacks")
    transports = ("tls", "https", "quic", "h3")
    with encrypted(directory, transports, handler=by_name({"never.example.net": drop}, answer()), encrypted=LIMITS) as running:
        running.pdns.wait_for(lambda: running.pdns.children("pdns.quic"), "the quic process")
        Honest(running).ask_all()
        yield running


class Honest:
    """Clients of every kind, from another address than the attackers'. An answer that does not come is an exception."""

    def __init__(self, serving: Encrypted) -> None:
        self.answers = 0
        self._serving, self._trusting = serving, trusting(serving.ca_file)
        self._trusting_https = trusting(serving.ca_file, protocol="h2")

    def ask_all(self) -> None:
        assert self._serving.pdns.ask("www.example.net").answer
        assert over_dot(self._serving.ports["tls"], self._trusting, NAME, "www.example.net").answer
        with DohConnection(self._serving.ports["https"], self._trusting_https, NAME) as connection:
            assert connection.ask("/dns-query", "www.example.net")[0] == 200
        self.answers += 1

    @contextmanager
    def asking(self) -> Iterator[None]:
        """They ask all the time, ten times a second at most; in the end, all have been answered."""
        stop, errors = threading.Event(), []

        def ask() -> None:
            try:
                while not stop.wait(0.1):
                    self.ask_all()
            except BaseException as error:  # noqa: BLE001 (is raised below)
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not errors, errors


def processes(serving: Encrypted) -> list[int]:
    return [*serving.pdns.worker_pids, *serving.pdns.children("pdns.quic")]


def memory(serving: Encrypted) -> dict[int, int]:
    return {pid: process.memory(pid).rss for pid in processes(serving)}


def descriptors(serving: Encrypted) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in processes(serving))


def counted(serving: Encrypted) -> dict[str, float]:
    """What was refused or dropped, by reason."""
    families = ("dropped_total", "quic_refused_total", "quic_dropped_total")
    found: dict[str, float] = {}
    for (family, labels), value in serving.pdns.scrape().items():
        reason = dict(labels).get("reason", "")
        if family in families:
            found[reason] = found.get(reason, 0.0) + value
    return found


@pytest.fixture(scope="module")
def at_first(serving: Encrypted) -> dict[int, int]:
    """The memory of each process before any attack."""
    return memory(serving)


@pytest.mark.parametrize(("play", "reasons"), ATTACKS.values(), ids=ATTACKS)
def test_attacks_are_bounded_and_counted(serving: Encrypted, at_first: dict[int, int], play: Play, reasons: set[str]) -> None:
    """Others are answered meanwhile; memory stays within bounds; descriptors come back; the reason is in /metrics."""
    before, open_before, honest = counted(serving), descriptors(serving), Honest(serving)
    until_s = time.monotonic() + PATIENCE_S

    def is_counted() -> bool:
        now = counted(serving)
        return not reasons or any(now.get(reason, 0.0) > before.get(reason, 0.0) for reason in reasons)

    with honest.asking():
        assert play(serving.ports, SECONDS) > 0
        while not is_counted():  # a slow machine has not come to it yet
            assert time.monotonic() < until_s, f"none of {reasons} is counted"
            play(serving.ports, SECONDS)
        during = memory(serving)
        honest.ask_all()
    after = memory(serving)
    assert after.keys() == at_first.keys(), "a process died"
    for pid, first in at_first.items():
        assert max(during[pid], after[pid]) - first < MAX_GROWTH_BYTES
    serving.pdns.wait_for(lambda: descriptors(serving) <= open_before + 2, "descriptors")
