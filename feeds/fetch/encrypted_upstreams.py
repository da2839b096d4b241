"""Addresses of feeds' servers from upstreams over HTTPS and QUIC, and from those with pins: asked as workers ask them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import dns.message

from pdns.config.groups import DEFAULT, ServerGroup
from pdns.config.schema import Upstream
from pdns.config.upstream_address import UpstreamAddress
from pdns.errors import PdnsError
from pdns.wire import protocol as p
from pdns.wire.names import from_text
from pdns.wire.transport import Transport


class _Uncounted:
    """Statistics that nothing reads."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_values: None


def is_needed(upstream: UpstreamAddress) -> bool:
    """Whether `upstream` is one of these."""
    return upstream.transport in (Transport.HTTPS, Transport.QUIC) or bool(upstream.proofs)


async def ask(upstream: UpstreamAddress, ca_file: str, host: str, qtype: int, timeout_s: float) -> dns.message.Message | None:
    """The answer of `upstream`, with the authorities of `ca_file` or the system's; None when it has none."""
    from pdns.upstream import Forwarder, UpstreamAnswer, UpstreamQuestion  # noqa: PLC0415  # takes memory, and few need it

    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Any] = loop.create_future()
    group = ServerGroup.of(Upstream(servers=(str(upstream),), ca_file=ca_file, timeout_s=timeout_s))
    try:
        forwarder = Forwarder({DEFAULT: group}, loop, cast("Any", _Uncounted()), cast("Any", None))  # no kernel: no datagrams
    except PdnsError:
        return None

    def done(outcome: object) -> None:
        if not answered.done():
            answered.set_result(outcome)

    try:
        forwarder.resolve(UpstreamQuestion(from_text(host), qtype, p.CLASS_IN, do=False, cd=False), done)
        outcome = await answered
    finally:
        forwarder.close()
    return dns.message.from_wire(outcome.message.wire) if isinstance(outcome, UpstreamAnswer) else None
