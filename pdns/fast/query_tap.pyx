"""Copies of queries for taps. `query_tap.pxd` has the contract."""

# specification: pdns/reference/query_tap.py:ReferenceQueryTap

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from pdns.fast.checks cimport must
from pdns.fast.clients cimport ADDRESS_BYTES
from pdns.fast.event_writer cimport kept_bits, mask, view_of
from pdns.fast.wire cimport HEADER_BYTES, MAX_QUESTION_BYTES, OPT_BYTES, TYPE_OPT, put16, put32

from pdns.core import client_identity
from pdns.telemetry import tap_ring

cdef enum:
    SAMPLED = 1
    TAPPED = 2
    NOTHING = 0
    PSEUDONYM = 1
    ADDRESS = 2
    RECORD_BYTES = 336
    MORE_CLIENTS = 64
    DO = 0x8000
    HEAD = 0
    WEIGHT = 1

assert (SAMPLED, TAPPED, RECORD_BYTES) == (tap_ring.SAMPLED, tap_ring.TAPPED, tap_ring.RECORD_BYTES)
assert sizeof(TapFixed) == RECORD_BYTES - tap_ring.MOST_MESSAGE_BYTES
assert sizeof(TapFixed) + HEADER_BYTES + MAX_QUESTION_BYTES + OPT_BYTES <= RECORD_BYTES
assert (NOTHING, PSEUDONYM, ADDRESS) == (client_identity.NOTHING, client_identity.PSEUDONYM, client_identity.ADDRESS)


cdef class QueryTap:

    def __init__(self, ring, bytes key not None, tenant_slot):
        cdef Py_buffer view
        self._memory, self._key, self._tenant_slot = ring.memory, key, tenant_slot
        PyObject_GetBuffer(self._memory, &view, PyBUF_WRITABLE)
        self._words = <uint64_t *>(<uint8_t *>view.buf + 32)
        self._records = <uint8_t *>view.buf + <Py_ssize_t>ring.records_at
        PyBuffer_Release(&view)  # whoever made this unmaps it when this is no longer used
        self._capacity = ring.capacity
        self.configure(lambda _tenant: client_identity.ClientView(), frozenset(), 0, 0)

    def __dealloc__(self):
        free(self._clients)

    def configure(self, views, tapped, uint32_t every, uint32_t first):
        self._views, self._tapped, self._any_tapped = views, tapped, len(tapped) > 0
        self._every, self._left = every, first if every else 0
        memset(self._clients, 0, self._room * sizeof(TappedClient))

    cdef int see(self, const Question *question, uint16_t number, list clients, const uint8_t *address, int transport, double now) except -1:
        cdef TappedClient *client
        cdef int flags = 0
        if self._every:
            self._left -= 1
            if self._left == 0:
                self._left = self._every
                flags = SAMPLED
        if flags == 0 and not self._any_tapped:
            return 0
        client = self._known(number, clients)
        if client.tapped:
            flags |= TAPPED
        if flags:
            self._write(question, client, clients[number].tenant, address, transport, flags, now)
        return 0

    cdef TappedClient *_known(self, uint16_t number, list clients) except NULL:
        cdef TappedClient *larger
        if number >= self._room:
            larger = <TappedClient *>realloc(self._clients, (number + MORE_CLIENTS) * sizeof(TappedClient))
            if larger == NULL:
                raise MemoryError
            memset(larger + self._room, 0, (number + MORE_CLIENTS - self._room) * sizeof(TappedClient))
            self._clients, self._room = larger, number + MORE_CLIENTS
        larger = &self._clients[number]
        if not larger.view.is_known:
            tenant = clients[number].tenant
            larger.series, larger.tapped = self._tenant_slot(tenant), tenant in self._tapped
            larger.view = view_of(self._views(tenant))
        return larger

    cdef int _write(
        self, const Question *question, const TappedClient *client, str tenant, const uint8_t *address, int transport, int flags, double now
    ) except -1:
        cdef uint8_t *record = self._records + self._words[HEAD] % self._capacity * RECORD_BYTES
        cdef uint8_t *at = record + sizeof(TapFixed)
        cdef TapFixed *fixed = <TapFixed *>record
        cdef bytes stands_for
        must(question.bytes <= MAX_QUESTION_BYTES)
        memset(record, 0, sizeof(TapFixed))
        if client.view.kind == ADDRESS:
            fixed.client_bits = kept_bits(&client.view, address)
            memcpy(fixed.client, address, ADDRESS_BYTES)
            mask(fixed.client, fixed.client_bits)
        elif client.view.kind == PSEUDONYM:
            stands_for = client_identity.pseudonym(self._key, tenant, PyBytes_FromStringAndSize(<const char *>address, ADDRESS_BYTES))
            memcpy(fixed.client, PyBytes_AS_STRING(stands_for), PyBytes_GET_SIZE(stands_for))
        fixed.client_kind, fixed.flags, fixed.transport = client.view.kind, flags, transport
        fixed.at_s, fixed.series, fixed.before, fixed.weight = now, client.series, self._words[WEIGHT], 1
        put16(at, question.id)
        put16(at + 2, question.flags)
        put16(at + 4, 1)
        put32(at + 6, 0)
        put16(at + 10, 1 if question.edns else 0)
        at += HEADER_BYTES
        memcpy(at, question.section, question.bytes)
        at += question.bytes
        if question.edns:
            at[0] = 0
            put16(at + 1, TYPE_OPT)
            put16(at + 3, question.udp_bytes)
            put32(at + 5, DO if question.want_dnssec else 0)
            put16(at + 9, 0)
            at += OPT_BYTES
        fixed.message_bytes = at - record - sizeof(TapFixed)
        self._words[WEIGHT] += 1
        self._words[HEAD] += 1
        return 0
