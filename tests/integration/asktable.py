"""Asks a server the questions of `zonetable`, and says where its answers differ from the right ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from tests.integration.realanswers import has
from tests.integration.realservers import ask
from tests.integration.zonetable import Row, Secure

VALIDATING = ("unbound", "named")
_KEEP_SOA = ("udp", "tcp", *VALIDATING)  # others leave it out of what they have cached


def differences(front: str, port: int, rows: Iterable[Row]) -> list[str]:
    """What is wrong in the answers that `front` gives on `port`, a line each."""
    return [line for row in rows if not row.fronts or front in row.fronts.split() for line in _differences(front, port, row)]


def _differences(front: str, port: int, row: Row) -> Iterator[str]:
    message = ask(port, row.name, row.qtype, tcp=front == "tcp", flags=dns.flags.AD)
    if has(message, dns.flags.TC):
        message = ask(port, row.name, row.qtype, tcp=True, flags=dns.flags.AD)
    what = f"{front}: {row.name} {row.qtype}:"
    rcode = dns.rcode.to_text(message.rcode())
    if rcode != row.rcode:
        yield f"{what} {rcode}, not {row.rcode}"
    got, right = records_of(message), list(expected(row))
    if sorted(got) != sorted(right):
        yield f"{what} {got}, not {right}"
    elif order(got) != order(right):
        yield f"{what} the chain is {got}, not {right}"
    if front in _KEEP_SOA and row.soa:
        owners = [str(one.name).lower() for one in message.authority if one.rdtype == dns.rdatatype.SOA]
        if owners != [absolute(row.soa)]:
            yield f"{what} the SOA of {owners}, not of {row.soa}"
    if front in _KEEP_SOA and has(message, dns.flags.AD) is not is_secure(front, row):
        yield f"{what} AD is {has(message, dns.flags.AD)}"
    if not message.question or message.question[0].name.to_text(omit_final_dot=True) != row.name:
        yield f"{what} the question comes back as {message.question}"
    if has(message, dns.flags.AA) and front not in ("dnsmasq", "resolved"):
        yield f"{what} AA"


def is_secure(front: str, row: Row) -> bool:
    """Whether a client that asks for AD gets it."""
    if front in VALIDATING:
        return row.secure in (Secure.EVERYBODY, Secure.FRONT)
    return row.secure in (Secure.EVERYBODY, Secure.UPSTREAM)


def records_of(message: dns.message.Message) -> list[str]:
    """The records of the answer section as `expected` writes them."""
    return [
        f"{str(one.name).lower()} {dns.rdatatype.to_text(one.rdtype)} "
        f"{'*' if one.rdtype == dns.rdatatype.DS else str(one[0]).lower()}"
        for one in message.answer
    ]


def expected(row: Row) -> Iterator[str]:
    """The records of the right answer, each with its owner, in lower case except for their type."""
    owner = absolute(row.name)
    for text in row.answer:
        first, rest = text.split(" ", 1)
        if first.isupper():
            yield f"{owner} {first} {rest.lower()}"
            if first == "CNAME":
                owner = rest.lower()
        else:
            rtype, data = rest.split(" ", 1)
            yield f"{absolute(first)} {rtype} {data.lower()}"


def absolute(name: str) -> str:
    """`name` in lower case, with its last dot."""
    return name.lower().rstrip(".") + "."


def order(records: Iterable[str]) -> list[str]:
    """The aliases among `records`: the order of other records is free."""
    return [record for record in records if record.split(" ", 2)[1] in ("CNAME", "DNAME")]
