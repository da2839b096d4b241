"""PowerDNS Recursor, here a forwarder that does not validate; the list is an RPZ read from a file."""

from __future__ import annotations

from loadtest.peers import rpz
from loadtest.peers.peer import CACHED_ANSWERS, EDNS_BYTES, Peer, Setup, find


def _configure(setup: Setup) -> list[str]:
    lines = [
        f"local-address={setup.listen.host}",
        f"local-port={setup.listen.port}",
        "allow-from=127.0.0.0/8",
        f"socket-dir={setup.directory}",
        "daemon=no",
        "disable-syslog=yes",
        "quiet=yes",
        "loglevel=3",
        "statistics-interval=0",
        "threads=1  # one core is measured",
        "pdns-distributes-queries=no  # else a thread of its own hands queries to the one that answers",
        "dnssec=off  # our resolver does not validate",
        "dont-query=  # the upstream is on this machine",
        f"forward-zones-recurse=.={setup.upstream}",
        f"max-packetcache-entries={CACHED_ANSWERS}",
        f"max-cache-entries={CACHED_ANSWERS}",
        "record-cache-shards=1  # one thread takes no locks of others",
        "aggressive-nsec-cache-size=0",
        f"edns-outgoing-bufsize={EDNS_BYTES}",
        f"udp-truncation-threshold={EDNS_BYTES}",
        "security-poll-suffix=  # does not ask the internet for its own security status",
        "export-etc-hosts=no",
        "serve-rfc1918=no  # no name is answered in any other way than the path means",
        "hint-file=no  # everything is forwarded",
    ]
    if setup.listed is not None:
        script = setup.write("recursor.lua", [f'rpzFile("{rpz.write(setup)}", {{policyName="bench"}})'])
        lines.append(f"lua-config-file={script}")
    # a comment is a line of its own to this program
    setup.write("recursor.conf", (part for line in lines for part in reversed(_comment_apart(line))))
    return [f"--config-dir={setup.directory}"]


def _comment_apart(line: str) -> list[str]:
    setting, mark, reason = line.partition("  # ")
    return [setting, f"# {reason}"] if mark else [setting]


def _check(setup: Setup) -> list[str]:
    return [find("pdns_recursor") or "pdns_recursor", f"--config-dir={setup.directory}", "--config=check"]


PEER = Peer(
    name="recursor",
    package="pdns-recursor",
    program="pdns_recursor",
    version_arguments=("--version",),
    list_form="RPZ from a file",
    configure=_configure,
    check=_check,
)
