/* What the three programs share: leaving with a message, and never touching an address outside this machine. */
#ifndef LOADTEST_COMMON_H
#define LOADTEST_COMMON_H

#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, HEADER_BYTES = 12, MAX_DATAGRAM_BYTES = 65535 };

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

static inline bool is_loopback(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    return false;
}

/* A bound UDP socket that the caller of this program left open for it; `text` is its number. */
static inline int inherited_loopback_socket(const char *text) {
    int fd = atoi(text);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) die("%s: not a socket", text);
    if (!is_loopback(&address)) die("%s: not bound to a loopback address", text);
    return fd;
}

#endif
