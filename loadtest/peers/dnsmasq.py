"""dnsmasq: a small forwarder with a cache, one thread by nature; the list is address= lines."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.peers.peer import EDNS_BYTES, SINKHOLE, Peer, Setup, find

_CACHED = 100_000  # it warns from 10,000 on, which the popular names of a bench fill alone; measured, more is no slower


def _configure(setup: Setup) -> list[str]:
    lines = [
        f"port={setup.listen.port}",
        f"listen-address={setup.listen.host}",
        "bind-interfaces",
        "keep-in-foreground",
        "user=root  # an ordinary child process: when started by root it stays so, and can read its files",
        "pid-file",
        "log-facility=-",
        "no-resolv",
        "no-hosts",
        "no-poll",
        f"server={setup.upstream.host}#{setup.upstream.port}",
        f"cache-size={_CACHED}  # the default of 150 is for a home",
        # dns-forward-max stays at its 150, more than a bench has in flight: with 10,000, measured, a hit takes twice as long
        f"edns-packet-max={EDNS_BYTES}",
    ]
    if setup.listed is not None:
        lines.append(f"conf-file={setup.write('listed.conf', _addresses(setup))}")
    return [f"--conf-file={setup.write('dnsmasq.conf', lines)}"]


def _addresses(setup: Setup) -> Iterator[str]:
    for name in setup.listed_names():
        yield f"address=/{name}/{SINKHOLE}"


def _check(setup: Setup) -> list[str]:
    return [find("dnsmasq") or "dnsmasq", "--test", f"--conf-file={setup.directory / 'dnsmasq.conf'}"]


PEER = Peer(
    name="dnsmasq",
    package="dnsmasq-base",
    program="dnsmasq",
    version_arguments=("--version",),
    list_form="address=/name/address",
    configure=_configure,
    check=_check,
)
