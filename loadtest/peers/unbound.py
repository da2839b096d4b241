"""unbound: a validating resolver, here a forwarder that does not validate; the list is local zones."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.peers.peer import EDNS_BYTES, EncryptedListen, Peer, Setup, find


def _configure(setup: Setup) -> list[str]:
    lines = [
        "server:",
        f"  interface: {setup.listen.host}@{setup.listen.port}",
        "  access-control: 127.0.0.0/8 allow",
        "  do-daemonize: no",
        '  username: ""  # an ordinary child process',
        '  chroot: ""',
        f'  directory: "{setup.directory}"',
        '  pidfile: ""',
        "  use-syslog: no",
        "  verbosity: 0",
        "  num-threads: 1  # one core is measured",
        '  module-config: "iterator"  # no validator: our resolver does not validate',
        "  do-not-query-localhost: no  # the upstream is on this machine",
        f"  edns-buffer-size: {EDNS_BYTES}",
        "  msg-cache-size: 256m  # holds all that is asked for; rrset twice the size of msg, as its documentation advises",
        "  rrset-cache-size: 512m",
        "  msg-cache-slabs: 1  # one thread takes no locks of others",
        "  rrset-cache-slabs: 1",
        "  infra-cache-slabs: 1",
        "  key-cache-slabs: 1",
        "  outgoing-range: 8192  # its guide to performance: many queries in flight",
        "  num-queries-per-thread: 4096",
        "  so-rcvbuf: 4m  # bursts; the same that our programs ask for",
        "  minimal-responses: yes",
        "  unblock-lan-zones: yes  # no name is answered in any other way than the path means",
        "  insecure-lan-zones: yes",
    ]
    if setup.listed is not None:
        lines.append(f'  include: "{setup.write("listed.conf", _zones(setup))}"')
    if setup.encrypted is not None:
        lines += _encrypted(setup.encrypted)
    lines += [
        "remote-control:",
        "  control-enable: no",
        "forward-zone:",
        '  name: "."',
        f"  forward-addr: {setup.upstream.host}@{setup.upstream.port}",
    ]
    return ["-d", "-c", str(setup.write("unbound.conf", lines))]


def _encrypted(listen: EncryptedListen) -> list[str]:
    return [
        *(f"  interface: {address.host}@{address.port}" for address in (listen.tls, listen.https)),
        f"  tls-port: {listen.tls.port}",
        f"  https-port: {listen.https.port}",
        f'  tls-service-pem: "{listen.certificate}"',
        f'  tls-service-key: "{listen.key}"',
        "  incoming-num-tcp: 5000  # more idle connections than are held",
    ]


def _zones(setup: Setup) -> Iterator[str]:
    """One line for a name and all below it. A redirect to an address needs a second line, and twice the memory."""
    for name in setup.listed_names():
        yield f'local-zone: "{name}." always_nxdomain'


def _check(setup: Setup) -> list[str]:
    return [find("unbound-checkconf") or "unbound-checkconf", str(setup.directory / "unbound.conf")]


PEER = Peer(
    name="unbound",
    package="unbound",
    program="unbound",
    version_arguments=("-V",),
    list_form="local-zone always_nxdomain",
    configure=_configure,
    check=_check,
    encrypted=("tls", "https"),
)
