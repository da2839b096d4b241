"""Reading whole lists: encodings, line ends, limits, packing, formats distinguished."""

from __future__ import annotations

import gzip
import io
import time
import tracemalloc
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from feeds.containers import is_packed
from feeds.formats import READERS, detect_lines
from feeds.formats.content import MAX_LINE_BYTES
from feeds.parse import parse_feed
from pdns.config.schema import Feed
from pdns.config.value_types import FeedFormat
from pdns.errors import FeedError
from tests.effort import examples
from tests.unit.feeds.reading import names, networks, odd, read

SUBTREE = "subtree"
APEX: dict[str, Any] = {"wildcard_includes_apex": True}
AUTO: dict[str, Any] = {"wildcard_includes_apex": "auto"}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
DOCUMENTS = {"json", "misp", "stix", "threatfox", "urlhaus"}  # refused as a whole when they are something else


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("last", ["", "end"], ids=["no final end", "final end"])
def test_line_ends(end: str, last: str) -> None:
    """Lines end in LF, CRLF or CR, the last one in nothing if it likes."""
    parsed = read(end.join(["one.test", "", "two.test"]) + (end if last else ""))
    assert names(parsed) == {"one.test": SUBTREE, "two.test": SUBTREE}
    assert (parsed.lines, parsed.odd) == (3, {})


def test_line_ends_at_any_place() -> None:
    """Where a list is cut into pieces for reading changes nothing: not at a CR, not at the LF behind it, not within a name."""
    for before in range(256 * 1024 - 22, 256 * 1024 + 2):
        parsed = read(_comments(before) + "one.test\r\ntwo.test\r\n")
        assert names(parsed) == {"one.test": SUBTREE, "two.test": SUBTREE}
        assert odd(parsed) == {}


def _comments(size_bytes: int) -> str:
    """So many bytes of comments."""
    line = "#" + "x" * 997 + "\r\n"
    lines, rest = divmod(size_bytes - 2, len(line))
    return "#" * rest + "\r\n" + line * lines


def test_byte_order_mark() -> None:
    """A byte order mark belongs to no name."""
    assert names(read(b"\xef\xbb\xbfone.test\ntwo.test\n")) == {"one.test": SUBTREE, "two.test": SUBTREE}
    assert names(read(b"\xef\xbb\xbf0.0.0.0 one.test\n")) == {"one.test": SUBTREE}


def test_not_text() -> None:
    """Lines with NUL, and words that are not UTF-8, are counted; the lines around them, and odd comments, do no harm."""
    parsed = read(b"one.test\nnul\0.test\n\xff\xfe.test\n# gr\xfc\xdfe\ntwo.test # \xff\n")
    assert names(parsed) == {"one.test": SUBTREE, "two.test": SUBTREE}
    assert odd(parsed) == {"not_text": 2}
    assert parsed.odd["not_text"].examples == [r"line 2: nul\x00.test", r"line 3: \xff\xfe.test"]


def test_utf_16() -> None:
    """A list in UTF-16 or UTF-32 with a byte order mark is read like any other; without one it lists nothing, and says why."""
    content = "one.test\r\nbücher.test\r\n0.0.0.0 two.test\r\n"
    marked = [content.encode("utf-16"), content.encode("utf-32"), ("\ufeff" + content).encode("utf-16-be")]
    for data in (*marked, gzip.compress(marked[0])):
        assert names(read(data)) == {"one.test": SUBTREE, "two.test": SUBTREE, "xn--bcher-kva.test": SUBTREE}
    parsed = read(content.encode("utf-16-le"))
    assert names(parsed) == {}
    assert set(odd(parsed)) == {"not_text"}
    assert names(read('\ufeff{"a": ["one.test"]}'.encode("utf-16-le"), "json", json_path="a[]")) == {"one.test": SUBTREE}
    cut_short = ("\ufeff" + "".join(f"n{number}.test\n" for number in range(100_000)) + "x\ud83d").encode(
        "utf-16-le", "surrogatepass"
    )
    parsed = read(cut_short)
    assert (len(parsed.names), sum(odd(parsed).values())) == (100_000, 1)


def test_long_lines() -> None:
    """A line over the limit counts as one skipped line, however long, and takes no memory. The next line is read as usual."""
    longest = "one.test" + " " * (MAX_LINE_BYTES - 8)
    parsed = read(f"{longest}\n{longest} \ntwo.test\n" + "three.test " * 300_000 + "\nfour.test\n")
    assert names(parsed) == {"one.test": SUBTREE, "two.test": SUBTREE, "four.test": SUBTREE}
    assert odd(parsed) == {"line_too_long": 2}
    assert parsed.lines == 5


@pytest.mark.parametrize(
    ("list_format", "begin", "separator", "end"),
    [
        ("dnsmasq", "address=/", "/", "/0.0.0.0"),
        ("hosts", "0.0.0.0 ", " ", ""),
        ("domains", "0.0.0.0 ", " ", ""),
        ("adblock", "0.0.0.0 ", " ", ""),
    ],
)
def test_lines_of_many_values(list_format: FeedFormat, begin: str, separator: str, end: str) -> None:
    """As many names as a line has room for are read; a line of more values counts as one skipped line, whatever they are."""
    full = begin + separator.join(f"{one}{other}.t" for one in LETTERS[:25] for other in LETTERS[:32]) + end
    assert len(full) < MAX_LINE_BYTES
    parsed = read(f"{full}\n", list_format)
    assert (len(parsed.names), odd(parsed)) == (800, {})
    for value in ("", "1", "x"):
        if value or separator == "/":
            line = begin + separator.join([value] * 1001) + end
            parsed = read(f"{line}\n{full}\n", list_format)
            assert (len(parsed.names), odd(parsed)) == (800, {"too_many_values": 1})


def test_examples() -> None:
    """At most three examples of a reason, with line numbers, cut to 80 characters, and nothing that a terminal would act on."""
    parsed = read("one.test\n\x1b[31mred\n" + "x" * 500 + "\n\u202ereversed\nfourth_word\nmore words\n")
    examples = parsed.odd["single_label"].examples
    assert parsed.odd["single_label"].count == 1
    assert examples == ["line 5: fourth_word"]
    assert parsed.odd["bad_characters"].examples == [r"line 2: \x1b[31mred"]
    assert parsed.odd["name_too_long"].examples == ["line 3: " + "x" * 79 + "…"]
    assert parsed.odd["bad_idn"].examples == [r"line 4: \x202ereversed"]
    many = read("word\n" * 10)
    assert many.odd["single_label"].count == 10
    assert many.odd["single_label"].examples == ["line 1: word", "line 2: word", "line 3: word"]


def test_commonest_reason_first() -> None:
    """Reasons come in the order of how often they were met."""
    assert list(read("a\n1.2.3.4\n1.2.3.5\nb@x.test\n1.2.3.6\nb\n").odd) == ["address", "single_label", "email"]


def test_half_a_million_broken_lines() -> None:
    """A generator gone wrong (`$0/`, half a million times) is counted in a few seconds."""
    before = time.process_time()
    parsed = read(b"local=/one.test/\n" + b"local=/$0/\n" * 500_000, "dnsmasq")
    assert time.process_time() - before < 20  # some 2 s on a machine that has nothing else to do
    assert names(parsed) == {"one.test": SUBTREE}
    assert odd(parsed) == {"bad_characters": 500_000}
    assert parsed.lines == 500_001


def test_memory(tmp_path: Path) -> None:
    """A list is never held as a whole: reading one of 15 MB takes a few pieces of it, and what it lists."""
    (tmp_path / "list").write_bytes(b"local=/one.test/\n" + (b"#" * 99 + b"\n") * 150_000)
    tracemalloc.start()
    parse_feed(tmp_path / "list", Feed(name="test", url="file:///list", format="dnsmasq"))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4_000_000


@pytest.mark.long
@pytest.mark.parametrize("line", ["{}\n", "0.0.0.0 {}\n", "||{}^\n"])
def test_memory_of_a_big_list(tmp_path: Path, line: str) -> None:
    """A list of plain names takes at most 110 bytes for each at its peak."""
    count = 180_000
    names_of = (f"some-name-{number * 7919 % count}.example.test" for number in range(count))
    (tmp_path / "list").write_text("".join(map(line.format, names_of)))
    tracemalloc.start()
    parsed = parse_feed(tmp_path / "list", Feed(name="test", url="file:///list"))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (parsed.entries, parsed.odd) == (count, {})
    assert (peak_bytes - 3_000_000) / count < 110


def test_gzip(tmp_path: Path) -> None:
    """A list that its publisher packed with gzip is read like any other, in several members too."""
    content = gzip.compress(b"\xef\xbb\xbfone.test\n") + gzip.compress(b"two.test\n")
    parsed = read(content)
    assert names(parsed) == {"one.test": SUBTREE, "two.test": SUBTREE}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b"one.test\n" * 1000)[:-20], "ends in the middle|damaged"),
        (b"\x1f\x8b" + b"\xff" * 100, "damaged"),
        (gzip.compress(bytes(3_000_000)), "more than 1000000 bytes when unpacked"),
        (b"<!DOCTYPE html>\n<html>one.test\n</html>", "a web page, not a list"),
        (b"\xef\xbb\xbf\n\n  <HTML><head>", "a web page, not a list"),
        (b"<!-- saved --> <!-- twice -->\n<html>", "a web page, not a list"),
        (b"<?xml version='1.0'?>", "a web page, not a list"),
    ],
    ids=["gzip cut", "gzip damaged", "gzip bomb", "page", "page in capitals", "page with comments", "xml"],
)
def test_no_list_at_all(tmp_path: Path, content: bytes, reason: str) -> None:
    """What is damaged, unpacks to more than is allowed, or is a web page is refused as a whole, whatever its lines say."""
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(FeedError, match=f"feed test: .*({reason})"):
        parse_feed(tmp_path / "list", Feed(name="test", url="file:///list", max_bytes=1_000_000))


def test_missing_file(tmp_path: Path) -> None:
    """A list that cannot be read is a feed error with the reason."""
    with pytest.raises(FeedError, match="No such file"):
        parse_feed(tmp_path / "missing", Feed(name="test", url="file:///missing"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing today\n"])
def test_empty_list(content: bytes) -> None:
    """A list may be empty: what to make of that is not the parser's business."""
    parsed = read(content)
    assert (parsed.entries, parsed.exceptions, parsed.networks, parsed.odd) == (0, 0, set(), {})


def test_wildcard_includes_apex() -> None:
    """`wildcard_includes_apex` makes `*.x` mean x too, in every format."""
    assert names(read("*.one.test\n", wildcard_includes_apex=False)) == {"one.test": "below"}
    assert names(read("*.one.test\n", **APEX)) == {"one.test": "subtree"}
    assert names(read("*.one.test CNAME .\ntwo.test CNAME .\n", "rpz", **APEX)) == {
        "one.test": "subtree",
        "two.test": "exact",
    }
    assert names(read("||*.one.test^\n@@||*.two.test^\n", **APEX)) == {
        "one.test": "subtree",
        "two.test": "allow subtree",
    }


@pytest.mark.parametrize("name", ["auto", "domains", "hosts", "wildcard"])
def test_lists_of_nothing_but_wildcards(name: FeedFormat) -> None:
    """Where all names are written `*.x`, x is meant too by default, and the status says so; not if a line says else."""
    parsed = read("# all\n*.one.test\n*.two.test\n8.8.8.8\n", name, **AUTO)
    assert names(parsed) == {"one.test": "subtree", "two.test": "subtree"}
    assert parsed.notes == ["all its names are written *.x: x is blocked too (wildcard_includes_apex)"]
    mixed = read("*.one.test\n*.two.test\nthree.test\n", name, **AUTO)
    assert (names(mixed)["one.test"], mixed.notes) == ("below", [])
    exact = read("*.one.test\n", name, wildcard_includes_apex=False)
    assert (names(exact), exact.notes) == ({"one.test": "below"}, [])
    for content, format_ in (
        ("*.one.test CNAME .\n", "rpz"),
        ("||*.one.test^\n", "adblock"),
        ("address=/*.one.test/\n", "dnsmasq"),
    ):
        assert names(read(content, cast("FeedFormat", format_), **AUTO)) == {"one.test": "below"}
    assert names(read("domain\n*.one.test\n", "csv", **AUTO)) == {"one.test": "subtree"}


def test_addresses_are_wanted_or_counted() -> None:
    """Addresses are listed when the feed's are wanted, but those that would break a network never are."""
    content = "8.8.8.8\n8.8.9.0/24\n10.0.0.1\n0.0.0.0/0\n127.0.0.1\n"
    assert odd(read(content)) == {"address": 3, "network": 2}
    parsed = read(content, addresses=True)
    assert networks(parsed) == ["8.8.8.8/32", "8.8.9.0/24"]
    assert odd(parsed) == {"special_address": 3}


def test_a_name_several_times() -> None:
    """A name that is listed in several ways means all of them."""
    parsed = read("||one.test^\n@@||one.test^\n||*.two.test^\n||two.test^\none.test\n")
    assert names(parsed) == {"one.test": "subtree allow subtree", "two.test": "subtree"}
    assert (parsed.entries, parsed.exceptions) == (2, 1)


def test_url_lists_list_no_domain() -> None:
    """A list of URLs never becomes a list of the domains they are on, whatever it is read as."""
    content = "https://github.com/someone/mal.exe\ngithub.com/other/mal.exe\nhttp://docs.google.com/\n||github.com/third^$all\n"
    for name in READERS.keys() - DOCUMENTS:
        parsed = read(content, cast("FeedFormat", name), **({"column": "1"} if name == "csv" else {}))
        assert names(parsed) == {}
        assert sum(lines.count for lines in parsed.odd.values()) == 4


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("one.test\ntwo.test\n", "domains"),
        ("", "domains"),
        ("msFilterList\n: Expires=1\n-d one.test\n", "domains"),
        ("# hosts\n127.0.0.1 localhost\n0.0.0.0 one.test\n", "hosts"),
        (":: one.test\n::1 two.test\n", "hosts"),
        ("127.0.0.1 localhost\n" + "one.test\n" * 30, "domains"),
        ("*.one.test\n*.two.test\n", "wildcard"),
        ("one.test\n" * 30 + "*.two.test\n", "domains"),
        ("[Adblock Plus]\n! Title\n", "adblock"),
        ("! Title\none.test\ntwo.test\n", "adblock"),
        ("! Title\n" + "one.test\n" * 50 + "||two.test/x^$all\n", "adblock"),
        ("||one.test^\n@@||two.test^\n", "adblock"),
        ("# Title\naddress=/one.test/\n", "dnsmasq"),
        ("local=/one.test/\n", "dnsmasq"),
        ('server:\nlocal-zone: "one.test" static\n', "unbound"),
        ('zone "one.test" { type master; };\n', "bind"),
        ("$TTL 30\n@ IN SOA localhost. root.localhost. 1 2 3 4 5\n NS localhost.\n\none.test CNAME .\n", "rpz"),
        ("one.test 60 IN CNAME .\n", "rpz"),
        ("one.test A 0.0.0.0\none.test AAAA ::\n", "rpz"),
        ("I saw a threat\nat one.test\n", "domains"),
        ("8.8.8.8\n8.8.8.9 # a comment\n", "domains"),
        ('{"one": ["one.test"]}\n', "domains"),
    ],
)  # fmt: skip
def test_detection(content: str, expected: str) -> None:
    """A list's format is told by its lines, not by its name, through comments and a minority of lines of other formats."""
    assert detect_lines(content.encode().splitlines()) == expected


def test_detection_looks_at_the_end_too() -> None:
    """A long list whose telling lines come last is told by them."""
    plain = "".join(f"name-{number}.test\n" for number in range(60_000))
    rules = "".join(f"||rule-{number}.test^\n" for number in range(10_000))
    parsed = read(plain + rules)
    assert (parsed.format, parsed.entries, parsed.odd) == ("adblock", 70_000, {})


def test_named_format_is_kept() -> None:
    """A format that is named in the configuration is not second-guessed."""
    parsed = read("one.test\ntwo.test\n", "dnsmasq")
    assert (parsed.format, odd(parsed)) == ("dnsmasq", {"unknown_line": 2})


@examples(200)
@given(
    st.sampled_from(sorted(READERS)),
    st.lists(
        st.binary(max_size=40)
        | st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
        | st.from_regex(
            rb'(\|\||@@|address=/|local=/|local-zone: "|zone "|\$ORIGIN |0\.0\.0\.0 |\*\.)?[a-z.*$^/ "();@]{0,20}( CNAME \.)?'
        ),
        max_size=20,
    ),
)
def test_any_content(name: str, lines: list[bytes]) -> None:
    """No content breaks a reader: what it lists are names and networks, all else is counted, or refused as a whole."""
    content = b"\n".join(lines)
    assume(not is_packed(io.BytesIO(content)))
    try:
        parsed = read(content, cast("FeedFormat", name), addresses=True, url_hosts=True)
    except FeedError:
        assert name in DOCUMENTS or name == "csv"
        return
    assert all(key and 0 < bits < 16 for key, bits in parsed.names.items())
    assert all(len(key) in {5, 17} for key in parsed.networks)
    assert all(lines.count > 0 and lines.examples for lines in parsed.odd.values())
