"""DNS over a stream, cut and framed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.wire.framing import MAX_MESSAGE_BYTES, Deframer, frame


@given(st.lists(st.binary(max_size=600), max_size=6), st.data())
def test_however_a_stream_is_cut_the_same_messages_come_out(messages: list[bytes], data: st.DataObject) -> None:
    """Messages are delivered once, whole and in order, wherever the segments end."""
    stream = b"".join(map(frame, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    deframer = Deframer()
    out = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += deframer.feed(stream[start:end])
    assert out == messages
    assert deframer.pending_bytes == 0


@pytest.mark.parametrize("size", [0, 1, 12, 255, 256, MAX_MESSAGE_BYTES])
def test_byte_by_byte_a_message_comes_out_with_its_last_byte(size: int) -> None:
    """Nothing comes out early, and the bytes of an unfinished message are counted."""
    stream = frame(bytes(size))
    deframer = Deframer()
    for at in range(len(stream) - 1):
        assert deframer.feed(stream[at : at + 1]) == []
        assert deframer.pending_bytes == at + 1
    assert deframer.feed(stream[-1:]) == [bytes(size)]
    assert deframer.pending_bytes == 0


def test_a_message_does_not_change_with_the_buffer_it_was_read_from() -> None:
    """What is fed may be a view of memory that is written over at once."""
    buffer = bytearray(frame(b"first") + frame(b"second")[:4])
    deframer = Deframer()
    messages = deframer.feed(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert messages == [b"first"]
    assert deframer.feed(b"cond") == [b"second"]


def test_the_length_stands_before_the_message_in_network_order() -> None:
    """RFC 1035, 4.2.2: two bytes, the length field itself not counted."""
    assert frame(b"x" * 258) == b"\x01\x02" + b"x" * 258
    assert frame(b"") == b"\0\0"


def test_what_no_length_can_say_is_not_framed() -> None:
    """A message over 65,535 bytes raises `ValueError` rather than wrap around."""
    with pytest.raises(ValueError, match="65535"):
        frame(bytes(MAX_MESSAGE_BYTES + 1))
