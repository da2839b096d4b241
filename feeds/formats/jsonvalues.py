"""JSON: the values that a path leads to; the same of each line. Also what other formats that are JSON are read with.

The text is held, and a view of each entry; what is in an entry is looked at one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from feeds.formats.collector import Collector
from feeds.formats.content import Content
from feeds.normalise import Reason
from pdns.errors import FeedError

MAX_LINE_BYTES: Final = 1024 * 1024
MAX_VALUES: Final = 20_000_000  # a view of each takes 64 bytes
_STEPS = re.compile(r"\['([^']+)'\]|(\[\*?\]|\.\*)|\.?([^.\[\]*$]+)").finditer
_AT_BYTE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)").fullmatch
_BEGINS = re.compile(rb"\s*[\[{]").match
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
T = TypeVar("T")


def read(content: Content, out: Collector) -> None:
    """Collect what is at the feed's `json_path`."""
    steps = steps_of(content.feed.json_path)
    for around, value in _walk(document(content), steps):
        out.begin(bytes(around if value is None else value))
        _add(value, out)


def read_lines(content: Content, out: Collector) -> None:
    """Collect what is at the feed's `json_path` in each line; a line that is no JSON is counted."""
    steps = steps_of(content.feed.json_path)
    for line in content.lines(out, MAX_LINE_BYTES):
        if not line.strip():
            continue
        raw = decoded(Raw(line), Raw)
        if raw is None:
            out.refuse(Reason.BAD_ENTRY)
            continue
        for _, value in _walk(raw, steps):
            _add(value, out)


def is_json(sample: bytes) -> bool:
    """Whether a list that begins with `sample` can only be JSON, if it is in one of two formats of which one is."""
    return _BEGINS(sample) is not None


def steps_of(path: str) -> tuple[str | None, ...]:
    """`data[].host` as keys, and None for every element of an array or value of an object."""
    return tuple([quoted or key or None for quoted, _, key in (step.groups() for step in _STEPS(path))])


def document(content: Content) -> Raw:
    """The whole text, which is JSON from its first byte to its last. Raises `FeedError`, with the line, when it is not."""
    body = content.body()
    if body.count(b",") > MAX_VALUES:
        raise FeedError(content.feed.name, f"more than {MAX_VALUES:,} values in one JSON document: publish it as JSON lines")
    try:
        return msgspec.json.decode(body, type=Raw)
    except RecursionError:
        raise FeedError(content.feed.name, "not usable JSON: nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        found = _AT_BYTE(str(exc))
        at = int(found[2]) if found else len(body)
        reason = f"{found[1]} (byte {at:,})" if found else "it ends in the middle" if body.strip() else "it is empty"
        raise FeedError(content.feed.name, f"not valid JSON: {reason}", body.count(b"\n", 0, at) + 1) from None


def decoded(raw: Raw, kind: type[T]) -> T | None:
    """`raw` as `kind`; None when it is something else."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except _UNREADABLE:
        return None


def fields(raw: Raw) -> dict[str, Raw]:
    """What is in an object, by key; nothing when it is none."""
    return decoded(raw, dict[str, Raw]) or {}


def items(raw: Raw) -> list[Raw]:
    """The elements of an array, or the values of an object; nothing when it is neither."""
    elements = decoded(raw, list[Raw])
    return elements if elements is not None else list(fields(raw).values())


def entries_of_dump(content: Content, key: str, kind: type[T], out: Collector) -> Iterator[T]:
    """What a dump of abuse.ch has as `kind`: in an array, or by id, one or several of each; an answer has them under `key`.

    `out` is told of each; what is no `kind` is counted.
    """
    whole = document(content)
    for entry in items(fields(whole).get(key, whole)):
        several = decoded(entry, list[Raw])
        for raw in several if several is not None else [entry]:
            out.begin(bytes(raw))
            found = decoded(raw, kind)
            if found is None:
                out.refuse(Reason.BAD_ENTRY)
            else:
                yield found


def _walk(raw: Raw, steps: tuple[str | None, ...]) -> Iterator[tuple[Raw, Raw | None]]:
    """What `steps` lead to, each with what it is in; None for it where a step leads nowhere."""
    around = raw
    for number, step in enumerate(steps):
        around = raw
        if step is None:
            for item in items(raw):
                yield from _walk(item, steps[number + 1 :])
            return
        found = fields(raw).get(step)
        if found is None:
            yield around, None
            return
        raw = found
    yield around, raw


def _add(value: Raw | None, out: Collector) -> None:
    text = decoded(value, str) if value is not None else None
    if text is not None and (text := text.strip()):
        out.add(text.encode("utf-8", "surrogatepass"))
    else:
        out.refuse(Reason.NO_VALUE)
