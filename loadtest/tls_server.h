/* What the yardsticks over TLS share: one thread, epoll, OpenSSL, and the shape of an answer. */
#ifndef LOADTEST_TLS_SERVER_H
#define LOADTEST_TLS_SERVER_H

#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { IN_BYTES = 1 << 17, OUT_BYTES = 1 << 18, EVENTS = 256, RECORD_BYTES = 16, MOST_ANSWER_BYTES = 4096 };

struct connection {
    SSL *ssl;
    void *session;  /* of HTTP/2 */
    uint8_t *rest;  /* what was read and is not whole, or NULL */
    uint8_t *unsent; /* what could not be written, or NULL */
    size_t rest_length, unsent_length;
    int fd;
    bool open;
};

/* What a protocol gives: each returns false when the connection is to end. */
static bool on_open(struct connection *c);
static bool on_read(struct connection *c, uint8_t *data, size_t length); /* answers go to `out` */
static void on_end(struct connection *c);

static uint8_t in[IN_BYTES], out[OUT_BYTES];
static size_t out_length;
static int events_fd;

static size_t block_bytes; /* answers are padded to a multiple of it (RFC 8467); 0: they are not */

/* Pads a message that ends with an OPT record without options. */
static size_t pad(uint8_t *message, size_t length) {
    size_t whole = (length + 4 + block_bytes - 1) / block_bytes * block_bytes, padding = whole - length - 4;
    message[length - 2] = (uint8_t)((padding + 4) >> 8);
    message[length - 1] = (uint8_t)(padding + 4);
    const uint8_t head[4] = {0, 12, (uint8_t)(padding >> 8), (uint8_t)padding};
    memcpy(message + length, head, sizeof head);
    memset(message + length + sizeof head, 0, padding);
    return whole;
}

/* Writes an answer to `query`: its question, one address record, and what followed the question. 0: not a query. */
static size_t answer(uint8_t *to, const uint8_t *query, size_t length) {
    static const uint8_t record[RECORD_BYTES] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4, 198, 51, 100, 1};
    size_t end = HEADER_BYTES;
    while (end < length && query[end] != 0) end += 1u + query[end];
    end += 5;
    if (end > length || length > MOST_ANSWER_BYTES / 4) return 0;
    memcpy(to, query, end);
    to[2] |= 0x80;
    to[3] |= 0x80;
    to[7] = 1;
    memcpy(to + end, record, sizeof record);
    memcpy(to + end + sizeof record, query + end, length - end);
    return block_bytes > 0 && length > end ? pad(to, length + sizeof record) : length + sizeof record;
}

static void keep(uint8_t **where, size_t *size, const uint8_t *data, size_t length) {
    uint8_t *fresh = NULL;
    if (length > 0) {
        fresh = malloc(length);
        if (fresh == NULL) die("out of memory");
        memcpy(fresh, data, length);
    }
    free(*where);
    *where = fresh;
    *size = length;
}

static void end_connection(struct connection *c) {
    on_end(c);
    SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(c->fd);
    free(c->rest);
    free(c->unsent);
    free(c);
    ERR_clear_error();
}

static void watch(struct connection *c, uint32_t events, int what) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(events_fd, what, c->fd, &event);
}

/* Writes all of `out` as one, behind what is unsent. */
static bool flush(struct connection *c) {
    if (c->unsent_length > 0) {
        if (out_length + c->unsent_length > OUT_BYTES) return false;
        memmove(out + c->unsent_length, out, out_length);
        memcpy(out, c->unsent, c->unsent_length);
        out_length += c->unsent_length;
    }
    size_t at = 0;
    int why = SSL_ERROR_NONE;
    while (at < out_length && why == SSL_ERROR_NONE) {
        int n = SSL_write(c->ssl, out + at, (int)(out_length - at));
        if (n > 0) at += (size_t)n;
        else why = SSL_get_error(c->ssl, n);
    }
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_WRITE) return false;
    bool waited = c->unsent_length > 0;
    keep(&c->unsent, &c->unsent_length, out + at, out_length - at);
    out_length = 0;
    if (waited != (c->unsent_length > 0)) watch(c, EPOLLIN | (waited ? 0u : EPOLLOUT), EPOLL_CTL_MOD);
    return true;
}

static bool advance(struct connection *c) {
    if (!c->open) {
        int n = SSL_accept(c->ssl);
        if (n != 1) return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
        c->open = true;
        if (!on_open(c)) return false;
    }
    bool good = true;
    while (good) {
        if (c->rest_length > 0) memcpy(in, c->rest, c->rest_length);
        int n = SSL_read(c->ssl, in + c->rest_length, (int)(IN_BYTES - c->rest_length));
        if (n <= 0) {
            good = SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
            break;
        }
        good = on_read(c, in, c->rest_length + (size_t)n);
        if (!SSL_has_pending(c->ssl)) break; /* epoll says when there is more */
    }
    return (out_length == 0 && c->unsent_length == 0) || !good ? good : flush(c);
}

static int choose(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered, unsigned int size, void *ours) {
    (void)ssl;
    const unsigned char *alpn = ours;
    int done = SSL_select_next_proto((unsigned char **)(uintptr_t)chosen, length, alpn, 1u + alpn[0], offered, size);
    return done == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* `alpn`: one protocol behind its length. argv: PROGRAM FD CERTIFICATE KEY BLOCK, FD a listening TCP socket on a loopback address. */
static int serve(char **argv, const char *alpn) {
    block_bytes = (size_t)atoi(argv[4]);
    if (block_bytes > MOST_ANSWER_BYTES / 4) die("%s: too large a block", argv[4]);
    int listener = inherited_loopback_socket(argv[1]);
    if (fcntl(listener, F_SETFL, O_NONBLOCK) != 0) die("fcntl: %s", strerror(errno));
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) die("SSL_CTX_new failed");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1); /* all records that are there with one system call, instead of two for each */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* sessions are in tickets */
    if (SSL_CTX_use_certificate_chain_file(context, argv[2]) != 1) die("%s: not a certificate", argv[2]);
    if (SSL_CTX_use_PrivateKey_file(context, argv[3], SSL_FILETYPE_PEM) != 1) die("%s: not a key", argv[3]);
    SSL_CTX_set_alpn_select_cb(context, choose, (void *)(uintptr_t)alpn);
    signal(SIGPIPE, SIG_IGN);
    events_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event accepts = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    if (events_fd < 0 || epoll_ctl(events_fd, EPOLL_CTL_ADD, listener, &accepts) != 0) die("epoll: %s", strerror(errno));
    for (;;) {
        int n = epoll_wait(events_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c != NULL) {
                if (!advance(c)) {
                    out_length = 0;
                    end_connection(c);
                }
                continue;
            }
            int fd;
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                int on = 1;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                c = calloc(1, sizeof *c);
                if (c == NULL || (c->ssl = SSL_new(context)) == NULL || SSL_set_fd(c->ssl, fd) != 1) die("out of memory");
                c->fd = fd;
                watch(c, EPOLLIN, EPOLL_CTL_ADD);
            }
        }
    }
}

#endif
