"""BIND 9, one worker thread, here a forwarder that does not validate; the list is a response policy zone."""

from __future__ import annotations

from loadtest.peers import rpz
from loadtest.peers.peer import EDNS_BYTES, Peer, Setup, find


def _configure(setup: Setup) -> list[str]:
    policy = [
        f'  response-policy {{ zone "{rpz.ZONE}"; }}',
        "    qname-wait-recurse no  // decides on the name alone, and does not ask the upstream about it first",
        "    nsip-enable no nsdname-enable no  // the list has names only",
        "    break-dnssec yes;",
    ]
    zone = [f'zone "{rpz.ZONE}" {{', "  type primary;", f'  file "{setup.directory / "rpz.zone"}";', "};"]
    listed = setup.listed is not None
    lines = [
        "options {",
        f'  directory "{setup.directory}";',
        "  pid-file none;",
        *(["  lock-file none;"] if _has_lock_file() else []),
        "  session-keyfile none;",
        f"  listen-on port {setup.listen.port} {{ {setup.listen.host}; }};",
        "  listen-on-v6 { none; };",
        "  allow-query { 127.0.0.0/8; };",
        "  recursion yes;",
        "  forward only;",
        f"  forwarders {{ {setup.upstream.host} port {setup.upstream.port}; }};",
        "  dnssec-validation no;  // our resolver does not validate",
        "  empty-zones-enable no;  // no name is answered in any other way than the path means",
        "  max-cache-size 1024m;  // holds all that is asked for",
        "  recursive-clients 10000;",
        f"  edns-udp-size {EDNS_BYTES};",
        f"  max-udp-size {EDNS_BYTES};",
        "  minimal-responses yes;",
        "  check-names primary ignore;  // real lists have underscores in names of hosts",
        "  querylog no;",
        "  notify no;",
        *(policy if listed else []),
        "};",
        "controls { };",
        "logging { channel errors { stderr; severity error; }; category default { errors; }; };",
        *(zone if listed else []),
    ]
    if listed:
        rpz.write(setup)
    return ["-f", "-n", "1", "-c", str(setup.write("named.conf", lines))]  # -n 1: one core is measured


def _has_lock_file() -> bool:
    """Before 9.20 a second server does not start without this option; since then there is none."""
    version = PEER.version() if find("named") else ""
    return not version or tuple(map(int, version.split(".")[:2])) < (9, 20)


def _check(setup: Setup) -> list[str]:
    return [find("named-checkconf") or "named-checkconf", "-z", str(setup.directory / "named.conf")]


PEER = Peer(
    name="bind",
    package="bind9",
    program="named",
    version_arguments=("-v",),
    list_form="response policy zone",
    configure=_configure,
    check=_check,
)
