"""The entries of a feed as text."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feeds.annotations import NameAnnotation
from feeds.entries import Entries
from feeds.fleet.entries_text import (
    HEAD,
    NAME,
    BadText,
    NameTexts,
    Said,
    TextEntry,
    TextSummary,
    read_text,
    suffix_of,
    write_text,
)
from feeds.fleet.text_to_entries import EntryCounts, entries_from_text
from pdns.core.listing import MAX_ACTIONS, ListedAction
from tests.unit.feeds.fleet import texts


def written(entries: list[TextEntry]) -> tuple[bytes, TextSummary]:
    file = io.BytesIO()
    summary = write_text(file, entries)
    return file.getvalue(), summary


@given(texts.entries)
def test_entries_come_back(entries: list[TextEntry]) -> None:
    """Entries to text and back, of names with any byte; the text is sorted, and the same entries give the same text."""
    data, summary = written(entries)
    assert list(read_text(io.BytesIO(data))) == entries
    lines = data.split(b"\n")[:-1]
    assert lines == sorted(lines)
    assert summary == (hashlib.sha256(data).hexdigest(), len(data), len(entries))
    assert data.isascii() or any(entry.said.annotation != NameAnnotation() for entry in entries)
    again, _ = written(list(read_text(io.BytesIO(data))))
    assert again == data


@given(texts.entries, st.data())
def test_what_is_accepted_is_canonical(entries: list[TextEntry], draw: st.DataObject) -> None:
    """A text with a changed byte is refused, or says something else in the one way to say it."""
    data = bytearray(written(entries)[0])
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] = draw.draw(st.integers(0, 255))
    try:
        found = list(read_text(io.BytesIO(bytes(data))))
    except BadText:
        return
    assert written(found)[0] == bytes(data)


@given(texts.names, texts.names)
@example(texts.key_of([b"com", b"!"]), texts.key_of([b"com", b'"']))
def test_order_of_lines_is_that_of_keys(one: bytes, other: bytes) -> None:
    """A text is sorted bytewise exactly when its keys are."""
    lines = [NameTexts().text_of(key) + suffix_of(Said(3, 1)) for key in (one, other)]
    assert (lines[0] < lines[1]) == (one < other)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"N3com\t3\t1", b"N4com\t3\t1\n", b"N3com\t03\t1\n", b"N3com\t3\t70000\n", b"N3com\t3\n", b"N3com\t0\t1\n",
        b"N3c\xffm\t3\t1\n", b"N3c~41m\t3\t1\n", b"N3com\t3\t1\tt=x\n", b'N3com\t3\t1\tt=""\n', b'N3com\t3\t1\tn=["no",[]]\n',
        b"N3com\t3\t1\tz=1\n", b"Ac0000001\t3\t1\n", b"Ac000000121\t3\t1\n", b"AC000000120\t3\t1\n", b"Cc000000120\t0\t1\n",
        b"X\t3\t1\n", b"N3com\t10\t1\n", b"N3com\t3\t-1\n", b"N0\t3\t1\n", b"N3com\t3\t1\n\n",
    ],
)  # fmt: skip
def test_broken_lines(line: bytes) -> None:
    """A line that is cut short, or is not what the writer writes, is refused with its number."""
    good = b"N1a\t3\t1\n"
    if not line:
        assert len(list(read_text(io.BytesIO(HEAD + good)))) == 1
        return
    with pytest.raises(BadText, match=r"^line [23]"):
        list(read_text(io.BytesIO(HEAD + line)))


@pytest.mark.parametrize("data", [b"", b"<html>\n", HEAD[:-1], HEAD.replace(b"1", b"2")])
def test_other_content(data: bytes) -> None:
    """What is not such a text, or of another version, is refused."""
    with pytest.raises(BadText, match="of another version"):
        list(read_text(io.BytesIO(data)))


def test_order_is_checked() -> None:
    """Lines that are not in order, or there twice, are refused."""
    for lines in (b"N1b\t3\t1\nN1a\t3\t1\n", b"N1a\t3\t1\nN1a\t3\t2\n"):
        with pytest.raises(BadText, match=r"^line 3: not in order"):
            list(read_text(io.BytesIO(HEAD + lines)))


@given(texts.entries)
def test_to_entries(tmp_path_factory: pytest.TempPathFactory, entries: list[TextEntry]) -> None:
    """A file of entries that is made of a text says the same."""
    path = tmp_path_factory.mktemp("entries") / "x.parsed"
    data, _ = written(entries)
    counts = entries_from_text(io.BytesIO(data), path)
    found = list(_read_back(path))
    assert found == [entry for entry in entries if entry.kind == "A"] + [entry for entry in entries if entry.kind == "N"]
    clients = {entry.key: entry.said.at_name for entry in entries if entry.kind == "C"}
    of_file = Entries(path).actions
    assert {key: of_file.table[number - 1] for key, number in of_file.clients.items()} == clients
    kinds = [entry.kind for entry in entries]
    assert counts == EntryCounts(kinds.count("N"), kinds.count("A"), kinds.count("C"))


def _read_back(path: Path) -> list[TextEntry]:
    file = Entries(path)
    action: list[ListedAction | None] = [None, *file.actions.table]
    told = [NameAnnotation(), *file.details]
    found: list[TextEntry] = []
    for kind, blocks in (("A", file.networks()), (NAME, file.names())):
        for block in blocks:
            for at, key in enumerate(block.keys):
                both = block.actions[at] if block.actions else 0
                said = Said(
                    block.bits[at], block.first_days[at], told[block.details[at]], action[both & MAX_ACTIONS], action[both >> 16]
                )
                found.append(TextEntry(kind, key, said))  # type: ignore[arg-type]
    return found
