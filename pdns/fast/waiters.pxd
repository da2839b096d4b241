"""Who waits for a question on its way: a `Datagram`, or whatever `InFlight.join` was given. To Python all are `Waiter`."""

from libc.stdint cimport int64_t


cdef bytes place_of(waiter, int64_t port)
cdef as_waiter(waiter)
