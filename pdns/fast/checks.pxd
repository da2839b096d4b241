"""Assumptions of the compiled part, which a debug build checks (PDNS_DEBUG=1 or PDNS_SANITIZE=1, see setup.py).

A release has none of these checks. A failed check aborts at the point of use.
"""

cdef extern from *:
    """
    #ifdef PDNS_CHECKS
    #include <sanitizer/asan_interface.h>
    #include <stdio.h>
    #include <stdlib.h>
    static void pdns_broken(const char *condition, const char *file, int line) {
        fprintf(stderr, "%s:%d: this does not hold: %s\\n", file, line, condition);
        abort();
    }
    #define pdns_must(condition) ((condition) ? (void)0 : pdns_broken(#condition, __FILE__, __LINE__))
    #define pdns_fence(at, size) ASAN_POISON_MEMORY_REGION(at, size)
    #define pdns_unfence(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
    #else
    #define pdns_must(condition) ((void)0)
    #define pdns_fence(at, size) ((void)0)
    #define pdns_unfence(at, size) ((void)0)
    #endif
    """
    void must "pdns_must"(bint condition) noexcept nogil
    void fence "pdns_fence"(const void *at, size_t size) noexcept nogil  # AddressSanitizer reports every read and write there
    void unfence "pdns_unfence"(const void *at, size_t size) noexcept nogil
