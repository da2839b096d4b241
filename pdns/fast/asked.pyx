"""Noting what was asked. `asked.pxd` has the contract."""

# specification: pdns/telemetry/asked_names.py:AskedNames

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from pdns.fast.blake2s cimport BLAKE2S_DIGEST_BYTES, BLAKE2S_KEY_BYTES, blake2s_begin, blake2s_end
from pdns.fast.checks cimport must
from pdns.fast.wire cimport MAX_NAME_BYTES

from pdns.telemetry import asked_names as specification
from pdns.telemetry import ring as ring_layout

cdef enum:  # as pdns.telemetry.ring and asked_names have it
    HEAD_AT = 32
    WEIGHT_AT = 40
    KEY_AT = 64
    WEIGHT_OF_RECORD_AT = 8
    DIGEST_AT = 16
    SLOT_AT = 32
    DAY_AT = 36
    RECORD_BYTES = 40
    LEAST_LABELS = 2
assert (KEY_AT, DIGEST_AT, RECORD_BYTES) == (ring_layout.HEADER_BYTES, ring_layout.PREFIX_BYTES, specification.RECORD_BYTES)
assert (BLAKE2S_KEY_BYTES, BLAKE2S_DIGEST_BYTES) == (specification.KEY_BYTES, specification.DIGEST_BYTES)


cdef class AskedNames:
    """As `pdns.telemetry.asked_names.AskedNames`, with a table of fixed size."""

    def __cinit__(self, ring, tenant_slot):
        cdef Py_buffer view
        self._memory, self._tenant_slot = ring.memory, tenant_slot
        self._capacity = ring.capacity
        PyObject_GetBuffer(self._memory, &view, PyBUF_WRITABLE)
        self._ring = <uint8_t *>view.buf
        PyBuffer_Release(&view)  # the memory is there as long as the process
        self._records = self._ring + <Py_ssize_t>ring.records_at
        blake2s_begin(self._keyed, self._ring + KEY_AT)
        self._marks = <uint64_t *>calloc(MARK_SETS * MARK_WAYS, sizeof(uint64_t))
        if self._marks == NULL:
            raise MemoryError
        self._day, self._day_mark = 0, 0

    def __dealloc__(self):
        free(self._marks)

    @property
    def day(self):
        return self._day

    def turn(self, uint32_t day):
        """As `AskedNames.turn` of the specification."""
        self._day, self._day_mark = day, day * <uint64_t>0xC2B2AE3D27D4EB4F

    def note(self, bytes qname not None, str tenant not None):
        """As `AskedNames.note` of the specification."""
        self.write(<const uint8_t *>PyBytes_AS_STRING(qname), PyBytes_GET_SIZE(qname), tenant)

    cdef bint knew(self, uint64_t *ways, uint64_t mark) noexcept nogil:
        cdef int way = 1
        cdef bint known
        while way < MARK_WAYS - 1 and ways[way] != mark:
            way += 1
        known = ways[way] == mark
        while way:
            ways[way] = ways[way - 1]
            way -= 1
        ways[0] = mark
        return known

    cdef int write(self, const uint8_t *name, Py_ssize_t size, str tenant) except -1:
        """Write what is new of `name`, in wire form and lower case."""
        cdef uint8_t below[MAX_NAME_BYTES + 2]
        cdef uint8_t digest[BLAKE2S_DIGEST_BYTES]
        cdef uint32_t slot = self._tenant_slot(tenant)
        cdef Py_ssize_t at = 0, labels = 0
        must(size <= MAX_NAME_BYTES)
        blake2s_end(self._keyed, name, size, digest)
        if not self._put(digest, slot):
            return 0
        while name[at]:
            at += 1 + name[at]
            must(at < size)
            labels += 1
        at = 0
        below[0], below[1] = 1, 42
        while labels > LEAST_LABELS:
            at += 1 + name[at]
            labels -= 1
            memcpy(below + 2, name + at, size - at)
            blake2s_end(self._keyed, below, size - at + 2, digest)
            if not self._put(digest, slot):
                return 0
        return 0

    cdef bint _put(self, const uint8_t *digest, uint32_t slot) noexcept nogil:
        """Write a record, unless that was done today."""
        cdef uint64_t mark, head, weight
        cdef uint32_t one = 1
        cdef uint8_t *out
        memcpy(&mark, digest, 8)
        if self.knows(self.query_mark(mark, ~slot)):
            return False
        memcpy(&head, self._ring + HEAD_AT, 8)
        memcpy(&weight, self._ring + WEIGHT_AT, 8)
        out = self._records + head % self._capacity * RECORD_BYTES
        memcpy(out, &weight, 8)
        memcpy(out + WEIGHT_OF_RECORD_AT, &one, 4)
        memcpy(out + DIGEST_AT, digest, BLAKE2S_DIGEST_BYTES)
        memcpy(out + SLOT_AT, &slot, 4)
        memcpy(out + DAY_AT, &self._day, 4)
        weight += 1
        head += 1
        memcpy(self._ring + WEIGHT_AT, &weight, 8)
        memcpy(self._ring + HEAD_AT, &head, 8)
        return True
