"""Datagrams by the batch. `batch.pxd` has the contract."""

# specification: pdns/reference/udp_listener.py:ReferenceUdpListener

from libc.errno cimport errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from pdns.fast.checks cimport fence, must, unfence

cdef extern from "<sys/socket.h>" nogil:
    int AF_INET, AF_INET6
    enum: MSG_DONTWAIT
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    size_t CMSG_LEN(size_t size)
    size_t CMSG_SPACE(size_t size)
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    unsigned char *CMSG_DATA(cmsghdr *control)

cdef extern from "<netinet/in.h>" nogil:
    enum: IPPROTO_IP
    enum: IPPROTO_IPV6
    enum: IP_PKTINFO
    enum: IPV6_PKTINFO
    enum: IPPROTO_UDP

cdef enum:
    UDP_SEGMENT = 103  # of linux/udp.h, which old C libraries lack
    ADDRESS_AT = 4  # in sockaddr_in
    ADDRESS6_AT = 8  # in sockaddr_in6
    PKTINFO_BYTES = 12  # in_pktinfo: interface, our address, the address in the packet
    STAGGER = 192  # between buffers: at a distance of whole pages they would share few cache lines


cdef inline int family_of(const Peer *peer) noexcept nogil:
    cdef uint16_t family
    memcpy(&family, peer.name, 2)
    return family


cdef uint16_t port_of(const Peer *peer) noexcept nogil:
    return <uint16_t>((peer.name[2] << 8) | peer.name[3])


cdef void address_of(const Peer *peer, uint8_t *address) noexcept nogil:
    if family_of(peer) == AF_INET:
        memset(address, 0, 10)
        address[10] = address[11] = 0xFF
        memcpy(address + 12, peer.name + ADDRESS_AT, 4)
    else:
        memcpy(address, peer.name + ADDRESS6_AT, 16)


cdef class Inbox:
    """Room for a batch of datagrams of at most `most_bytes`; a longer one shows as one byte more. `named`: with the addresses
    of the senders; `controlled`: with the address of ours that each was sent to."""

    def __cinit__(self, Py_ssize_t most_bytes, *, bint named=True, bint controlled=False):
        cdef int at
        self._stride = (most_bytes + 1 + 63) // 64 * 64 + STAGGER
        self._named, self._controlled = named, controlled
        self._raw = <uint8_t *>malloc(BATCH * self._stride)
        if self._raw == NULL:
            raise MemoryError
        memset(self._messages, 0, sizeof(self._messages))
        for at in range(BATCH):
            self._parts[at].iov_base = self._raw + at * self._stride
            self._parts[at].iov_len = most_bytes + 1
            self._messages[at].msg_hdr.msg_iov = &self._parts[at]
            self._messages[at].msg_hdr.msg_iovlen = 1
            if named:
                self._messages[at].msg_hdr.msg_name = self._names[at]
            if controlled:
                self._messages[at].msg_hdr.msg_control = self._control[at]

    def __dealloc__(self):
        free(self._raw)

    cdef int receive(self, int fd) noexcept nogil:
        cdef int at, count
        for at in range(BATCH):  # the kernel leaves its own values here
            if self._named:
                self._messages[at].msg_hdr.msg_namelen = MAX_ADDRESS_BYTES
            if self._controlled:
                self._messages[at].msg_hdr.msg_controllen = CONTROL_BYTES
        unfence(self._raw, BATCH * self._stride)
        count = recvmmsg(fd, self._messages, BATCH, MSG_DONTWAIT, NULL)
        for at in range(count):
            fence(self.raw(at) + self.size(at), self._stride - self.size(at))
        return count if count >= 0 else -errno

    cdef const uint8_t *raw(self, int at) noexcept nogil:
        must(<unsigned int>at < BATCH)
        return self._raw + at * self._stride

    cdef Py_ssize_t size(self, int at) noexcept nogil:
        return self._messages[at].msg_len

    cdef void strip(self, int at, Py_ssize_t head) noexcept nogil:
        cdef uint8_t *raw = self._raw + at * self._stride
        must(0 <= head <= self.size(at))
        self._messages[at].msg_len -= <unsigned int>head
        memmove(raw, raw + head, self.size(at))
        fence(raw + self.size(at), head)

    cdef bint peer(self, int at, Peer *out) noexcept nogil:
        cdef msghdr *head = &self._messages[at].msg_hdr
        cdef cmsghdr *control
        cdef unsigned char *data
        cdef uint8_t *local = out.local
        memcpy(out.name, self._names[at], MAX_ADDRESS_BYTES)
        out.name_bytes = <uint8_t>head.msg_namelen
        out.local_bytes = 0
        if not self._controlled:
            return True
        control = CMSG_FIRSTHDR(head)
        if control == NULL:
            return True
        data = CMSG_DATA(control)
        if control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_PKTINFO:
            memset(local, 0, PKTINFO_BYTES)  # the interface is left to the routing table
            memcpy(local + 4, data + 4, 4)
            out.local_bytes = PKTINFO_BYTES
            return data[4] == data[8] and data[5] == data[9] and data[6] == data[10] and data[7] == data[11]
        if control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_PKTINFO:
            memcpy(local, data, LOCAL_BYTES)
            if data[0] != 0xFE or data[1] & 0xC0 != 0x80:  # a link-local address means something only with its interface
                memset(local + 16, 0, 4)
            out.local_bytes = LOCAL_BYTES
            return data[0] != 0xFF
        return True


cdef class Outbox:
    """Datagrams of up to `most_bytes` that wait to be sent, at most 64."""

    def __cinit__(self, Py_ssize_t most_bytes):
        cdef int at
        self._room = BATCH * most_bytes
        self._raw = <uint8_t *>malloc(self._room)
        if self._raw == NULL:
            raise MemoryError
        memset(self._messages, 0, sizeof(self._messages))
        for at in range(BATCH):
            self._messages[at].msg_hdr.msg_iov = &self._parts[at]
            self._messages[at].msg_hdr.msg_iovlen = 1

    def __dealloc__(self):
        free(self._raw)

    cdef uint8_t *room(self, Py_ssize_t most) noexcept nogil:
        cdef uint8_t *free_at = self._raw + self._used
        if self.count == BATCH or self._used + most > self._room:
            return NULL
        fence(free_at, self._room - self._used)
        unfence(free_at, most)
        return free_at

    cdef void add(self, Py_ssize_t size, const Peer *peer) noexcept nogil:
        cdef int at = self.count
        cdef msghdr *head = &self._messages[at].msg_hdr
        cdef cmsghdr *control = <cmsghdr *>self._control[at]
        must(at < BATCH)
        must(size > 0)
        must(self._used + size <= self._room)
        self._parts[at].iov_base = self._raw + self._used
        self._parts[at].iov_len = size
        self._used += size
        self.count += 1
        self._each[at] = 0
        head.msg_control = NULL
        head.msg_controllen = 0
        if peer == NULL:
            head.msg_name = NULL
            head.msg_namelen = 0
            return
        memcpy(&self._peers[at], peer, sizeof(Peer))
        head.msg_name = self._peers[at].name
        head.msg_namelen = peer.name_bytes
        if peer.local_bytes:
            head.msg_control = control
            head.msg_controllen = CMSG_SPACE(peer.local_bytes)
            control.cmsg_len = CMSG_LEN(peer.local_bytes)
            control.cmsg_level = IPPROTO_IP if peer.local_bytes == PKTINFO_BYTES else IPPROTO_IPV6
            control.cmsg_type = IP_PKTINFO if peer.local_bytes == PKTINFO_BYTES else IPV6_PKTINFO
            memcpy(CMSG_DATA(control), peer.local, peer.local_bytes)

    cdef void join(self) noexcept nogil:
        """Let datagrams of one size in a row, and a shorter one behind them, be one message that the kernel cuts (UDP_SEGMENT): they
        go through its layers together."""
        cdef int at, count = 0
        cdef size_t size, each = 0
        cdef bint is_open = False
        for at in range(self.count):
            must(self._messages[at].msg_hdr.msg_name == NULL)
            size = self._parts[at].iov_len
            if is_open and size <= each:
                self._parts[count - 1].iov_len += size
                self._set_segment(count - 1, <uint16_t>each)
                is_open = size == each
            else:
                self._parts[count] = self._parts[at]
                each, is_open = size, True
                count += 1
        self.count = count

    cdef void _set_segment(self, int at, uint16_t each) noexcept nogil:
        cdef msghdr *head = &self._messages[at].msg_hdr
        cdef cmsghdr *control = <cmsghdr *>self._control[at]
        must(self._parts[at].iov_len <= MOST_SENT_BYTES)
        self._each[at] = each
        head.msg_control = control
        head.msg_controllen = CMSG_SPACE(sizeof(uint16_t))
        control.cmsg_len = CMSG_LEN(sizeof(uint16_t))
        control.cmsg_level = IPPROTO_UDP
        control.cmsg_type = UDP_SEGMENT
        memcpy(CMSG_DATA(control), &each, sizeof(uint16_t))

    cdef bint is_joined(self, int at) noexcept nogil:
        must(at < self.count)
        return self._each[at] != 0

    cdef void split(self, int first) noexcept nogil:
        cdef iovec parts[BATCH]
        cdef uint16_t each[BATCH]
        cdef int at, count = self.count
        cdef size_t size
        memcpy(parts, self._parts, sizeof(parts))
        memcpy(each, self._each, sizeof(each))
        self.count = first
        for at in range(first, count):
            while parts[at].iov_len:
                must(self.count < BATCH)
                size = min(<size_t>each[at], parts[at].iov_len) if each[at] else parts[at].iov_len
                self._parts[self.count].iov_base = parts[at].iov_base
                self._parts[self.count].iov_len = size
                self._messages[self.count].msg_hdr.msg_control = NULL
                self._messages[self.count].msg_hdr.msg_controllen = 0
                self._each[self.count] = 0
                self.count += 1
                parts[at].iov_base = <uint8_t *>parts[at].iov_base + size
                parts[at].iov_len -= size

    cdef int send(self, int fd, int first, int *last_errno) noexcept nogil:
        cdef int n
        while first < self.count:
            n = sendmmsg(fd, self._messages + first, self.count - first, MSG_DONTWAIT)
            if n < 0:
                last_errno[0] = errno
                break
            first += n
        return first

    cdef void clear(self) noexcept nogil:
        self.count = 0
        self._used = 0

    cdef int flush(self, int fd, int *last_errno) noexcept nogil:
        cdef int done = self.send(fd, 0, last_errno), lost = 0
        while done < self.count:  # those behind the one that could not be sent may still go
            lost += 1
            done = self.send(fd, done + 1, last_errno)
        self.clear()
        return lost
