/* Sends DNS queries over UDP to a loopback address and measures the answers.
 *
 * usage: generator --to 127.0.0.1:5300 --packets FILE [options]
 *   --count N        stop after N queries (default: as many as the file holds; a larger N begins again)
 *   --seconds S      stop after S seconds (default 60)
 *   --rate R         open loop: R queries a second, whatever the answers do (default: closed loop)
 *   --window W       at most W queries in flight (default 128; open loop 32768)
 *   --sockets N      source sockets (default 8)
 *   --timeout-ms T   a query without an answer for that long is lost (default 1000)
 *   --progress       a line on standard error while it runs
 * SIGTERM or SIGINT: stops sending, waits for what is in flight, reports.
 *
 * FILE: queries, each behind its length in two bytes, most significant first. The ids in it do not matter: each
 * query gets a new one. Standard output: one JSON object.
 *
 * Closed loop: a query goes out as soon as another is answered or lost, so the server is always busy.
 * Open loop: queries go out on a clock, and latency counts from when the query was due, so a server that stalls
 * cannot hide the queries that it kept waiting. Faster than 20,000 a second it sends and looks for answers 20,000 times
 * a second, a few at a time, so as not to be the bottleneck itself: latency comes out up to 0.1 ms too long, never too short.
 */
#define _GNU_SOURCE
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SOURCES = 64, MAX_SLOTS = 65536, RECEIVE_BYTES = 4096, RCODES = 16 };

static const uint64_t SECOND_NS = 1000000000u, SWEEP_NS = 10000000u, PROGRESS_NS = 500000000u, TICK_NS = 50000u;

/* ---- what to send ------------------------------------------------------------------------------------------------ */

struct packet {
    const uint8_t *data;
    uint16_t length;
    uint16_t question_length; /* qname, qtype, qclass; 0 when there is no whole question */
};

static struct packet *packets;
static size_t packet_count;

static uint16_t question_length(const uint8_t *data, size_t length) {
    size_t at = HEADER_BYTES;
    while (at < length && data[at] != 0) {
        if (data[at] > 63) return 0;
        at += 1u + data[at];
    }
    return at + 5 <= length ? (uint16_t)(at + 5 - HEADER_BYTES) : 0;
}

static void load_packets(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) die("%s: %s", path, strerror(errno));
    size_t size = (size_t)status.st_size;
    if (size == 0) die("%s: empty", path);
    const uint8_t *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (data == MAP_FAILED) die("%s: %s", path, strerror(errno));
    close(fd);
    size_t room = size / (2 + HEADER_BYTES) + 1;
    packets = calloc(room, sizeof *packets);
    if (packets == NULL) die("out of memory");
    for (size_t at = 0; at < size;) {
        size_t length = at + 2 <= size ? (size_t)(data[at] << 8 | data[at + 1]) : 0;
        if (length < HEADER_BYTES || at + 2 + length > size) die("%s: not a packet at byte %zu", path, at);
        packets[packet_count++] = (struct packet){data + at + 2, (uint16_t)length, question_length(data + at + 2, length)};
        at += 2 + length;
    }
}

/* ---- latency: buckets of 1/32 of a power of two, so that any percentile is right within 3 % ---------------------- */

enum { SUB_BITS = 5, SUB = 1 << SUB_BITS, BUCKETS = (64 - SUB_BITS + 1) * SUB };

static uint64_t buckets[BUCKETS];
static uint64_t latency_max_ns, latency_sum_ns, over_1s, over_5s;

static unsigned bucket_of(uint64_t ns) {
    if (ns < SUB) return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    return (shift + 1) * SUB + (unsigned)((ns >> shift) - SUB);
}

static uint64_t bucket_top_ns(unsigned bucket) {
    if (bucket < SUB) return bucket;
    unsigned shift = bucket / SUB - 1;
    return ((uint64_t)(SUB + bucket % SUB + 1) << shift) - 1;
}

static void note_latency(uint64_t ns) {
    buckets[bucket_of(ns)]++;
    latency_sum_ns += ns;
    over_1s += ns > SECOND_NS;
    over_5s += ns > 5 * SECOND_NS;
    if (ns > latency_max_ns) latency_max_ns = ns;
}

static double percentile_us(double percent, uint64_t total) {
    uint64_t wanted = (uint64_t)((double)total * percent / 100.0 + 0.999999), seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += buckets[i];
        if (seen >= wanted && seen > 0) {
            uint64_t top = bucket_top_ns(i);
            return (double)(top < latency_max_ns ? top : latency_max_ns) / 1000.0;
        }
    }
    return 0.0;
}

/* ---- queries in flight ------------------------------------------------------------------------------------------- */

/* A query's id is (random bits << slot_bits | slot): the answer finds its slot without a search, and an answer that
 * comes after its query was given up carries the wrong random bits. */
struct query {
    uint64_t due_ns; /* 0: the slot is free */
    uint32_t packet;
    uint16_t id;
};

struct source {
    int fd;
    struct query *slots;
    uint16_t *free; /* a ring: a slot rests as long as possible before it is used again */
    uint32_t free_at, free_count;
};

static struct source sources[MAX_SOURCES];
static unsigned source_count = 8, slot_bits, slot_count;
static unsigned client_count; /* addresses that sources share, from 127.0.1.1 on; 0: the kernel chooses */

static uint64_t sent, received, lost, strange, question_differs, truncated, send_errors, in_flight;
static uint64_t rcodes[RCODES];
static uint64_t next_packet, last_answer_ns;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static uint32_t random_bits(void) { /* xorshift64* */
    static uint64_t state = 0;
    if (state == 0) state = now_ns() | 1;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 2685821657736338717u) >> 32);
}

static void release(struct source *source, uint32_t slot) {
    source->slots[slot].due_ns = 0;
    source->free[(source->free_at + source->free_count++) % slot_count] = (uint16_t)slot;
    in_flight--;
}

static void open_sources(const struct sockaddr_storage *to, socklen_t to_length, unsigned window) {
    unsigned each = (window + source_count - 1) / source_count;
    while ((1u << slot_bits) < each) slot_bits++;
    if (slot_bits > 16) die("at most %u queries in flight a socket", MAX_SLOTS);
    slot_count = each;
    for (unsigned i = 0; i < source_count; i++) {
        struct source *source = &sources[i];
        int bytes = 4 << 20;
        source->fd = socket(to->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (source->fd >= 0 && client_count > 0) {
            struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101 + i % client_count)};
            if (bind(source->fd, (const struct sockaddr *)&from, sizeof from) != 0) die("bind: %s", strerror(errno));
        }
        if (source->fd < 0 || connect(source->fd, (const struct sockaddr *)to, to_length) != 0) die("socket: %s", strerror(errno));
        setsockopt(source->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes); /* else an answer may be lost on our side */
        source->slots = calloc(slot_count, sizeof *source->slots);
        source->free = calloc(slot_count, sizeof *source->free);
        if (source->slots == NULL || source->free == NULL) die("out of memory");
        for (unsigned slot = 0; slot < slot_count; slot++) source->free[slot] = (uint16_t)slot;
        source->free_count = slot_count;
    }
}

/* Sends up to `wanted` queries from one source. The n-th query of all is due at start + n * interval; an interval of 0
 * means now. Returns how many went out. */
static unsigned send_batch(struct source *source, uint64_t wanted, uint64_t start_ns, double interval_ns) {
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH][2];
    static uint8_t ids[BATCH][2];
    unsigned n = BATCH;
    if (n > wanted) n = (unsigned)wanted;
    if (n > source->free_count) n = source->free_count;
    if (n == 0) return 0;
    uint64_t now = now_ns();
    for (unsigned i = 0; i < n; i++) {
        uint32_t index = (uint32_t)((next_packet + i) % packet_count);
        uint32_t slot = source->free[(source->free_at + i) % slot_count];
        uint16_t id = (uint16_t)(random_bits() << slot_bits | slot);
        uint64_t due = interval_ns > 0 ? start_ns + (uint64_t)((double)(sent + i) * interval_ns) : now;
        source->slots[slot] = (struct query){due, index, id};
        ids[i][0] = (uint8_t)(id >> 8);
        ids[i][1] = (uint8_t)id;
        parts[i][0] = (struct iovec){ids[i], 2};
        parts[i][1] = (struct iovec){(void *)(uintptr_t)(packets[index].data + 2), packets[index].length - 2u};
        messages[i].msg_hdr.msg_iov = parts[i];
        messages[i].msg_hdr.msg_iovlen = 2;
    }
    int done = sendmmsg(source->fd, messages, n, 0);
    if (done < 0) {
        send_errors++;
        done = 0;
    }
    for (unsigned i = (unsigned)done; i < n; i++) source->slots[source->free[(source->free_at + i) % slot_count]].due_ns = 0;
    source->free_at = (source->free_at + (unsigned)done) % slot_count;
    source->free_count -= (unsigned)done;
    sent += (unsigned)done;
    next_packet += (unsigned)done;
    in_flight += (unsigned)done;
    return (unsigned)done;
}

static void take_answer(struct source *source, const uint8_t *data, size_t length, uint64_t now) {
    if (length < HEADER_BYTES || !(data[2] & 0x80)) {
        strange++;
        return;
    }
    uint16_t id = (uint16_t)(data[0] << 8 | data[1]);
    uint32_t slot = id & ((1u << slot_bits) - 1);
    struct query *query = slot < slot_count ? &source->slots[slot] : NULL;
    if (query == NULL || query->due_ns == 0 || query->id != id) { /* late, twice, or unknown */
        strange++;
        return;
    }
    const struct packet *asked = &packets[query->packet];
    size_t question = asked->question_length;
    if (question > 0 && (length < HEADER_BYTES + question || memcmp(data + HEADER_BYTES, asked->data + HEADER_BYTES, question) != 0))
        question_differs++;
    if (data[2] & 0x02) truncated++;
    rcodes[data[3] & 0x0F]++;
    note_latency(now > query->due_ns ? now - query->due_ns : 0);
    received++;
    last_answer_ns = now;
    release(source, slot);
}

/* Takes the answers that are there, one batch. Returns how many datagrams there were. */
static unsigned receive_batch(struct source *source) {
    static uint8_t buffers[BATCH][RECEIVE_BYTES];
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    if (parts[0].iov_base == NULL) {
        for (unsigned i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){buffers[i], RECEIVE_BYTES};
            messages[i].msg_hdr.msg_iov = &parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
    }
    int n = recvmmsg(source->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    if (n <= 0) return 0;
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++) take_answer(source, buffers[i], messages[i].msg_len, now);
    return (unsigned)n;
}

static void sweep(uint64_t now, uint64_t timeout_ns) {
    for (unsigned i = 0; i < source_count; i++) {
        if (sources[i].free_count == slot_count) continue;
        for (unsigned slot = 0; slot < slot_count; slot++) {
            uint64_t due = sources[i].slots[slot].due_ns;
            if (due != 0 && now > due + timeout_ns) {
                lost++;
                release(&sources[i], slot);
            }
        }
    }
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

struct run {
    uint64_t count;
    double seconds, rate;
    uint64_t timeout_ns;
    bool progress;
};

static void print_progress(const struct run *run, uint64_t now, uint64_t start) {
    static uint64_t last_ns, last_received;
    if (last_ns == 0) last_ns = start;
    if (now - last_ns < PROGRESS_NS) return;
    double rate = (double)(received - last_received) / ((double)(now - last_ns) / 1e9);
    fprintf(stderr, "\r  %llu of %llu queries, %.0f answers/s, %llu lost \x1b[K", (unsigned long long)sent, (unsigned long long)run->count,
            rate, (unsigned long long)lost);
    last_ns = now;
    last_received = received;
}

static void idle(uint64_t until_ns) {
    struct pollfd polled[MAX_SOURCES];
    for (unsigned i = 0; i < source_count; i++) polled[i] = (struct pollfd){sources[i].fd, POLLIN, 0};
    uint64_t now = now_ns();
    uint64_t wait = until_ns > now ? until_ns - now : 0;
    struct timespec timeout = {(time_t)(wait / SECOND_NS), (long)(wait % SECOND_NS)};
    ppoll(polled, source_count, &timeout, NULL);
}

/* Sleeps whatever arrives. Cheaper than to be woken by each answer when there are many. */
static void rest(uint64_t until_ns) {
    struct timespec until = {(time_t)(until_ns / SECOND_NS), (long)(until_ns % SECOND_NS)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static double drive(const struct run *run) {
    uint64_t start = now_ns(), stop = start + (uint64_t)(run->seconds * 1e9), next_sweep = start + SWEEP_NS;
    double interval_ns = run->rate > 0 ? 1e9 / run->rate : 0;
    unsigned turn = 0;
    last_answer_ns = start;
    for (;;) {
        uint64_t now = now_ns();
        bool sending = sent < run->count && now < stop && !interrupted;
        if (!sending && in_flight == 0) break;
        unsigned moved = 0;
        uint64_t due = run->count;
        if (interval_ns > 0) {
            due = (uint64_t)((double)(now - start) / interval_ns) + 1;
            if (due > run->count) due = run->count;
        }
        for (unsigned i = 0; i < source_count; i++) {
            struct source *source = &sources[(turn + i) % source_count];
            if (source->free_count < slot_count) moved += receive_batch(source);
            if (sending && due > sent) moved += send_batch(source, due - sent, start, interval_ns);
        }
        turn++;
        if (now >= next_sweep) {
            sweep(now, run->timeout_ns);
            next_sweep = now + SWEEP_NS;
            if (run->progress) print_progress(run, now, start);
        }
        if (interval_ns > 0 && interval_ns < (double)TICK_NS) {
            rest(now + TICK_NS);
        } else if (moved == 0) {
            uint64_t wake = next_sweep;
            if (sending && interval_ns > 0) {
                uint64_t next_due = start + (uint64_t)((double)sent * interval_ns) + 1;
                if (next_due < wake) wake = next_due;
            }
            idle(wake);
        }
    }
    if (run->progress) fprintf(stderr, "\r\x1b[K");
    return (double)(last_answer_ns - start) / 1e9;
}

static void print_report(double elapsed_s) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"strange\": %llu, \"question_differs\": %llu, \"truncated\": %llu, "
           "\"send_errors\": %llu, \"over_1s\": %llu, \"over_5s\": %llu, \"elapsed_s\": %.6f, \"answers_per_s\": %.1f, \"generator_cpu_s\": %.3f, \"rcodes\": {",
           (unsigned long long)sent, (unsigned long long)received, (unsigned long long)lost, (unsigned long long)strange,
           (unsigned long long)question_differs, (unsigned long long)truncated, (unsigned long long)send_errors, (unsigned long long)over_1s, (unsigned long long)over_5s, elapsed_s,
           elapsed_s > 0 ? (double)received / elapsed_s : 0.0, cpu_s);
    const char *separator = "";
    for (unsigned i = 0; i < RCODES; i++) {
        if (rcodes[i] == 0) continue;
        printf("%s\"%u\": %llu", separator, i, (unsigned long long)rcodes[i]);
        separator = ", ";
    }
    printf("}, \"latency_us\": {\"mean\": %.1f, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p99_9\": %.1f, \"max\": %.1f}}\n",
           received > 0 ? (double)latency_sum_ns / (double)received / 1000.0 : 0.0, percentile_us(50, received), percentile_us(90, received),
           percentile_us(99, received), percentile_us(99.9, received), (double)latency_max_ns / 1000.0);
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

static double number(const char *option, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most)) die("--%s: a number from %g to %g, not %s", option, least, most, text);
    return value;
}

/* Reads 127.0.0.1:5300 or [::1]:5300. */
static socklen_t parse_address(const char *text, struct sockaddr_storage *address) {
    char host[64];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof host) die("--to: %s: not ADDRESS:PORT", text);
    size_t length = (size_t)(colon - text);
    bool v6 = text[0] == '[' && text[length - 1] == ']';
    memcpy(host, text + (v6 ? 1 : 0), length - (v6 ? 2 : 0));
    host[length - (v6 ? 2 : 0)] = '\0';
    uint16_t port = htons((uint16_t)number("to", colon + 1, 1, 65535));
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = port};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};
    memset(address, 0, sizeof *address);
    if (!v6 && inet_pton(AF_INET, host, &in4.sin_addr) == 1) {
        memcpy(address, &in4, sizeof in4);
        return sizeof in4;
    }
    if (v6 && inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        memcpy(address, &in6, sizeof in6);
        return sizeof in6;
    }
    die("--to: %s: not an address", host);
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"to", required_argument, NULL, 'a'},      {"packets", required_argument, NULL, 'p'}, {"count", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'}, {"rate", required_argument, NULL, 'r'},    {"window", required_argument, NULL, 'w'},
        {"sockets", required_argument, NULL, 'k'}, {"timeout-ms", required_argument, NULL, 't'}, {"progress", no_argument, NULL, 'v'},
        {"clients", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    struct sockaddr_storage to;
    socklen_t to_length = 0;
    const char *path = NULL;
    struct run run = {.seconds = 60, .timeout_ns = SECOND_NS};
    unsigned window = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
            case 'a': to_length = parse_address(optarg, &to); break;
            case 'p': path = optarg; break;
            case 'n': run.count = (uint64_t)number("count", optarg, 1, 1e12); break;
            case 's': run.seconds = number("seconds", optarg, 0.001, 86400); break;
            case 'r': run.rate = number("rate", optarg, 0.001, 1e8); break;
            case 'w': window = (unsigned)number("window", optarg, 1, (double)MAX_SOURCES * MAX_SLOTS); break;
            case 'k': source_count = (unsigned)number("sockets", optarg, 1, MAX_SOURCES); break;
            case 't': run.timeout_ns = (uint64_t)(number("timeout-ms", optarg, 1, 60000) * 1e6); break;
            case 'c': client_count = (unsigned)number("clients", optarg, 1, 200); break;
            case 'v': run.progress = true; break;
            default: return 2;
        }
    }
    if (optind != argc || to_length == 0 || path == NULL) die("usage: generator --to ADDRESS:PORT --packets FILE [options]");
    if (!is_loopback(&to)) die("--to: not a loopback address: this program is for servers on this machine");
    load_packets(path);
    if (run.count == 0) run.count = packet_count;
    if (window == 0) window = run.rate > 0 ? 32768 : 128;
    if (window < source_count) source_count = window;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1ul); /* the kernel's 50 us of slack would show as latency */
    open_sources(&to, to_length, window);
    print_report(drive(&run));
    return 0;
}
