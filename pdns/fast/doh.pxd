"""DNS over HTTPS: the fields of a request, and the lifetime of an answer. Nothing here allocates or raises."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum:
    MAX_TOKEN_BYTES = 128
    MAX_BODY_BYTES = 65535
    MAX_HEADERS_BYTES = 16384
    FIELD_BYTES = 32

cdef enum Method:
    OTHER_METHOD
    GET
    POST


cdef struct Refusal:  # a response with an error
    int status
    uint8_t status_text[3]
    const uint8_t *text
    Py_ssize_t text_bytes


cdef struct DohPath:  # which paths are ours
    const uint8_t *base
    Py_ssize_t base_bytes
    Py_ssize_t prefix_bytes  # of the part of `base` that a slash and a token follow


cdef struct DohFields:  # of a request, as they arrive; begin with `clear_fields`
    uint32_t header_bytes
    uint8_t method
    uint8_t token_bytes
    uint16_t path_status  # 0: it is ours
    bint is_message  # by its content type
    uint8_t token[MAX_TOKEN_BYTES]


cdef void clear_fields(DohFields *fields) noexcept nogil
# Reads one field, unless there have been too many. Of a path that is ours, `dns` is the value to decode, with its size; NULL: none.
cdef void read_field(
    DohFields *fields, const DohPath *path, const uint8_t *name, size_t name_bytes, const uint8_t *value, size_t value_bytes,
    const uint8_t **dns, Py_ssize_t *dns_bytes,
) noexcept nogil
cdef Py_ssize_t decode_base64url(const uint8_t *text, Py_ssize_t size, uint8_t *out) noexcept nogil  # into 3/4 of its size; 0: it is not
cdef int early_status(const DohFields *fields, Py_ssize_t dns_bytes) noexcept nogil  # as `DohRequest.refused` without a body; 0: none
cdef uint32_t max_age_of(const uint8_t *answer, Py_ssize_t size) noexcept nogil
cdef const Refusal *refusal_of(int status) noexcept nogil  # of a status of `specification.REFUSALS`
