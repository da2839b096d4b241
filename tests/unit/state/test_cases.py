"""The file of cases: what was blocked lately, and how it is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.core.case import reference
from pdns.state import cases
from pdns.state.cases import FILE_NAME, MAX_CASES, CaseBook, find
from pdns.wire.names import from_text

EVIL = from_text("evil.test")


def write(book: CaseBook) -> bool:
    """As the supervisor does it. Returns whether the file was written anew."""
    met, is_whole = book.take()
    book.write(met, is_whole=is_whole)
    return is_whole


def test_a_case_is_found_by_its_reference(tmp_path: Path) -> None:
    """With feed, policy, and when it was first and last met; other feeds and policies are other cases."""
    book = CaseBook(tmp_path)
    book.saw("default", "urlhaus", EVIL, 1000.0)
    book.saw("schools", "urlhaus", EVIL, 1001.0)
    assert write(book)
    book.saw("default", "urlhaus", EVIL, 1300.0)
    assert not book.has_news  # it was written less than ten minutes ago
    book.saw("default", "urlhaus", EVIL, 5000.0)
    assert not write(book)
    case = reference(EVIL, "urlhaus")
    assert [one[1:] for one in find(tmp_path, case)] == [(EVIL, "urlhaus", "default", 1000.0, 5000.0)]
    assert [one.policy for one in find(tmp_path, reference(EVIL, "urlhaus", "schools"))] == ["schools"]
    assert find(tmp_path, reference(EVIL, "threatfox")) == []


def test_no_file_is_no_case(tmp_path: Path) -> None:
    """Before the first block."""
    assert find(tmp_path, reference(EVIL, "urlhaus")) == []


def test_a_restart_goes_on(tmp_path: Path) -> None:
    """First and last time survive, and the first write replaces the file."""
    for now_s in (1000.0, 90_000.0):
        book = CaseBook(tmp_path)
        book.saw("default", "urlhaus", EVIL, now_s)
        assert write(book)
    [case] = find(tmp_path, reference(EVIL, "urlhaus"))
    assert (case.first_s, case.last_s) == (1000.0, 90_000.0)
    assert len((tmp_path / FILE_NAME).read_bytes().splitlines()) == 2


@pytest.mark.parametrize("name", [r"it\"s.test", r"a\.b.test", r"\000\255.test", "caf\u00e9.test", "."])
def test_every_name_comes_back(tmp_path: Path, name: str) -> None:
    """Quotes, dots in labels, bytes that are no text, and the root."""
    book = CaseBook(tmp_path)
    book.saw("default", "local", from_text(name), 1.0)
    write(book)
    assert [one.listed for one in find(tmp_path, reference(from_text(name), "local"))] == [from_text(name)]


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    """Cut, of another shape, not a name, not JSON: the others are there, and the next start writes a sound file."""
    book = CaseBook(tmp_path)
    book.saw("default", "urlhaus", EVIL, 1000.0)
    write(book)
    path = tmp_path / FILE_NAME
    strange = b'[1,"a"]\n{}\n\xff\n[1,"p","f","a..b"]\n[-1,"p","f","a"]\n[1e300,"p","f","a"]\n'
    path.write_bytes(strange + b"[" * 5000 + b"\n" + path.read_bytes() + b'[99,"def')
    assert len(find(tmp_path, reference(EVIL, "urlhaus"))) == 1
    again = CaseBook(tmp_path)
    again.saw("default", "urlhaus", from_text("other.test"), 2000.0)
    assert write(again)
    assert len(path.read_bytes().splitlines()) == 2


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of names that come once each, the oldest are forgotten; a name that is met all the time is not."""
    monkeypatch.setattr(cases, "MAX_CASES", 50)
    monkeypatch.setattr(cases, "MAX_LINES", 120)
    book = CaseBook(tmp_path)
    for number in range(500):
        book.saw("default", "urlhaus", from_text(f"n{number}.test"), float(number * 700))
        book.saw("default", "urlhaus", EVIL, float(number * 700))
        write(book)
        assert len((tmp_path / FILE_NAME).read_bytes().splitlines()) <= 120
    assert len(find(tmp_path, reference(EVIL, "urlhaus"))) == 1
    assert find(tmp_path, reference(from_text("n3.test"), "urlhaus")) == []
    assert find(tmp_path, reference(from_text("n499.test"), "urlhaus"))


def test_a_write_that_failed_is_made_good(tmp_path: Path) -> None:
    """The next one writes the whole file."""
    book = CaseBook(tmp_path)
    book.saw("default", "urlhaus", EVIL, 1.0)
    write(book)
    book.saw("default", "urlhaus", from_text("lost.test"), 2.0)
    book.take()
    book.failed()
    book.saw("default", "urlhaus", from_text("next.test"), 3.0)
    assert write(book)
    assert find(tmp_path, reference(from_text("lost.test"), "urlhaus"))


def test_a_write_that_failed_is_tried_again(tmp_path: Path) -> None:
    """Also if nothing else is blocked meanwhile."""
    book = CaseBook(tmp_path)
    book.saw("default", "urlhaus", EVIL, 1.0)
    book.take()
    book.failed()
    assert (book.has_news, write(book), book.has_news) == (True, True, False)
    assert find(tmp_path, reference(EVIL, "urlhaus"))


def test_a_file_that_somebody_changed_is_replaced(tmp_path: Path) -> None:
    """With the next case, those before are back."""
    book = CaseBook(tmp_path)
    path = tmp_path / FILE_NAME
    book.saw("default", "urlhaus", EVIL, 1.0)
    write(book)
    for number, size in enumerate((-1, 0, 20)):
        path.unlink()
        if size >= 0:
            path.write_bytes(bytes(size))
        book.saw("default", "urlhaus", from_text(f"n{number}.test"), 2.0)
        assert write(book)
        assert len(path.read_bytes().splitlines()) == number + 2
    book.saw("default", "urlhaus", from_text("last.test"), 3.0)
    assert not write(book)


@pytest.mark.parametrize("listed", [b"", b"\5ab", b"\4test", b"\xff" * 255, b"\0\0", b"\4TEST\0", b"\x40" + b"a" * 64 + b"\0"])
def test_no_name_is_no_case(tmp_path: Path, listed: bytes) -> None:
    """A worker may write anything into its memory; nothing of it ends the supervisor or leads to a line that cannot be read."""
    book = CaseBook(tmp_path)
    book.saw("default", "urlhaus", listed, 1.0)
    assert not book.has_news


def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases that come while a write takes long are not collected without end; the next write has the latest."""
    monkeypatch.setattr(cases, "MAX_CASES", 50)
    monkeypatch.setattr(cases, "MAX_LINES", 120)
    book = CaseBook(tmp_path)
    for number in range(1000):
        book.saw("default", "urlhaus", from_text(f"n{number}.test"), 1.0)
    met, is_whole = book.take()
    assert is_whole
    assert len(met) <= 55
    assert met[-1][0][2] == from_text("n999.test")


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """Neither read nor written."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    state = tmp_path / "state"
    state.mkdir()
    (state / FILE_NAME).symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        find(state, reference(EVIL, "urlhaus"))
    book = CaseBook(state)
    book.saw("default", "urlhaus", EVIL, 1.0)
    write(book)
    book.saw("default", "urlhaus", EVIL, 9999.0)
    write(book)
    assert outside.read_bytes() == b"mine"
    assert find(state, reference(EVIL, "urlhaus"))


def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """The case is written again at once, so that it does not seem to be met in the future for good."""
    book = CaseBook(tmp_path)
    book.saw("default", "urlhaus", EVIL, 1e9)
    write(book)
    book.saw("default", "urlhaus", EVIL, 1000.0)
    assert book.has_news
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_the_bound_is_as_documented() -> None:
    """`docs/answers.md` names it."""
    assert f"{MAX_CASES:,}" in (Path(__file__).parents[3] / "docs" / "answers.md").read_text()
