"""Answers of upstreams that filter: what clients are told, and what is counted."""

from __future__ import annotations

import pytest

from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from pdns.wire.names import from_text
from tests.fakes import upstream as fake
from tests.protocol.conftest import Open, Run

STRUCTURED = b"\0\x1a\0\0"
SDE = b'{"c":["tel:+1"],"j":"phishing site","s":2,"o":"Quad","l":"en"}'


def asked(name: str, options: bytes) -> bytes:
    """For A, with these options."""
    question = b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + from_text(name) + b"\0\1\0\1"
    return question + b"\0\0\x29\x04\xd0\0\0\0\0" + len(options).to_bytes(2) + options


def errors(wire: bytes) -> list[tuple[int, bytes]]:
    return [(int.from_bytes(data[:2]), data[2:]) for code, data in parse_message(wire).options if code == p.EDNS_OPTION_EDE]


def option(code: int, text: bytes) -> bytes:
    return b"\0\x0f" + (2 + len(text)).to_bytes(2) + code.to_bytes(2) + text


@pytest.mark.parametrize("rcode", [fake.NXDOMAIN, fake.SERVFAIL])
@pytest.mark.parametrize(
    ("told", "plain", "structured"),
    [
        (option(15, b"on a list"), (35, b"on a list"), b'{"j":"on a list","l":"und"}'),
        (option(16, b""), (35, b""), b'{"j":"blocked by the upstream DNS server","l":"en"}'),
        (option(17, SDE), (35, b"Quad: phishing site"), b'{"j":"Quad: phishing site","l":"und"}'),
        (option(35, b'{"j":'), (35, b'{"j":'), b'{"j":"{\\"j\\":","l":"und"}'),
    ],
)
def test_what_an_upstream_blocks(
    run: Run, edge: Open, rcode: int, told: bytes, plain: tuple[int, bytes], structured: bytes
) -> None:
    """It is passed on as 35, to each client as it asks for it, on a miss and from the cache; and it is not a block of ours."""

    async def body() -> None:
        async with edge(fake.rcode(rcode, edns=True, options=told)) as (e, upstream):
            for _ in range(2):
                socks = [e.send(asked("blocked.example", options)) for options in (b"", STRUCTURED)]
                assert [errors(await e.reply(sock)) for sock in socks] == [[plain], [(35, structured)]]
            replies = len(upstream.asked())
            assert e.count("upstream_blocked_total") == replies
            assert (e.count("blocked_total"), e.count("feed_hits_total")) == (0, 0)

    run(body())


@pytest.mark.parametrize("told", [b"", option(22, b"no route"), option(18, b"prohibited"), b"\0\x0f\0\1\x0f"])
def test_what_is_no_block(run: Run, edge: Open, told: bytes) -> None:
    """Other errors, and one that is cut short."""

    async def body() -> None:
        async with edge(fake.rcode(fake.NXDOMAIN, edns=True, options=told)) as (e, upstream):
            await e.ask("blocked.example")
            assert (e.count("upstream_blocked_total"), len(upstream.asked())) == (0, 1)

    run(body())
