"""Tunnels through DNS. `tunnels.pxd` has the shape."""

# specification: pdns/core/tunnels.py:TunnelMeter

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.set cimport PySet_Contains
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from pdns.fast.checks cimport must
from pdns.fast.hashing cimport siphash
from pdns.fast.query cimport domain_of

from pdns.core import tunnels as specification

cdef extern from *:
    """
    #include <sys/mman.h>
    #define pdns_soon(at) __builtin_prefetch(at, 1)
    #define PDNS_HUGE_BYTES (2UL << 20)
    static void *pdns_map(size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? NULL : memory;
    }
    static void *pdns_huge(void *memory) {
        void *at = (void *)(((uintptr_t)memory + PDNS_HUGE_BYTES - 1) & ~(PDNS_HUGE_BYTES - 1));
        madvise(at, PDNS_HUGE_BYTES, MADV_HUGEPAGE);
        return at;
    }
    """
    enum: PDNS_HUGE_BYTES
    void soon "pdns_soon"(const void *at) noexcept nogil
    void *map_memory "pdns_map"(size_t size) noexcept nogil  # zeros; NULL: there is none
    void *huge_page "pdns_huge"(void *memory) noexcept nogil  # in twice as much: one entry of the TLB for all tables
    int munmap(void *memory, size_t size) noexcept nogil

cdef enum:
    WINDOW_S = 300
    LEARN_S = 600
    LEARN_FACTOR = 8
    BYTE = 80
    NO_TENANT = 65535
    STEP = 4
    MASKS = 16
    LINE_BYTES = 64
assert (BUCKETS, PLACES, NEW_AT, SETS, WAYS) == (
    specification.BUCKETS, specification.PLACES, specification.NEW_AT, specification.SETS, specification.WAYS,
)  # fmt: skip
assert (WINDOW_S, LEARN_S, LEARN_FACTOR, BYTE, NO_TENANT, STEP) == (
    specification.WINDOW_S, specification.LEARN_S, specification.LEARN_FACTOR, specification.BYTE, specification.MOST_TENANTS,
    specification.STEP,
)  # fmt: skip

cdef uint32_t CHECK_NAMES = 1 << 31  # each name must be looked for among the allowed ones
cdef uint32_t IS_OPEN = 1 << 30  # its `Domain` is its own, not what is left from another
cdef uint32_t _FLAGS = CHECK_NAMES | IS_OPEN
cdef uint64_t _MOST_TENTHS = specification.MOST_TENTHS
cdef uint64_t _TENANT_FACTOR = specification.TENANT_FACTOR
cdef Py_ssize_t _MOST_REPORTS = specification.MOST_REPORTS
cdef uint8_t _classes[256]
cdef uint64_t _tenths[MASKS]
memcpy(_classes, <const char *>specification.CLASSES, 256)
for _mask in range(MASKS):
    _tenths[_mask] = specification.TENTHS[_mask]


cdef uint64_t _information(const uint8_t *name, Py_ssize_t size) noexcept nogil:
    """As `pdns.core.tunnels.information`, of `size` bytes of whole labels."""
    cdef uint64_t tenths = 0
    cdef Py_ssize_t at = 0, end, i
    cdef uint8_t mask
    while at < size:
        end = at + 1 + name[at]
        must(end <= size)
        mask = 0
        for i in range(at + 1, end):
            mask |= _classes[name[i]]
        tenths += _tenths[mask] * name[at]
        at = end
    return tenths


cdef inline uint64_t _key_of(uint64_t domain_hash, uint16_t tenant) noexcept nogil:
    cdef uint64_t key = domain_hash ^ ((<uint64_t>tenant + 1) * _TENANT_FACTOR)
    return key if key else 1


cdef class TunnelMeter:

    def __cinit__(self, bytes key not None):
        if PyBytes_GET_SIZE(key) != sizeof(HashKey):
            raise ValueError(f"a key of {len(key)} bytes")
        memcpy(&self._name_key, PyBytes_AS_STRING(key), sizeof(HashKey))
        self._domain_key = self._name_key
        self._rules = specification.TunnelRules()
        self._numbers, self._tenants, self._reports = {}, [], []
        self._learnt_s = -1
        self._scratch = Query.__new__(Query)

    def __dealloc__(self):
        if self._memory != NULL:
            munmap(self._memory, 2 * PDNS_HUGE_BYTES)
        free(self._tenant_of)

    def adopt(self, rules not None, double now):
        if rules.bytes_per_minute and self._learnt_s < 0:
            self._memory = map_memory(2 * PDNS_HUGE_BYTES)
            if self._memory == NULL:
                raise MemoryError
            self._seen = <uint16_t (*)[PLACES]>huge_page(self._memory)
            self._sets = <DomainSet *>(self._seen + BUCKETS)
            self._domains = <Domain *>(self._sets + SETS)
            must(<uint8_t *>(self._domains + SETS * WAYS) <= <uint8_t *>self._seen + PDNS_HUGE_BYTES)
            self._learnt_s = now + LEARN_S
        self._rules, self.on, self._keeps_clients = rules, rules.bytes_per_minute > 0, rules.keep_clients
        self._turn(now)

    def saw(self, bytes qname not None, str tenant not None, bytes client not None, double now):
        cdef Question *question = &self._scratch.q
        cdef Py_ssize_t at
        if not self.on:
            return
        if not 0 < PyBytes_GET_SIZE(qname) <= MAX_NAME_BYTES or PyBytes_GET_SIZE(client) != ADDRESS_BYTES:
            raise ValueError("not a name, or not an address")
        memcpy(question.key, PyBytes_AS_STRING(qname), PyBytes_GET_SIZE(qname))
        question.name_bytes = <uint16_t>PyBytes_GET_SIZE(qname)
        at = domain_of(question)
        self._saw(
            question, siphash(self._name_key, question.key, question.name_bytes),
            siphash(self._domain_key, question.key + at, question.name_bytes - at), self._number_of(tenant),
            <const uint8_t *>PyBytes_AS_STRING(client), now,
        )  # fmt: skip

    def take(self, double now):
        if self.on and now >= self._ends_s:
            self._turn(now)
        reports, self._reports = self._reports, []
        return reports

    cdef void hash_domains_with(self, HashKey key) noexcept:
        self._domain_key = key

    cdef uint64_t expect(self, const Question *question, uint64_t domain_hash, uint16_t number, list clients) except? 0:
        cdef uint64_t name_hash = siphash(self._name_key, question.key, question.name_bytes)
        cdef DomainSet *ways
        if number >= self._clients:
            self._learn_clients(clients)
        ways = &self._sets[_key_of(domain_hash, self._tenant_of[number]) % SETS]
        soon(self._seen[name_hash % BUCKETS])
        soon(ways)
        soon(<uint8_t *>ways + LINE_BYTES)
        return name_hash

    cdef int saw_question(self, const Question *question, uint64_t name_hash, uint64_t domain_hash, uint16_t number, const uint8_t *client, double now) except -1:
        return self._saw(question, name_hash, domain_hash, self._tenant_of[number], client, now)

    cdef int _number_of(self, str tenant) except -2:
        number = self._numbers.get(tenant)
        if number is None:
            if len(self._tenants) == NO_TENANT:
                return NO_TENANT
            number = self._numbers[tenant] = len(self._tenants)
            self._tenants.append(tenant)
        return number

    cdef int _learn_clients(self, list clients) except -1:
        cdef Py_ssize_t count = len(clients), at
        cdef uint16_t *larger = <uint16_t *>realloc(self._tenant_of, count * sizeof(uint16_t))
        if larger == NULL:
            raise MemoryError
        self._tenant_of = larger
        for at in range(self._clients, count):
            larger[at] = <uint16_t>self._number_of(clients[at].tenant)
            self._clients = at + 1
        return 0

    cdef int _saw(self, const Question *question, uint64_t name_hash, uint64_t domain_hash, uint16_t tenant, const uint8_t *client, double now) except -1:
        cdef Py_ssize_t at = domain_of(question)
        cdef const uint8_t *domain_name = question.key + at
        cdef Domain *domain
        cdef DomainSet *ways
        cdef uint64_t key, tenths
        cdef int way
        if at == 0:
            return 0
        if now >= self._ends_s:
            self._turn(now)
        if self._was_seen(name_hash) or tenant == NO_TENANT:
            return 0
        key = _key_of(domain_hash, tenant)
        domain = self._find(key, &ways, &way)
        if ways.names[way] & CHECK_NAMES and self._is_allowed(question.key, question.name_bytes):
            return 0
        if self._keeps_clients:
            self._open(ways, way, domain, tenant)
        tenths = _information(question.key, at)
        self._count(ways, way, domain, tenths, client)
        if ways.tenths[way] < self._least:
            return 0
        self._open(ways, way, domain, tenant)
        if domain.rule == UNKNOWN:
            domain.rule = self._rule(domain_name, question.name_bytes - at)
            if domain.rule == PARTLY:
                ways.tenths[way], ways.names[way] = 0, _FLAGS
                domain.votes = 0
                if self._is_allowed(question.key, question.name_bytes):
                    return 0
                self._count(ways, way, domain, tenths, client)
                if ways.tenths[way] < self._least:
                    return 0
        if domain.rule == ALLOWED or ways.tenths[way] < domain.next:
            return 0
        domain.next = <uint64_t>ways.tenths[way] + ways.tenths[way] // STEP
        domain.domain_at, domain.sample_bytes = <uint8_t>at, <uint8_t>question.name_bytes
        memcpy(domain.sample, question.key, question.name_bytes)
        return self._report(ways, way, domain, now)

    cdef bint _was_seen(self, uint64_t name_hash) noexcept nogil:
        cdef uint16_t *places = self._seen[name_hash % BUCKETS]
        cdef uint16_t mark = <uint16_t>(name_hash >> 32)
        cdef int at, found = PLACES
        if mark == 0:
            mark = 1
        for at in range(PLACES):
            if places[at] == mark:
                found = at
                break
        if found < NEW_AT:
            return True
        if found == PLACES:
            memmove(places + NEW_AT + 1, places + NEW_AT, (PLACES - NEW_AT - 1) * sizeof(uint16_t))
            places[NEW_AT] = mark
            return False
        memmove(places + 1, places, found * sizeof(uint16_t))
        places[0] = mark
        return True

    cdef Domain *_find(self, uint64_t key, DomainSet **found, int *place) noexcept nogil:
        """The domain with that key, which begins with nothing if it has no place yet."""
        cdef DomainSet *ways = &self._sets[key % SETS]
        cdef int way, chosen = 0
        found[0] = ways
        for way in range(WAYS):
            if ways.key[way] == key:
                place[0] = way
                return &self._domains[key % SETS * WAYS + way]
            if ways.key[way] == 0:
                chosen = way
                break
            if ways.tenths[way] < ways.tenths[chosen]:
                chosen = way
        ways.key[chosen] = key
        ways.tenths[chosen] = ways.names[chosen] = 0
        place[0] = chosen
        return &self._domains[key % SETS * WAYS + chosen]

    cdef void _open(self, DomainSet *ways, int way, Domain *domain, uint16_t tenant) noexcept nogil:
        if not ways.names[way] & IS_OPEN:
            ways.names[way] |= IS_OPEN
            memset(domain, 0, sizeof(Domain) - MAX_NAME_BYTES)
            domain.tenant = tenant

    cdef void _count(self, DomainSet *ways, int way, Domain *domain, uint64_t tenths, const uint8_t *client) noexcept nogil:
        tenths += ways.tenths[way]
        ways.tenths[way] = <uint32_t>(tenths if tenths < _MOST_TENTHS else _MOST_TENTHS)
        ways.names[way] += 1
        if self._keeps_clients:
            if domain.votes == 0:
                memcpy(domain.client, client, ADDRESS_BYTES)
                domain.votes = 1
            elif memcmp(domain.client, client, ADDRESS_BYTES) == 0:
                domain.votes += 1
            else:
                domain.votes -= 1

    cdef Rule _rule(self, const uint8_t *domain, Py_ssize_t size) except *:
        if self._is_allowed(domain, size):
            return ALLOWED
        return PARTLY if PySet_Contains(self._rules.partly_allowed, PyBytes_FromStringAndSize(<const char *>domain, size)) else COUNTS

    cdef bint _is_allowed(self, const uint8_t *name, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = 0
        allow = self._rules.allow
        while not PySet_Contains(allow, PyBytes_FromStringAndSize(<const char *>name + at, size - at)):
            if name[at] == 0:
                return False
            at += 1 + name[at]
        return True

    cdef int _turn(self, double now) except -1:
        cdef Domain *domain
        cdef DomainSet *ways
        cdef int at, way
        cdef bint is_learning
        if now >= self._ends_s:
            for at in range(SETS if self._sets != NULL else 0):
                ways = &self._sets[at]
                for way in range(WAYS):
                    domain = &self._domains[at * WAYS + way]
                    if ways.names[way] & IS_OPEN and domain.reported and ways.tenths[way] != domain.reported:
                        self._report(ways, way, domain, self._ends_s)
                memset(ways, 0, sizeof(DomainSet))
            self._window = <uint64_t>(now / WINDOW_S)
            self._ends_s = <double>((self._window + 1) * WINDOW_S)
        is_learning = now < self._learnt_s
        self._least_bytes = <uint64_t>self._rules.bytes_per_minute * (WINDOW_S // 60) * (LEARN_FACTOR if is_learning else 1)
        self._least = self._least_bytes * BYTE // (2 * <uint64_t>self._rules.workers)
        if self._least == 0:
            self._least = 1
        return 0

    cdef int _report(self, DomainSet *ways, int way, Domain *domain, double at_s) except -1:
        cdef uint32_t names = ways.names[way] & ~_FLAGS
        cdef bint has_one_client = self._keeps_clients and 2 * <uint64_t>domain.votes >= names
        domain.reported = ways.tenths[way]
        if len(self._reports) == _MOST_REPORTS:
            return 0
        sample = PyBytes_FromStringAndSize(<const char *>domain.sample, domain.sample_bytes)
        client = PyBytes_FromStringAndSize(<const char *>domain.client, ADDRESS_BYTES) if has_one_client else b""
        self._reports.append(
            specification.TunnelReport(
                self._tenants[domain.tenant], sample[domain.domain_at:], sample, self._window, at_s, ways.tenths[way] // BYTE,
                self._least_bytes, names, client,
            )
        )  # fmt: skip
        return 0
