/* The yardstick: what it costs to receive a datagram and send one back, and nothing else.
 *
 * usage: echo FD          FD: a UDP socket, bound to a loopback address
 *
 * It reads up to 64 datagrams at a time, sets the QR bit, and sends them back. No name is looked at.
 */
#define _GNU_SOURCE
#include "common.h"

#include <errno.h>

enum { BUFFER_BYTES = 4096 };

static uint8_t buffers[BATCH][BUFFER_BYTES];
static struct sockaddr_storage clients[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

int main(int argc, char **argv) {
    if (argc != 2) die("usage: echo FD");
    int fd = inherited_loopback_socket(argv[1]);
    for (unsigned i = 0; i < BATCH; i++) {
        parts[i].iov_base = buffers[i];
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &clients[i];
    }
    for (;;) {
        for (unsigned i = 0; i < BATCH; i++) {
            parts[i].iov_len = BUFFER_BYTES;
            messages[i].msg_hdr.msg_namelen = sizeof clients[i];
        }
        int received = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (received < 0) {
            if (errno == EINTR) continue;
            die("recvmmsg: %s", strerror(errno));
        }
        for (int i = 0; i < received; i++) {
            parts[i].iov_len = messages[i].msg_len;
            if (messages[i].msg_len >= HEADER_BYTES) buffers[i][2] |= 0x80;
        }
        for (int sent = 0; sent < received;) {
            int n = sendmmsg(fd, messages + sent, (unsigned)(received - sent), 0);
            sent += n > 0 ? n : 1; /* a datagram that cannot be sent is a datagram lost */
        }
    }
}
