"""Tells secondaries that a zone has a new version (RFC 1996). One that misses it finds out when its refresh timer ends."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdatatype
import dns.tsig

from pdns.config.addresses import Endpoint, parse_endpoint

ATTEMPTS: Final = 5
FIRST_WAIT_S: Final = 2.0  # doubles with each attempt
Spawn = Callable[[Coroutine[None, None, None]], "asyncio.Task[None]"]
_log = logging.getLogger(__name__)


class Notifier:
    """Sends NOTIFY messages, until each secondary has answered or the attempts are used up."""

    def __init__(self, spawn: Spawn, counts: Counter[tuple[str, str]]) -> None:
        """`counts`: (zone, answered or unanswered) -> messages."""
        self._spawn = spawn
        self._counts = counts
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def tell(self, zone: str, secondaries: tuple[str, ...], key: dns.tsig.Key | None, source: str) -> None:
        """Notify each of `secondaries` of a new version; what was to be told of an earlier one is given up.

        `source`: the address to send from; "": any.
        """
        for secondary in secondaries:
            before = self._tasks.pop((zone, secondary), None)
            if before is not None:
                before.cancel()
            endpoint = parse_endpoint(secondary)
            self._tasks[zone, secondary] = self._spawn(self._tell(zone, endpoint, key, _usable(source, endpoint)))

    def close(self) -> None:
        """Give up what has not been answered."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _tell(self, zone: str, secondary: Endpoint, key: dns.tsig.Key | None, source: str) -> None:
        wait_s = FIRST_WAIT_S
        for _ in range(ATTEMPTS):
            began_s = time.monotonic()
            if await _is_answered(zone, secondary, key, source, wait_s):
                self._counts[zone, "answered"] += 1
                return
            await asyncio.sleep(max(0.0, began_s + wait_s - time.monotonic()))
            wait_s *= 2
        self._counts[zone, "unanswered"] += 1
        _log.warning("%s: %s does not answer NOTIFY; it will see the change when its refresh timer ends", zone, secondary)


def _usable(source: str, secondary: Endpoint) -> str:
    is_wildcard = source in ("0.0.0.0", "::")  # noqa: S104 (compared with)
    return source if not is_wildcard and (":" in source) == (":" in secondary.host) else ""


async def _is_answered(zone: str, secondary: Endpoint, key: dns.tsig.Key | None, source: str, wait_s: float) -> bool:
    query = dns.message.make_query(zone, dns.rdatatype.SOA, id=int.from_bytes(os.urandom(2)))
    query.set_opcode(dns.opcode.NOTIFY)
    query.flags = dns.flags.AA | dns.opcode.to_flags(dns.opcode.NOTIFY)
    if key is not None:
        query.use_tsig(key)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _AnswerWaiter(answer, query.id),
            remote_addr=(secondary.host, secondary.port),
            local_addr=(source, 0) if source else None,
        )
    except OSError as exc:
        _log.debug("%s: NOTIFY to %s: %s", zone, secondary, exc.strerror)
        return False
    try:
        transport.sendto(query.to_wire())
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await answer
                return True
        return False
    finally:
        transport.close()


class _AnswerWaiter(asyncio.DatagramProtocol):
    """Waits for an answer with the right id; the socket takes messages of that peer alone."""

    def __init__(self, answer: asyncio.Future[bytes], number: int) -> None:
        self._answer = answer
        self._number = number

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 (the peer is fixed)
        if len(data) >= 12 and data[:2] == self._number.to_bytes(2) and data[2] & 0x80 and not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        pass  # no one listens there at the moment
