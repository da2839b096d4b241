"""Counting without Python. `stats.pxd` has the shape."""

# specification: pdns/telemetry/stats.py:Stats

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.wire cimport MAX_NAME_BYTES
from pdns.fast.xxh3 cimport XXH3_DIGEST_BYTES, XXH3_MOST_BYTES, xxh128

from pdns.telemetry import block_ring
from pdns.fast.cache import SOURCES
from pdns.telemetry.stats import BUCKETS_S, QTYPE_LABELS
from pdns.wire.transport import Transport

cdef enum:
    QTYPE_TABLE = 66  # every type that has a label is below, but for one that has its own case
    MORE_CLIENTS = 64

cdef enum:  # as pdns.telemetry.block_ring has it
    CAPACITY_AT = 8
    HEAD_AT = 16
    EVENTS_AT = 64
    EVENT_BYTES_AT = 12
    EVENT_HEAD_BYTES = 16  # all of an event that the supervisor of an earlier version made room for

cdef uint8_t _labels[QTYPE_TABLE]  # qtype -> place of its label; 0 is `other`
memset(_labels, 0, sizeof(_labels))
for _place, _qtype in enumerate(QTYPE_LABELS, 1):
    _labels[_qtype] = _place
assert max(QTYPE_LABELS) < QTYPE_TABLE and len(QTYPE_LABELS) < QTYPE_LABELS_AT_MOST and len(BUCKETS_S) < BUCKETS_AT_MOST
cdef tuple _qtypes = (0, *QTYPE_LABELS)
cdef tuple _TRANSPORTS = (Transport.UDP, Transport.TCP)


cdef class FastStats:
    """`stats` finds the slots, `clients` are `ClientTable.clients`, `attributions` `AnswerCache.attributions`."""

    def __cinit__(self, stats, list clients, list attributions):
        cdef Py_buffer view
        self._stats = stats
        self._view = stats.values
        PyObject_GetBuffer(self._view, &view, PyBUF_WRITABLE)
        self._values = <uint64_t *>view.buf
        PyBuffer_Release(&view)  # the memory is there as long as the process
        self._tenants = clients
        self._attributions = attributions
        self._block_slots = {}
        self._bound_count = len(BUCKETS_S)
        for at, bound_s in enumerate(BUCKETS_S):
            self._bounds_s[at] = bound_s
        self._block_ring = NULL
        if stats.block_ring is not None:
            self._sightings_memory = stats.block_ring.memory
            PyObject_GetBuffer(self._sightings_memory, &view, PyBUF_WRITABLE)
            self._block_ring = <uint8_t *>view.buf
            PyBuffer_Release(&view)  # as above
            memcpy(&self._event_bytes, self._block_ring + EVENT_BYTES_AT, 4)
        memcpy(self._salt, <const char *>block_ring.SALT, SALT_BYTES)
        self._not_a_query, self._rate_limit = stats.drop_slot("not_a_query"), stats.drop_slot("rate_limit")

    def __dealloc__(self):
        free(self._slots)

    cdef int query(self, uint16_t client, int transport, uint16_t qtype) except -1:
        """A query of the client with that number came in."""
        cdef int label = _labels[qtype] if qtype < QTYPE_TABLE else 0
        cdef uint32_t slot
        if client >= self._room:
            self._make_room(client)
        slot = self._slots[client].query[transport][label]
        if slot == 0:
            slot = self._stats.query_slot(self._tenants[client].tenant, _TRANSPORTS[transport], _qtypes[label]) + 1
            self._slots[client].query[transport][label] = slot
        self._values[slot - 1] += 1
        return 0

    cdef int response(self, uint16_t client, int source, int rcode) except -1:
        """It was answered."""
        cdef int label = rcode if rcode < 6 else 6 if rcode == 16 else 7
        cdef uint32_t slot
        if client >= self._room:
            self._make_room(client)
        slot = self._slots[client].response[source][label]
        if slot == 0:
            slot = self._stats.response_slot(self._tenants[client].tenant, SOURCES[source], rcode) + 1
            self._slots[client].response[source][label] = slot
        self._values[slot - 1] += 1
        return 0

    cdef int blocked(self, uint16_t client, uint16_t attribution) except -1:
        """It met what the attribution speaks of."""
        cdef uint32_t key = <uint32_t>client << 16 | attribution
        slots = self._block_slots.get(key)
        if slots is None:
            slots = self._block_slots[key] = self._stats.block_slots(self._tenants[client].tenant, *self._attributions[attribution])
        for slot in <tuple>slots:
            self._values[<Py_ssize_t>slot] += 1
        return 0

    cdef int sighted(self, uint16_t client, uint16_t attribution, const uint8_t *listed, size_t listed_bytes, uint32_t minute) except -1:
        """It asked for a listed name or one below, as `pdns.telemetry.block_ring.BlockRingWriter.saw` says it: not twice a minute."""
        cdef uint8_t salted[SALT_BYTES + MAX_NAME_BYTES]
        cdef uint8_t digest[XXH3_DIGEST_BYTES]
        cdef BlockEvent event
        cdef BlockEvent *before
        cdef uint64_t head
        cdef uint32_t capacity
        cdef uint8_t *out
        cdef int at
        if self._block_ring == NULL:
            return 0
        if self._slots[client].tenant == 0:
            self._slots[client].tenant = self._stats.tenant_slot(self._tenants[client].tenant) + 1
        if listed_bytes + SALT_BYTES > XXH3_MOST_BYTES:
            event.listed_hash = block_ring.name_hash(PyBytes_FromStringAndSize(<const char *>listed, listed_bytes))
        else:
            memcpy(salted, self._salt, SALT_BYTES)
            memcpy(salted + SALT_BYTES, listed, listed_bytes)
            xxh128(salted, SALT_BYTES + listed_bytes, digest)
            event.listed_hash = 0
            for at in range(8):
                event.listed_hash = event.listed_hash << 8 | digest[at]
        slots = self._block_slots[<uint32_t>client << 16 | attribution]
        event.series, event.minute = self._slots[client].tenant - 1, minute
        event.blocked = <uint32_t>(<Py_ssize_t>(<tuple>slots)[0] + 1)
        before = &self._said[(event.listed_hash ^ event.series ^ event.blocked) % LATELY_SAID]
        if memcmp(before, &event, sizeof(BlockEvent)) == 0:
            return 0
        before[0] = event
        memcpy(&head, self._block_ring + HEAD_AT, 8)
        memcpy(&capacity, self._block_ring + CAPACITY_AT, 4)
        out = self._block_ring + EVENTS_AT + head % capacity * self._event_bytes
        memcpy(out, &event, EVENT_HEAD_BYTES)
        if self._event_bytes > EVENT_HEAD_BYTES:
            out[EVENT_HEAD_BYTES] = <uint8_t>listed_bytes
            memcpy(out + EVENT_HEAD_BYTES + 1, listed, listed_bytes)
        head += 1
        memcpy(self._block_ring + HEAD_AT, &head, 8)
        return 0

    cdef int lasted(self, int source, uint64_t count, double duration_s) except -1:
        """`count` queries were answered from `source` within `duration_s`."""
        if not self._has_durations[source]:
            for at, slot in enumerate(self._stats.duration_slots(SOURCES[source])):
                self._durations[source][at] = slot
            self._has_durations[source] = True
        self.spread(self._durations[source], count, duration_s)
        return 0

    cdef void spread(self, const uint32_t *histogram, uint64_t count, double duration_s) noexcept nogil:
        cdef int bucket = 0
        while bucket < self._bound_count and self._bounds_s[bucket] < duration_s:
            bucket += 1
        self._values[histogram[bucket]] += count
        if duration_s > 0:
            self._values[histogram[self._bound_count + 1]] += <uint64_t>(duration_s * 1e9) * count

    cdef void dropped_not_a_query(self) noexcept nogil:
        self._values[self._not_a_query] += 1

    cdef void dropped_rate_limit(self) noexcept nogil:
        self._values[self._rate_limit] += 1

    def _make_room(self, uint16_t client):
        cdef size_t room = client + MORE_CLIENTS
        cdef Slots *larger = <Slots *>realloc(self._slots, room * sizeof(Slots))
        if larger == NULL:
            raise MemoryError
        memset(larger + self._room, 0, (room - self._room) * sizeof(Slots))
        self._slots, self._room = larger, room
