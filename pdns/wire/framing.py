"""DNS over a stream (RFC 1035, 4.2.2; RFC 7766): two bytes of length, then the message."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 65535


class Deframer:
    """Cuts a byte stream into messages. Holds at most one unfinished message."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The messages that `data` completes, oldest first; `data` is not kept. A zero-length message comes out as b""."""
        held = self._held
        held += data
        messages = []
        at = 0
        while len(held) - at >= 2:
            end = at + 2 + (held[at] << 8 | held[at + 1])
            if end > len(held):
                break
            messages.append(bytes(held[at + 2 : end]))
            at = end
        if at:
            del held[:at]
        return messages

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished message are held; 0 between messages."""
        return len(self._held)


def frame(message: bytes) -> bytes:
    """`message` behind its length. Raises `ValueError` above 65,535 bytes."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise ValueError("a DNS message has at most 65535 bytes")
    return len(message).to_bytes(2) + message
