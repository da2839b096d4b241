/* What the load generators share: the file of queries, percentiles of latency, the clock, the command line. */
#ifndef LOADTEST_LOAD_H
#define LOADTEST_LOAD_H

#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const uint64_t SECOND_NS = 1000000000u;

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

/* ---- what came of it --------------------------------------------------------------------------------------------- */

enum { RCODES = 16 };

static uint64_t sent, received, lost, strange, question_differs, truncated, send_errors, in_flight;
static uint64_t rcodes[RCODES];
static uint64_t next_packet, last_answer_ns;

/* Counts an answer of at least a header that belongs to the query `asked`. */
static void note_answer(const struct packet *asked, const uint8_t *data, size_t length, uint64_t now, uint64_t due_ns) {
    size_t question = asked->question_length;
    if (question > 0 && (length < HEADER_BYTES + question || memcmp(data + HEADER_BYTES, asked->data + HEADER_BYTES, question) != 0))
        question_differs++;
    if (data[2] & 0x02) truncated++;
    rcodes[data[3] & 0x0F]++;
    note_latency(now > due_ns ? now - due_ns : 0);
    received++;
    last_answer_ns = now;
}

/* `more`: members of the object that only one program has, each with a comma behind it. */
static void print_report(double elapsed_s, const char *more) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{%s\"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"strange\": %llu, \"question_differs\": %llu, \"truncated\": %llu, "
           "\"send_errors\": %llu, \"over_1s\": %llu, \"over_5s\": %llu, \"elapsed_s\": %.6f, \"answers_per_s\": %.1f, \"generator_cpu_s\": %.3f, \"rcodes\": {",
           more, (unsigned long long)sent, (unsigned long long)received, (unsigned long long)lost, (unsigned long long)strange,
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

/* ---- clock, chance ----------------------------------------------------------------------------------------------- */

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

#endif
