"""The limit of queries per client: UDP is sent to TCP, and DNS cookies count as verified."""

from __future__ import annotations

import pytest

from pdns.wire import protocol as p
from tests.fakes.service_bench import bench
from tests.protocol.conftest import Run
from tests.wire import answers, query_wire, read


@pytest.mark.parametrize("compiled", [False, True])
def test_over_the_rate_udp_is_sent_to_tcp_and_answered_there(run: Run, *, compiled: bool) -> None:
    """The default action gives a forged address nothing but TC, and a flood over UDP uses up nothing of what TCP may carry: the
    client that comes back over TCP is answered. TCP has a limit of its own.
    """

    async def body() -> None:
        limit = {"queries_per_s": 1, "verified_queries_per_s": 2, "burst": 3}
        async with bench(rate_limit=limit, compiled=compiled) as b:
            b.stop_the_clock()
            wire = query_wire("localhost")
            for _ in range(200):
                over = b.send(wire)[0]
            assert (read(over).header.tc, answers(over), len(over) <= len(wire)) == (1, [], True)
            over_tcp = [read(b.send(wire, transport="tcp")[0]) for _ in range(4)]
            assert [reply.header.rcode for reply in over_tcp] == [p.NOERROR] * 3 + [p.REFUSED]
            assert answers(b.send(wire, transport="tcp", client="127.0.0.2")[0]) == ["127.0.0.1"]
            b.ahead_s += 1.0
            over_tcp = [read(b.send(wire, transport="tcp")[0]) for _ in range(3)]
            assert [reply.header.rcode for reply in over_tcp] == [p.NOERROR] * 2 + [p.REFUSED]

    run(body())


@pytest.mark.parametrize("compiled", [False, True])
def test_a_client_with_a_valid_cookie_is_not_sent_to_tcp(run: Run, *, compiled: bool) -> None:
    """Its address is not forged, so it has the limit of TCP; without one, or with another's, it is truncated."""

    async def body() -> None:
        limit = {"queries_per_s": 1, "verified_queries_per_s": 1, "burst": 3}
        async with bench(rate_limit=limit, compiled=compiled) as b:
            b.stop_the_clock()
            plain = query_wire("localhost", edns=None)

            def asked(cookies: bytes, client: str = "127.0.0.1") -> bytes:
                opt = b"\0\0\x29\x04\xd0\0\0\0\0" + (4 + len(cookies)).to_bytes(2)
                option = b"\0\x0a" + len(cookies).to_bytes(2) + cookies
                return b.send(plain[:10] + b"\0\1" + plain[12:] + opt + option, client=client)[0]

            cookies = asked(b"abcdefgh")[-24:]
            for _ in range(200):
                over = asked(b"abcdefgh")
            assert (read(over).header.tc, over[-24:]) == (1, cookies)
            assert answers(asked(cookies)) == ["127.0.0.1"]
            assert answers(asked(cookies)) == ["127.0.0.1"]
            assert read(asked(cookies[:-1] + bytes([cookies[-1] ^ 1]))).header.tc == 1
            assert [read(asked(cookies)).header.tc for _ in range(2)] == [0, 1], "it has a limit too"

    run(body())
