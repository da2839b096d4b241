"""Counting without Python. `stats.pxd` has the shape."""

# specification: pdns/telemetry/stats.py:Stats

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from pdns.fast.cache import SOURCES
from pdns.telemetry.stats import BUCKETS_S, QTYPE_LABELS
from pdns.wire.transport import Transport

cdef enum:
    QTYPE_TABLE = 66  # every type that has a label is below, but for one that has its own case
    MORE_CLIENTS = 64

cdef uint8_t _labels[QTYPE_TABLE]  # qtype -> place of its label; 0 is `other`
memset(_labels, 0, sizeof(_labels))
for _place, _qtype in enumerate(QTYPE_LABELS, 1):
    _labels[_qtype] = _place
assert max(QTYPE_LABELS) < QTYPE_TABLE and len(QTYPE_LABELS) < QTYPE_LABELS_AT_MOST and len(BUCKETS_S) < BUCKETS_AT_MOST
cdef tuple _qtypes = (0, *QTYPE_LABELS)
cdef tuple _TRANSPORTS = tuple(Transport)
assert len(_TRANSPORTS) == TRANSPORTS and _TRANSPORTS.index(Transport.H3) == H3


cdef class KeptBlockSlots:

    def __cinit__(self, tuple slots not None):
        self.slots.slot = <uint32_t *>malloc(max(1, len(slots)) * sizeof(uint32_t))
        if self.slots.slot == NULL:
            raise MemoryError
        for slot in slots:
            self.slots.slot[self.slots.count] = slot
            self.slots.count += 1

    def __dealloc__(self):
        free(self.slots.slot)


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

    cdef const BlockSlots *blocked(self, uint16_t client, uint16_t attribution) except NULL:
        """It met what the attribution speaks of. Returns the slots that this was counted in."""
        cdef uint64_t key = <uint64_t>1 << 32 | <uint64_t>client << 16 | attribution
        cdef uint32_t at
        cdef RecentBlock *recent = &self._recent_blocks[(client ^ attribution) % RECENT_BLOCKS]
        cdef KeptBlockSlots kept
        if recent.key != key:
            kept = self._block_slots.get(key)
            if kept is None:
                kept = KeptBlockSlots(self._stats.block_slots(self._tenants[client].tenant, *self._attributions[attribution]))
                self._block_slots[key] = kept
            recent.key, recent.slots = key, &kept.slots
        for at in range(recent.slots.count):
            self._values[recent.slots.slot[at]] += 1
        return recent.slots

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
