/* Sends DNS queries over TLS (RFC 7858) or HTTP/2 (RFC 8484) to a loopback address and measures the answers.
 *
 * usage: encrypted_generator --to 127.0.0.1:8853 --packets FILE [options]
 *   --https          HTTP/2 with POST to --path (default: DNS over TLS)
 *   --path P         of the request (default /dns-query)
 *   --connections N  open at a time (default 1)
 *   --window W       queries in flight on each connection (default 1)
 *   --new            a new connection for each query, with a full handshake
 *   --resume         with --new: a connection begins with the session of the last one in its place
 *   --rate R         with --new: R connections a second are started, whatever the answers do
 *   --hold           one query on each connection, then "holding N" on standard output, then idle until standard input ends
 *   --count N        stop after N queries (default: as many as the file holds; a larger N begins again)
 *   --seconds S      stop after S seconds (default 60)
 *   --timeout-ms T   a query without an answer for that long is lost (default 2000)
 *   --clients N      source addresses, from 127.0.1.1 on (default: the kernel chooses)
 *   --name NAME      server name in the handshake (default dns.example)
 *   --coalesce       all queries that a connection can take as one TLS record (default: a record each)
 *   --tls13          refuse TLS 1.2
 * SIGTERM or SIGINT: stops sending, waits for what is in flight, reports.
 *
 * FILE and the report are those of generator.c. Queries that arise one by one go out one by one, so each is a TLS record and a write of
 * its own; all answers of a connection that are there are read before the next queries. The server's certificate is not verified.
 */
#define _GNU_SOURCE
#include "load.h"

#include <getopt.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>

enum { MAX_WINDOW = 1024, IN_BYTES = 2 + 65535 + 16384, OUT_BYTES = 1 << 18, BODY_BYTES = 4096, MOST_BYTES = 65537, EVENTS = 256 };
enum state { CLOSED, HANDSHAKE, OPEN };

static const uint64_t SWEEP_NS = 50000000u;

struct query {
    uint64_t due_ns; /* 0: the slot is free */
    uint32_t packet, body_at, body_length;
    int32_t stream;
    uint16_t id, status;
    uint8_t *body; /* of a response */
};

struct connection {
    SSL *ssl;
    nghttp2_session *http;
    SSL_SESSION *session; /* to be resumed */
    struct query *slots;
    uint16_t *free;
    uint8_t *in, *out;
    uint64_t due_ns; /* when the connection was to be started */
    uint32_t free_count, in_length, out_at, out_length;
    int fd;
    enum state state;
    bool waits_to_write, has_asked;
};

static struct {
    struct sockaddr_storage to;
    socklen_t to_length;
    const char *path, *name;
    uint64_t count, timeout_ns;
    double seconds, rate;
    unsigned connections, window, clients;
    bool https, new, resume, hold, tls13, coalesce;
} run = {.path = "/dns-query", .name = "dns.example", .timeout_ns = 2000000000u, .seconds = 60, .connections = 1, .window = 1};

static SSL_CTX *context;
static struct connection *connections;
static int events_fd;
static uint64_t handshakes, resumed, failed, ended, http_errors, answer_bytes;
static bool stopping;

static nghttp2_session_callbacks *callbacks;

/* ---- queries and answers ----------------------------------------------------------------------------------------- */

static void release(struct connection *c, struct query *query) {
    query->due_ns = 0;
    c->free[c->free_count++] = (uint16_t)(query - c->slots);
    in_flight--;
}

/* A free slot with the next query in it. Its id tells its slot, and tells answers of this query from late ones of the last. */
static struct query *take_slot(struct connection *c, uint64_t due_ns) {
    uint16_t slot = c->free[--c->free_count];
    struct query *query = &c->slots[slot];
    query->due_ns = due_ns;
    query->packet = (uint32_t)(next_packet++ % packet_count);
    query->id = (uint16_t)((random_bits() & 0x3f) * MAX_WINDOW + slot);
    query->body_at = query->body_length = query->status = 0;
    sent++;
    in_flight++;
    c->has_asked = true;
    return query;
}

static void take_answer(struct connection *c, struct query *query, const uint8_t *data, size_t length) {
    if (length < HEADER_BYTES || !(data[2] & 0x80)) {
        strange++;
        return;
    }
    uint16_t id = (uint16_t)(data[0] << 8 | data[1]);
    uint32_t slot = id % MAX_WINDOW;
    if (query == NULL && slot < run.window) query = &c->slots[slot];
    if (query == NULL || query->due_ns == 0 || query->id != id) { /* late, twice, or unknown */
        strange++;
        return;
    }
    answer_bytes += length;
    note_answer(&packets[query->packet], data, length, now_ns(), query->due_ns);
    release(c, query);
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void watch(struct connection *c, bool to_write, int what) {
    struct epoll_event event = {.events = EPOLLIN | (to_write ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(events_fd, what, c->fd, &event) != 0) die("epoll_ctl: %s", strerror(errno));
    c->waits_to_write = to_write;
}

static void start_connection(struct connection *c, uint64_t due_ns) {
    c->fd = socket(run.to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket: %s", strerror(errno));
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (run.clients > 0) {
        static uint32_t turn;
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101 + turn++ % run.clients)};
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(c->fd, (const struct sockaddr *)&from, sizeof from) != 0) die("bind: %s", strerror(errno));
    }
    if (connect(c->fd, (const struct sockaddr *)&run.to, run.to_length) != 0 && errno != EINPROGRESS) die("connect: %s", strerror(errno));
    c->ssl = SSL_new(context);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) die("SSL_new failed");
    SSL_set_app_data(c->ssl, c);
    SSL_set_tlsext_host_name(c->ssl, run.name);
    if (run.resume && c->session != NULL) SSL_set_session(c->ssl, c->session);
    SSL_set_connect_state(c->ssl);
    c->in_length = c->out_at = c->out_length = 0;
    c->has_asked = false;
    c->due_ns = due_ns;
    c->state = HANDSHAKE;
    watch(c, true, EPOLL_CTL_ADD);
}

/* `politely`: with close_notify. What was in flight is lost. */
static void end_connection(struct connection *c, bool politely) {
    if (c->state == CLOSED) return;
    c->state = CLOSED;
    for (unsigned slot = 0; slot < run.window; slot++) {
        if (c->slots[slot].due_ns == 0) continue;
        lost++;
        release(c, &c->slots[slot]);
    }
    if (politely) SSL_shutdown(c->ssl);
    else SSL_set_quiet_shutdown(c->ssl, 1);
    nghttp2_session_del(c->http);
    c->http = NULL;
    SSL_free(c->ssl);
    close(c->fd);
    ERR_clear_error();
}

static void fail_connection(struct connection *c) {
    if (c->state == HANDSHAKE) failed++;
    else ended++;
    if (failed > 200 && handshakes == 0) die("no connection could be made: is this a server of %s?", run.https ? "DNS over HTTP/2" : "DNS over TLS");
    if (ended > 10000 && received == 0) die("all connections end without an answer");
    end_connection(c, false);
}

static int on_session(SSL *ssl, SSL_SESSION *session) {
    struct connection *c = SSL_get_app_data(ssl);
    if (!run.resume) return 0;
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

/* ---- HTTP/2 ------------------------------------------------------------------------------------------------------ */

static ssize_t give_body(nghttp2_session *http, int32_t stream, uint8_t *out, size_t room, uint32_t *flags, nghttp2_data_source *source, void *user) {
    (void)http, (void)stream, (void)user;
    const struct query *query = source->ptr;
    const struct packet *packet = &packets[query->packet];
    if (room < packet->length) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    memcpy(out, packet->data, packet->length);
    out[0] = (uint8_t)(query->id >> 8);
    out[1] = (uint8_t)query->id;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return packet->length;
}

static int on_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name, size_t name_length, const uint8_t *value,
                     size_t value_length, uint8_t flags, void *user) {
    (void)value_length, (void)flags, (void)user;
    struct query *query = nghttp2_session_get_stream_user_data(http, frame->hd.stream_id);
    if (query != NULL && name_length == 7 && memcmp(name, ":status", 7) == 0) query->status = (uint16_t)atoi((const char *)value);
    return 0;
}

static int on_data(nghttp2_session *http, uint8_t flags, int32_t stream, const uint8_t *data, size_t length, void *user) {
    (void)flags, (void)user;
    struct query *query = nghttp2_session_get_stream_user_data(http, stream);
    if (query == NULL) return 0;
    if (query->body_length + length > BODY_BYTES) length = BODY_BYTES - query->body_length;
    memcpy(query->body + query->body_length, data, length);
    query->body_length += (uint32_t)length;
    return 0;
}

static int on_close(nghttp2_session *http, int32_t stream, uint32_t error, void *user) {
    (void)error;
    struct query *query = nghttp2_session_get_stream_user_data(http, stream);
    if (query == NULL || query->due_ns == 0 || query->stream != stream) return 0;
    if (query->status == 200) take_answer(user, query, query->body, query->body_length);
    else http_errors++;
    if (query->due_ns != 0) { /* no answer, or a strange one: nothing more comes on this stream */
        lost++;
        release(user, query);
    }
    return 0;
}

static void open_http(struct connection *c) {
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}};
    if (nghttp2_session_client_new(&c->http, callbacks, c) != 0) die("out of memory");
    nghttp2_submit_settings(c->http, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(c->http, NGHTTP2_FLAG_NONE, 0, 1 << 24);
}

static void ask_http(struct query *query, struct connection *c) {
#define HEADER(n, v) {(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, strlen(v), NGHTTP2_NV_FLAG_NONE}
    char length[8];
    snprintf(length, sizeof length, "%u", packets[query->packet].length);
    const nghttp2_nv headers[] = {
        HEADER(":method", "POST"), HEADER(":scheme", "https"), HEADER(":authority", run.name), HEADER(":path", run.path),
        HEADER("accept", "application/dns-message"), HEADER("content-type", "application/dns-message"), HEADER("content-length", length),
    };
    const nghttp2_data_provider body = {.source.ptr = query, .read_callback = give_body};
    query->stream = nghttp2_submit_request(c->http, NULL, headers, sizeof headers / sizeof *headers, &body, query);
    if (query->stream < 0) die("nghttp2_submit_request: %s", nghttp2_strerror(query->stream));
}

/* ---- what a connection does when it can -------------------------------------------------------------------------- */

/* Sends what is in `out`. False: the connection is at its end. */
static bool flush(struct connection *c) {
    while (c->out_at < c->out_length) {
        int n = SSL_write(c->ssl, c->out + c->out_at, (int)(c->out_length - c->out_at));
        if (n <= 0) {
            int why = SSL_get_error(c->ssl, n);
            if (why != SSL_ERROR_WANT_WRITE && why != SSL_ERROR_WANT_READ) return false;
            if (!c->waits_to_write) watch(c, true, EPOLL_CTL_MOD);
            return true;
        }
        c->out_at += (uint32_t)n;
    }
    c->out_at = c->out_length = 0;
    if (c->waits_to_write) watch(c, false, EPOLL_CTL_MOD);
    return true;
}

static bool may_ask(const struct connection *c) {
    return c->free_count > 0 && sent < run.count && !stopping && !((run.new || run.hold) && c->has_asked);
}

static void write_frame(struct connection *c, const struct query *query) {
    const struct packet *packet = &packets[query->packet];
    uint8_t *out = c->out + c->out_length;
    out[0] = (uint8_t)(packet->length >> 8);
    out[1] = (uint8_t)packet->length;
    memcpy(out + 2, packet->data, packet->length);
    out[2] = (uint8_t)(query->id >> 8);
    out[3] = (uint8_t)query->id;
    c->out_length += packet->length + 2u;
}

static void write_http_frames(struct connection *c) {
    const uint8_t *data;
    ssize_t n;
    while (c->out_length + MOST_BYTES < OUT_BYTES && (n = nghttp2_session_mem_send(c->http, &data)) > 0) {
        memcpy(c->out + c->out_length, data, (size_t)n);
        c->out_length += (uint32_t)n;
    }
}

/* Sends every query that there is room for, and what else HTTP/2 has to say. */
static bool ask(struct connection *c) {
    while (may_ask(c) && c->out_length + MOST_BYTES < OUT_BYTES) {
        struct query *query = take_slot(c, run.new ? c->due_ns : now_ns());
        if (c->http != NULL) ask_http(query, c);
        else write_frame(c, query);
        if (run.coalesce) continue;
        if (c->http != NULL) write_http_frames(c);
        if (!flush(c)) return false;
    }
    if (c->http != NULL) write_http_frames(c);
    return c->out_length == 0 || flush(c);
}

static bool take_frames(struct connection *c) {
    uint32_t at = 0;
    while (c->in_length - at >= 2) {
        uint32_t length = (uint32_t)(c->in[at] << 8 | c->in[at + 1]);
        if (c->in_length - at < 2 + length) break;
        take_answer(c, NULL, c->in + at + 2, length);
        at += 2 + length;
    }
    if (at > 0) memmove(c->in, c->in + at, c->in_length - at);
    c->in_length -= at;
    return true;
}

/* Reads all that is there. */
static bool hear(struct connection *c) {
    for (;;) {
        int n = SSL_read(c->ssl, c->in + c->in_length, (int)(IN_BYTES - c->in_length));
        if (n <= 0) return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
        if (c->http != NULL) {
            if (nghttp2_session_mem_recv(c->http, c->in, (size_t)n) < 0) return false;
            if (!nghttp2_session_want_read(c->http) && !nghttp2_session_want_write(c->http)) return false;
        } else {
            c->in_length += (uint32_t)n;
            if (!take_frames(c)) return false;
        }
        if ((run.new || run.hold) && c->has_asked && c->free_count == run.window) return true; /* that was the one answer */
    }
}

static bool shake_hands(struct connection *c) {
    int n = SSL_do_handshake(c->ssl);
    if (n != 1) {
        int why = SSL_get_error(c->ssl, n);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return false;
        if (c->waits_to_write != (why == SSL_ERROR_WANT_WRITE)) watch(c, why == SSL_ERROR_WANT_WRITE, EPOLL_CTL_MOD);
        return true;
    }
    const unsigned char *chosen;
    unsigned length;
    SSL_get0_alpn_selected(c->ssl, &chosen, &length);
    if (run.https && (length != 2 || memcmp(chosen, "h2", 2) != 0)) return false;
    handshakes++;
    resumed += (uint64_t)SSL_session_reused(c->ssl);
    c->state = OPEN;
    if (run.https) open_http(c);
    return ask(c);
}

static void advance(struct connection *c) {
    bool good = c->state == HANDSHAKE ? shake_hands(c) : hear(c) && ask(c);
    if (!good) fail_connection(c);
    else if (run.new && c->state == OPEN && c->has_asked && c->free_count == run.window) end_connection(c, true);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

static void sweep(uint64_t now) {
    for (unsigned i = 0; i < run.connections; i++) {
        struct connection *c = &connections[i];
        if (c->state == HANDSHAKE && now > c->due_ns + 5 * run.timeout_ns) fail_connection(c);
        for (unsigned slot = 0; c->state == OPEN && slot < run.window; slot++) {
            struct query *query = &c->slots[slot];
            if (query->due_ns == 0 || now <= query->due_ns + run.timeout_ns) continue;
            if (c->http != NULL) nghttp2_submit_rst_stream(c->http, NGHTTP2_FLAG_NONE, query->stream, NGHTTP2_CANCEL);
            lost++;
            release(c, query);
        }
    }
}

/* Starts every connection that is to be open now. With a rate, the n-th of all is due at start + n * interval. */
static void start_connections(uint64_t start_ns, uint64_t now) {
    static uint64_t started;
    for (unsigned i = 0; i < run.connections; i++) {
        if (connections[i].state != CLOSED) continue;
        if (run.rate > 0) {
            uint64_t due = start_ns + (uint64_t)((double)started * 1e9 / run.rate);
            if (due > now) return;
            start_connection(&connections[i], due);
        } else {
            start_connection(&connections[i], now_ns());
        }
        started++;
        if (run.new && started >= run.count + failed) return;
        if (run.hold && started - handshakes - failed >= 64) return; /* no more than fit into a backlog */
    }
}

static bool all_held(void) {
    return handshakes == run.connections && received + lost == handshakes;
}

static double drive(void) {
    struct epoll_event events[EVENTS];
    uint64_t start = now_ns(), stop = start + (uint64_t)(run.seconds * 1e9), next_sweep = start + SWEEP_NS;
    last_answer_ns = start;
    for (;;) {
        uint64_t now = now_ns();
        stopping = interrupted || now >= stop || (!run.hold && sent >= run.count);
        if (stopping && in_flight == 0) break;
        if (run.hold && all_held()) break;
        if (!stopping) start_connections(start, now);
        /* Without a rate it never sleeps: to wake it would cost the server, on a virtual machine more than the query. */
        int n = epoll_wait(events_fd, events, EVENTS, run.hold ? 20 : run.rate > 0 ? 1 : 0);
        for (int i = 0; i < n; i++) advance(events[i].data.ptr);
        now = now_ns();
        if (now >= next_sweep) {
            sweep(now);
            for (unsigned i = 0; i < run.connections; i++) /* room that lost queries left */
                if (connections[i].state == OPEN && !ask(&connections[i])) fail_connection(&connections[i]);
            next_sweep = now + SWEEP_NS;
        }
    }
    double elapsed_s = (double)(last_answer_ns - start) / 1e9;
    if (run.hold) {
        unsigned open = 0;
        for (unsigned i = 0; i < run.connections; i++) open += connections[i].state == OPEN;
        printf("holding %u\n", open);
        fflush(stdout);
        for (char byte; read(STDIN_FILENO, &byte, 1) > 0;) continue;
    }
    for (unsigned i = 0; i < run.connections; i++) end_connection(&connections[i], true);
    return elapsed_s;
}

static void prepare(void) {
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) die("SSL_CTX_new failed");
    SSL_CTX_set_min_proto_version(context, run.tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_protos(context, run.https ? (const unsigned char *)"\2h2" : (const unsigned char *)"\3dot", run.https ? 3 : 4);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    if (nghttp2_session_callbacks_new(&callbacks) != 0) die("out of memory");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    events_fd = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc(run.connections, sizeof *connections);
    if (events_fd < 0 || connections == NULL) die("out of memory");
    for (unsigned i = 0; i < run.connections; i++) {
        struct connection *c = &connections[i];
        c->slots = calloc(run.window, sizeof *c->slots);
        c->free = calloc(run.window, sizeof *c->free);
        c->in = malloc(IN_BYTES); /* a page of it is taken when it is touched */
        c->out = malloc(OUT_BYTES);
        if (c->slots == NULL || c->free == NULL || c->in == NULL || c->out == NULL) die("out of memory");
        for (unsigned slot = 0; slot < run.window; slot++) {
            if (run.https && (c->slots[slot].body = malloc(BODY_BYTES)) == NULL) die("out of memory");
            c->free[c->free_count++] = (uint16_t)(run.window - 1 - slot);
        }
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"to", required_argument, NULL, 'a'},      {"packets", required_argument, NULL, 'p'},    {"count", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'}, {"rate", required_argument, NULL, 'r'},       {"window", required_argument, NULL, 'w'},
        {"clients", required_argument, NULL, 'c'}, {"timeout-ms", required_argument, NULL, 't'}, {"connections", required_argument, NULL, 'o'},
        {"path", required_argument, NULL, 'q'},    {"name", required_argument, NULL, 'm'},       {"https", no_argument, NULL, 'h'},
        {"new", no_argument, NULL, 'e'},           {"resume", no_argument, NULL, 'u'},           {"hold", no_argument, NULL, 'l'},
        {"tls13", no_argument, NULL, '3'},         {"coalesce", no_argument, NULL, 'g'},
        {NULL, 0, NULL, 0},
    };
    const char *file = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
            case 'a': run.to_length = parse_address(optarg, &run.to); break;
            case 'p': file = optarg; break;
            case 'n': run.count = (uint64_t)number("count", optarg, 1, 1e12); break;
            case 's': run.seconds = number("seconds", optarg, 0.001, 86400); break;
            case 'r': run.rate = number("rate", optarg, 0.001, 1e6); break;
            case 'w': run.window = (unsigned)number("window", optarg, 1, MAX_WINDOW); break;
            case 'c': run.clients = (unsigned)number("clients", optarg, 1, 200); break;
            case 't': run.timeout_ns = (uint64_t)(number("timeout-ms", optarg, 1, 60000) * 1e6); break;
            case 'o': run.connections = (unsigned)number("connections", optarg, 1, 1e5); break;
            case 'q': run.path = optarg; break;
            case 'm': run.name = optarg; break;
            case 'h': run.https = true; break;
            case 'e': run.new = true; break;
            case 'u': run.resume = true; break;
            case 'l': run.hold = true; break;
            case 'g': run.coalesce = true; break;
            case '3': run.tls13 = true; break;
            default: return 2;
        }
    }
    if (optind != argc || run.to_length == 0 || file == NULL) die("usage: encrypted_generator --to ADDRESS:PORT --packets FILE [options]");
    if (!is_loopback(&run.to)) die("--to: not a loopback address: this program is for servers on this machine");
    if ((run.rate > 0 || run.resume) && !run.new) die("--rate and --resume are for --new");
    load_packets(file);
    if (run.count == 0) run.count = run.hold ? run.connections : packet_count;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prepare();
    double elapsed_s = drive();
    char more[320];
    snprintf(more, sizeof more, "\"handshakes\": %llu, \"resumed\": %llu, \"failed\": %llu, \"ended\": %llu, \"http_errors\": %llu, \"answer_bytes\": %.1f, ",
             (unsigned long long)handshakes, (unsigned long long)resumed, (unsigned long long)failed, (unsigned long long)ended,
             (unsigned long long)http_errors, received > 0 ? (double)answer_bytes / (double)received : 0.0);
    print_report(elapsed_s, more);
    return 0;
}
