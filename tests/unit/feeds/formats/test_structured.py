"""Formats in which names are among other things: CSV, JSON, and what security teams exchange."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.build import perform
from feeds.formats.collector import MAX_DETAILS
from feeds.jobs import Failed, Parse
from feeds.parse import parse_feed
from pdns.config.schema import Feed, FeedFormat
from pdns.config.source import source_fingerprint
from pdns.errors import FeedError
from tests.unit.feeds.reading import details, names, networks, odd, read

SUBTREE = "subtree"
KEY = st.sampled_from(
    ("type", "objects", "pattern", "Event", "Attribute", "to_ids", "value", "url", "data", "ioc_value", "ioc_type")
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(("one.test", "indicator", "domain", "url")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=20,
)


def bundle(*indicators: dict[str, Any]) -> str:
    return json.dumps({"type": "bundle", "objects": [{"type": "indicator", **indicator} for indicator in indicators]})


def pattern(text: str) -> dict[str, int]:
    """What one STIX pattern is counted by; nothing when it is listed."""
    return odd(read(bundle({"pattern": text}), "stix"))


@pytest.mark.parametrize("column", ["2", "domain", "DOMAIN"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "BOM"])
def test_csv_column_by_name_or_number(column: str, end: str, bom: str) -> None:
    """The column is found by its name, in any case, or by its number, whatever the line ends, behind a byte order mark."""
    parsed = read(bom + end.join(["Domain,x", "one.test,1", "TWO[.]test,2"]), "csv", column=column if column != "2" else "1")
    assert names(parsed) == {"one.test": SUBTREE, "two.test": SUBTREE}
    assert odd(parsed) in ({}, {"single_label": 1})


def test_csv_header_in_a_comment() -> None:
    """The header may be the last comment before the first row; a comment that merely speaks of the column is none."""
    assert names(read("# domain of the week\n#ip,domain\n192.0.2.1,one.test\n", "csv", column="domain")) == {"one.test": SUBTREE}
    assert names(read("# Domain, Path\nip,domain\n192.0.2.1,one.test\n", "csv", column="domain")) == {"one.test": SUBTREE}


@pytest.mark.parametrize(
    ("content", "column", "reason"),
    [
        ("ip,host\n1,one.test\n", "domain", 'no column "domain"; the first row is: ip, host; set column'),
        ("ip,host\n1,one.test\n", "", "not clear which column has the names; the first row is: ip, host; set column"),
        ("domain,fqdn\none.test,two.test\n", "", "not clear which column"),
        ("domain,url\none.test,http://one.test/x\n", "", "not clear which column"),
    ],
)
def test_csv_without_its_column(content: str, column: str, reason: str) -> None:
    """Without the column a table is refused, telling what it has; none is guessed of two, nor where it is a part of a URL."""
    with pytest.raises(FeedError, match="line 1") as caught:
        read(content, "csv", column=column)
    assert caught.value.reason.startswith(reason)


def test_csv_that_grows_a_column_less() -> None:
    """Only rows that end before the column are passed over; a quote that is never closed swallows none of the others."""
    rows = "".join(f"x,name-{number}.test\n" for number in range(100))
    for end in ("", 'end"\n'):
        parsed = read('a,domain\nshort\n"x,quoted.test\n' + rows + end, "csv", column="domain")
        assert len(parsed.names) == 100
        assert parsed.odd["bad_entry"].examples[:2] == ["line 2: short", 'line 3: "x,quoted.test']
        assert odd(parsed) == {"bad_entry": 3 if end else 2}


def test_csv_is_not_guessed() -> None:
    """Without a format, a table is refused with what to set; one of a known publisher is not."""
    with pytest.raises(
        FeedError, match='CSV, and not clear in which column the names are: set format = "csv" and column, to one of a,b'
    ):
        read("a,b\none.test,two.test\n")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data[].host", {"one.test", "two.test"}),
        ("$.data[*].host", {"one.test", "two.test"}),
        ("$['data'][*]['host']", {"one.test", "two.test"}),
        ("data.*.host", {"one.test", "two.test"}),
        ("by_id[][].host", {"three.test"}),
        ("flat[]", {"four.test", "five.test"}),
        ("$['dotted.key']", {"six.test"}),
        ("dotted.key", set()),
        ("data[].nothing", set()),
        ("", set()),
        ("$", set()),
    ],
)
def test_json_paths(path: str, expected: set[str]) -> None:
    """A path leads through objects and arrays, in either of its usual spellings; where it leads nowhere is counted."""
    document = {
        "data": [{"host": "one.test"}, {"host": "two.test"}],
        "by_id": {"7": [{"host": "three.test"}]},
        "flat": ["four.test", "five.test"],
        "dotted.key": "six.test",
    }
    parsed = read(json.dumps(document), "json", json_path=path)
    assert names(parsed).keys() == expected
    assert bool(parsed.odd) != bool(expected)


@pytest.mark.parametrize(
    ("content", "reason", "line"),
    [
        ('{"data": [\n  "one.test",\n  "two.test",\n]}\n', "not valid JSON: trailing comma in array (byte 39)", 4),
        ('{"data": [\n  "one.test",\n  "two', "not valid JSON: it ends in the middle", 3),
        ('{"data": [\n  "one.test"\n  "two.test"]}', "not valid JSON: expected ',' or ']' (byte 26)", 3),
        ('{"data": []}\n{"data": []}\n', "not valid JSON: trailing characters (byte 14)", 2),
        ("", "not valid JSON: it is empty", 1),
        ("[" * 100_000, "not usable JSON: nested too deeply", 0),
    ],
    ids=["a comma too many", "cut short", "a comma missing", "two documents", "empty", "deep"],
)
def test_broken_json_is_refused_with_its_place(content: str, reason: str, line: int) -> None:
    """What is not JSON to its end is refused as a whole, by each format that is JSON, with line and byte."""
    for name in ("json", "misp", "stix"):
        with pytest.raises(FeedError) as caught:
            read(content, name, json_path="data[]")
        assert (caught.value.reason, caught.value.line) == (reason, line)


def test_json_lines_stand_alone() -> None:
    """A line that is broken, or longer than a line may be, costs itself alone."""
    long = json.dumps({"host": "long.test", "x": "x" * 2**20})
    content = '{"host": "one.test"}\n{"host": "two\n' + long + '\n{"host": "three.test"}\r\n\n{"host": "' + "x" * 9000 + '.test"}'
    parsed = read(content, "jsonl", json_path="host")
    assert names(parsed) == {"one.test": SUBTREE, "three.test": SUBTREE}
    assert odd(parsed) == {"bad_entry": 1, "line_too_long": 1, "name_too_long": 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bundle({"pattern": "[domain-name:value='one.test']"}), "stix"),
        ('{"more": false, "objects": [{"type": "indicator", "spec_version": "2.1"}]}', "stix"),
        ('{"Event": {"info": "x", "Attribute": []}}', "misp"),
        ('{"response": {"Attribute": [{"type": "domain", "to_ids": true, "value": "one.test"}]}}', "misp"),
        ('[{"Event": {"info": "x"}}]', "misp"),
        ('\ufeff {"7": [{"ioc_value": "one.test", "ioc_type": "domain", "threat_type": "c2"}]}', "threatfox"),
        ('{"query_status": "ok", "data": [{"ioc": "one.test", "ioc_type": "domain", "threat_type": "c2"}]}', "threatfox"),
        ('{"7": [{"url": "http://one.test/", "urlhaus_link": "x"}]}', "urlhaus"),
        ("# x\n# id,dateadded,url,url_status\n", "urlhaus"),
        ('# x\n# "first_seen_utc","ioc_id","ioc_value","ioc_type","threat_type"\n', "threatfox"),
        ("[Adblock Plus 2.0]\n||one.test^\n", "adblock"),
        ("[2001:db8::1]\none.test\n", "domains"),
    ],
)
def test_detection(content: str, expected: str) -> None:
    """Formats that say what their values mean are told by their keys or header; what merely begins alike is not."""
    assert read(content).format == expected


@pytest.mark.parametrize(
    "content", ['{"data": ["one.test"]}', '["one.test"]', '{"host": "one.test"}\n{"host": "two.test"}\n', "{}"]
)
def test_other_json_is_not_guessed(content: str) -> None:
    """JSON of a layout that is not known is refused with what to set; no name is taken out of it."""
    with pytest.raises(FeedError, match=r'set format = "json" \("jsonl" .* and json_path, such as "data\[\]\.host"'):
        read(content)


@pytest.mark.parametrize(
    ("url", "content", "expected"),
    [
        ("taxii+https://taxii.test/api/", '{"type":"bundle","objects":[\n]}\n', "stix"),
        ("misp+https://misp.test/feed/", '{"response":[\n]}\n', "misp"),
        ("misp-api+https://misp.test/", '{"response":[\n]}\n', "misp"),
    ],
)
def test_transports_tell_the_format(tmp_path: Path, url: str, content: str, expected: str) -> None:
    """What comes over TAXII or from MISP is told by that, even while there is nothing in it."""
    (tmp_path / "list").write_text(content)
    parsed = parse_feed(tmp_path / "list", Feed(name="test", url=url))
    assert (parsed.format, parsed.names, parsed.odd) == (expected, {}, {})


def test_detection_of_a_document_on_one_line() -> None:
    """A document of a megabyte without a line end is told by its beginning."""
    parsed = read(bundle(*({"pattern": f"[domain-name:value='name-{number}.test']"} for number in range(20_000))))
    assert (parsed.format, len(parsed.names)) == ("stix", 20_000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[domain-name:value = 'one.test' OR domain-name:value = 'two.test']", None),
        ("[(domain-name:value = 'one.test')]", None),
        ("[domain-name:value='one.test'] OR [domain-name:value='two.test']", None),
        ("[domain-name:value = 'one.test' AND url:value = 'x']", "unsupported_rule"),
        ("[domain-name:value = 'one.test'] AND [domain-name:value = 'two.test']", "unsupported_rule"),
        ("[domain-name:value = 'one.test'] REPEATS 5 TIMES", "unsupported_rule"),
        ("[domain-name:value = 'one.test'] START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'", "unsupported_rule"),
        ("[domain-name:value NOT = 'one.test']", "unsupported_rule"),
        ("[domain-name:value != 'one.test']", "unsupported_rule"),
        ("[domain-name:value MATCHES '^one']", "unsupported_rule"),
        ("[EXISTS domain-name:value AND domain-name:value = 'one.test']", "unsupported_rule"),
        ("[domain-name:resolves_to_refs[*].value = '192.0.2.1']", "other_indicator"),
        ("[network-traffic:dst_ref.value = '192.0.2.1']", "other_indicator"),
        ("[file:hashes.'SHA-256' = 'aa']", "other_indicator"),
        ("[domain-name:value = 'one.test']]", "bad_entry"),
        ("[domain-name:value = 'one.test' OR]", "bad_entry"),
        ("[(domain-name:value = 'one.test']", "bad_entry"),
        ("[domain-name:value = one.test]", "bad_entry"),
        ("[domain-name:value = 'one.test'", "bad_entry"),
        ("[domain-name:value 'one.test']", "bad_entry"),
        ("[]", "bad_entry"),
        ("one.test", "bad_entry"),
        ("[domain-name:value = 'one.test' OR domain-name:value = 'two.test' " + " " * 65536 + "]", "line_too_long"),
    ],
)
def test_stix_patterns(text: str, reason: str | None) -> None:
    """A pattern lists what matches it by itself; one that needs more, is about something else or malformed is counted."""
    assert pattern(text) == ({} if reason is None else {reason: 1})


@given(
    st.text(alphabet="[]()'\\ =ORANDaz:-.1", max_size=60)
    | st.from_regex(r"\[(domain-name:value|url:value) (=|IN|LIKE) '.{0,9}'\]")
)
def test_any_stix_pattern(text: str) -> None:
    """No pattern breaks the reader, and none is passed over in silence."""
    parsed = read(bundle({"pattern": text}), "stix")
    assert len(parsed.names) + len(parsed.networks) + len(parsed.odd) > 0


def test_stix_patterns_cost_little() -> None:
    """A pattern made to be slow to read, of the greatest length, is read in time that grows with its length alone."""
    for text in ("[" * 60_000, "((" * 30_000, "[a:b=" + "'\\" * 30_000, "[" + "(domain-name:value = 'a' OR " * 2_000):
        assert pattern(text) == {"bad_entry": 1}


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
    """What a publisher says is one line of at most 200 printable characters; a link that is longer or no web address is none."""
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


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://one.test/", "one.test"),
        ("https://One.TEST./x", "one.test"),
        ("hxxps[:]//one[.]test/x", "one.test"),
        ("hxxp[://]one[.]test", "one.test"),
        ("http://user:pass@one.test:8080/x?y#z", "one.test"),
        ("http://one.test?x=http://two.test/", "one.test"),
        ("http://bücher.test/x", "xn--bcher-kva.test"),
        ("one.test/x", "one.test"),
        ("http://*.one.test/x", None),
        ("http://localhost/x", None),
        ("http://com/x", None),
        ("http:///x", None),
        ("http://", None),
        ("/x/y.php", None),
    ],
)
def test_hosts_of_urls(url: str, host: str | None) -> None:
    """Where the owner asks for it, a URL lists its host, alone, in every spelling; what has no host to list is counted."""
    without = read(url + "\n", "domains")
    assert names(without) == {}
    assert sum(lines.count for lines in without.odd.values()) == 1
    wanted = read(url + "\n", "domains", url_hosts=True)
    assert names(wanted) == ({host: "exact"} if host else {})
    assert bool(wanted.odd) is (host is None)


def test_addresses_of_urls_need_both() -> None:
    """A URL of an address lists it only where hosts of URLs and addresses are both wanted."""
    content = "http://198.51.100.7:8080/x\nhttp://[2001:db8::7]/x\n"
    assert networks(read(content, url_hosts=True)) == []
    assert networks(read(content, addresses=True)) == []
    assert networks(read(content, addresses=True, url_hosts=True)) == ["198.51.100.7/32", "2001:db8::7/128"]


def test_url_indicators_list_no_domain() -> None:
    """What a publisher calls a URL lists no host, not even one written like a name, unless the owner asks for it."""
    contents: dict[FeedFormat, str] = {
        "misp": json.dumps({"Event": {"Attribute": [{"type": "url", "to_ids": True, "value": "github.com"}]}}),
        "stix": bundle({"pattern": "[url:value = 'github.com']"}),
        "threatfox": json.dumps({"1": [{"ioc_value": "github.com", "ioc_type": "url", "threat_type": "x"}]}),
        "urlhaus": json.dumps({"1": [{"url": "github.com"}]}),
    }
    for name, content in contents.items():
        assert (names(read(content, name)), odd(read(content, name))) == ({}, {"url": 1})
        assert names(read(content, name, url_hosts=True)) == {"github.com": "exact"}


@given(
    st.sampled_from(("json", "jsonl", "misp", "stix", "threatfox", "urlhaus")),
    st.lists(JSON) | st.dictionaries(KEY, JSON),
)
def test_any_json(name: FeedFormat, document: object) -> None:
    """No document breaks a reader of JSON: what it lists are names, all else is counted."""
    parsed = read(json.dumps(document), name, json_path="data[].value", url_hosts=True)
    assert all(key and bits for key, bits in parsed.names.items())
    assert all(lines.count and lines.examples for lines in parsed.odd.values())


def test_memory_of_a_document() -> None:
    """A document needs its own size, a view of each entry, and what it lists: no tree of all that is in it."""
    filler = {f"key-{number}": "x" * 20 for number in range(20)}
    line = json.dumps({"host": "name-%d.test", **filler})
    content = "[" + ",".join(line % number for number in range(25_000)) + "]"
    tracemalloc.start()
    try:
        parsed = read(content.encode(), "json", json_path="[].host")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(parsed.names) == 25_000
    assert peak < 3 * len(content) + 25_000 * 300


@pytest.mark.parametrize(
    "setting",
    [{"url_hosts": True}, {"column": "2"}, {"delimiter": ";"}, {"json_path": "[]"}, {"format": "csv"}, {"addresses": True}],
)
def test_settings_of_formats_decide_the_content(setting: dict[str, Any]) -> None:
    """A copy that was read under another setting is read again."""
    feed = Feed(name="test", url="file:///list")
    assert source_fingerprint(msgspec.structs.replace(feed, **setting)) != source_fingerprint(feed)


def test_a_list_of_urls_alone_says_what_to_set(tmp_path: Path) -> None:
    """A list that is refused for it holds URLs and nothing else tells how its hosts would be listed."""
    (tmp_path / "list").write_text("http://one.test/x\n")
    said = perform(Parse(Feed(name="test", url="file:///list"), str(tmp_path / "list"), str(tmp_path / "parsed")))
    assert isinstance(said, Failed)
    assert said.reason.endswith(
        "most often url_with_path, as in line 1: http://one.test/x; url_hosts = true lists the hosts of URLs"
    )


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


def test_names_as_keys() -> None:
    """Names that are the keys of an object are read by a path that ends in `~`; without a path the advice is to set one."""
    content = '{"data": {"one.test": {"hits": 3}, "two.test": [], "8.8.8.8": null}}'
    parsed = read(content, "json", json_path="data[]~")
    assert (names(parsed), odd(parsed)) == ({"one.test": "subtree", "two.test": "subtree"}, {"address": 1})
    assert names(read(content, "json", json_path="data~")) == names(parsed)
    with pytest.raises(FeedError, match="set format"):
        read(content)


def test_json_lines_that_list_nothing_are_counted() -> None:
    """A line whose array is empty is counted like one without it."""
    assert odd(read('{"n": []}\n{"n": ["one.test"]}\n{}\n', "jsonl", json_path="n[]")) == {"no_value": 2}
