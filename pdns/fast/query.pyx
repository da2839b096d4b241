"""A query as Python sees it. `query.pxd` has the contract."""

# specification: pdns/reference/query.py:parse_query

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.set cimport PySet_Contains
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from pdns.fast.checks cimport must
from pdns.fast.wire cimport (
    CD, HEADER_BYTES, MAX_NAME_BYTES, MAX_QUESTION_BYTES, RD, RECORD_CUT, SOUND, Fault, Question, parse_question, rcode_of, write_refusal,
)  # fmt: skip

from pdns.errors import WireError

_REASONS = (
    "", "shorter than a header", "a response, not a query", "unknown opcode", "not exactly one question", "a query with answers in it",
    "compressed question", "question cut short", "name over 255 bytes", "record cut short",
    "RDATA leaves the message", "more than one OPT record, or one that is not at the root", "EDNS option cut short",
    "EDNS option leaves its record", "COOKIE option of a wrong size", "EDNS version above 0", "name leaves the message", "name over 255 bytes", "pointer cut short",
    "pointer that does not lead back", "unknown label type",
)  # fmt: skip


# ---- parts of the name

cdef Py_ssize_t write_reversed_key(const Question *question, uint8_t *out) noexcept nogil:
    cdef Py_ssize_t at = 0, end = question.name_bytes - 1, step
    while question.key[at]:
        step = 1 + question.key[at]
        end -= step
        must(end >= 0)
        memcpy(out + end, question.key + at, step)
        at += step
    return question.name_bytes - 1


cdef Py_ssize_t domain_of(const Question *question) noexcept nogil:
    cdef Py_ssize_t third = 0, above = 0, last = 0, at = 0
    while at < question.name_bytes - 1:
        third, above, last = above, last, at
        at += 1 + question.key[at]
    return third if question.key[last] == 2 and question.key[above] <= 3 else above


cdef Py_ssize_t filter_key_of(const Question *question) noexcept nogil:
    cdef Py_ssize_t at = 0, last = 0, above = 0
    while question.key[at]:
        above = last
        last = at
        at += 1 + question.key[at]
    return above


cdef bint ends_in_one_of(const Question *question, frozenset filter_keys) except -1:
    """As `pdns.core.local_rules.may_have`."""
    cdef Py_ssize_t at = filter_key_of(question), size = question.name_bytes
    while not PySet_Contains(filter_keys, PyBytes_FromStringAndSize(<const char *>question.key + at, size - at)):
        if question.key[at] == 0:
            return False
        at += 1 + question.key[at]
    return True


# ---- the same for Python

cdef class Query:
    """What `pdns.core.query.Query` is."""

    @property
    def id(self):
        return self.q.id

    @property
    def flags(self):
        return self.q.flags

    @property
    def question(self):
        return PyBytes_FromStringAndSize(<char *>self.q.section, self.q.bytes)

    @property
    def qname(self):
        return PyBytes_FromStringAndSize(<char *>self.q.key, self.q.name_bytes)

    @property
    def qtype(self):
        return self.q.qtype

    @property
    def qclass(self):
        return self.q.qclass

    @property
    def edns(self):
        return bool(self.q.edns)

    @property
    def do(self):
        return bool(self.q.want_dnssec)

    @property
    def cd(self):
        return self.q.flags & CD != 0

    @property
    def rd(self):
        return self.q.flags & RD != 0

    @property
    def cookie(self):
        return PyBytes_FromStringAndSize(<char *>self.q.cookie, self.q.cookie_bytes)

    @property
    def keepalive(self):
        return bool(self.q.keepalive)

    @property
    def nsid(self):
        return bool(self.q.nsid)

    @property
    def structured(self):
        return bool(self.q.structured)

    @property
    def options(self):
        return PyBytes_FromStringAndSize(<char *>self.q.options, self.q.option_bytes)

    @property
    def udp_bytes(self):
        return self.q.udp_bytes

    @property
    def batched(self):
        return False

    @property
    def filter_key(self):
        cdef Py_ssize_t at = filter_key_of(&self.q)
        return PyBytes_FromStringAndSize(<char *>self.q.key + at, self.q.name_bytes - at)

    @property
    def domain(self):
        """As `names.domain_of`."""
        cdef Py_ssize_t at = domain_of(&self.q)
        return PyBytes_FromStringAndSize(<char *>self.q.key + at, self.q.name_bytes - at)

    @property
    def reversed_key(self):
        cdef uint8_t key[MAX_NAME_BYTES]
        return PyBytes_FromStringAndSize(<char *>key, write_reversed_key(&self.q, key))

    @property
    def key(self):
        return PyBytes_FromStringAndSize(<char *>self.q.key, self.q.bytes + 1)


def parse_query(bytes wire not None):
    """As `pdns.reference.query.parse_query`: the same value or the same error."""
    cdef Query query = Query.__new__(Query)
    cdef Fault fault = parse_question(<const uint8_t *>PyBytes_AS_STRING(wire), PyBytes_GET_SIZE(wire), &query.q)
    if fault == SOUND:
        return query
    cdef int rcode = rcode_of(fault)
    raise WireError(_REASONS[<int>fault], None if rcode < 0 else rcode, query.question if fault >= RECORD_CUT else b"")


def error_reply(bytes wire not None):
    """What to send back for bytes that `parse_query` refuses; None for silence."""
    cdef Query query = Query.__new__(Query)
    cdef uint8_t out[HEADER_BYTES + MAX_QUESTION_BYTES + 11]
    cdef Fault fault = parse_question(<const uint8_t *>PyBytes_AS_STRING(wire), PyBytes_GET_SIZE(wire), &query.q)
    cdef Py_ssize_t size = 0
    if fault != SOUND:
        size = write_refusal(<const uint8_t *>PyBytes_AS_STRING(wire), fault, &query.q, out)
    return PyBytes_FromStringAndSize(<char *>out, size) if size else None
