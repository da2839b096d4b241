"""What an upstream may say: mostly sound, some of it negative, long, or broken."""

from __future__ import annotations

from tests.fuzz.corpus import RESPONSES
from tests.fuzz.mutate import Mutator, landmarks
from tests.property.test_plain import NOT_PLAIN, PLAIN

_SOA = bytes.fromhex("c00c00060001000003840018c00cc00c0000000100000002000000030000000400000012")
_ADDRESSES = b"".join(bytes.fromhex("c00c0001000100000e100004c6336401")[:-1] + bytes([at]) for at in range(60))
_MODELS = [*RESPONSES, *PLAIN.values(), *NOT_PLAIN.values()]
_RDATA = {
    b"\0\1": bytes([192, 0, 2, 99]),
    b"\0\x1c": bytes(16),
    b"\0\x10": b"\4text",
    b"\0\x06": _SOA[12:],
    b"\0\x0f": b"\0\x0a\xc0\x0c",
    b"\0\x41": b"\0\1\0",
    b"\0\2": b"\xc0\x0c",
}


def response_to(section: bytes, query_id: int, mutator: Mutator) -> bytes:
    """A response to the question in `section`."""
    kind = mutator.below(16)
    flags = 0x8180
    answers, authorities, tail = 1, 0, b""
    if kind < 6:
        tail = b"\xc0\x0c" + section[-4:-2] + b"\0\1\0\0\0" + bytes([1 + mutator.below(90)])
        rdata = _RDATA.get(section[-4:-2], b"\0\0\1")
        tail += len(rdata).to_bytes(2) + rdata
    elif kind < 9:
        answers, authorities, tail = 0, 1, _SOA
        flags |= 3 if kind == 8 else 0
    elif kind < 11:
        answers = 1 + mutator.below(60)
        tail = _ADDRESSES[: 16 * answers]
    elif kind == 11:
        tail = b"\xc0\x0c\0\x10\0\1\0\0\0\x3c\x27\x10" + b"\xff" * 10_000
    elif kind == 12:
        answers = 0
        flags = 0x8180 | mutator.below(16)
    else:
        model = _MODELS[mutator.below(len(_MODELS))]
        end = model.index(b"\0", 12) + 5
        wire = query_id.to_bytes(2) + model[2:12] + section + model[end:]
        return mutator.broken(wire, landmarks(wire)) if kind > 13 else wire
    head = b"".join(part.to_bytes(2) for part in (query_id, flags, 1, answers, authorities, 0))
    wire = head + section + tail
    return mutator.broken(wire, landmarks(wire)) if mutator.below(8) == 0 else wire
