"""A load balancer before the service, compiled and Python: the same answers and the same counts, whatever headers it sends."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.effort import examples
from tests.fakes.udp_edge import Edge
from tests.property.test_proxy_header import HOSTILE
from tests.proxied import header
from tests.wire import query_wire

_NAMES = ("localhost", "1.0.0.127.in-addr.arpa", "id.server", "www.invalid", "use-application-dns.net")
_CLIENTS = ("198.51.100.7", "198.51.100.99", "2001:db8:5::7", "203.0.113.9", "::ffff:198.51.100.7", "")
_QUERIES = st.builds(query_wire, st.sampled_from(_NAMES), st.sampled_from(["A", "PTR"]), edns=st.sampled_from([None, 1232]))
_SOUND = st.builds(
    lambda client, means, query: header(client, means=means) + query,
    st.sampled_from(_CLIENTS), st.sampled_from([1, 2]), _QUERIES,
)  # fmt: skip
_DATAGRAMS = st.one_of(_SOUND, _SOUND, st.builds(lambda head, query: head + query, HOSTILE, _QUERIES), HOSTILE, _QUERIES)
_SECTIONS: dict[str, Any] = {
    "access": {"networks": ["127.0.0.0/8", "198.51.100.0/24"]},
    "tenant": [{"name": "north", "networks": ["198.51.100.0/28"]}, {"name": "south", "networks": ["2001:db8:5::/48"]}],
    "rate_limit": {"queries_per_s": 1, "burst": 100000},
}
_FAMILIES = ("queries_total", "responses_total", "dropped_total")


async def _outcome(datagrams: list[bytes], *, compiled: bool) -> tuple[list[bytes], dict[tuple[str, ...], int]]:
    """Every answer, whenever it came, and every count."""
    edge = Edge(["udp://127.0.0.1:9"], dict(_SECTIONS), compiled=compiled)
    edge.listener.trust(("127.0.0.1/32",))
    try:
        last = query_wire("localhost", "TXT", query_id=0xFFFF)
        sock = edge.send(*datagrams, header() + last)
        replies = [await edge.reply(sock)]
        while replies[-1][:2] != last[:2]:
            replies.append(await edge.reply(sock))
        sock.send(header() + last)  # the kernel sends what it decides later behind what it has in the cache
        replies.append(await edge.reply(sock))
        while replies[-1][:2] != last[:2]:
            replies.append(await edge.reply(sock))
        return sorted(replies), {(family, *labels): n for family, labels, n in edge.counters.items() if family in _FAMILIES and n}
    finally:
        await edge.close()
        edge.counters.close()


@examples(50)
@given(st.lists(_DATAGRAMS, min_size=1, max_size=20))
def test_a_load_balancer_is_served_alike(datagrams: list[bytes]) -> None:
    """In one batch: each answer to the byte, each query for its tenant, each drop for its reason."""
    expected = asyncio.run(_outcome(datagrams, compiled=False))
    assert asyncio.run(_outcome(datagrams, compiled=True)) == expected
