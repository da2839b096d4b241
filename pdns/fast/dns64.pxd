"""Answers that a DNS64 does not leave as they are. Nothing here allocates or raises."""

from libc.stdint cimport uint8_t

from pdns.fast.response cimport Plain


# Whether Python must ask for A in place of AAAA, or leave out addresses. `key` begins with the question; `excluded` is as
# `pdns.core.dns64.Translation.excluded`.
cdef bint lacks_addresses(const uint8_t *wire, const Plain *plain, const uint8_t *key, Py_ssize_t name_bytes, bytes excluded) noexcept
