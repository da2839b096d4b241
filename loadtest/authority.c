/* An upstream that is never the bottleneck: every A and AAAA query gets one record, everything else NODATA.
 *
 * usage: authority FD COUNT_FD     FD: a UDP socket, bound to a loopback address
 *                                  COUNT_FD: a file of 8 bytes, kept at how many queries were answered
 *
 * The question is echoed byte for byte. An OPT record is answered with one of ours. The address is made from the
 * name, so that an answer given to the wrong question shows. What is not a plain query gets silence, and so do names
 * below hang.zzz; names below slow.zzz are answered after a second and a half.
 */
#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <sys/mman.h>
#include <time.h>

enum {
    BUFFER_BYTES = 1232,
    ANSWER_TTL_S = 300,
    NEGATIVE_TTL_S = 60,
    TYPE_A = 1,
    TYPE_SOA = 6,
    TYPE_AAAA = 28,
    CLASS_IN = 1,
    OPT_BYTES = 11,
    ROOM_FOR_ANSWER = 64,
    SLOW_MS = 1500,
    MOST_DELAYED = 32768, /* beyond that many the slow servers are silent, too */
};

static uint8_t queries[BATCH][BUFFER_BYTES];
static uint8_t answers[BATCH][BUFFER_BYTES + ROOM_FOR_ANSWER];
static struct sockaddr_storage clients[BATCH];
static struct iovec query_parts[BATCH], answer_parts[BATCH];
static struct mmsghdr received[BATCH], sending[BATCH];

static uint8_t *put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t value) {
    return put16(put16(at, value >> 16), value & 0xFFFF);
}

/* A record up to and including RDLENGTH; the owner is a pointer to `owner` bytes into the message. */
static uint8_t *put_record(uint8_t *at, uint32_t owner, uint32_t type, uint32_t ttl_s, uint32_t rdata_bytes) {
    at = put16(at, 0xC000 | owner);
    at = put16(at, type);
    at = put16(at, CLASS_IN);
    at = put32(at, ttl_s);
    return put16(at, rdata_bytes);
}

/* FNV-1a, case folded: 0x20 must not change the answer. */
static uint32_t hash_name(const uint8_t *name, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = name[i];
        if (byte >= 'A' && byte <= 'Z') byte |= 0x20;
        hash = (hash ^ byte) * 16777619u;
    }
    return hash;
}

/* Writes the answer to `query` and returns its length; 0 for silence. */
static size_t answer_to(const uint8_t *query, size_t length, uint8_t *answer) {
    if (length < HEADER_BYTES + 5 || query[2] & 0xF8 || query[4] != 0 || query[5] != 1) return 0;
    size_t at = HEADER_BYTES, last_label = HEADER_BYTES;
    while (at < length && query[at] != 0) {
        if (query[at] > 63) return 0;
        last_label = at;
        at += 1u + query[at];
    }
    size_t question_end = at + 5;
    if (question_end > length) return 0;
    uint32_t type = (uint32_t)(query[at + 1] << 8 | query[at + 2]);
    uint32_t hash = hash_name(query + HEADER_BYTES, at - HEADER_BYTES);
    bool edns = query[11] == 1 && length >= question_end + OPT_BYTES && query[question_end] == 0 && query[question_end + 2] == 41;

    memcpy(answer, query, question_end);
    answer[2] = (uint8_t)(0x84 | (query[2] & 0x01)); /* QR AA, RD as asked */
    answer[3] = 0;
    memset(answer + 6, 0, 6);
    uint8_t *end = answer + question_end;
    if (type == TYPE_A) {
        answer[7] = 1;
        end = put_record(end, HEADER_BYTES, type, ANSWER_TTL_S, 4);
        end = put32(end, 0xC6120000u | (hash & 0x1FFFF)); /* 198.18.0.0/15: kept for benchmarks, RFC 2544 */
    } else if (type == TYPE_AAAA) {
        answer[7] = 1;
        end = put_record(end, HEADER_BYTES, type, ANSWER_TTL_S, 16);
        end = put32(put32(put32(put32(end, 0x20010002u), 0), 0), hash); /* 2001:2::/48: kept for benchmarks, RFC 5180 */
    } else {
        answer[9] = 1;
        end = put_record(end, (uint32_t)last_label, TYPE_SOA, NEGATIVE_TTL_S, 22);
        *end++ = 0; /* MNAME and RNAME: the root */
        *end++ = 0;
        end = put32(put32(put32(put32(put32(end, 1), 3600), 900), 86400), NEGATIVE_TTL_S);
    }
    if (edns) {
        answer[11] = 1;
        memset(end, 0, OPT_BYTES);
        end[2] = 41;
        put16(end + 3, BUFFER_BYTES);
        end[7] = query[question_end + 7] & 0x80; /* DO */
        end += OPT_BYTES;
    }
    return (size_t)(end - answer);
}

/* Whether the name of a query that `answer_to` answered is below `domain`, in wire form and lower case. */
static bool is_below(const uint8_t *query, const char *domain, size_t length) {
    size_t at = HEADER_BYTES, end = HEADER_BYTES;
    while (query[end] != 0) end += 1u + query[end];
    while (end - at > length) at += 1u + query[at];
    return end - at == length && strncasecmp((const char *)query + at, domain, length) == 0;
}

/* ---- answers that wait: a ring, all for the same time ---- */

static struct delayed {
    uint64_t due_ms;
    struct sockaddr_storage client;
    socklen_t client_length;
    size_t length;
    uint8_t answer[512];
} delayed[MOST_DELAYED];
static uint32_t delayed_first, delayed_count;

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void delay(const uint8_t *answer, size_t length, const struct msghdr *to) {
    if (delayed_count == MOST_DELAYED || length > sizeof delayed[0].answer) return;
    struct delayed *one = &delayed[(delayed_first + delayed_count++) % MOST_DELAYED];
    one->due_ms = now_ms() + SLOW_MS;
    memcpy(&one->client, to->msg_name, to->msg_namelen);
    one->client_length = to->msg_namelen;
    memcpy(one->answer, answer, length);
    one->length = length;
}

/* Sends what is due, and waits for a query, or for what is due next. */
static uint64_t send_delayed(int fd) {
    uint64_t done = 0;
    while (delayed_count > 0) {
        struct delayed *one = &delayed[delayed_first];
        uint64_t now = now_ms();
        if (one->due_ms <= now) {
            sendto(fd, one->answer, one->length, 0, (const struct sockaddr *)&one->client, one->client_length);
            delayed_first = (delayed_first + 1) % MOST_DELAYED;
            delayed_count--;
            done++;
        } else {
            struct pollfd polled = {fd, POLLIN, 0};
            if (poll(&polled, 1, (int)(one->due_ms - now)) > 0) break;
        }
    }
    return done;
}

int main(int argc, char **argv) {
    if (argc != 3) die("usage: authority FD COUNT_FD");
    int fd = inherited_loopback_socket(argv[1]);
    volatile uint64_t *answered = mmap(NULL, sizeof *answered, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[2]), 0);
    if (answered == MAP_FAILED) die("%s: not a file to count in: %s", argv[2], strerror(errno));
    for (unsigned i = 0; i < BATCH; i++) {
        query_parts[i] = (struct iovec){.iov_base = queries[i], .iov_len = BUFFER_BYTES};
        received[i].msg_hdr.msg_iov = &query_parts[i];
        received[i].msg_hdr.msg_iovlen = 1;
        received[i].msg_hdr.msg_name = &clients[i];
    }
    for (;;) {
        *answered += send_delayed(fd);
        for (unsigned i = 0; i < BATCH; i++) received[i].msg_hdr.msg_namelen = sizeof clients[i];
        int count = recvmmsg(fd, received, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0) {
            if (errno == EINTR) continue;
            die("recvmmsg: %s", strerror(errno));
        }
        unsigned ready = 0;
        for (int i = 0; i < count; i++) {
            size_t length = answer_to(queries[i], received[i].msg_len, answers[ready]);
            if (length == 0 || is_below(queries[i], "\4hang\3zzz", 9)) continue;
            if (is_below(queries[i], "\4slow\3zzz", 9)) {
                delay(answers[ready], length, &received[i].msg_hdr);
                continue;
            }
            answer_parts[ready] = (struct iovec){.iov_base = answers[ready], .iov_len = length};
            sending[ready].msg_hdr = received[i].msg_hdr;
            sending[ready].msg_hdr.msg_iov = &answer_parts[ready];
            ready++;
        }
        *answered += ready; /* before they go out: whoever has an answer sees it counted */
        for (unsigned sent = 0; sent < ready;) {
            int n = sendmmsg(fd, sending + sent, ready - sent, 0);
            sent += n > 0 ? (unsigned)n : 1; /* a datagram that cannot be sent is a datagram lost */
        }
    }
}
