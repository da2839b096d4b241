"""JSON: values at the end of a path, one document or a line each; damaged and hostile documents."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.value_types import FeedFormat
from pdns.errors import FeedError
from tests.unit.feeds.reading import names, odd, read

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
    assert names(parsed) == {"one.test": "subtree", "three.test": "subtree"}
    assert odd(parsed) == {"bad_entry": 1, "line_too_long": 1, "name_too_long": 1}


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
