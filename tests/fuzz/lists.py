"""Lists of every format and container, broken in many ways, and the whole path of the parser for one of them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import zstandard

from feeds.directory import parse_all
from feeds.entries import Entries, whole, write_entries
from feeds.formats import READERS
from feeds.pack import MAGIC, header
from feeds.parse import ParsedFeed, parse_feed
from pdns.config.schema import Feed
from pdns.errors import FeedError
from tests.fakes.hostile import linked_tar, sparse_tar, zipped

SAMPLES: Final = Path(__file__).parents[1] / "fixtures" / "feeds"
MAX_BYTES: Final = 1 << 20
_JSON: Final = (b"{", b"[", b'"', b"}", b"]", b",", b":", b"null", b'{"Event":', b'{"response":[', b'"to_ids":true')
_PIECES: Final = (
    b"\0", b"\n", b"\r", b"\r\n", b" ", b"\t", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff\xfe\0\0", b".", b"*.", b"$", b"@@",
    b"||", b"^", b"#", b"!", b";", b"(", b")", b"'", b"\\", b"/", b"//", b"/*", b"<", b"[allow", b"{+x", b"badfilter",
    b"$badfilter", b"$ORIGIN ", b"127.0.0.1 ", b"::1 ", b"xn--", b"\xc3\xa4", b"0.0.0.0/0", b"%00", b"CNAME . ", b"zone ",
    b"local-zone: ", b"address=/", b"9" * 40, b"a." * 130, b"-" * 70, b"\xed\xa0\x80", *_JSON,
)  # fmt: skip
_JSON_FORMATS: Final = frozenset(("json", "misp", "stix", "threatfox", "urlhaus"))
_KEYS: Final = (
    "Event", "Attribute", "Object", "response", "type", "value", "to_ids", "deleted", "info", "objects", "pattern",
    "pattern_type", "valid_until", "revoked", "labels", "name", "id", "external_references", "url", "data", "urls",
    "ioc_type", "ioc_value", "ioc",
    "reference", "tags", "threat", "date_added", "first_seen", "source_ref", "target_ref", "relationship_type",
)  # fmt: skip
_VALUES: Final = (
    "domain", "hostname", "domain|ip", "ip-dst", "url", "indicator", "relationship", "indicates", "a.example",
    "a.example|8.8.8.8", "[domain-name:value = 'a.example']",
    "[domain-name:value = 'a.example' OR url:value IN ('x', 'http://b.example/')]", "stix",
    "http://c.example:80/x", "8.8.8.8", "8.8.8.8:80", "ip:port", "2026-01-01", "2026-01-01T00:00:00Z", "*.d.example", "",
    "))))))))))))))))))))))))))))))))))", "\0", "a." * 200, 0, 1, -1, 1e308, 10**40, True, False, None,
)  # fmt: skip
_PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda content: gzip.compress(content, 1, mtime=0),
    "xz": lambda content: lzma.compress(content, preset=0),
    "bzip2": lambda content: bz2.compress(content, 1),  # which is not unpacked
    "zstd": zstandard.ZstdCompressor(level=1).compress,
    "zip": lambda content: zipped(content[: len(content) // 2], content[len(content) // 2 :]),
    "directory": lambda content: MAGIC + header("a", len(content)) + content + header("b", 4) + b"b.c\n",
    "tar": lambda content: sparse_tar(len(content)) + linked_tar(b"link") + content,
}
TARGETS: Final = (*READERS, *_PACKERS)


class Mutant:
    """Makes inputs of a seed: what lists look like, with pieces changed, repeated, cut, nested and put together."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._samples = [path.read_bytes()[:8192] for path in sorted(SAMPLES.rglob("*")) if path.is_file()]

    def inputs(self, target: str, count: int) -> Iterator[bytes]:
        """So many for one format or container. Half of the packed ones are broken after they were packed."""
        for _ in range(count):
            content = self._document() if target in _JSON_FORMATS else self._content()
            if target in _PACKERS:
                content = _PACKERS[target](content)
                if self._random.random() < 0.5:
                    content = self._broken(content)
            yield content

    def around(self, examples: Sequence[bytes]) -> Iterator[bytes]:
        """`examples`, and without end what is made of them: each changed in one to four places, of JSON also its values."""
        yield from examples
        while True:
            content = self._random.choice(examples)
            changes = self._random.randrange(1, 5)
            if content.startswith(b"{") and self._random.random() < 0.7:
                content = self._other_values(content)
                changes = self._random.choice((0, 0, 1))
            for _ in range(changes):
                content = self._broken(content, examples)
            yield content

    def _other_values(self, content: bytes) -> bytes:
        """The document with one value of it, or of what is in it, replaced."""
        document = json.loads(content)
        place = document
        while isinstance(place, dict) and place:
            key = self._random.choice(list(place))
            if not isinstance(place[key], dict) or self._random.random() < 0.3:
                place[key] = self._random.choice((self._value(3), {}, [], "", 2**70, -1, 1e308, None, "\ud800", [place[key]]))
                break
            place = place[key]
        return json.dumps(document).encode()

    def _document(self) -> bytes:
        """JSON of keys and values that formats know, in any place; one in four is broken."""
        content = json.dumps(self._value(0)).encode()
        return content if self._random.random() < 0.75 else self._broken(content)

    def _value(self, depth: int) -> object:
        kind = self._random.random()
        if depth > 5 or (depth > 1 and kind < 0.4):
            return self._random.choice(_VALUES)
        count = self._random.randrange(1, 5)
        if kind < 0.8:
            return {self._random.choice(_KEYS): self._value(depth + 1) for _ in range(count)}
        return [self._value(depth + 1) for _ in range(count)]

    def _content(self) -> bytes:
        content = self._random.choice(self._samples)
        start = self._random.randrange(len(content) + 1)
        content = content[start : start + self._random.choice((40, 400, 4000))]
        for _ in range(self._random.randrange(5)):
            content = self._broken(content)
        return content

    def _broken(self, content: bytes, others: Sequence[bytes] = ()) -> bytes:
        choose = self._random.randrange
        at = choose(len(content) + 1)
        match choose(7):
            case 0:
                return content[:at]
            case 1:
                return content[:at] + self._random.choice(_PIECES) + content[at:]
            case 2:
                return content[:at] + self._random.choice(_PIECES) * choose(1, self._random.choice((8, 60, 2000))) + content[at:]
            case 3:
                end = at + choose(64)
                return content[:at] + content[at:end] * choose(2, 50) + content[end:]
            case 4:
                return content[:at] + self._random.randbytes(choose(1, 9)) + content[at + choose(9) :]
            case 5 if content:
                changed = bytearray(content)
                changed[choose(len(content))] ^= 1 << choose(8)
                return bytes(changed)
            case _:
                return content[:at] + self._random.choice(others or self._samples)[: choose(1, 2000)] + content[at:]


def feed_one(target: str, content: bytes, directory: Path) -> ParsedFeed | None:
    """Parse `content` as the program does, put the entries away and take them out. None: it was refused, with a reason."""
    raw, parsed_file = directory / "raw", directory / "parsed"
    raw.write_bytes(content)
    feed = Feed(
        name="fuzz",
        url="file:///fuzz",
        format=target if target in READERS else "auto",  # type: ignore[arg-type]  # the keys are the formats
        max_bytes=MAX_BYTES,
        addresses=True,
        url_hosts=True,
        top_level_domains=len(content) % 2 == 0,
        column="1" if target == "csv" else "",
        json_path="[].url" if target in ("json", "jsonl") else "",
        wildcard_includes_apex="auto",
        rpz_action="given" if target == "rpz" and len(content) % 3 else "policy",
    )
    try:
        parsed = parse_all(raw, feed) if target == "directory" else parse_feed(raw, feed)
    except FeedError:
        return None
    assert parsed.size_bytes <= MAX_BYTES
    assert all(0 < bits < 16 for bits in parsed.names.values())
    assert all(1 <= len(key) <= 254 or not key for key in parsed.names)
    assert all(len(key) in (5, 17) for key in parsed.networks)
    assert all(len(lines.examples) <= 3 for lines in parsed.odd.values())
    write_entries(parsed_file, parsed, None, 1, 1)
    again = whole(Entries(parsed_file))
    assert dict(again.names) == dict(parsed.names)
    assert again.networks == parsed.networks
    assert again.actions == parsed.actions
    return parsed
