"""What an encrypted connection answers, in the plainest way: the specification of the compiled one."""

# kernel: pdns/fast/encrypted.pyx
# kernel: pdns/fast/encrypted_sockets.pyx
# kernel: pdns/fast/encrypted_stream.pyx

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pdns.wire.framing import Deframer, frame
from pdns.wire.padding import padded
from pdns.wire.protocol import HEADER_BYTES


def answers(parts: Iterable[bytes], answer: Callable[[bytes], bytes | None], *, pads: bool = True) -> Iterator[bytes]:
    """The frames that a client gets which sends `parts`, decrypted, when `answer` knows all answers at once; None is silence.

    A message that is shorter than a header ends the connection.
    """
    deframer = Deframer()
    for part in parts:
        for message in deframer.feed(part):
            if len(message) < HEADER_BYTES:
                return
            reply = answer(message)
            if reply is not None:
                yield frame(padded(reply) if pads else reply)
