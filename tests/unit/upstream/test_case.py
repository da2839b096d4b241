"""0x20: mixing the case of questions, and remembering who does not keep it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.upstream.case import RETRY_S, CaseMemory, mix
from pdns.wire.names import from_text


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3), st.binary(min_size=193, max_size=193))
def test_mixing_changes_only_letters(labels: list[bytes], random_bytes: bytes) -> None:
    """The name stays the same name, and every byte that is no letter stays as it is, length bytes too."""
    name = b"".join(bytes((len(label),)) + label for label in labels).lower() + b"\0"
    mixed = mix(name, random_bytes[: len(name)])
    assert mixed.lower() == name
    assert all(after == before or chr(before).islower() for before, after in zip(name, mixed, strict=True))


def test_every_letter_follows_its_own_bit() -> None:
    """All bits set gives capitals, none gives small letters, one gives one."""
    name = from_text("a-z0.Example")
    assert mix(name, b"\xff" * len(name)) == b"\x04A-Z0\x07EXAMPLE\0"
    assert mix(name, bytes(len(name))) == name
    assert mix(name, bytes(6) + b"\x20" + bytes(len(name) - 7)) == b"\x04a-z0\x07Example\0"


def test_off_stays_off() -> None:
    """What the configuration turns off is never tried."""
    memory = CaseMemory(enabled=False)
    memory.lost_over_tcp(0)
    assert not memory.is_on(1e12)


def test_tcp_convinces_at_once_and_for_an_hour() -> None:
    """One answer over TCP in another case is proof; the upstream is tried again an hour later."""
    memory = CaseMemory(enabled=True)
    assert memory.is_on(0)
    memory.lost_over_tcp(50.0)
    assert not memory.is_on(50.0 + RETRY_S - 1)
    assert memory.is_on(50.0 + RETRY_S)


def test_without_tcp_it_takes_three_in_a_row() -> None:
    """Two mismatches, an answer that kept its case, and two more prove nothing; three in a row do."""
    memory = CaseMemory(enabled=True)
    for _ in range(2):
        memory.lost_without_tcp(0)
    memory.kept()
    for _ in range(2):
        memory.lost_without_tcp(0)
    assert memory.is_on(0)
    memory.lost_without_tcp(0)
    assert not memory.is_on(0)
    assert memory.is_on(RETRY_S)
