"""Which worker a datagram goes to: the one that its question's name belongs to, whatever the case, type and EDNS of the query.

The sockets of one UDP address are a SO_REUSEPORT group. A classic BPF program (SO_ATTACH_REUSEPORT_CBPF, no privilege
needed) that the kernel runs on each datagram's payload says which of them, by their order of binding, is given it. Closing
one of them moves the last into its place, so a group is closed as a whole or not at all.

With load balancers, a datagram may begin with a PROXY protocol header; then the name is looked for behind it.

The hash has a secret key, and covers every byte of the name: clients cannot choose names that meet in one worker.
"""

from __future__ import annotations

import array
import hashlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from pdns.wire.proxy_header import FIXED_BYTES, SIGNATURE

SO_ATTACH_REUSEPORT_CBPF: Final = 51  # Linux (asm-generic/socket.h); the socket module does not have it
KEY_BYTES: Final = 32
QNAME_AT: Final = 12  # behind the header (RFC 1035, 4.1.1)
PROXY_LENGTH_AT: Final = 14  # in a PROXY header: the bytes behind its first 16
LABELS: Final = 36  # a name has at most so many to be steered; the reverse name of an IPv6 address has 34
WORDS: Final = 24  # and fills at most so many words of 4 bytes, and 3 bytes more

# Instructions (linux/bpf_common.h): A is the accumulator, X the other register, M sixteen words of memory.
LOAD_WORD: Final = 0x20  # A = packet[k:k+4]; past its end the program returns 0
LOAD_HALF: Final = 0x28  # A = packet[k:k+2]; as above
LOAD_WORD_AT_X: Final = 0x40  # A = packet[X+k:X+k+4]
LOAD_BYTE_AT_X: Final = 0x50  # A = packet[X+k]
LOAD_SIZE: Final = 0x80  # A = the bytes of the packet
LOAD_NUMBER: Final = 0x00  # A = k
LOAD_MEMORY: Final = 0x60  # A = M[k]
X_NUMBER: Final = 0x01  # X = k
X_MEMORY: Final = 0x61  # X = M[k]
STORE: Final = 0x02  # M[k] = A
ADD_NUMBER: Final = 0x04
ADD_X: Final = 0x0C
SUBTRACT: Final = 0x14
SUBTRACT_X: Final = 0x1C
MULTIPLY: Final = 0x24
OR_X: Final = 0x4C
AND_NUMBER: Final = 0x54
SHIFT_RIGHT: Final = 0x74
MODULO: Final = 0x94
XOR_NUMBER: Final = 0xA4
XOR_X: Final = 0xAC
A_TO_X: Final = 0x07
X_TO_A: Final = 0x87
JUMP: Final = 0x05
JUMP_IF_EQUAL: Final = 0x15  # A == k
JUMP_IF_ABOVE_X: Final = 0x2D  # A > X
JUMP_IF_AT_LEAST: Final = 0x35  # A >= k
RETURN_A: Final = 0x16

RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM (linux/filter.h): where LOAD_WORD finds a random number

_END, _SUM, _WORD, _START = range(4)  # in M: where the name ends, what is summed up, the word at work, where the message begins


class Steering(NamedTuple):
    """How the kernel spreads datagrams over the sockets of one address. With the same key it does so alike on every address."""

    sockets: int
    key: bytes  # of KEY_BYTES
    proxied: bool = False  # datagrams may begin with a PROXY header; those that do not go where they went without

    def apply(self, first: socket.socket) -> None:
        """From now on, for the group of `first`, all of it bound. Raises `OSError`."""
        steps = program(self.sockets, self.key, proxied=self.proxied)
        code = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in steps))
        first.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, struct.pack("@HP", len(steps), code.buffer_info()[0]))


class Instruction(NamedTuple):
    """One `struct sock_filter`."""

    code: int
    jump_true: int  # instructions to skip
    jump_false: int
    k: int


class _Assembler:
    """Instructions in the making. The targets of jumps are labels that `here` places later."""

    def __init__(self) -> None:
        self.steps: list[Instruction] = []
        self._jumps: dict[str, list[int]] = {}

    def step(self, code: int, k: int = 0) -> None:
        self.steps.append(Instruction(code, 0, 0, k))

    def go(self, label: str) -> None:
        self._jumps.setdefault(label, []).append(len(self.steps))
        self.step(JUMP)

    def go_if(self, code: int, k: int, label: str) -> None:
        self.steps.append(Instruction(code, 0, 1, k))
        self.go(label)

    def go_unless(self, code: int, k: int, label: str) -> None:
        self.steps.append(Instruction(code, 1, 0, k))
        self.go(label)

    def here(self, label: str) -> None:
        for at in self._jumps.pop(label, ()):
            self.steps[at] = self.steps[at]._replace(k=len(self.steps) - at - 1)


def program(sockets: int, key: bytes, *, proxied: bool = False) -> list[Instruction]:
    """What picks one of `sockets`: a keyed hash of the name in lower case. `key` has KEY_BYTES.

    The sum of 16-bit pieces, each times a secret number of its own, is strongly universal in its upper 17 bits (Lemire and
    Kaser, "Strongly universal string hashing is fast"): two different names meet in one of N sockets under one key in N.
    The keyed rounds behind it keep who learns some of its results from solving for the secret numbers at once.
    What has no whole name, or one beyond LABELS and WORDS, goes to any socket.
    """
    numbers = _numbers(key)
    out = _Assembler()
    step = out.step
    if proxied:
        _find_message(out)
    else:
        step(X_NUMBER, QNAME_AT)
    for _ in range(LABELS + 1):  # from label to label: a zero within one does not end the name
        step(LOAD_SIZE)
        out.go_unless(JUMP_IF_ABOVE_X, 0, "anywhere")
        step(LOAD_BYTE_AT_X)
        out.go_if(JUMP_IF_EQUAL, 0, "end")
        step(ADD_X)
        step(ADD_NUMBER, 1)
        step(A_TO_X)
    out.go("anywhere")
    out.here("end")
    step(LOAD_NUMBER, next(numbers))
    step(STORE, _SUM)
    step(X_TO_A)
    if proxied:
        step(X_MEMORY, _START)
        step(SUBTRACT_X)
    step(STORE, _END)
    out.go_unless(JUMP_IF_AT_LEAST, QNAME_AT + 3, "finish")  # the root, and names of one byte, are one to us
    out.go_if(JUMP_IF_AT_LEAST, QNAME_AT + 4 * WORDS + 3, "anywhere")
    _add(out, next(numbers))
    for at in range(QNAME_AT, QNAME_AT + 4 * WORDS, 4):
        step(LOAD_MEMORY, _END)
        out.go_unless(JUMP_IF_AT_LEAST, at + 3, "rest")
        if proxied:
            step(X_MEMORY, _START)
            step(LOAD_WORD_AT_X, at)
        else:
            step(LOAD_WORD, at)
        _add_word(out, next(numbers), next(numbers))
    out.here("rest")
    step(LOAD_MEMORY, _END)
    step(SUBTRACT, 3)
    if proxied:
        step(X_MEMORY, _START)
        step(ADD_X)
    step(A_TO_X)
    step(LOAD_WORD_AT_X)  # the last four bytes, some of which may have been in the word before
    _add_word(out, next(numbers), next(numbers))
    out.here("finish")
    step(LOAD_MEMORY, _SUM)
    step(SHIFT_RIGHT, 15)
    for shift in (16, 15):
        step(XOR_NUMBER, next(numbers))
        step(MULTIPLY, next(numbers) | 1)
        step(A_TO_X)
        step(SHIFT_RIGHT, shift)
        step(XOR_X)
    step(MODULO, sockets)
    step(RETURN_A)
    out.here("anywhere")
    step(LOAD_WORD, RANDOM)
    step(MODULO, sockets)
    step(RETURN_A)
    return out.steps


def _find_message(out: _Assembler) -> None:
    """Store where the message begins, behind a PROXY header if there is one; its name is at X."""
    step = out.step
    step(LOAD_NUMBER, 0)
    step(STORE, _START)
    step(LOAD_SIZE)
    out.go_unless(JUMP_IF_AT_LEAST, FIXED_BYTES, "bare")
    for at in range(0, len(SIGNATURE), 4):
        step(LOAD_WORD, at)
        out.go_unless(JUMP_IF_EQUAL, int.from_bytes(SIGNATURE[at : at + 4]), "bare")
    step(LOAD_HALF, PROXY_LENGTH_AT)
    step(ADD_NUMBER, FIXED_BYTES)
    step(STORE, _START)
    out.here("bare")
    step(LOAD_MEMORY, _START)
    step(ADD_NUMBER, QNAME_AT)
    step(A_TO_X)


def _add_word(out: _Assembler, upper: int, lower: int) -> None:
    """Add both halves of the word in A, in lower case, times `upper` and `lower` to the sum."""
    step = out.step
    step(STORE, _WORD)
    step(AND_NUMBER, 0x7F7F7F7F)  # which of its four bytes are at least A, and which beyond Z: the uppermost bit of each says
    step(ADD_NUMBER, 0x3F3F3F3F)
    step(A_TO_X)
    step(SUBTRACT, 0x1A1A1A1A)
    step(XOR_X)
    step(AND_NUMBER, 0x80808080)
    step(X_MEMORY, _WORD)
    step(OR_X)  # and not those beyond ASCII
    step(XOR_X)
    step(SHIFT_RIGHT, 2)
    step(OR_X)
    step(STORE, _WORD)
    step(SHIFT_RIGHT, 16)
    _add(out, upper)
    step(LOAD_MEMORY, _WORD)
    step(AND_NUMBER, 0xFFFF)
    _add(out, lower)


def _add(out: _Assembler, factor: int) -> None:
    out.step(MULTIPLY, factor)
    out.step(X_MEMORY, _SUM)
    out.step(ADD_X)
    out.step(STORE, _SUM)


def _numbers(key: bytes) -> Iterator[int]:
    """Secret numbers of 32 bits, as many as a program needs."""
    return (number for (number,) in struct.iter_unpack("=I", hashlib.shake_256(key).digest(4 * (2 * WORDS + 16))))


def new_key() -> bytes:
    """A fresh key. Groups that are opened with the same one give the same names to the same workers."""
    return os.urandom(KEY_BYTES)
