"""The memory of the answer cache. `arena.pxd` has its shape."""

# specification: pdns/reference/cache.py:ReferenceCache

import mmap
import os

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.checks cimport must
from pdns.fast.hashing cimport siphash
from pdns.fast.cache_record cimport (
    FILLER, GONE, LIVE, MAX_RECORD_BYTES, RECORD_UNIT, SOURCE_COUNT, UPSTREAM, CacheRecord, body_of, key_of, bytes_of, ttls_of,
)  # fmt: skip
from pdns.fast.wire cimport u16

cdef extern from *:
    """
    #define pdns_barrier() __asm__ __volatile__("" ::: "memory")
    #define pdns_prefetch(at) __builtin_prefetch(at)
    """
    void pdns_prefetch(const void *at) noexcept nogil
    void pdns_barrier() noexcept nogil

cdef bytes _MAGIC = b"pdnsarn4"
cdef enum:
    HEADER_ROOM = 256
    LEAST_BYTES = 65536
    CACHE_LINE_BYTES = 64
    BYTES_A_BUCKET = 64
    LEAST_PROBATION_BYTES = 65536
    PROBATION_SHARE = 10
    FILLER_BYTES = 8  # as much of a record as says that it is one


cdef inline uint32_t ghost_of(uint64_t hash) noexcept nogil:
    return <uint32_t>(hash >> 32) | 1


cdef class Arena:
    """`fd`: memory to keep the answers in, of whatever size it has; what a worker before left in it is taken over, every
    answer to be decided again before it is given. It stays open, and is the caller's to close.
    """

    def __cinit__(self, max_bytes, int fd=-1):
        cdef uint64_t[2] words
        drawn = os.urandom(16)
        memcpy(words, <const char *>drawn, 16)
        self._hash_key.k0, self._hash_key.k1 = words[0], words[1]
        self._buckets = self._ghosts = NULL
        self._map(max_bytes, fd)

    def __dealloc__(self):
        self._free_index()

    def __len__(self):
        return self._live

    @property
    def size_bytes(self):
        return self._live_bytes

    @property
    def rules_epoch(self):
        return self._header.rules_epoch

    def new_rules(self):
        self._header.rules_epoch += 1

    def resize(self, max_bytes, int fd=-1):
        """Move to other memory, with as many answers as it has room for."""
        cdef Arena before = Arena.__new__(Arena, 4096)
        if fd < 0 and max_bytes == <Py_ssize_t>self._arena_bytes:
            return
        cdef uint64_t rules_epoch = self._header.rules_epoch
        before._arena, before._header, before._mapping = self._arena, self._header, self._mapping
        self._free_index()
        self._map(max_bytes, fd)
        if self._header.rules_epoch < rules_epoch:
            self._header.rules_epoch = rules_epoch
        self._copy(before, &before._header.main)
        self._copy(before, &before._header.probation)

    def leave(self):
        """Go on with nothing, in little memory of its own: what there was is for another to take over."""
        cdef uint64_t rules_epoch = self._header.rules_epoch
        self._free_index()
        self._map(LEAST_BYTES, -1)
        self._header.rules_epoch = rules_epoch

    # ---- for other kernels

    cdef uint64_t hash_of(self, const uint8_t *key, size_t key_bytes) noexcept nogil:
        return siphash(self._hash_key, key, key_bytes)

    cdef void expect(self, uint64_t hash) noexcept nogil:
        """A key with that hash will be looked for soon: have its place in the index at hand, then (`expect_record`) its record."""
        pdns_prefetch(&self._buckets[hash & self._mask])

    cdef void expect_record(self, uint64_t hash) noexcept nogil:
        cdef uint32_t place = self._buckets[hash & self._mask]
        if place:
            pdns_prefetch(self._arena + <size_t>place * RECORD_UNIT)
            pdns_prefetch(self._arena + <size_t>place * RECORD_UNIT + CACHE_LINE_BYTES)
            pdns_prefetch(self._arena + <size_t>place * RECORD_UNIT + 2 * CACHE_LINE_BYTES)

    cdef void expect_new(self, uint64_t hash) noexcept nogil:
        """A key with that hash will be kept soon."""
        pdns_prefetch(&self._ghosts[hash & self._mask])

    cdef CacheRecord *find(self, const uint8_t *key, size_t key_bytes) noexcept nogil:
        """The record under `key`, NULL when there is none. Good until the next `begin`."""
        return self.find_hashed(siphash(self._hash_key, key, key_bytes), key, key_bytes)

    cdef CacheRecord *find_hashed(self, uint64_t hash, const uint8_t *key, size_t key_bytes) noexcept nogil:
        cdef uint32_t place = self._buckets[hash & self._mask]
        cdef CacheRecord *record
        while place:
            record = <CacheRecord *>(self._arena + <size_t>place * RECORD_UNIT)
            must(<size_t>place * RECORD_UNIT + record.size <= self._arena_bytes)
            must(record.state == LIVE)
            must(bytes_of(record) <= record.size)
            if record.hash == hash and record.key_bytes == key_bytes and memcmp(key_of(record), key, key_bytes) == 0:
                return record
            place = record.next
        return NULL

    cdef CacheRecord *begin(self, const uint8_t *key, CacheRecord *shape) noexcept nogil:
        """Room for a record of this shape in place of what is under `key`, its fixed part and key filled in; the rest is
        the caller's to write, then `finish`. NULL when it is too large to be kept: then nothing is under `key`."""
        return self.begin_hashed(siphash(self._hash_key, key, shape.key_bytes), key, shape)

    cdef CacheRecord *begin_hashed(self, uint64_t hash, const uint8_t *key, CacheRecord *shape) noexcept nogil:
        """As `begin`, with the hash of `key`."""
        cdef CacheRecord *old = self.find_hashed(hash, key, shape.key_bytes)
        cdef Ring *ring = &self._header.probation
        cdef size_t size = bytes_of(shape)
        cdef CacheRecord *record
        shape.size = <uint32_t>((size + RECORD_UNIT - 1) & ~<size_t>(RECORD_UNIT - 1))
        shape.state = LIVE
        shape.in_main = False
        shape.visited = False
        shape.hash = hash
        if old != NULL:
            if old.in_main:
                ring = &self._header.main
                shape.in_main = True
                shape.visited = True
            self.unlink(old)
        elif self._ghosts[hash & self._mask] == ghost_of(hash):  # it left too early: asked again all the same
            self._ghosts[hash & self._mask] = 0
            ring = &self._header.main
            shape.in_main = True
        if shape.size > MAX_RECORD_BYTES or shape.size > ring.size // 2:
            return NULL
        self._make_room(ring, shape.size)
        record = self._at(ring, ring.head)
        memcpy(record, shape, sizeof(CacheRecord))
        memcpy(key_of(record), key, shape.key_bytes)
        return record

    cdef void finish(self, CacheRecord *record) noexcept nogil:
        cdef Ring *ring = &self._header.main if record.in_main else &self._header.probation
        must(record == self._at(ring, ring.head))
        must(bytes_of(record) <= record.size)
        must(record.size <= ring.size - ring.head % ring.size)
        must(ring.head + record.size - ring.tail <= ring.size)
        pdns_barrier()
        ring.head += record.size
        self._link(record)

    cdef void unlink(self, CacheRecord *record) noexcept nogil:
        """Forget it. Its place is free once the ring's tail has passed."""
        cdef uint32_t *place = &self._buckets[record.hash & self._mask]
        cdef uint32_t wanted = <uint32_t>(<size_t>(<uint8_t *>record - self._arena) // RECORD_UNIT)
        while place[0]:
            if place[0] == wanted:
                place[0] = record.next
                self._live -= 1
                self._live_bytes -= record.size
                record.state = GONE
                return
            place = &(<CacheRecord *>(self._arena + <size_t>place[0] * RECORD_UNIT)).next

    # ---- the rings

    def _map(self, max_bytes, int fd):
        """Take up the memory, and what sound records it holds."""
        cdef Py_buffer view
        cdef size_t buckets = 64, probation
        cdef uint64_t size
        size = <uint64_t>max_bytes if fd < 0 else os.fstat(fd).st_size
        mapping = mmap.mmap(fd, size)  # anonymous for -1
        PyObject_GetBuffer(mapping, &view, PyBUF_WRITABLE)
        cdef uint8_t *arena = <uint8_t *>view.buf
        PyBuffer_Release(&view)  # the mapping is never closed or resized while this object holds it
        while buckets * BYTES_A_BUCKET < size:
            buckets *= 2
        self._buckets = <uint32_t *>calloc(buckets, sizeof(uint32_t))
        self._ghosts = <uint32_t *>calloc(buckets, sizeof(uint32_t))
        if self._buckets == NULL or self._ghosts == NULL:
            raise MemoryError
        self._mask = buckets - 1
        self._mapping, self._arena, self._arena_bytes = mapping, arena, size
        self._header = <Header *>arena
        self._live, self._live_bytes = 0, 0
        probation = (size - HEADER_ROOM) // PROBATION_SHARE
        if probation < <uint64_t>LEAST_PROBATION_BYTES:
            probation = min(<uint64_t>LEAST_PROBATION_BYTES, (size - HEADER_ROOM) // 2)
        probation -= probation % RECORD_UNIT
        if memcmp(self._header.magic, <const char *>_MAGIC, 8) == 0 and self._header.arena_bytes == size and self._has_sound_rings(probation):
            self._header.rules_epoch += 1
            self._take_over(&self._header.main)
            self._take_over(&self._header.probation)
            return
        memset(self._header, 0, sizeof(Header))
        self._header.arena_bytes = size
        self._header.rules_epoch = 1
        self._header.probation.start = HEADER_ROOM
        self._header.probation.size = probation
        self._header.main.start = HEADER_ROOM + probation
        self._header.main.size = (size - HEADER_ROOM - probation) & ~<uint64_t>(RECORD_UNIT - 1)
        memcpy(self._header.magic, <const char *>_MAGIC, 8)

    cdef void _free_index(self) noexcept:
        free(self._buckets)
        free(self._ghosts)
        self._buckets = self._ghosts = NULL

    cdef bint _has_sound_rings(self, uint64_t probation_bytes) noexcept nogil:
        cdef Ring *probation = &self._header.probation
        cdef Ring *main = &self._header.main
        return (
            probation.start == HEADER_ROOM and probation.size == probation_bytes and main.start == HEADER_ROOM + probation_bytes
            and main.size == (self._arena_bytes - main.start) // RECORD_UNIT * RECORD_UNIT
            and (probation.head | probation.tail | main.head | main.tail) % RECORD_UNIT == 0
            and probation.tail <= probation.head and probation.head - probation.tail <= probation.size
            and main.tail <= main.head and main.head - main.tail <= main.size
        )

    cdef CacheRecord *_at(self, Ring *ring, uint64_t position) noexcept nogil:
        return <CacheRecord *>(self._arena + ring.start + position % ring.size)

    cdef void _link(self, CacheRecord *record) noexcept nogil:
        cdef uint32_t *place = &self._buckets[record.hash & self._mask]
        record.next = place[0]
        place[0] = <uint32_t>(<size_t>(<uint8_t *>record - self._arena) // RECORD_UNIT)
        self._live += 1
        self._live_bytes += record.size

    cdef bint _fits(self, Ring *ring, uint64_t size) noexcept nogil:
        """Whether `size` bytes in one piece are free at the head, or behind the end of the ring that is too short for them."""
        cdef uint64_t to_end = ring.size - ring.head % ring.size
        return ring.size - (ring.head - ring.tail) >= (size if size <= to_end else to_end + size)

    cdef void _make_room(self, Ring *ring, uint64_t size) noexcept nogil:
        """Leave `size` bytes in one piece at the head. The oldest go, but for those that have earned another turn."""
        while not self._fits(ring, size):
            self._drop_oldest(ring)
        self._skip_end(ring, size)

    cdef void _skip_end(self, Ring *ring, uint64_t size) noexcept nogil:
        """Go to the start of the ring if there are fewer than `size` bytes to its end."""
        cdef uint64_t to_end = ring.size - ring.head % ring.size
        cdef CacheRecord *filler
        if size > to_end:
            filler = self._at(ring, ring.head)
            filler.size = <uint32_t>to_end
            filler.state = FILLER
            pdns_barrier()
            ring.head += to_end

    cdef void _drop_oldest(self, Ring *ring) noexcept nogil:
        cdef CacheRecord *record = self._at(ring, ring.tail)
        cdef CacheRecord *following
        cdef uint8_t again[MAX_RECORD_BYTES]
        cdef CacheRecord *copy = <CacheRecord *>again
        cdef Ring *main = &self._header.main
        must(ring.tail < ring.head)
        must(record.size >= FILLER_BYTES)
        must(record.size <= ring.head - ring.tail)
        if record.state != LIVE:
            ring.tail += record.size
            return
        if ring.tail + record.size < ring.head:  # the next to go; of a filler only the first bytes are within the ring
            following = self._at(ring, ring.tail + record.size)
            if following.state == LIVE:
                self.expect(following.hash)
                self.expect_new(following.hash)  # it may leave a ghost
        if not record.visited and (ring == main or not self._fits(main, record.size)):
            self.unlink(record)
            ring.tail += record.size
            self.evictions += 1
            if ring != main:
                self._ghosts[record.hash & self._mask] = ghost_of(record.hash)
            return
        memcpy(again, record, record.size)
        self.unlink(record)
        ring.tail += copy.size
        pdns_barrier()
        copy.state, copy.in_main, copy.visited = LIVE, True, False
        if ring == main:
            if not self._fits(main, copy.size):  # the end of the ring is in the way
                self.evictions += 1
                return
            self._skip_end(main, copy.size)
        else:
            self._make_room(main, copy.size)
        record = self._at(main, main.head)
        memcpy(record, again, copy.size)
        self.finish(record)

    cdef void _take_over(self, Ring *ring) noexcept:
        """Index what a worker before left, as far as it is sound. Only forwarded answers: the others cost nothing to make."""
        cdef uint64_t position = ring.tail
        cdef CacheRecord *record
        cdef CacheRecord *twin
        while position < ring.head:
            record = self._at(ring, position)
            if not self._is_sound(ring, record, position):
                break
            if record.state == LIVE:
                record.hash = siphash(self._hash_key, key_of(record), record.key_bytes)
                twin = self.find(key_of(record), record.key_bytes)
                if twin != NULL:  # the writer was killed while it moved one
                    self.unlink(twin)
                if record.source == UPSTREAM:
                    record.attribution, record.refreshing = 0, False
                    record.in_main = ring == &self._header.main
                    self._link(record)
                else:
                    record.state = GONE
            position += record.size
        ring.head = position

    cdef bint _is_sound(self, Ring *ring, CacheRecord *record, uint64_t position) noexcept nogil:
        cdef uint64_t to_end = ring.size - position % ring.size, parts
        cdef Py_ssize_t at
        if to_end < FILLER_BYTES or record.size < FILLER_BYTES or record.size % RECORD_UNIT or record.size > to_end:
            return False
        if record.size > ring.head - position or record.state > FILLER:
            return False
        if record.state != LIVE:
            return True
        if record.size < sizeof(CacheRecord) or record.size > MAX_RECORD_BYTES or record.source >= SOURCE_COUNT:
            return False
        parts = bytes_of(record)
        if parts > record.size or record.size - parts >= RECORD_UNIT:
            return False
        if record.turn_at + record.turn_bytes * record.turn_count > record.body_bytes:
            return False
        for at in range(record.ttl_count):
            if u16(ttls_of(record) + 2 * at) + 4 > record.body_bytes:
                return False
        return True

    cdef void _copy(self, Arena before, Ring *ring) noexcept:
        """Every live record of one of another arena's rings, oldest first. Its owner knows them by the same numbers."""
        cdef uint64_t position = ring.tail
        cdef CacheRecord *record
        cdef CacheRecord *copy
        cdef CacheRecord shape
        while position < ring.head:
            record = before._at(ring, position)
            if record.state == LIVE:
                memcpy(&shape, record, sizeof(CacheRecord))
                copy = self.begin(key_of(record), &shape)
                if copy != NULL:
                    memcpy(body_of(copy), body_of(record), record.size - sizeof(CacheRecord) - record.key_bytes)
                    copy.visited = record.visited or record.in_main
                    self.finish(copy)
            position += record.size
