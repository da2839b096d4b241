"""What publishers say of a name: threat, link and end; how many are kept, and how long they may be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from feeds.formats.collector import MAX_DETAILS
from pdns.errors import FeedError
from tests.unit.feeds.reading import bundle, details, names, read


def test_the_longest_of_two_ends_counts() -> None:
    """A name that two indicators list goes with the last of them; one without an end keeps it for good."""
    ends = ("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z")
    listed = [{"pattern": "[domain-name:value='one.test']", "name": f"until {end[:10]}", "valid_until": end} for end in ends]
    assert details(read(bundle(*listed), "stix")) == {"one.test": {"threat": "until 2026-03-01", "expires_s": 1772323200.0}}
    forever = {"pattern": "[domain-name:value='one.test']"}
    for order in ([forever, *listed], [*listed, forever]):
        assert "expires_s" not in details(read(bundle(*order), "stix")).get("one.test", {})


@pytest.mark.parametrize("threat", ["Stealer", "Stealer {}"], ids=["of one threat", "of many"])
def test_details_are_bounded(threat: str) -> None:
    """There are never more than 65,535 different details; a name too many loses its own, not the threat that others share."""
    indicators = (
        {
            "pattern": f"[domain-name:value='name-{number}.test']",
            "name": threat.format(number),
            "valid_from": f"2026-01-01T00:00:{number / 1e6:09.6f}Z",
        }
        for number in range(70_000)
    )
    parsed = read(bundle(*indicators), "stix")
    assert len(parsed.names) == 70_000
    assert len(parsed.details) <= MAX_DETAILS
    if threat == "Stealer":
        assert len(parsed.detail_of) == 70_000
        assert {detail.threat for detail in parsed.details} == {"Stealer"}
    else:
        assert len(parsed.detail_of) == MAX_DETAILS


def test_details_are_cut_and_printable() -> None:
    """A text becomes one line of at most 200 printable characters. A link that is longer or no web address is dropped."""
    said = {
        "name": "a\x1b[31m\nb" + "c" * 500,
        "external_references": [{"url": "javascript:alert(1)"}, {"url": "https://" + "x" * 300}],
    }
    parsed = read(bundle({"pattern": "[domain-name:value='one.test']", **said}), "stix")
    (detail,) = parsed.details
    assert (len(detail.threat), detail.threat[:8], detail.reference) == (200, "a [31m b", "")


def test_plain_lists_pay_nothing_for_details() -> None:
    """A list that says nothing but names has no details at all."""
    parsed = read("".join(f"name-{number}.test\n" for number in range(10_000)))
    assert (parsed.details, parsed.detail_of) == ([], {})


CERT_PL = json.dumps([
    {"DomainAddress": "one.test", "InsertDate": "2020-03-23T10:44:37", "DeleteDate": None},
    {"DomainAddress": "two.test", "InsertDate": "2020-03-23T10:44:37", "DeleteDate": "2020-06-01T00:00:00"},
    {"DomainAddress": "two.test", "InsertDate": "2020-03-23T10:44:37", "DeleteDate": "2020-05-01"},
    {"DomainAddress": "three.test", "DeleteDate": 1590969600},
])  # fmt: skip
JUNE_S = 1590969600.0


@pytest.mark.parametrize(
    ("content", "how", "ends"),
    [
        (CERT_PL, {"format": "json", "json_path": "[].DomainAddress", "active_until": "[].DeleteDate"},
         {"one.test": 0.0, "two.test": JUNE_S, "three.test": JUNE_S}),
        ('{"until": "2020-05-31", "names": ["one.test"]}', {"format": "json", "json_path": "names[]", "active_until": "until"},
         {"one.test": JUNE_S}),
        ('[{"to": {"t": "2020-06-01"}, "names": [["one.test"], ["two.test"]]}]',
         {"format": "json", "json_path": "[].names[][]", "active_until": "[].to.t"},
         {"one.test": JUNE_S + 86400, "two.test": JUNE_S + 86400}),
        ('{"one.test": {"end": "2020-06-01T00:00:00Z"}, "two.test": {}}',
         {"format": "json", "json_path": "[]~", "active_until": "[].end"}, {"one.test": JUNE_S, "two.test": 0.0}),
        ('{"n": "one.test", "e": "1590969600"}\n{"n": "two.test", "e": "never"}\n',
         {"format": "jsonl", "json_path": "n", "active_until": "e"}, {"one.test": JUNE_S, "two.test": 0.0}),
        ("domain,until\none.test,2020-06-01T02:00:00+02:00\ntwo.test,\n",
         {"format": "csv", "active_until": "Until"}, {"one.test": JUNE_S, "two.test": 0.0}),
        ("2020-06-01 00:00:00\tone.test\n", {"format": "csv", "delimiter": "\t", "column": "2", "active_until": "1"},
         {"one.test": JUNE_S}),
    ],
)  # fmt: skip
def test_ends_of_entries(content: str, how: dict[str, Any], ends: dict[str, float]) -> None:
    """Each name ends when its row or object says so, the last of several; where it says nothing, never."""
    parsed = read(content, **how)
    assert names(parsed) == dict.fromkeys(sorted(ends), "subtree")
    said = details(parsed)
    assert {name: said.get(name, {}).get("expires_s", 0.0) for name in ends} == ends


def test_ends_need_their_column() -> None:
    """A table without the column that is to say the end is refused, with the columns that it has."""
    with pytest.raises(FeedError, match='no column "until"; the first row is: domain, end'):
        read("domain,end\none.test,2020-06-01\n", "csv", active_until="until")
