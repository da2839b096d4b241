"""Padding of answers on encrypted transports: as `pdns.wire.padding` does it."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from pdns.fast.wire cimport HEADER_BYTES, TYPE_OPT, put16, u16

cdef enum:
    BLOCK_BYTES = 468
    MOST_PADDED_BYTES = 65535
    OPTION_PADDING = 12
    OPTION_HEAD_BYTES = 4
    RECORD_BYTES = 10
    TAIL_BYTES = 4  # of a question, behind its name


cdef inline Py_ssize_t past_name(const uint8_t *message, Py_ssize_t size, Py_ssize_t at) noexcept nogil:
    while at < size:
        if message[at] == 0:
            return at + 1
        if message[at] >= 192:
            return at + 2
        if message[at] > 63:
            break
        at += 1 + message[at]
    return size + 1


cdef inline Py_ssize_t opt_at(const uint8_t *message, Py_ssize_t size) noexcept nogil:
    """Where the OPT record at the end begins; -1: there is none."""
    cdef Py_ssize_t at = HEADER_BYTES, start = -1
    cdef uint32_t left
    if size < HEADER_BYTES or u16(message + 10) == 0:
        return -1
    for left in range(u16(message + 4)):
        at = past_name(message, size, at) + TAIL_BYTES
        if at > size:
            return -1
    for left in range(<uint32_t>u16(message + 6) + u16(message + 8) + u16(message + 10)):
        start = at
        at = past_name(message, size, at) + RECORD_BYTES
        if at > size:
            return -1
        at += u16(message + at - 2)
    return start if at == size and message[start] == 0 and u16(message + start + 1) == TYPE_OPT else -1


cdef inline Py_ssize_t pad(uint8_t *message, Py_ssize_t size) noexcept nogil:
    """Pads the message, which has room for 65,535 bytes. Returns its new size."""
    cdef Py_ssize_t at = opt_at(message, size), wanted, body = size + OPTION_HEAD_BYTES
    if at < 0:
        return size
    wanted = (body + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES
    if wanted > MOST_PADDED_BYTES:
        wanted = MOST_PADDED_BYTES
    if wanted < body:
        return size
    put16(message + at + 9, <unsigned int>(wanted - at - 11))
    put16(message + size, OPTION_PADDING)
    put16(message + size + 2, <unsigned int>(wanted - body))
    memset(message + body, 0, wanted - body)
    return wanted
