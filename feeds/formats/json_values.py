"""JSON: the values that a path leads to; the same of each line. Also what other formats that are JSON are read with.

The text is held, and a view of each entry; what is in an entry is looked at one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from feeds.annotations import NameAnnotation
from feeds.formats.annotations import end_s
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
KEYS: Final = "~"  # a step to the keys of an object
Steps = tuple[str | None, ...]


def read(content: Content, out: Collector) -> None:
    """Collect what is at the feed's `json_path`."""
    steps, until = steps_of(content.feed.json_path), steps_of(content.feed.active_until)
    for found in _walk(document(content), steps, until):
        out.begin(bytes(found.shown), _detail(found))
        _add(found.text, out)


def read_lines(content: Content, out: Collector) -> None:
    """Collect what is at the feed's `json_path` in each line; a line that is no JSON, or has nothing there, is counted."""
    steps, until = steps_of(content.feed.json_path), steps_of(content.feed.active_until)
    for line in content.lines(out, MAX_LINE_BYTES):
        if not line.strip():
            continue
        raw = decoded(Raw(line), Raw)
        if raw is None:
            out.refuse(Reason.BAD_ENTRY)
            continue
        nothing = True
        for found in _walk(raw, steps, until):
            nothing = False
            out.describe(_detail(found))
            _add(found.text, out)
        if nothing:
            out.refuse(Reason.NO_VALUE)


def is_json(sample: bytes) -> bool:
    """Whether a list that begins with `sample` can only be JSON, if it is in one of two formats of which one is."""
    return _BEGINS(sample) is not None


def steps_of(path: str) -> tuple[str | None, ...]:
    """`data[].host` as keys, and None for every element of an array or value of an object; `KEYS` last for its keys (`~`)."""
    steps = [quoted or key or None for quoted, _, key in (step.groups() for step in _STEPS(path.removesuffix("~")))]
    if path.endswith("~"):
        steps = [*(steps[:-1] if steps and steps[-1] is None else steps), KEYS]
    return tuple(steps)


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
    """The fields of an object, by key; empty for any other value."""
    return decoded(raw, dict[str, Raw]) or {}


def items(raw: Raw) -> list[Raw]:
    """The elements of an array, or the values of an object; empty for any other value."""
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


class _Found(NamedTuple):
    """A place that a path leads to."""

    shown: Raw  # it, or what it should be in
    text: str | None
    until: Raw | None  # what is said of its end


def _walk(raw: Raw, steps: Steps, until: Steps, end: Raw | None = None) -> Iterator[_Found]:
    """What `steps` lead to, each with what it is in; no text where a step leads nowhere.

    `until` leads to its end: from what both paths have gone through together, by keys alone. `end` is what it led to before.
    """
    around = raw
    for number, step in enumerate(steps):
        around = raw
        if until and not _together(step, until[0]):
            end, until = _at(raw, until), ()
        if step is KEYS:
            for key, value in fields(raw).items():
                yield _Found(value, key, _at(value, until[1:]) if until else end)
            return
        until = until[1:]
        if step is None:
            for item in items(raw):
                yield from _walk(item, steps[number + 1 :], until, end)
            return
        found = fields(raw).get(step)
        if found is None:
            yield _Found(around, None, end)
            return
        raw = found
    yield _Found(raw, decoded(raw, str), _at(raw, until) if until else end)


def _together(step: str | None, other: str | None) -> bool:
    return step == other or (step is KEYS and other is None)


def _at(raw: Raw, keys: Steps) -> Raw | None:
    for key in keys:
        found = fields(raw).get(key) if key is not None else None
        if found is None:
            return None
        raw = found
    return raw


def _detail(found: _Found) -> NameAnnotation | None:
    if found.until is None:
        return None
    return NameAnnotation(expires_s=end_s(decoded(found.until, str) or decoded(found.until, float)))


def _add(text: str | None, out: Collector) -> None:
    if text is not None and (text := text.strip()):
        out.add(text.encode("utf-8", "surrogatepass"))
    else:
        out.refuse(Reason.NO_VALUE)
