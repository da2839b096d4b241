"""Private addresses in answers, for the protection from DNS rebinding. Nothing here allocates or raises."""

from libc.stdint cimport uint8_t

from pdns.fast.response cimport Plain


# Whether Python must decide if a plain answer may be given: an address in it is private. `nat64` as
# `pdns.core.embedded.Embeddings.nat64` has it.
cdef bint has_private_address(const uint8_t *wire, const Plain *plain, bytes nat64) noexcept
