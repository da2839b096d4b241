"""`names.bin` where it is mapped: the compiled twin of `pdns.blockset.name_table`. Nothing here allocates or raises.

An element is read within the span of its bucket, and a span within the file, whatever the file says.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from pdns.fast.xxh3 cimport pdns_fold

cdef enum:
    LENGTH_MASK = 0x3F  # beside the length of a label, in its first byte
    HAS_RECORD = 0x40
    HAS_CHILDREN = 0x80
    MOST_VARINT_BITS = 35


cdef struct NameTable:
    uint64_t start  # the hash of the root
    uint64_t factor
    uint32_t buckets
    uint32_t parents  # one more than the highest number of an element
    uint32_t common  # the record that most names have
    uint32_t root  # the record of the root, counted from 1; 0: not listed
    uint32_t records
    uint32_t data_bytes
    const uint8_t *offsets  # one more than buckets, of 4 bytes
    const uint8_t *data


cdef struct Element:  # a label below a name
    uint64_t number  # its own; 0: nothing is below it
    uint64_t listed  # its record, counted from 1; 0: not listed itself


cdef struct Varint:
    uint64_t value
    const uint8_t *end  # NULL: it leaves its bucket


cdef inline uint64_t _tail(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    """The last 1 to 7 bytes."""
    cdef uint32_t low = 0, high = 0
    if size >= 4:
        memcpy(&low, at, 4)
        memcpy(&high, at + size - 4, 4)
        return low | <uint64_t>high << (8 * (size - 4))
    low = at[0]
    if size > 1:
        low |= <uint32_t>at[1] << 8
    if size > 2:
        low |= <uint32_t>at[2] << 16
    return low


cdef inline uint64_t hash_below(uint64_t above, uint64_t factor, const uint8_t *piece) noexcept nogil:
    """As `NameHash.below`; `piece` begins with its length byte."""
    cdef Py_ssize_t left = 1 + piece[0]
    cdef uint64_t word
    while left >= 8:
        memcpy(&word, piece, 8)
        above = pdns_fold(above ^ word, factor)
        piece += 8
        left -= 8
    return pdns_fold(above ^ _tail(piece, left), factor) if left else above


cdef inline uint32_t bucket_of(uint64_t hashed, uint32_t buckets) noexcept nogil:
    return <uint32_t>((hashed >> 32) * buckets >> 32)


cdef inline uint32_t offset_of(const NameTable *table, uint64_t bucket) noexcept nogil:
    cdef uint32_t offset
    memcpy(&offset, table.offsets + 4 * bucket, 4)
    return offset


cdef inline Varint _varint(const uint8_t *at, const uint8_t *end) noexcept nogil:
    cdef Varint read
    cdef int shift = 0
    if at < end and at[0] < 0x80:
        read.value, read.end = at[0], at + 1
        return read
    read.value, read.end = 0, NULL
    while at < end and shift < MOST_VARINT_BITS:
        read.value |= <uint64_t>(at[0] & 0x7F) << shift
        if at[0] < 0x80:
            read.end = at + 1
            break
        shift += 7
        at += 1
    return read


cdef inline bint find_element(const NameTable *table, uint64_t hashed, uint64_t parent, const uint8_t *piece, Element *found) noexcept nogil:
    """Whether the label of `piece` stands below the name with the number `parent`; `hashed` is the hash of the name that both make."""
    cdef uint32_t bucket = bucket_of(hashed, table.buckets)
    cdef uint32_t first = offset_of(table, bucket), last = offset_of(table, <uint64_t>bucket + 1)
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef const uint8_t *label
    cdef Varint above, number, listed
    cdef uint8_t head
    if first > last or last > table.data_bytes:
        return False
    at, end = table.data + first, table.data + last
    while at < end:
        head = at[0]
        above = _varint(at + 1, end)
        if above.end == NULL or end - above.end < (head & LENGTH_MASK) or not head & LENGTH_MASK:
            return False
        label = above.end
        number.value, number.end = 0, label + (head & LENGTH_MASK)
        if head & HAS_CHILDREN:
            number = _varint(number.end, end)
            if number.end == NULL or not 0 < number.value < table.parents:
                return False
        listed.value, listed.end = <uint64_t>table.common + 1, number.end
        if head & HAS_RECORD:
            listed = _varint(number.end, end)
            if listed.end == NULL:
                return False
        if listed.value > table.records:
            return False
        if above.value == parent and (head & LENGTH_MASK) == piece[0] and memcmp(label, piece + 1, piece[0]) == 0:
            found.number, found.listed = number.value, listed.value
            return True
        at = listed.end
    return False
