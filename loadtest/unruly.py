"""An authority that misbehaves when told to: `python -m loadtest.unruly ADDRESS PORT`, one mode a line on standard input.

Each name has one IPv4 and one IPv6 address, made from the name, so that whoever asks knows the right answer. It ends when its
standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast, get_args

from loadtest.loopback import Address, loopback
from pdns.wire import protocol as p
from pdns.wire.framing import frame

Mode = Literal["well", "silent", "servfail", "truncating", "slow", "gone"]

SLOW_S = 0.6
_SERVFAIL = 2
_OPT_BYTES = 11
_REPOSITORY = Path(__file__).resolve().parent.parent


def address_of(name: bytes, qtype: int) -> bytes:
    """What the A or AAAA record of `name` (wire form, any case) holds; out of the blocks kept for benchmarks."""
    sum32 = zlib.crc32(name.lower())
    if qtype == p.A:
        return (0xC6120000 | sum32 & 0x1FFFF).to_bytes(4)  # 198.18.0.0/15, RFC 2544
    return b"\x20\x01\0\x02" + sum32.to_bytes(4) * 3  # 2001:2::/48 and beyond, RFC 5180


def answer_to(query: bytes, mode: Mode = "well", *, udp: bool = True) -> bytes | None:
    """The answer; None for silence, and for what is not a query."""
    end = _question_end(query)
    if end == 0 or mode in ("silent", "gone"):
        return None
    qtype, name = int.from_bytes(query[end - 4 : end - 2]), query[p.HEADER_BYTES : end - 4]
    edns = query[11] == 1 and query[end : end + 3] == b"\0\0\x29"
    opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0" if edns else b""
    truncated, failed = mode == "truncating" and udp, mode == "servfail"
    flags = bytes((0x84 | query[2] & 1 | (2 if truncated else 0), _SERVFAIL if failed else 0))
    answers = authority = b""
    ttl = (30 + zlib.crc32(name.lower()) % 90).to_bytes(4)
    if truncated or failed:
        pass
    elif qtype in (p.A, p.AAAA):
        rdata = address_of(name, qtype)
        answers = b"\xc0\x0c" + query[end - 4 : end] + ttl + len(rdata).to_bytes(2) + rdata
    else:
        authority = b"\xc0\x0c\0\x06\0\1" + ttl + b"\0\x16\0\0" + b"\0\0\0\1" * 4 + ttl
    counts = b"\0\1" + bytes((0, bool(answers), 0, bool(authority), 0, bool(opt)))
    return query[:2] + flags + counts + query[p.HEADER_BYTES : end] + answers + authority + opt


def _question_end(query: bytes) -> int:
    """Where the one question of a query ends; 0 without a question."""
    if len(query) < p.HEADER_BYTES + 5 or query[2] & 0xF8 or query[4:6] != b"\0\1":
        return 0
    at = p.HEADER_BYTES
    while at < len(query) and query[at]:
        at += 1 + query[at]
    return at + 5 if at + 5 <= len(query) else 0


class Unruly:
    """The running authority, over UDP and TCP."""

    def __init__(self, at: Address) -> None:
        self.mode: Mode = "well"
        self._at = at
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def become(self, mode: Mode) -> None:
        """Behave like that from now on. Coming back from `gone` binds the same port again."""
        self.mode = mode
        if mode == "gone":
            self._close()
        elif self._udp is None:
            loop = asyncio.get_running_loop()
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=self._at)
            self._tcp = await asyncio.start_server(self._client, *self._at)

    def _close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for writer in self._clients:
            writer.close()
        self._udp = self._tcp = None

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                query = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                if self.mode == "slow":
                    await asyncio.sleep(SLOW_S)
                if answer := answer_to(query, self.mode, udp=False):
                    writer.write(frame(answer))
        self._clients.discard(writer)
        writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, authority: Unruly) -> None:
        self._authority = authority
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # which asyncio's own does not derive from

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = answer_to(data, self._authority.mode)
        if answer is None or self._transport is None:
            return
        if self._authority.mode == "slow":
            asyncio.get_running_loop().call_later(SLOW_S, self._transport.sendto, answer, addr)
        else:
            self._transport.sendto(answer, addr)


class UnrulyServer:
    """One `Unruly` in a process of its own."""

    def __init__(self, at: Address) -> None:
        self.at = at
        command = [sys.executable, "-m", "loadtest.unruly", at.host, str(at.port)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=_REPOSITORY
        )

    def become(self, mode: Mode) -> None:
        """Returns when it behaves like that. Raises `OSError` when it has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(mode + "\n")
        if self._process.stdout.readline().strip() != mode:
            raise OSError(f"the authority on {self.at} ended with {self._process.wait()}")

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def started(at: Address) -> Iterator[UnrulyServer]:
    """A well-behaved authority `at`, until left. Raises `OSError` when it cannot start."""
    authority = UnrulyServer(at)
    try:
        authority.become("well")
        yield authority
    finally:
        authority.stop()


async def _serve(at: Address) -> None:
    authority = Unruly(at)
    while mode := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if mode not in get_args(Mode):
            raise SystemExit(f"{mode}: not one of {', '.join(get_args(Mode))}")
        await authority.become(cast("Mode", mode))
        print(mode, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(loopback(sys.argv[1], int(sys.argv[2]))))
