"""What the compiled part takes for granted, and a debug build makes sure of (PDNS_DEBUG=1 or PDNS_SANITIZE=1, see setup.py).

In a release nothing of this exists, not even the question. A fact that is none ends the process where it was relied upon.
"""

cdef extern from *:
    """
    #ifdef PDNS_CHECKS
    #include <sanitizer/asan_interface.h>
    #include <stdio.h>
    #include <stdlib.h>
    static void pdns_broken(const char *fact, const char *file, int line) {
        fprintf(stderr, "%s:%d: this does not hold: %s\\n", file, line, fact);
        abort();
    }
    #define pdns_must(fact) ((fact) ? (void)0 : pdns_broken(#fact, __FILE__, __LINE__))
    #define pdns_fence(at, size) ASAN_POISON_MEMORY_REGION(at, size)
    #define pdns_unfence(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
    #else
    #define pdns_must(fact) ((void)0)
    #define pdns_fence(at, size) ((void)0)
    #define pdns_unfence(at, size) ((void)0)
    #endif
    """
    void must "pdns_must"(bint fact) noexcept nogil
    void fence "pdns_fence"(const void *at, size_t size) noexcept nogil  # for AddressSanitizer: nobody may read or write there
    void unfence "pdns_unfence"(const void *at, size_t size) noexcept nogil
