"""What an HTTP/2 session holds: its streams and their memory. Nothing here raises."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from pdns.fast.doh cimport DohFields, DohPath, clear_fields
from pdns.fast.nghttp2 cimport NGHTTP2_ERR_CALLBACK_FAILURE, nghttp2_session, nghttp2_session_get_stream_user_data

cdef extern from "<malloc.h>" nogil:
    size_t malloc_usable_size(void *)

cdef extern from *:
    """
    /* Of frames of one kind, in the order of Http2End. Clients that update windows after each answer send two updates for it. */
    struct pdns_allowance { int burst; double per_s; int per_answer; };
    static const struct pdns_allowance pdns_allowances[] = {
        {16, 0.2, 0}, {32, 1, 1}, {100, 1, 2}, {200, 10, 4}, {64, 1, 2}, {16, 1, 1}, {16, 1, 0}, {100, 10, 0}, {40, 1, 0}, {200, 5, 0},
    };
    """
    cdef struct Allowance "pdns_allowance":
        int burst
        double per_s
        int per_answer
    const Allowance *allowances "pdns_allowances"

cdef enum:
    FIRST_STATUS = 400
    STATUSES = 128
    INLINE_BYTES = 512  # of a message or an answer that needs no memory of its own
    MODEST_BYTES = 65536  # that a session may hold although all of them hold too much

cdef enum StreamState:
    READING
    READY
    TAKEN  # by the owner of the session
    ANSWERED
    ABANDONED  # the stream is gone, but its request is still processed

cdef enum Http2End:  # why a connection must end; places in `REASONS`
    H2_GOES_ON
    H2_DONE  # one side said so, and everything was answered
    H2_HTTP_1
    H2_NOT_HTTP
    H2_PROTOCOL
    H2_SETTINGS
    H2_PINGS
    H2_PRIORITIES
    H2_WINDOW_UPDATES
    H2_EMPTY_DATA
    H2_CONTINUATIONS
    H2_GOAWAYS
    H2_RESETS
    H2_INVALID_FRAMES  # our own resets, by frames that make us send them
    H2_REFUSED_STREAMS
    H2_ABANDONED
    H2_HEADERS
    H2_WASTED_BYTES  # that belong to no request
    H2_MEMORY
    H2_SLOW_REQUEST
    H2_STALLED_ANSWER

cdef enum:
    FIRST_BUDGET = H2_SETTINGS
    BUDGETS = H2_REFUSED_STREAMS - H2_SETTINGS + 1


cdef struct Budget:  # of frames of one kind that a client may send
    int32_t left
    uint32_t answers  # given when it was refilled last
    double since_s


cdef struct Http2Totals:  # of all sessions
    int64_t bytes
    int64_t max_bytes
    int64_t max_session_bytes
    uint32_t max_streams
    uint32_t max_requests
    double request_s
    double answer_s
    uint32_t refusals[STATUSES]  # since they were counted, by status


cdef struct Http2Stream:
    int32_t id
    uint8_t state
    bint by_client  # it was reset by the client
    Http2Stream *older
    Http2Stream *newer
    Http2Stream *next_ready
    double since_s  # it was opened, or answered
    DohFields fields
    uint8_t *bytes  # `inline_bytes`, or memory of its own: of the message, then of the answer
    uint32_t size
    uint32_t room
    uint32_t sent
    uint32_t header_bytes
    uint8_t texts[48]  # values of header fields
    uint8_t inline_bytes[INLINE_BYTES]


cdef struct Http2State:
    nghttp2_session *session
    Http2Totals *totals
    DohPath path
    int64_t bytes  # that are held
    double now_s
    int reason
    int preface_at
    uint32_t streams  # open ones
    uint32_t abandoned  # that were reset, and still are processed
    uint32_t requests
    uint32_t wasted_bytes  # since a request became whole
    int32_t last_stream
    uint32_t answers
    uint32_t refused  # requests that did not get as far as `next_request`
    Http2Stream *oldest
    Http2Stream *newest
    Http2Stream *gone  # the abandoned ones
    Http2Stream *ready
    Http2Stream *last_ready
    Budget budgets[BUDGETS]
    bint is_faulted  # a GOAWAY with an error was sent
    bint has_sent
    bint is_last_written



# memory: everything that a session holds is counted, also what nghttp2 holds for it

cdef inline bint may_hold(Http2State *s, size_t more) noexcept nogil:
    cdef Http2Totals *totals = s.totals
    if s.bytes + <int64_t>more > totals.max_session_bytes or (
        totals.bytes + <int64_t>more > totals.max_bytes and s.bytes + <int64_t>more > MODEST_BYTES
    ):
        if s.reason == H2_GOES_ON:
            s.reason = H2_MEMORY
        return False
    return True


cdef inline void *held(Http2State *s, void *memory) noexcept nogil:
    cdef int64_t size = malloc_usable_size(memory)
    s.bytes += size
    s.totals.bytes += size
    return memory


cdef inline void *allocate(size_t size, void *state) noexcept nogil:
    return held(<Http2State *>state, malloc(size)) if may_hold(<Http2State *>state, size) else NULL


cdef inline void *allocate_zeroed(size_t count, size_t size, void *state) noexcept nogil:
    return held(<Http2State *>state, calloc(count, size)) if may_hold(<Http2State *>state, count * size) else NULL


cdef inline void release(void *memory, void *state) noexcept nogil:
    cdef Http2State *s = <Http2State *>state
    cdef int64_t size = malloc_usable_size(memory)
    s.bytes -= size
    s.totals.bytes -= size
    free(memory)


cdef inline void *reallocate(void *memory, size_t size, void *state) noexcept nogil:
    cdef Http2State *s = <Http2State *>state
    cdef int64_t before = malloc_usable_size(memory)
    cdef void *moved
    if not may_hold(s, size):
        return NULL
    moved = realloc(memory, size)
    if moved != NULL:
        s.bytes -= before
        s.totals.bytes -= before
        held(s, moved)
    return moved


cdef inline int stop(Http2State *s, int reason) noexcept nogil:
    if s.reason == H2_GOES_ON:
        s.reason = reason
    return NGHTTP2_ERR_CALLBACK_FAILURE


cdef inline int spend(Http2State *s, int kind) noexcept nogil:
    """One more frame of `kind`; not 0: there were too many."""
    cdef Budget *budget = &s.budgets[kind - FIRST_BUDGET]
    cdef const Allowance *allowance = &allowances[kind - FIRST_BUDGET]
    cdef double earned
    budget.left -= 1
    if budget.left >= 0:
        return 0
    earned = (s.now_s - budget.since_s) * allowance.per_s + <double>(s.answers - budget.answers) * allowance.per_answer
    if earned < 1.0:
        return stop(s, kind)
    budget.left = (<int32_t>earned if earned < allowance.burst else allowance.burst) - 1
    budget.since_s, budget.answers = s.now_s, s.answers
    return 0


# streams

cdef inline Http2Stream *open_stream(Http2State *s, int32_t number) noexcept nogil:
    cdef Http2Stream *stream = <Http2Stream *>allocate(sizeof(Http2Stream), s)
    if stream == NULL:
        return NULL
    stream.id, stream.state, stream.by_client, stream.since_s = number, READING, False, s.now_s
    stream.newer, stream.older, stream.next_ready = NULL, s.newest, NULL
    stream.bytes, stream.size, stream.room, stream.sent, stream.header_bytes = stream.inline_bytes, 0, INLINE_BYTES, 0, 0
    clear_fields(&stream.fields)
    if s.newest == NULL:
        s.oldest = stream
    else:
        s.newest.newer = stream
    s.newest = stream
    s.streams += 1
    return stream


cdef inline void unlink(Http2State *s, Http2Stream *stream) noexcept nogil:
    cdef Http2Stream *before = NULL
    cdef Http2Stream *at = s.ready
    if stream.older == NULL:
        s.oldest = stream.newer
    else:
        stream.older.newer = stream.newer
    if stream.newer == NULL:
        s.newest = stream.older
    else:
        stream.newer.older = stream.older
    s.streams -= 1
    if stream.state == READY:
        while at != stream:
            before, at = at, at.next_ready
        if before == NULL:
            s.ready = stream.next_ready
        else:
            before.next_ready = stream.next_ready
        if s.last_ready == stream:
            s.last_ready = before


cdef inline void drop_bytes(Http2State *s, Http2Stream *stream) noexcept nogil:
    if stream.bytes != stream.inline_bytes:
        release(stream.bytes, s)
    stream.bytes, stream.room, stream.size = stream.inline_bytes, INLINE_BYTES, 0


cdef inline bint reserve(Http2State *s, Http2Stream *stream, uint32_t wanted) noexcept nogil:
    """Make room for `wanted` bytes behind those that are there."""
    cdef uint8_t *memory
    cdef uint32_t size = stream.size
    if size + wanted <= stream.room:
        return True
    wanted += size + size // 2
    memory = <uint8_t *>allocate(wanted, s)
    if memory == NULL:
        return False
    memcpy(memory, stream.bytes, size)
    drop_bytes(s, stream)
    stream.bytes, stream.room, stream.size = memory, wanted, size
    return True


cdef inline Http2Stream *stream_of(Http2State *s, int32_t number) noexcept nogil:
    return <Http2Stream *>nghttp2_session_get_stream_user_data(s.session, number)


cdef inline void forget_abandoned(Http2State *s, int32_t number) noexcept nogil:
    cdef Http2Stream **link = &s.gone
    cdef Http2Stream *stream
    while link[0] != NULL:
        stream = link[0]
        if stream.id == number:
            link[0] = stream.newer
            release(stream, s)
            s.abandoned -= 1
            return
        link = &stream.newer


cdef inline void free_streams(Http2State *s, Http2Stream *stream) noexcept nogil:
    """`stream` and the newer ones."""
    cdef Http2Stream *following
    while stream != NULL:
        following = stream.newer
        drop_bytes(s, stream)
        release(stream, s)
        stream = following
