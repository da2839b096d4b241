"""Zones as text, and what a difference makes of them."""

from __future__ import annotations

from pathlib import Path

import dns.name
import dns.rdata
import pytest

from feeds.fetch.zone_text import Inconsistent, ZoneTextChanges, head, line_of

ORIGIN = dns.name.from_text("RPZ.example")


def line(owner: str, rtype: str, rdata: str) -> bytes:
    return line_of(dns.name.from_text(owner, ORIGIN), dns.rdata.from_text("IN", rtype, rdata, origin=ORIGIN, relativize=False))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Bad.Example", "CNAME", "Garden.Example."), ("bad.example", "CNAME", "garden.example.")),
        (("x", "AAAA", "2001:DB8:0:0::1"), ("X", "AAAA", "2001:db8::1")),
    ],
)
def test_one_record_is_one_line(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """However its names were spelt when it came."""
    assert line(*one) == line(*other)


def test_text_keeps_its_case() -> None:
    """What is no name is left as it is, and another text is another record."""
    assert line("x", "TXT", '"A b"') == b'x.rpz.example. IN TXT "A b"\n'


def applied(changes: ZoneTextChanges, before: bytes, directory: Path) -> bytes:
    (directory / "before").write_bytes(before)
    return b"".join(changes.applied_to(directory / "before", ORIGIN))


def test_changes_come_to_what_they_end_with(tmp_path: Path) -> None:
    """Removed and added again stays, added and removed again does not come; the SOA goes, what only looks like one does not."""
    stays, goes, comes, passes = (line(name, "CNAME", ".") for name in ("stays", "goes", "comes", "passes"))
    text = line("x", "TXT", '"rpz.example. IN SOA x"')
    soa = line("@", "SOA", "a. b. 1 2 3 4 5")
    changes = ZoneTextChanges()
    changes.delete(stays)
    changes.delete(goes)
    changes.add(stays)
    changes.add(comes)
    changes.add(passes)
    changes.delete(passes)
    assert applied(changes, head(ORIGIN) + stays + goes + text + soa, tmp_path) == head(ORIGIN) + stays + text + comes


def test_a_record_that_is_there_is_not_doubled(tmp_path: Path) -> None:
    """What is added and was there already stands once."""
    there = line("there", "CNAME", ".")
    changes = ZoneTextChanges()
    changes.add(there)
    assert applied(changes, there, tmp_path) == there


def test_what_was_not_there_cannot_go(tmp_path: Path) -> None:
    """A difference that removes what we do not have is about another zone."""
    changes = ZoneTextChanges()
    changes.delete(line("gone", "CNAME", "."))
    with pytest.raises(Inconsistent):
        applied(changes, line("there", "CNAME", "."), tmp_path)
