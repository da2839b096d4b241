"""Which worker a datagram goes to: the one that its question's name belongs to, whatever the case, type and EDNS of the query.

The sockets of one UDP address are a SO_REUSEPORT group. A classic BPF program (SO_ATTACH_REUSEPORT_CBPF, no privilege
needed) that the kernel runs on each datagram's payload says which of them, by their order of binding, is given it. Closing
one of them moves the last into its place, so a group is closed as a whole or not at all.
"""

from __future__ import annotations

import array
import socket
import struct
from typing import Final, NamedTuple

SO_ATTACH_REUSEPORT_CBPF: Final = 51  # Linux (asm-generic/socket.h); the socket module does not have it
QNAME_AT: Final = 12  # behind the header (RFC 1035, 4.1.1)
OCTETS: Final = 40  # of the name: as far as a jump reaches over them; past `a-long-host-name.a-long-domain.`

# Instructions (linux/bpf_common.h): A is the accumulator, X the other register.
LOAD_OCTET: Final = 0x30  # A = packet[k]; past its end the program returns 0
LOAD_NUMBER: Final = 0x00  # A = k
JUMP_IF_EQUAL: Final = 0x15  # A == k
OR_NUMBER: Final = 0x44
XOR_X: Final = 0xAC
MULTIPLY: Final = 0x24
SHIFT_RIGHT: Final = 0x74
MODULO: Final = 0x94
A_TO_X: Final = 0x07
X_TO_A: Final = 0x87
RETURN_A: Final = 0x16

_START: Final = 0x811C9DC5
_PRIME: Final = 0x01000193
_MIX: Final = 0x85EBCA6B


class Instruction(NamedTuple):
    """One `struct sock_filter`."""

    code: int
    jump_true: int  # instructions to skip
    jump_false: int
    k: int


def program(sockets: int) -> list[Instruction]:
    """What picks one of `sockets`: a hash of the name's first octets, in lower case, up to the zero that ends it.

    A packet too short to have a name, or to end it, goes to socket 0.
    """
    steps: list[Instruction] = []

    def step(code: int, k: int = 0, skip_if_equal: int = 0) -> None:
        steps.append(Instruction(code, skip_if_equal, 0, k))

    step(LOAD_NUMBER, _START)
    step(A_TO_X)
    for octet in range(OCTETS):
        step(LOAD_OCTET, QNAME_AT + octet)
        step(JUMP_IF_EQUAL, 0, skip_if_equal=6 * (OCTETS - octet) - 2)
        step(OR_NUMBER, 0x20)  # lower case; that a length or a digit becomes another is no harm
        step(XOR_X)
        step(MULTIPLY, _PRIME)
        step(A_TO_X)
    for shift, factor in ((16, _MIX), (13, 1)):  # the upper bits know more of the name than the lower ones
        step(X_TO_A)
        step(SHIFT_RIGHT, shift)
        step(XOR_X)
        step(MULTIPLY, factor)
        step(A_TO_X)
    step(X_TO_A)
    step(MODULO, sockets)
    step(RETURN_A)
    return steps


def steer(first: socket.socket, sockets: int) -> None:
    """Have the kernel spread what arrives at the group of `first` over its `sockets`, all of them bound. Raises `OSError`."""
    steps = program(sockets)
    code = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in steps))
    first.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, struct.pack("@HP", len(steps), code.buffer_info()[0]))
