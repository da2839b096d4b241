/* The yardstick of DNS over TLS: what OpenSSL and the kernel take to receive a query and send an answer, and nothing else.
 *
 * usage: tls_echo FD CERTIFICATE KEY BLOCK     FD: a TCP socket that listens on a loopback address
 *                                               BLOCK: answers are padded to a multiple of so many bytes; 0: they are not
 *
 * Each query gets its question and one address record back. The answers of a read are written as one record.
 */
#define _GNU_SOURCE
#include "tls_server.h"

static bool on_open(struct connection *c) {
    (void)c;
    return true;
}

static void on_end(struct connection *c) {
    (void)c;
}

static bool on_read(struct connection *c, uint8_t *data, size_t length) {
    size_t at = 0;
    while (length - at >= 2) {
        size_t size = (size_t)(data[at] << 8 | data[at + 1]);
        if (length - at < 2 + size) break;
        if (out_length + 2 + MOST_ANSWER_BYTES > OUT_BYTES && !flush(c)) return false;
        size_t answered = answer(out + out_length + 2, data + at + 2, size);
        if (answered == 0) return false;
        out[out_length] = (uint8_t)(answered >> 8);
        out[out_length + 1] = (uint8_t)answered;
        out_length += 2 + answered;
        at += 2 + size;
    }
    keep(&c->rest, &c->rest_length, data + at, length - at);
    return true;
}

int main(int argc, char **argv) {
    if (argc != 5) die("usage: tls_echo FD CERTIFICATE KEY BLOCK");
    return serve(argv, "\3dot");
}
