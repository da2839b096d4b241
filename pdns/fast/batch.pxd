"""Datagrams by the batch: one system call for up to 64 of them, each way."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

cdef enum:
    BATCH = 64
    MAX_ADDRESS_BYTES = 28  # sockaddr_in6
    LOCAL_BYTES = 20  # in6_pktinfo; in_pktinfo takes 12
    CONTROL_BYTES = 64
    MOST_SENT_BYTES = 65535

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    cdef struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len


cdef struct Peer:  # where a datagram came from, and to which of our addresses
    uint8_t name[MAX_ADDRESS_BYTES]
    uint8_t name_bytes
    uint8_t local_bytes  # 0: the socket has one address only
    uint8_t local[LOCAL_BYTES]


cdef uint16_t port_of(const Peer *peer) noexcept nogil
cdef void address_of(const Peer *peer, uint8_t *address) noexcept nogil  # 16 bytes, IPv4 as ::ffff:a.b.c.d


cdef class Inbox:
    cdef Py_ssize_t _stride
    cdef uint8_t *_raw
    cdef mmsghdr _messages[BATCH]
    cdef iovec _parts[BATCH]
    cdef uint8_t _names[BATCH][MAX_ADDRESS_BYTES]
    cdef uint8_t _control[BATCH][CONTROL_BYTES]
    cdef bint _named, _controlled

    cdef int receive(self, int fd) noexcept nogil  # how many; -errno
    cdef const uint8_t *raw(self, int at) noexcept nogil
    cdef Py_ssize_t size(self, int at) noexcept nogil
    cdef void strip(self, int at, Py_ssize_t head) noexcept nogil  # remove so many bytes at its start
    cdef bint peer(self, int at, Peer *out) noexcept nogil  # False: it was not sent to one of our addresses alone


cdef class Outbox:
    cdef uint8_t *_raw
    cdef Py_ssize_t _room
    cdef Py_ssize_t _used
    cdef readonly int count
    cdef mmsghdr _messages[BATCH]
    cdef iovec _parts[BATCH]
    cdef Peer _peers[BATCH]
    cdef uint8_t _control[BATCH][CONTROL_BYTES]
    cdef uint16_t _each[BATCH]  # bytes of a datagram of a joined message; 0: it is alone

    cdef uint8_t *room(self, Py_ssize_t most) noexcept nogil  # NULL: flush first
    cdef void add(self, Py_ssize_t size, const Peer *peer) noexcept nogil  # what was written to `room`; NULL: a connected socket
    cdef void join(self) noexcept nogil  # of a connected socket; `add` no more before the next `clear`
    cdef bint is_joined(self, int at) noexcept nogil
    cdef void split(self, int first) noexcept nogil  # undoes `join` from that one on
    cdef int send(self, int fd, int first, int *last_errno) noexcept nogil  # from `first` on; which one could not be sent, else `count`
    cdef void _set_segment(self, int at, uint16_t each) noexcept nogil
    cdef void clear(self) noexcept nogil
    cdef int flush(self, int fd, int *last_errno) noexcept nogil  # how many could not be sent
