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
#include "load.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

enum { MAX_SOURCES = 64, MAX_SLOTS = 65536, RECEIVE_BYTES = 4096 };

static const uint64_t SWEEP_NS = 10000000u, PROGRESS_NS = 500000000u, TICK_NS = 50000u;

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
    note_answer(&packets[query->packet], data, length, now, query->due_ns);
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

/* ---- the command line -------------------------------------------------------------------------------------------- */

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
    print_report(drive(&run), "");
    return 0;
}
