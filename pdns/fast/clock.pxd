"""The clock of pdns.clock.boottime_s: after a suspended machine wakes up, no answer outlives its TTL."""

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    enum: CLOCK_BOOTTIME
    int clock_gettime(int clock, timespec *now)


cdef inline double clock_s() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_BOOTTIME, &now)
    return <double>now.tv_sec + <double>now.tv_nsec * 1e-9
