"""Knot Resolver 5, one process, here a forwarder that does not validate; the list is an RPZ read from a file."""

from __future__ import annotations

from loadtest.peers import rpz
from loadtest.peers.peer import EDNS_BYTES, Peer, Setup


def _configure(setup: Setup) -> list[str]:
    lines = [
        "log_level('err')",
        f"net.listen('{setup.listen.host}', {setup.listen.port}, {{ kind = 'dns' }})",
        "net.ipv6 = false",
        "trust_anchors.remove('.')  -- no validation: our resolver does not validate",
        "modules.unload('ta_update')",
        "modules.unload('ta_signal_query')",
        "modules.unload('ta_sentinel')",
        "modules.unload('priming')  -- everything is forwarded: no root servers to ask",
        "modules.unload('detect_time_skew')",
        "modules.unload('detect_time_jump')",
        "modules.unload('refuse_nord')",
        f"net.bufsize({EDNS_BYTES}, {EDNS_BYTES})",
        f"cache.open(512 * MB, 'lmdb://{setup.directory}')  -- holds all that is asked for",
    ]
    if setup.listed is not None:
        zone = rpz.write(setup, nxdomain=True)
        lines.append(f"policy.add(policy.rpz(policy.DENY, '{zone}', false))  -- false: does not watch the file for changes")
    lines.append(f"policy.add(policy.all(policy.STUB('{setup.upstream.host}@{setup.upstream.port}')))  -- FORWARD wants DNSSEC")
    return ["-n", "-c", str(setup.write("kresd.conf", lines)), str(setup.directory)]


PEER = Peer(
    name="knot",
    package="knot-resolver",
    program="kresd",
    version_arguments=("--version",),
    list_form="RPZ from a file",
    configure=_configure,
)
