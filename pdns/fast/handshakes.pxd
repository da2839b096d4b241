"""Handshakes, in a thread of low priority: each takes OpenSSL most of a millisecond, for which no query waits.

The thread has no part of Python. A `Handshake` that was handed to it belongs to it until `next_done` gives it back.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from pdns.fast.openssl cimport SSL, SSL_CTX
from pdns.fast.tls cimport FAILED, Progress, tls_handshake, tls_new

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_create(pthread_t *thread, void *attributes, void *(*run)(void *) noexcept nogil, void *given)
    int pthread_join(pthread_t thread, void **result)
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_cond_init(pthread_cond_t *condition, void *attributes)
    int pthread_cond_destroy(pthread_cond_t *condition)
    int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
    int pthread_cond_signal(pthread_cond_t *condition)

cdef extern from *:
    """
    #include <signal.h>
    #include <sys/eventfd.h>
    #include <sys/resource.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static void pdns_step_back(void) {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, NULL);
        setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
    }
    """
    void step_back "pdns_step_back"() noexcept nogil  # signals go to the other thread, and so does the processor
    enum: EFD_CLOEXEC
    enum: EFD_NONBLOCK
    int eventfd(unsigned int start, int flags) noexcept nogil
    ssize_t read(int fd, void *at, size_t size) noexcept nogil
    ssize_t write(int fd, const void *at, size_t size) noexcept nogil
    int close(int fd) noexcept nogil


cdef struct Handshake:
    Handshake *next
    void *owner
    SSL_CTX *context  # lent, until there is a session
    SSL *ssl
    int fd
    Progress progress
    int reason  # of OpenSSL, when it has FAILED
    int heard  # messages of TLS itself


cdef struct HandshakeQueue:
    Handshake *first
    Handshake *last


cdef struct HandshakeThread:
    pthread_t thread
    pthread_mutex_t mutex
    pthread_cond_t condition
    HandshakeQueue begun  # are finished before others begin: those hold memory
    HandshakeQueue new
    HandshakeQueue done
    int eventfd  # readable when some are done
    bint stopping


cdef inline void put(HandshakeQueue *queue, Handshake *one) noexcept nogil:
    one.next = NULL
    if queue.last == NULL:
        queue.first = one
    else:
        queue.last.next = one
    queue.last = one


cdef inline Handshake *pop(HandshakeQueue *queue) noexcept nogil:
    cdef Handshake *one = queue.first
    if one != NULL:
        queue.first = one.next
        if queue.first == NULL:
            queue.last = NULL
    return one


cdef inline void run_handshake(Handshake *one) noexcept nogil:
    """As far as it gets with what the client has sent."""
    one.reason = 0
    if one.ssl == NULL:
        one.ssl = tls_new(one.context, one.fd, &one.heard)
        one.context = NULL
    one.progress = FAILED if one.ssl == NULL else tls_handshake(one.ssl, &one.reason)


cdef inline void *run_thread(void *given) noexcept nogil:
    cdef HandshakeThread *this = <HandshakeThread *>given
    cdef Handshake *one
    cdef uint64_t signal = 1
    step_back()
    pthread_mutex_lock(&this.mutex)
    while not this.stopping:
        one = pop(&this.begun)
        if one == NULL:
            one = pop(&this.new)
        if one == NULL:
            pthread_cond_wait(&this.condition, &this.mutex)
            continue
        pthread_mutex_unlock(&this.mutex)
        run_handshake(one)
        pthread_mutex_lock(&this.mutex)
        put(&this.done, one)
        write(this.eventfd, &signal, sizeof(signal))
    pthread_mutex_unlock(&this.mutex)
    return NULL


cdef inline HandshakeThread *start_thread() noexcept nogil:
    """NULL: the system allows no thread."""
    cdef HandshakeThread *this = <HandshakeThread *>calloc(1, sizeof(HandshakeThread))
    if this == NULL:
        return NULL
    this.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    pthread_mutex_init(&this.mutex, NULL)
    pthread_cond_init(&this.condition, NULL)
    if this.eventfd < 0 or pthread_create(&this.thread, NULL, run_thread, this) != 0:
        free_thread(this)
        return NULL
    return this


cdef inline void submit(HandshakeThread *this, Handshake *one) noexcept nogil:
    pthread_mutex_lock(&this.mutex)
    put(&this.new if one.ssl == NULL else &this.begun, one)
    pthread_cond_signal(&this.condition)
    pthread_mutex_unlock(&this.mutex)


cdef inline Handshake *take_done(HandshakeThread *this) noexcept nogil:
    """All that are done, chained by `next`."""
    cdef uint64_t count
    cdef Handshake *first
    read(this.eventfd, &count, sizeof(count))
    pthread_mutex_lock(&this.mutex)
    first = this.done.first
    this.done.first = this.done.last = NULL
    pthread_mutex_unlock(&this.mutex)
    return first


cdef inline void stop_thread(HandshakeThread *this) noexcept nogil:
    """Ends it, after what it is at: most of a millisecond. Those that wait are taken out with `next_left`."""
    pthread_mutex_lock(&this.mutex)
    this.stopping = True
    pthread_cond_signal(&this.condition)
    pthread_mutex_unlock(&this.mutex)
    pthread_join(this.thread, NULL)


cdef inline Handshake *next_left(HandshakeThread *this) noexcept nogil:
    """One of those that a stopped thread had; NULL: there are no more."""
    cdef Handshake *one = pop(&this.done)
    if one == NULL:
        one = pop(&this.begun)
    if one == NULL:
        one = pop(&this.new)
    return one


cdef inline void free_thread(HandshakeThread *this) noexcept nogil:
    if this.eventfd >= 0:
        close(this.eventfd)
    pthread_cond_destroy(&this.condition)
    pthread_mutex_destroy(&this.mutex)
    free(this)
