"""Who waits for a question on its way: a `Datagram`, or whatever `InFlight.join` was given. To Python all are `Waiter`."""


cdef bytes place_of(waiter, int port)
cdef as_waiter(waiter)
