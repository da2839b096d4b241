"""Reading messages off the wire: the compiled twin of `pdns.reference.query`. Nothing here allocates or raises.

Memory of a packet is reached through a `Reader` alone, and `take` alone moves one.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from pdns.fast.checks cimport must


cdef enum:
    HEADER_BYTES = 12
    MAX_NAME_BYTES = 255
    MAX_QUESTION_BYTES = 259  # name, qtype, qclass
    KEY_TAIL_BYTES = 3  # behind the question in a key: DO and CD, then the policy
    MAX_KEY_BYTES = 262
    PLAIN_UDP_BYTES = 512  # RFC 1035, 4.2.1: without EDNS

# header flags
cdef enum:
    QR = 0x8000
    OPCODE_MASK = 0x7800
    TC = 0x0200
    RD = 0x0100
    RA = 0x0080
    AD = 0x0020
    CD = 0x0010
    RCODE_MASK = 0x000F

cdef enum:
    TYPE_OPT = 41
    OPT_BYTES = 11  # of an OPT record without options
    OPTION_NSID = 3
    OPTION_COOKIE = 10
    OPTION_KEEPALIVE = 11
    OPTION_STRUCTURED_ERROR = 26
    CLIENT_COOKIE_BYTES = 8
    SERVER_COOKIE_BYTES = 16
    LEAST_COOKIES_BYTES = 16  # of a client's and a server's (RFC 7873, 4)
    MOST_COOKIES_BYTES = 40
    KEEPALIVE_BYTES = 6
    MOST_NSID_BYTES = 68  # of the option; `server.identity` has 64 characters at most
    MOST_OPTION_BYTES = 102  # of the options in an answer: our cookie, keepalive and NSID

# Why bytes are not a query we can serve. `wire.pyx` has the rcode of each, `query.pyx` the words.
cdef enum Fault:
    SOUND
    SHORT_HEADER
    A_RESPONSE
    UNKNOWN_OPCODE
    NOT_ONE_QUESTION
    HAS_ANSWERS
    COMPRESSED
    QUESTION_CUT
    LONG_NAME
    RECORD_CUT  # this and what follows come with a sound question
    RDATA_LEAVES
    TWO_OPTS
    OPTION_CUT
    OPTION_LEAVES
    COOKIE_SIZE
    NEWER_EDNS
    NAME_LEAVES
    NAME_OVER_255
    POINTER_CUT
    POINTER_AHEAD
    UNKNOWN_LABEL
    FAULTS


cdef struct Reader:  # never outlives its packet
    const uint8_t *start
    const uint8_t *at
    Py_ssize_t left  # bytes


cdef struct Question:  # what a query says, with nothing left that points into its packet
    uint16_t id
    uint16_t flags
    uint16_t qtype
    uint16_t qclass
    uint16_t udp_bytes
    uint16_t name_bytes
    uint16_t bytes  # of the question section
    uint16_t key_bytes
    bint edns
    bint want_dnssec  # DO
    bint has_options  # a cookie, keepalive or NSID
    bint keepalive
    bint nsid
    bint structured  # it understands structured errors
    uint8_t cookie_bytes
    uint8_t option_bytes  # of what the OPT record of the answer is to hold
    uint8_t cookie[MOST_COOKIES_BYTES]
    uint8_t options[MOST_OPTION_BYTES]
    uint8_t section[MAX_QUESTION_BYTES]  # as received
    uint8_t key[MAX_KEY_BYTES]  # the same in lower case, DO and CD; two bytes of policy follow


cdef Reader reader(const uint8_t *wire, Py_ssize_t size) noexcept nogil
cdef const uint8_t *take(Reader *r, Py_ssize_t n) noexcept nogil  # NULL: there are fewer than n
cdef bint seek(Reader *r, Py_ssize_t to, Py_ssize_t size) noexcept nogil  # False: outside of the message


cdef inline uint16_t u16(const uint8_t *at) noexcept nogil:
    return <uint16_t>((at[0] << 8) | at[1])


cdef inline uint32_t u32(const uint8_t *at) noexcept nogil:
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]


cdef inline void put16(uint8_t *at, unsigned int value) noexcept nogil:
    at[0] = <uint8_t>(value >> 8)
    at[1] = <uint8_t>value


cdef inline void put32(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 24)
    at[1] = <uint8_t>(value >> 16)
    at[2] = <uint8_t>(value >> 8)
    at[3] = <uint8_t>value


cdef inline void fold(uint8_t *to, const uint8_t *name, Py_ssize_t size) noexcept nogil:
    """Lower case. Length bytes are at most 63, below every letter."""
    cdef Py_ssize_t i
    cdef uint8_t byte
    for i in range(size):
        byte = name[i]
        to[i] = byte | <uint8_t>(((<uint8_t>(byte - 65)) < 26) << 5)


cdef inline void set_policy(Question *question, uint16_t policy) noexcept nogil:
    """Ends the key, so that no policy sees another's answers."""
    must(question.bytes + KEY_TAIL_BYTES <= MAX_KEY_BYTES)
    put16(question.key + question.bytes + 1, policy)


cdef Fault parse_question(const uint8_t *wire, Py_ssize_t size, Question *out) noexcept nogil  # of a fault only `edns` is sound
cdef Fault read_options(const uint8_t *rdata, Py_ssize_t size, Question *out) noexcept nogil
cdef Fault check_options(const uint8_t *rdata, Py_ssize_t size) noexcept nogil
cdef Fault skip_name(Reader *r, Py_ssize_t size, bint *is_root) noexcept nogil
cdef Py_ssize_t write_refusal(const uint8_t *wire, Fault fault, const Question *question, uint8_t *out) noexcept nogil  # 0: silence
cdef int rcode_of(Fault fault) noexcept nogil  # -1: silence
