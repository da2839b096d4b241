"""CEF: one line, whatever is in a record, and no field can pretend to be another."""

from __future__ import annotations

from hypothesis import given
from msgspec.structs import replace

from pdns.event_store.event import Event, Finding, Record
from pdns.events.cef import cef_message
from tests.unit.events.cefreader import parse_cef
from tests.unit.events.records import EVENT, FINDING, HOUR, hostile, records


@given(records)
def test_any_record_is_one_line_that_reads_back(record: Record) -> None:
    """The line has no control character and no other line break. The fields of the record come back from it."""
    line = cef_message(record, "1|0")
    assert len(line.splitlines()) == 1
    assert not any(char < " " or char == "\x7f" for char in line)
    header, values = parse_cef(line)
    assert header[:4] == ["CEF:0", "pdns", "pdns", "1|0"]
    assert values["externalId"] == str(record.id)
    assert values.get("cs5", "") == record.tenant
    assert values.get("dvchost", "") == record.node
    if isinstance(record, Event):
        assert header[4] == record.kind
        assert values["destinationDnsDomain"] == record.qname
        read = {name: values.get(key, "") for name, key in EVENT_KEYS.items()}
        assert read == {name: getattr(record, name) for name in EVENT_KEYS}
    elif isinstance(record, Finding):
        assert header[4] == f"finding:{record.kind}"
        assert values.get("destinationDnsDomain", "") == record.subject
        details = [value for key, value in values.items() if key.startswith("pdnsDetail")]
        assert details == [f"{key}: {value}" for key, value in record.details.items()]


EVENT_KEYS = {
    "listed": "cs1", "feed": "cs2", "rule": "cs3", "threat": "cs4", "case": "cs6", "category": "cat", "reason": "reason",
    "client": "pdnsClient", "policy": "pdnsPolicy", "transport": "pdnsTransport",
}  # fmt: skip


def test_a_blocked_query() -> None:
    """The keys that SIEMs know."""
    header, values = parse_cef(cef_message(EVENT, "1.0"))
    assert header == ["CEF:0", "pdns", "pdns", "1.0", "blocked", "DNS query blocked", "6"]
    assert (values["src"], values["cnt"], values["act"], values["outcome"]) == ("192.0.2.7", "3", "nxdomain", "blocked")
    assert (values["rt"], values["end"]) == ("1790000000250", "1790000042500")
    assert values["cs4Label"] == "threat"


def test_clients() -> None:
    """`src` is an IPv4 address; IPv6 has a key of its own; a network or a hash is neither."""
    for client, key in (("2001:db8::1", "c6a2"), ("192.0.2.7", "src")):
        assert parse_cef(cef_message(replace(EVENT, client=client), "1"))[1][key] == client
    for client in ("192.0.2.0/24", "h:0123456789abcdef", ""):
        values = parse_cef(cef_message(replace(EVENT, client=client), "1"))[1]
        assert {"src", "c6a2"} & set(values) == set()
        assert values.get("pdnsClient", "") == client


def test_findings_and_hours() -> None:
    """A finding has its score and details, an hour its counters."""
    values = parse_cef(cef_message(FINDING, "1"))[1]
    assert (values["cfp1"], values["msg"], values["pdnsDetail0"]) == ("3.5", FINDING.text, "bytes: 3600")
    assert parse_cef(cef_message(HOUR, "1"))[1]["pdnsQueries"] == "1000"


def test_injections() -> None:
    """Texts made of what the format is made of stay texts."""
    for record in hostile():
        line = cef_message(record, "1")
        assert len(line.splitlines()) == 1
        header, values = parse_cef(line)
        assert len(header) == 7
        assert values["externalId"] == str(record.id)
        assert values.get("cs5", "") == record.tenant
        if isinstance(record, Event):
            read = {name: values.get(key, "") for name, key in EVENT_KEYS.items()}
            assert read == {name: getattr(record, name) for name in EVENT_KEYS}
