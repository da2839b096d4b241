"""`python -m loadtest malformed`: sends a corpus of broken packets and checks that the server goes on answering."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from loadtest.client import Client, ask_tcp
from loadtest.loopback import Address
from loadtest.packets import query
from pdns.wire import names
from pdns.wire import protocol as p

GOOD_QUERY_EVERY = 50
GOOD_ANSWER_WITHIN_S = 1.0
_MAX_UDP_BYTES = 65507
_SETTLE_S = 0.3
_TCP_WAIT_S = 0.25  # for an answer that may never come
_TCP_AT_ONCE = 48
_MAX_EXAMPLES = 5


class Report(msgspec.Struct):
    """What became of one corpus over one transport."""

    transport: str
    sent: int = 0
    too_big: int = 0
    answered: int = 0
    rcodes: dict[str, int] = {}
    responses_answered: int = 0  # packets with QR set that got an answer all the same
    not_responses: int = 0  # datagrams back without QR, or shorter than a header
    good_sent: int = 0
    good_failed: list[str] = []
    slowest_good_s: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the server did something that no packet can excuse."""
        return bool(self.good_failed or self.responses_answered or self.not_responses)


def read_corpus(directory: Path) -> list[tuple[str, bytes]]:
    """Every regular file below `directory` by its name, in order of the names."""
    return [(str(file.relative_to(directory)), file.read_bytes()) for file in sorted(directory.rglob("*")) if file.is_file()]


async def over_udp(corpus: Sequence[tuple[str, bytes]], to: Address, good_name: bytes) -> Report:
    """One datagram a file; after every 50, a good query on the same socket and one on another."""
    report = Report(transport="UDP")
    async with Client(to) as sender, Client(to) as bystander:
        seen = 0
        last = ""
        for number, (name, packet) in enumerate(corpus, 1):
            if len(packet) > _MAX_UDP_BYTES:
                report.too_big += 1
            else:
                sender.send(packet)
                report.sent += 1
                last = name
            if number % GOOD_QUERY_EVERY == 0 or number == len(corpus):
                await _good(report, sender, good_name, last)
                await _good(report, bystander, good_name, last)
                seen = _count(report, sender.unmatched, seen, corpus)
        await asyncio.sleep(_SETTLE_S)
        _count(report, sender.unmatched, seen, corpus)
    return report


async def over_tcp(corpus: Sequence[tuple[str, bytes]], to: Address, good_name: bytes) -> Report:
    """A connection a file, 48 at a time; after each of those a good query on a connection of its own and one over UDP."""
    report = Report(transport="TCP")
    async with Client(to) as bystander:
        sendable = [(name, packet) for name, packet in corpus if len(packet) <= 65535]
        report.too_big = len(corpus) - len(sendable)
        for at in range(0, len(sendable), _TCP_AT_ONCE):
            some = sendable[at : at + _TCP_AT_ONCE]
            answers = await asyncio.gather(*(ask_tcp(to, packet, _TCP_WAIT_S) for _, packet in some))
            report.sent += len(some)
            for (_, packet), answer in zip(some, answers, strict=True):
                if answer is not None:
                    _judge(report, packet, answer)
            await _good_tcp(report, to, good_name, some[-1][0])
            await _good(report, bystander, good_name, some[-1][0])
    return report


def show(report: Report, console: Console) -> None:
    """Prints one report."""
    console.print(
        f"{report.transport}: {report.sent:,} packets sent, {report.too_big} too big to send\n"
        f"  answered: {report.answered:,} {report.rcodes}\n"
        f"  good queries: {report.good_sent:,} sent, {len(report.good_failed)} failed,"
        f" slowest {report.slowest_good_s * 1000:.0f} ms\n"
        f"  answers to responses: {report.responses_answered}; datagrams back that are no response: {report.not_responses}",
        style="red" if report.failed else "",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for line in report.good_failed[:_MAX_EXAMPLES]:
        console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)


def _fresh(report: Report, good_name: bytes) -> bytes:
    """A query that no cache can answer: it has to go the whole way."""
    label = f"good{time.time_ns():x}-{report.good_sent}".encode()
    return query(bytes([len(label)]) + label + good_name)


async def _good(report: Report, client: Client, good_name: bytes, after: str) -> None:
    wire = _fresh(report, good_name)
    began = time.monotonic()
    _note_good(report, wire, await client.ask(wire, GOOD_ANSWER_WITHIN_S), time.monotonic() - began, after)


async def _good_tcp(report: Report, to: Address, good_name: bytes, after: str) -> None:
    wire = _fresh(report, good_name)
    began = time.monotonic()
    _note_good(report, wire, await ask_tcp(to, wire, GOOD_ANSWER_WITHIN_S), time.monotonic() - began, after)


def _note_good(report: Report, wire: bytes, answer: bytes | None, seconds: float, after: str) -> None:
    report.good_sent += 1
    report.slowest_good_s = max(report.slowest_good_s, seconds)
    if answer is None or seconds > GOOD_ANSWER_WITHIN_S:
        report.good_failed.append(f"no answer within {GOOD_ANSWER_WITHIN_S:g} s after {after}")
    elif answer[3] & p.RCODE_MASK not in (p.NOERROR, p.NXDOMAIN):
        report.good_failed.append(f"rcode {answer[3] & p.RCODE_MASK} after {after}")
    elif answer[p.HEADER_BYTES : len(wire) - 11] != wire[p.HEADER_BYTES : -11]:
        report.good_failed.append(f"another question echoed after {after}")


def _count(report: Report, answers: list[bytes], seen: int, corpus: Sequence[tuple[str, bytes]]) -> int:
    """Judges the answers from `seen` on. An answer belongs to some packet of the corpus with its id."""
    queries = {packet[:2] for _, packet in corpus if len(packet) >= 3 and not packet[2] & 0x80}
    for answer in answers[seen:]:
        _judge(report, answer[:2] + (b"\0" if answer[:2] in queries else b"\x80"), answer)
    return len(answers)


def _judge(report: Report, packet: bytes, answer: bytes) -> None:
    if len(answer) < p.HEADER_BYTES or not answer[2] & 0x80:
        report.not_responses += 1
        return
    report.answered += 1
    if len(packet) >= 3 and packet[2] & 0x80:
        report.responses_answered += 1
    rcode = answer[3] & p.RCODE_MASK
    key = p.RCODE_NAMES.get(rcode, str(rcode))
    report.rcodes[key] = report.rcodes.get(key, 0) + 1


async def run(corpus_dir: Path, to: Address, good_name: str) -> list[Report]:
    """The whole corpus over UDP, then over TCP."""
    corpus = read_corpus(corpus_dir)
    name = names.from_text(good_name)
    return [await over_udp(corpus, to, name), await over_tcp(corpus, to, name)]
