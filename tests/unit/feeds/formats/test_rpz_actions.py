"""What the records of a response policy zone answer."""

from __future__ import annotations

import pytest

from pdns.core.listing import DROP, LOCAL_DATA, NODATA, NXDOMAIN, PASSTHRU, TCP_ONLY, ListedAction
from pdns.wire import protocol as p
from pdns.wire.names import from_text, reversed_key
from tests.rpz import read_zone
from tests.unit.feeds.reading import odd, read

A, MX, TXT, AAAA, HTTPS = p.A, p.MX, p.TXT, p.AAAA, p.HTTPS


def local(*data: tuple[int, tuple[bytes, ...]]) -> ListedAction:
    return ListedAction(LOCAL_DATA, data)


@pytest.mark.parametrize(
    ("records", "action"),
    [
        ("x.test CNAME .", ListedAction(NXDOMAIN)),
        ("x.test CNAME *.", ListedAction(NODATA)),
        ("x.test CNAME rpz-passthru.", ListedAction(PASSTHRU)),
        ("x.test CNAME RPZ-Passthru", ListedAction(PASSTHRU)),
        ("x.test CNAME x.test.", ListedAction(PASSTHRU)),
        ("x.test 300 IN CNAME rpz-drop.", ListedAction(DROP)),
        ("x.test CNAME rpz-tcp-only", ListedAction(TCP_ONLY)),
        ("x.test A 192.0.2.1\nx.test A 192.0.2.2\nx.test A 192.0.2.1", local((A, (b"\xc0\0\2\1", b"\xc0\0\2\2")))),
        ("x.test AAAA ::1\nx.test A 192.0.2.1", local((A, (b"\xc0\0\2\1",)), (AAAA, (bytes(15) + b"\1",)))),
        ('x.test TXT "a; b" "(c"', local((TXT, (b"\4a; b\2(c",)))),
        ('x.test TXT ( "a"\n "b" )', local((TXT, (b"\1a\1b",)))),
        ("x.test MX 10 Mail.Example.", local((MX, (b"\0\x0a" + from_text("mail.example"),)))),
        ("x.test MX 10 mail", local((MX, (b"\0\x0a" + from_text("mail.rpz.zone"),)))),
        ('x.test HTTPS 1 . alpn="h2,h3"', local((HTTPS, (b"\0\1\0\0\1\0\6\2h2\2h3",)))),
        ("x.test TYPE999 \\# 2 abcd", local((999, (b"\xab\xcd",)))),
        ("x.test CNAME garden.example.", local((p.CNAME, (from_text("garden.example"),)))),
        ("x.test CNAME *.garden.example.", local((p.CNAME, (from_text("*.garden.example"),)))),
    ],
)  # fmt: skip
def test_actions(records: str, action: ListedAction) -> None:
    """Each kind of record, in each spelling."""
    parsed = read_zone(records)
    number = parsed.actions.of_names[reversed_key(from_text("x.test"))]
    assert parsed.actions.table[number - 1] == action
    assert not parsed.odd


@pytest.mark.parametrize(
    ("records", "reasons", "kept"),
    [
        ("x.test CNAME .\nx.test CNAME *.", {"cname_and_other": 1}, ListedAction(NXDOMAIN)),
        ("x.test CNAME a.example.\nx.test A 192.0.2.1", {"cname_and_other": 1}, local((p.CNAME, (from_text("a.example"),)))),
        ("x.test A 192.0.2.1\nx.test CNAME a.example.", {"cname_and_other": 1}, local((A, (b"\xc0\0\2\1",)))),
        ("x.test CNAME .\nx.test CNAME .", {}, ListedAction(NXDOMAIN)),
        ("x.test A 192.0.2.1\nx.test A 192.0.2\nx.test MX 10", {"bad_data": 2}, local((A, (b"\xc0\0\2\1",)))),
        ("x.test A 192.0.2.1\nx.test DNAME a.example.", {"bad_data": 1}, local((A, (b"\xc0\0\2\1",)))),
        ("x.test A 192.0.2.1\ny.test CNAME rpz-new.", {"unsupported_rule": 1}, local((A, (b"\xc0\0\2\1",)))),
        ("32.1.2.0.192.rpz-nsip CNAME .\nns.test.rpz-nsdname CNAME .", {"nameserver_trigger": 2}, None),
        ("\n".join(f'x.test TXT "{n:0255}"' for n in range(21)), {"too_many_actions": 5}, None),
    ],
)  # fmt: skip
def test_records_that_break_the_rules(records: str, reasons: dict[str, int], kept: ListedAction | None) -> None:
    """What is sound is loaded: of records that cannot stand beside each other the first, and the others are counted."""
    parsed = read_zone(records)
    assert odd(parsed) == reasons
    if kept is not None:
        assert parsed.actions.table[parsed.actions.of_names[reversed_key(from_text("x.test"))] - 1] == kept
    lines = [example for skipped in parsed.odd.values() for example in skipped.examples]
    assert all(line.startswith("line ") for line in lines)


def test_what_is_refused_is_not_listed() -> None:
    """A name whose only record is not valid is not listed at all."""
    assert not read_zone("x.test A 1.2.3").names


def test_a_zone_without_soa() -> None:
    """It is loaded, with a note."""
    parsed = read("x.test CNAME .\n", "rpz", rpz_action="given")
    assert parsed.entries == 1
    assert parsed.notes == ["no SOA record: this is no whole zone, or not all of it"]


def test_a_name_and_what_is_below_it_have_an_action_each() -> None:
    """`x` and `*.x` are two owners."""
    parsed = read_zone("x.test CNAME .\n*.x.test CNAME *.\n")
    said = parsed.actions.of_names[reversed_key(from_text("x.test"))]
    assert [parsed.actions.table[number - 1].kind for number in (said & 0xFFFF, said >> 16)] == [NXDOMAIN, NODATA]


def test_clients_and_addresses() -> None:
    """Each trigger has its own place; private addresses are never listed."""
    parsed = read_zone(
        "24.0.2.0.192.rpz-client-ip CNAME rpz-drop.\n48.zz.db8.2001.rpz-ip CNAME .\n32.1.2.0.10.rpz-ip A 192.0.2.1\n"
    )
    table, clients = parsed.actions.table, parsed.actions.of_clients
    assert {key: table[number - 1].kind for key, number in clients.items()} == {b"\xc0\0\2\0\x18": DROP}
    assert parsed.networks == {bytes.fromhex("20010db8") + bytes(12) + b"\x30"}
    assert odd(parsed) == {"special_address": 1}


def test_without_given_nothing_has_an_action() -> None:
    """A feed that decides by the policy reads a zone as before."""
    parsed = read_zone("x.test A 192.0.2.1\n24.0.2.0.192.rpz-client-ip CNAME .\n", rpz_action="nxdomain")
    assert parsed.entries == 1
    assert not parsed.actions.table
    assert odd(parsed) == {"client_trigger": 1}
