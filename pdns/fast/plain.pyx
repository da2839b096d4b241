"""A plain response as Python has it: what `read_plain` takes it for can be compared with the specification."""

# specification: pdns/core/cacheable.py:cacheable

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from pdns.fast.response cimport Bounds, Plain, read_plain
from pdns.fast.wire cimport put32

from pdns.core.entry import Entry


def plain_entry(bytes wire not None, bytes key not None, config, bint do, double now, int rules_epoch):
    """The entry of a plain response, and its targets; None for another. `key` begins with the question of `wire` in lower case."""
    cdef Plain plain
    cdef Bounds bounds
    cdef uint8_t ttl[4]
    cdef Py_ssize_t name_bytes = 0, at
    while key[name_bytes]:
        name_bytes += 1 + key[name_bytes]
    bounds.min_ttl_s, bounds.max_ttl_s, bounds.max_negative_ttl_s = config.min_ttl_s, config.max_ttl_s, config.max_negative_ttl_s
    if not read_plain(
        <const uint8_t *>PyBytes_AS_STRING(wire), PyBytes_GET_SIZE(wire), <const uint8_t *>PyBytes_AS_STRING(key), name_bytes + 1, do,
        &bounds, &plain,
    ):  # fmt: skip
        return None
    body = bytearray(wire[plain.body_at : plain.body_at + plain.body_bytes])
    ttls = []
    for at in range(plain.ttl_count):
        put32(ttl, plain.ttl_s[at])
        body[plain.ttl_at[at] : plain.ttl_at[at] + 4] = ttl[:4]
        ttls.append((plain.ttl_at[at], plain.ttl_s[at]))
    entry = Entry(
        plain.rcode, "upstream", now, plain.lifetime_s, body=bytes(body), counts=plain.ancount.to_bytes(2) + plain.nscount.to_bytes(2),
        ttls=tuple(ttls), ad=bool(plain.ad), rules_epoch=rules_epoch, rotation=(plain.turn_at, plain.turn_bytes, plain.turn_count),
    )  # fmt: skip
    return entry, [PyBytes_FromStringAndSize(<char *>plain.targets[at].raw, plain.targets[at].bytes) for at in range(plain.target_count)]
