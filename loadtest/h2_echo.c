/* The yardstick of DNS over HTTP/2: what OpenSSL, nghttp2 and the kernel take to receive a query and send an answer.
 *
 * usage: h2_echo FD CERTIFICATE KEY BLOCK     FD: a TCP socket that listens on a loopback address
 *                                              BLOCK: answers are padded to a multiple of so many bytes; 0: they are not
 *
 * The body of each POST, whatever its path, gets its question and one address record back. The frames of a read are written as
 * one record.
 */
#define _GNU_SOURCE
#include "tls_server.h"

#include <nghttp2/nghttp2.h>

enum { MOST_BODY_BYTES = 2048 };

struct request {
    size_t length, at;
    uint8_t body[MOST_BODY_BYTES];
};

static nghttp2_session_callbacks *callbacks;

static ssize_t give_body(nghttp2_session *http, int32_t stream, uint8_t *to, size_t room, uint32_t *flags, nghttp2_data_source *source, void *user) {
    (void)http, (void)stream, (void)user;
    struct request *request = source->ptr;
    size_t n = request->length - request->at < room ? request->length - request->at : room;
    memcpy(to, request->body + request->at, n);
    request->at += n;
    if (request->at == request->length) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int on_begin(nghttp2_session *http, const nghttp2_frame *frame, void *user) {
    (void)user;
    struct request *request = malloc(sizeof *request);
    if (request == NULL) die("out of memory");
    request->length = request->at = 0;
    return nghttp2_session_set_stream_user_data(http, frame->hd.stream_id, request);
}

static int on_data(nghttp2_session *http, uint8_t flags, int32_t stream, const uint8_t *data, size_t length, void *user) {
    (void)flags, (void)user;
    struct request *request = nghttp2_session_get_stream_user_data(http, stream);
    if (request == NULL || request->length + length > sizeof request->body / 2) return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(request->body + request->length, data, length);
    request->length += length;
    return 0;
}

static int on_frame(nghttp2_session *http, const nghttp2_frame *frame, void *user) {
#define HEADER(n, v) {(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, strlen(v), NGHTTP2_NV_FLAG_NO_COPY_NAME}
    (void)user;
    if (frame->hd.type != NGHTTP2_DATA || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    struct request *request = nghttp2_session_get_stream_user_data(http, frame->hd.stream_id);
    static uint8_t answered[MOST_ANSWER_BYTES];
    if (request == NULL || (request->length = answer(answered, request->body, request->length)) == 0 || request->length > MOST_BODY_BYTES) return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(request->body, answered, request->length);
    char length[8];
    snprintf(length, sizeof length, "%zu", request->length);
    const nghttp2_nv headers[] = {
        HEADER(":status", "200"), HEADER("content-type", "application/dns-message"), HEADER("content-length", length),
        HEADER("cache-control", "max-age=300"),
    };
    const nghttp2_data_provider body = {.source.ptr = request, .read_callback = give_body};
    return nghttp2_submit_response(http, frame->hd.stream_id, headers, sizeof headers / sizeof *headers, &body);
}

static int on_close(nghttp2_session *http, int32_t stream, uint32_t error, void *user) {
    (void)error, (void)user;
    free(nghttp2_session_get_stream_user_data(http, stream));
    return 0;
}

static bool send_frames(struct connection *c) {
    const uint8_t *data;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(c->session, &data)) > 0) {
        if (out_length + (size_t)n > OUT_BYTES && !flush(c)) return false;
        memcpy(out + out_length, data, (size_t)n);
        out_length += (size_t)n;
    }
    return n == 0;
}

static bool on_open(struct connection *c) {
    const nghttp2_settings_entry most = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100};
    nghttp2_session *http;
    if (nghttp2_session_server_new(&http, callbacks, c) != 0) die("out of memory");
    c->session = http;
    return nghttp2_submit_settings(http, NGHTTP2_FLAG_NONE, &most, 1) == 0 && send_frames(c);
}

static bool on_read(struct connection *c, uint8_t *data, size_t length) {
    return nghttp2_session_mem_recv(c->session, data, length) >= 0 && send_frames(c);
}

static void on_end(struct connection *c) {
    nghttp2_session_del(c->session); /* requests without an answer stay: the yardstick lives for a minute */
}

int main(int argc, char **argv) {
    if (argc != 5) die("usage: h2_echo FD CERTIFICATE KEY BLOCK");
    if (nghttp2_session_callbacks_new(&callbacks) != 0) die("out of memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    return serve(argv, "\2h2");
}
